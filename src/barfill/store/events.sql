-- name: write_splits
-- What a provider lists; the same event stays the same row.
insert into splits as stored (
    symbol_id, ex_on, form, numerator, denominator, record_on, paid_on, ticker, provider, event_id, filed_on, last_seen_at
)
select distinct on (symbol_id, "on", form, numerator, denominator)
    symbol_id, "on", form, numerator, denominator, record_on, paid_on, ticker, %(provider)s, event_id, filed_on, %(asked_at)s
from jsonb_to_recordset(%(rows)s) as given (
    symbol_id integer, "on" date, form text, numerator bigint, denominator bigint, record_on date, paid_on date,
    ticker text, event_id text, filed_on date
)
order by symbol_id, "on", form, numerator, denominator, event_id
on conflict on constraint split_is_listed_once do update
set (record_on, paid_on, ticker, event_id, filed_on, last_seen_at, withdrawn_at)
    = row(excluded.record_on, excluded.paid_on, excluded.ticker, excluded.event_id, excluded.filed_on,
        greatest(stored.last_seen_at, excluded.last_seen_at), null),
    updated_at = case
        when stored.withdrawn_at is not null
        or (stored.record_on, stored.paid_on) is distinct from (excluded.record_on, excluded.paid_on)
        then clock_timestamp() else stored.updated_at
    end;

-- name: write_dividends
-- What a provider lists; the same event stays the same row.
insert into dividends as stored (
    symbol_id, ex_on, form, amount, currency, declared_on, record_on, paid_on, ticker, provider, event_id, filed_on,
    last_seen_at
)
select distinct on (symbol_id, "on", form, amount, currency)
    symbol_id, "on", form, amount, currency, declared_on, record_on, paid_on, ticker, %(provider)s, event_id, filed_on,
    %(asked_at)s
from jsonb_to_recordset(%(rows)s) as given (
    symbol_id integer, "on" date, form text, amount numeric, currency text, declared_on date, record_on date, paid_on date,
    ticker text, event_id text, filed_on date
)
order by symbol_id, "on", form, amount, currency, event_id
on conflict on constraint dividend_is_listed_once do update
set (declared_on, record_on, paid_on, ticker, event_id, filed_on, last_seen_at, withdrawn_at)
    = row(excluded.declared_on, excluded.record_on, excluded.paid_on, excluded.ticker, excluded.event_id,
        excluded.filed_on, greatest(stored.last_seen_at, excluded.last_seen_at), null),
    updated_at = case
        when stored.withdrawn_at is not null
        or (stored.declared_on, stored.record_on, stored.paid_on)
            is distinct from (excluded.declared_on, excluded.record_on, excluded.paid_on)
        then clock_timestamp() else stored.updated_at
    end;

-- name: write_earnings
-- What a provider lists; estimates and results are filled in as they come.
insert into earnings as stored (
    symbol_id, report_on, hour, fiscal_year, fiscal_quarter, eps_estimate, eps_actual, ticker, provider, event_id, filed_on,
    last_seen_at
)
select distinct on (symbol_id, "on")
    symbol_id, "on", hour, fiscal_year, fiscal_quarter, eps_estimate, eps_actual, ticker, %(provider)s, event_id, filed_on,
    %(asked_at)s
from jsonb_to_recordset(%(rows)s) as given (
    symbol_id integer, "on" date, hour text, fiscal_year integer, fiscal_quarter integer, eps_estimate numeric,
    eps_actual numeric, ticker text, event_id text, filed_on date
)
order by symbol_id, "on", eps_actual nulls last
on conflict on constraint earnings_are_listed_once do update
set (hour, fiscal_year, fiscal_quarter, eps_estimate, eps_actual, ticker, event_id, filed_on, last_seen_at, withdrawn_at)
    = row(excluded.hour, excluded.fiscal_year, excluded.fiscal_quarter, excluded.eps_estimate, excluded.eps_actual,
        excluded.ticker, excluded.event_id, excluded.filed_on, greatest(stored.last_seen_at, excluded.last_seen_at), null),
    updated_at = case
        when stored.withdrawn_at is not null
        or (stored.hour, stored.fiscal_year, stored.fiscal_quarter, stored.eps_estimate, stored.eps_actual)
            is distinct from (
                excluded.hour, excluded.fiscal_year, excluded.fiscal_quarter, excluded.eps_estimate, excluded.eps_actual
            )
        then clock_timestamp() else stored.updated_at
    end;

-- name: write_changes
-- What a provider lists; whether it was applied stays.
insert into ticker_changes as stored (
    symbol_id, effective_on, old_ticker, new_ticker, provider, event_id, filed_on, last_seen_at
)
select distinct on (symbol_id, "on", ticker, new_ticker)
    symbol_id, "on", ticker, new_ticker, %(provider)s, event_id, filed_on, %(asked_at)s
from jsonb_to_recordset(%(rows)s) as given (
    symbol_id integer, "on" date, ticker text, new_ticker text, event_id text, filed_on date
)
order by symbol_id, "on", ticker, new_ticker, event_id
on conflict on constraint ticker_change_is_listed_once do update
set (event_id, filed_on, last_seen_at, withdrawn_at)
    = row(excluded.event_id, excluded.filed_on, greatest(stored.last_seen_at, excluded.last_seen_at), null),
    updated_at = case when stored.withdrawn_at is not null then clock_timestamp() else stored.updated_at end;

-- name: write_delistings
-- What a provider lists; whether it was applied stays.
insert into delistings as stored (
    symbol_id, effective_on, form, successor, ticker, provider, event_id, filed_on, last_seen_at
)
select distinct on (symbol_id, "on", form)
    symbol_id, "on", form, successor, ticker, %(provider)s, event_id, filed_on, %(asked_at)s
from jsonb_to_recordset(%(rows)s) as given (
    symbol_id integer, "on" date, form text, successor text, ticker text, event_id text, filed_on date
)
order by symbol_id, "on", form, event_id
on conflict on constraint delisting_is_listed_once do update
set (successor, ticker, event_id, filed_on, last_seen_at, withdrawn_at)
    = row(excluded.successor, excluded.ticker, excluded.event_id, excluded.filed_on, greatest(stored.last_seen_at, excluded.last_seen_at), null),
    updated_at = case
        when stored.withdrawn_at is not null or stored.successor is distinct from excluded.successor
        then clock_timestamp() else stored.updated_at
    end;

-- name: find_unlisted
-- Rows of a provider that should have been listed in the days asked for, or whose id came with other values, and were not.
select id
from {table}
where provider = %(provider)s
and withdrawn_at is null
and last_seen_at < %(asked_at)s
and (
    (
        filed_on >= %(first)s
        and filed_on < %(end)s
        and (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
    )
    or event_id = any(%(event_ids)s::text[])
);

-- name: withdraw
-- The provider no longer lists them.
update {table}
set withdrawn_at = clock_timestamp(), updated_at = clock_timestamp()
where id = any(%(ids)s::bigint[])
and withdrawn_at is null;

-- name: read_splits
-- By ex date, the newest first.
select symbols.ticker, splits.ex_on, splits.form, splits.numerator, splits.denominator, splits.record_on, splits.paid_on,
    splits.ticker as listed_as, splits.provider, splits.event_id, splits.filed_on, splits.first_seen_at, splits.updated_at,
    splits.withdrawn_at, splits.symbol_id
from splits
join symbols on symbols.id = splits.symbol_id
where (%(symbol_ids)s::integer[] is null or splits.symbol_id = any(%(symbol_ids)s::integer[]))
and splits.ex_on >= %(first)s
and splits.ex_on < %(end)s
and (%(providers)s::text[] is null or splits.provider = any(%(providers)s::text[]))
order by splits.ex_on desc, symbols.ticker collate "C", splits.provider, splits.id;

-- name: known_splits
-- The splits that hold, each once however many providers list it.
select distinct symbol_id, ex_on, numerator, denominator
from splits
where symbol_id = any(%(symbol_ids)s::integer[])
and withdrawn_at is null
order by symbol_id, ex_on;

-- name: closes_before
-- The close of the last session before each day, of series of prices as traded; older than ten days it says nothing.
select given.symbol_id, given.on_day, stored.close
from unnest(%(symbol_ids)s::integer[], %(days)s::date[]) as given (symbol_id, on_day)
join series
    on series.symbol_id = given.symbol_id
    and series.timeframe = 'd1'
    and series.basis = 'raw'
cross join lateral (
    select ohlc_bars.close
    from ohlc_bars
    where ohlc_bars.symbol_id = given.symbol_id
    and ohlc_bars.timeframe = 'd1'
    and ohlc_bars.ts < given.on_day::timestamp at time zone 'UTC'
    and ohlc_bars.ts >= (given.on_day - 10)::timestamp at time zone 'UTC'
    order by ohlc_bars.ts desc
    limit 1
) as stored;

-- name: read_dividends
-- By ex date, the newest first.
select symbols.ticker, dividends.ex_on, dividends.form, dividends.amount, dividends.currency, dividends.declared_on,
    dividends.record_on, dividends.paid_on, dividends.ticker as listed_as, dividends.provider, dividends.event_id,
    dividends.filed_on, dividends.first_seen_at, dividends.updated_at, dividends.withdrawn_at, dividends.symbol_id
from dividends
join symbols on symbols.id = dividends.symbol_id
where (%(symbol_ids)s::integer[] is null or dividends.symbol_id = any(%(symbol_ids)s::integer[]))
and dividends.ex_on >= %(first)s
and dividends.ex_on < %(end)s
and (%(providers)s::text[] is null or dividends.provider = any(%(providers)s::text[]))
order by dividends.ex_on desc, symbols.ticker collate "C", dividends.provider, dividends.id;

-- name: read_earnings
-- By day, the newest first.
select symbols.ticker, earnings.report_on, earnings.hour, earnings.fiscal_year, earnings.fiscal_quarter,
    earnings.eps_estimate, earnings.eps_actual, earnings.ticker as listed_as, earnings.provider, earnings.event_id,
    earnings.filed_on, earnings.first_seen_at, earnings.updated_at, earnings.withdrawn_at, earnings.symbol_id
from earnings
join symbols on symbols.id = earnings.symbol_id
where (%(symbol_ids)s::integer[] is null or earnings.symbol_id = any(%(symbol_ids)s::integer[]))
and earnings.report_on >= %(first)s
and earnings.report_on < %(end)s
and (%(providers)s::text[] is null or earnings.provider = any(%(providers)s::text[]))
order by earnings.report_on desc, symbols.ticker collate "C", earnings.provider, earnings.id;

-- name: read_changes
-- By day, the newest first.
select symbols.ticker, ticker_changes.effective_on, ticker_changes.old_ticker, ticker_changes.new_ticker,
    ticker_changes.applied_at, ticker_changes.provider, ticker_changes.event_id, ticker_changes.filed_on,
    ticker_changes.first_seen_at, ticker_changes.updated_at, ticker_changes.withdrawn_at, ticker_changes.symbol_id
from ticker_changes
join symbols on symbols.id = ticker_changes.symbol_id
where (%(symbol_ids)s::integer[] is null or ticker_changes.symbol_id = any(%(symbol_ids)s::integer[]))
and ticker_changes.effective_on >= %(first)s
and ticker_changes.effective_on < %(end)s
and (%(providers)s::text[] is null or ticker_changes.provider = any(%(providers)s::text[]))
order by ticker_changes.effective_on desc, symbols.ticker collate "C", ticker_changes.provider, ticker_changes.id;

-- name: read_delistings
-- By day, the newest first.
select symbols.ticker, delistings.effective_on, delistings.form, delistings.successor, delistings.applied_at,
    delistings.ticker as listed_as, delistings.provider, delistings.event_id, delistings.filed_on, delistings.first_seen_at,
    delistings.updated_at, delistings.withdrawn_at, delistings.symbol_id
from delistings
join symbols on symbols.id = delistings.symbol_id
where (%(symbol_ids)s::integer[] is null or delistings.symbol_id = any(%(symbol_ids)s::integer[]))
and delistings.effective_on >= %(first)s
and delistings.effective_on < %(end)s
and (%(providers)s::text[] is null or delistings.provider = any(%(providers)s::text[]))
order by delistings.effective_on desc, symbols.ticker collate "C", delistings.provider, delistings.id;

-- name: read_asked
-- Which days were asked for when.
select symbol_id, first_on, end_on, asked_at
from events_asked
where provider = %(provider)s
and kind = %(kind)s;

-- name: read_askers
-- Providers that were ever asked for a kind; null asks for any kind.
select distinct provider
from events_asked
where %(kind)s::text is null or kind = %(kind)s
order by provider;

-- name: forget_asked
-- What a newer question holds whole.
delete from events_asked
where provider = %(provider)s
and kind = %(kind)s
and first_on >= %(first)s
and end_on <= %(end)s
and (symbol_id = any(%(symbol_ids)s::integer[]) or (symbol_id is null and %(is_market)s));

-- name: note_asked
-- These days were asked for to the end.
insert into events_asked (provider, kind, symbol_id, first_on, end_on, asked_at)
select %(provider)s, %(kind)s, given.symbol_id, %(first)s, %(end)s, %(asked_at)s
from unnest(%(symbol_ids)s::integer[]) as given (symbol_id);

-- name: read_renames
-- All changes that are not withdrawn, of all providers.
select effective_on, symbol_id, old_ticker, new_ticker
from ticker_changes
where withdrawn_at is null;

-- name: read_applied
-- Of some changes those that gave a series the ticker that it bears, and that nobody else lists.
select distinct on (changes.symbol_id, changes.old_ticker)
    changes.id, changes.effective_on, changes.symbol_id, changes.old_ticker, changes.new_ticker
from ticker_changes as changes
join symbols on symbols.id = changes.symbol_id
where changes.id = any(%(ids)s::bigint[])
and changes.applied_at is not null
and symbols.ticker = changes.new_ticker
and not exists (
    select
    from ticker_changes as others
    where others.symbol_id = changes.symbol_id
    and others.old_ticker = changes.old_ticker
    and others.new_ticker = changes.new_ticker
    and others.withdrawn_at is null
    and others.id <> all(%(ids)s::bigint[])
)
order by changes.symbol_id, changes.old_ticker, changes.effective_on desc, changes.id;

-- name: read_bearers
-- Every symbol: its ticker, since when it is on record, when a provider confirmed it, whether it is traded.
select id, ticker, created_at, confirmed_at, is_active, asset_type
from symbols
order by id;

-- name: oldest_bar
-- Where the history begins that anybody keeps.
select min(oldest_ts)
from series;

-- name: take_ticker
-- The series goes on under its new ticker, unless somebody else has it.
update symbols
set ticker = %(new)s
where id = %(symbol_id)s
and ticker = %(old)s
and not exists (select from symbols as others where others.ticker = %(new)s);

-- name: note_applied
-- The series bears the new ticker since now.
update ticker_changes
set applied_at = clock_timestamp(), updated_at = clock_timestamp()
where symbol_id = %(symbol_id)s
and old_ticker = %(old)s
and new_ticker = %(new)s
and applied_at is null;

-- name: delist
-- Traded no more; bars and definitions stay.
update symbols
set is_active = false, delisted_on = %(on)s
where id = %(symbol_id)s
and (is_active or delisted_on is distinct from %(on)s);

-- name: note_delisted
-- The series is switched off for it.
update delistings
set applied_at = clock_timestamp(), updated_at = clock_timestamp()
where symbol_id = %(symbol_id)s
and effective_on = %(on)s
and applied_at is null;

-- name: current_tickers
-- Former tickers that nobody on record has now, with the ticker that the series has today: whoever had it last.
select distinct on (ticker_changes.old_ticker) ticker_changes.old_ticker, symbols.ticker
from ticker_changes
join symbols on symbols.id = ticker_changes.symbol_id
where ticker_changes.old_ticker = any(%(tickers)s::text[])
and ticker_changes.withdrawn_at is null
and symbols.ticker <> ticker_changes.old_ticker
and not exists (select from symbols as bearers where bearers.ticker = ticker_changes.old_ticker)
order by ticker_changes.old_ticker, ticker_changes.effective_on desc;

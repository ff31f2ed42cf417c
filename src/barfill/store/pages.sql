-- name: add_series
-- Series that are new take the write's feed and basis as their policy; in key order, as all writers do.
insert into series (symbol_id, timeframe, feed, basis)
select wanted.symbol_id, %(timeframe)s, %(feed)s, %(basis)s
from unnest(%(symbol_ids)s::integer[]) as wanted (symbol_id)
order by wanted.symbol_id
on conflict (symbol_id, timeframe) do nothing;

-- name: lock_series
-- One writer per series at a time, and what it must know of each.
select
    symbol_id,
    feed,
    basis,
    (extract(epoch from oldest_ts) * 1000000)::bigint as oldest_us,
    (extract(epoch from newest_ts) * 1000000)::bigint as newest_us,
    bar_count = 0 and isempty(covered) as is_blank,
    live_from
from series
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[])
order by symbol_id
for update;

-- name: read_bringer
-- What people call a symbol, and who has last sent something of a series.
select symbols.ticker, series.last_provider
from symbols
join series on series.symbol_id = symbols.id
where symbols.id = %(symbol_id)s
and series.timeframe = %(timeframe)s;

-- name: adopt_policy
-- A series that never held anything takes the policy of the first write that brings something.
update series
set feed = %(feed)s, basis = %(basis)s
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[]);

-- name: update_series
-- What the write proves and stored. The union happens here, so that nobody's coverage is lost.
update series
set
    covered = series.covered + given.proved,
    oldest_ts = least(series.oldest_ts, given.first_ts),
    newest_ts = greatest(series.newest_ts, given.last_ts),
    bar_count = series.bar_count + given.inserted,
    density = coalesce(given.density, series.density),
    last_success_at = clock_timestamp(),
    last_rows_written = given.written,
    last_provider = %(provider)s,
    last_run_at = clock_timestamp(),
    last_result = 'ok',
    last_error_code = null,
    last_error = null,
    updated_at = clock_timestamp()
from unnest(
    %(symbol_ids)s::integer[],
    %(proved)s::tstzmultirange[],
    %(firsts)s::timestamptz[],
    %(lasts)s::timestamptz[],
    %(inserted)s::integer[],
    %(written)s::integer[],
    %(densities)s::real[]
) as given (symbol_id, proved, first_ts, last_ts, inserted, written, density)
where series.symbol_id = given.symbol_id
and series.timeframe = %(timeframe)s;

-- name: covered_rows
-- Which of these rows lie in what is final already; their positions, from 1.
select given.position
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[]) with ordinality as given (symbol_id, ts, position)
join series
    on series.symbol_id = given.symbol_id
    and series.timeframe = %(timeframe)s
    and series.covered @> given.ts;

-- name: update_live
-- Live bars are there: they prove nothing, and nothing has succeeded by them.
update series
set
    oldest_ts = least(series.oldest_ts, given.first_ts),
    newest_ts = greatest(series.newest_ts, given.last_ts),
    bar_count = series.bar_count + given.inserted,
    live_from = least(series.live_from, given.first_ts),
    updated_at = clock_timestamp()
from unnest(
    %(symbol_ids)s::integer[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[], %(inserted)s::integer[]
) as given (symbol_id, first_ts, last_ts, inserted)
where series.symbol_id = given.symbol_id
and series.timeframe = %(timeframe)s;

-- name: remove_live
-- In what is final now no live bar is left: those that no final one has replaced are no bars.
delete from ohlc_bars
using series
where series.symbol_id = any(%(symbol_ids)s::integer[])
and series.timeframe = %(timeframe)s
and ohlc_bars.symbol_id = series.symbol_id
and ohlc_bars.timeframe = series.timeframe
and ohlc_bars.ts >= series.live_from
and ohlc_bars.data_status = 'live'
and series.covered @> ohlc_bars.ts
returning ohlc_bars.symbol_id;

-- name: read_stale_live
-- Series with live bars that nobody will replace: their session is long over, and no final bars have come.
select symbol_id, timeframe from series where live_from < %(before)s order by symbol_id, timeframe for update skip locked;

-- name: remove_stale_live
delete from ohlc_bars
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
and data_status = 'live'
and ts < %(before)s;

-- name: settle_live
-- The counters without the live bars that were removed. Few rows are read: those from the first live one on.
update series
set
    bar_count = series.bar_count - given.removed,
    oldest_ts = bounds.oldest_ts,
    newest_ts = bounds.newest_ts,
    live_from = bounds.live_from
from unnest(%(symbol_ids)s::integer[], %(removed)s::integer[]) as given (symbol_id, removed)
cross join lateral (
    select
        (
            select min(stored.ts)
            from ohlc_bars as stored
            where stored.symbol_id = given.symbol_id
            and stored.timeframe = %(timeframe)s
        ) as oldest_ts,
        (
            select max(stored.ts)
            from ohlc_bars as stored
            where stored.symbol_id = given.symbol_id
            and stored.timeframe = %(timeframe)s
        ) as newest_ts,
        (
            select min(stored.ts)
            from ohlc_bars as stored
            join series as kept on kept.symbol_id = stored.symbol_id and kept.timeframe = stored.timeframe
            where stored.symbol_id = given.symbol_id
            and stored.timeframe = %(timeframe)s
            and stored.ts >= kept.live_from
            and stored.data_status = 'live'
        ) as live_from
) as bounds
where series.symbol_id = given.symbol_id
and series.timeframe = %(timeframe)s;

-- name: count_series
-- The counters from the bars themselves, after another program has written into the series.
update series
set oldest_ts = found.oldest_ts, newest_ts = found.newest_ts, bar_count = found.bar_count
from unnest(%(symbol_ids)s::integer[]) as wanted (symbol_id)
cross join lateral (
    select min(ts) as oldest_ts, max(ts) as newest_ts, count(*) as bar_count
    from ohlc_bars
    where ohlc_bars.symbol_id = wanted.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
) as found
where series.symbol_id = wanted.symbol_id
and series.timeframe = %(timeframe)s;

-- name: quarantine
-- Rows that broke a hard rule, as they were sent; a row that is there already is not kept twice.
insert into quarantined_bars (
    symbol_id, symbol, timeframe, ts, rule, reason, raw, provider, feed, run_id, request_id
)
select
    given.symbol_id, coalesce(nullif(given.symbol, ''), symbols.ticker, '?'), %(timeframe)s, given.ts, given.rule, given.reason, given.raw,
    %(provider)s, %(feed)s, %(run_id)s, %(request_id)s
from unnest(
    %(symbol_ids)s::integer[], %(symbols)s::text[], %(instants)s::timestamptz[], %(rules)s::text[],
    %(reasons)s::text[], %(raws)s::text[]
) as given (symbol_id, symbol, ts, rule, reason, raw)
left join symbols on symbols.id = given.symbol_id
where not exists (
    select
    from quarantined_bars as kept
    where kept.symbol = coalesce(nullif(given.symbol, ''), symbols.ticker, '?')
    and kept.timeframe = %(timeframe)s
    and kept.ts is not distinct from given.ts
    and kept.rule = given.rule
    and kept.raw = given.raw
);

-- name: withdraw_bars
-- Stored bars that a later page contradicts (Q11), into quarantine; a value that is there already is not kept twice.
with withdrawn as (
    delete from ohlc_bars
    using unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        as given (symbol_id, start_at, end_at)
    where ohlc_bars.symbol_id = given.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts >= given.start_at
    and ohlc_bars.ts < given.end_at
    returning ohlc_bars.*
),

told as (
    select
        withdrawn.symbol_id,
        symbols.ticker,
        withdrawn.ts,
        withdrawn.provider,
        withdrawn.feed,
        json_build_object(
            'symbol', symbols.ticker,
            'ts', to_char(withdrawn.ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'open', withdrawn.open,
            'high', withdrawn.high,
            'low', withdrawn.low,
            'close', withdrawn.close,
            'volume', withdrawn.volume,
            'vwap', withdrawn.vwap,
            'trade_count', withdrawn.trade_count
        )::text as raw
    from withdrawn
    join symbols on symbols.id = withdrawn.symbol_id
)

insert into quarantined_bars (symbol_id, symbol, timeframe, ts, rule, reason, raw, provider, feed, run_id, request_id)
select
    told.symbol_id, told.ticker, %(timeframe)s, told.ts, 'Q11',
    'was stored; a later page of the same answer had different values', told.raw, told.provider, told.feed,
    %(run_id)s, %(request_id)s
from told
where not exists (
    select
    from quarantined_bars as kept
    where kept.symbol = told.ticker
    and kept.timeframe = %(timeframe)s
    and kept.ts = told.ts
    and kept.raw = told.raw
);

-- name: advance_run
-- The fence: a page is counted only where nobody has taken the run over and no page has come in between. What once put
-- the run off is over.
update job_runs
set
    page_no = page_no + 1,
    page_token = %(next_token)s,
    open_symbol_id = %(open_symbol_id)s,
    open_until = %(open_until)s,
    seen_symbol_ids = array(select distinct unnest(seen_symbol_ids || %(seen_symbol_ids)s::integer[]) order by 1),
    rows_written = rows_written + %(rows_written)s,
    rows_received = rows_received + %(rows_received)s,
    actual_cost = actual_cost + %(requests_made)s,
    request_id = coalesce(%(request_id)s, request_id),
    may_lack_rows = may_lack_rows or %(may_lack_rows)s,
    reason = null,
    error_message = null,
    status = case when %(is_final)s then 'success' else status end,
    progress_percent = case
        when %(is_final)s then 100
        else greatest(progress_percent, %(progress_percent)s::real)
    end,
    -- Also where the server's clock was put back meanwhile.
    finished_at = case when %(is_final)s then greatest(started_at, clock_timestamp()) end,
    heartbeat_at = clock_timestamp(),
    updated_at = clock_timestamp()
where id = %(run_id)s
and epoch = %(epoch)s
and page_no = %(page_no)s
and status = 'running';

-- name: retract
-- Ranges that turned out not to be proved: they will be asked for again.
update series
set covered = covered - given.range, updated_at = clock_timestamp()
from unnest(%(symbol_ids)s::integer[], %(ranges)s::tstzmultirange[]) as given (symbol_id, range)
where series.symbol_id = given.symbol_id
and series.timeframe = %(timeframe)s;

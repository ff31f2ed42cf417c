-- name: read_spans
-- The stored bars of several symbols, each in its own stretch of time, ends included. A nested loop by its shape.
-- The bounds that hold for all of them keep the planner away from the other years' partitions.
copy (
    select
        stored.symbol_id,
        stored.ts,
        stored.open,
        stored.high,
        stored.low,
        stored.close,
        stored.volume,
        coalesce(stored.vwap, 'NaN'),
        coalesce(stored.trade_count, -1),
        stored.data_status = 'final',
        stored.is_extended
    from unnest(%(symbol_ids)s::integer[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
        as wanted (symbol_id, first_ts, last_ts)
    cross join lateral (
        select *
        from ohlc_bars
        where ohlc_bars.symbol_id = wanted.symbol_id
        and ohlc_bars.timeframe = %(timeframe)s
        and ohlc_bars.ts >= wanted.first_ts
        and ohlc_bars.ts <= wanted.last_ts
        and ohlc_bars.ts between %(first)s and %(last)s
        order by ohlc_bars.ts
    ) as stored
) to stdout (format binary);

-- name: read_bars
-- One series in time order.
copy (
    select
        symbol_id,
        ts,
        open,
        high,
        low,
        close,
        volume,
        coalesce(vwap, 'NaN'),
        coalesce(trade_count, -1),
        data_status = 'final',
        is_extended
    from ohlc_bars
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
    order by ts
) to stdout (format binary);

-- name: read_bars_as_of
-- The same as they were at an instant.
copy (
    select
        symbol_id,
        ts,
        open,
        high,
        low,
        close,
        volume,
        coalesce(vwap, 'NaN'),
        coalesce(trade_count, -1),
        data_status = 'final',
        is_extended
    from bars_as_of(%(as_of)s)
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
    order by ts
) to stdout (format binary);

-- name: begin_change
-- Why the rest of the transaction changes bars, and from which instant on the changes count.
select (extract(epoch from begin_change(%(reason)s, %(run_id)s)) * 1000000)::bigint;

-- name: read_origins
-- Where the bars of one series begin to be from another provider than those before them.
select ts, provider
from (
    select ts, provider, lag(provider) over (order by ts) as before
    from ohlc_bars
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
) as told
where before is distinct from provider
order by ts;

-- name: read_starts
-- The starts of the stored bars of several symbols, by symbol.
copy (
    select stored.symbol_id, stored.ts
    from unnest(%(symbol_ids)s::integer[]) as wanted (symbol_id)
    cross join lateral (
        select ohlc_bars.symbol_id, ohlc_bars.ts
        from ohlc_bars
        where ohlc_bars.symbol_id = wanted.symbol_id
        and ohlc_bars.timeframe = %(timeframe)s
        and ohlc_bars.ts >= %(start)s
        and ohlc_bars.ts < %(end)s
        order by ohlc_bars.ts
    ) as stored
) to stdout (format binary);

-- name: create_staging
-- Where rows wait that may meet stored ones; gone with the transaction, as a pooler demands.
create temporary table if not exists staged_bars (
    symbol_id integer not null,
    ts timestamptz not null,
    open double precision not null,
    high double precision not null,
    low double precision not null,
    close double precision not null,
    volume double precision not null,
    vwap double precision,
    trade_count bigint,
    is_extended boolean not null default false
) on commit drop;

-- name: empty_staging
-- A second use within one transaction begins anew.
truncate staged_bars;

-- name: upsert_staged
-- Put the staged rows in place; rows that are the same stay untouched, a live row never replaces a final one, and
-- rows of another feed or basis than the series' policy are left out. A trigger keeps what is replaced.
with written as (
    insert into ohlc_bars as stored (
        symbol_id, timeframe, ts, open, high, low, close, volume, vwap, trade_count,
        provider, feed, is_intraday, data_status, fetched_at, created_at, is_extended
    )
    select distinct on (staged.symbol_id, staged.ts)
        staged.symbol_id, %(timeframe)s, staged.ts, staged.open, staged.high, staged.low, staged.close, staged.volume,
        staged.vwap, staged.trade_count,
        %(provider)s, %(feed)s, %(is_intraday)s, %(data_status)s, %(fetched_at)s, %(changed_at)s,
        staged.is_extended
    from staged_bars as staged
    join series
        on series.symbol_id = staged.symbol_id
        and series.timeframe = %(timeframe)s
        and series.feed = %(feed)s
        and series.basis = %(basis)s
    order by staged.symbol_id, staged.ts  -- one order for all writers, so that they cannot deadlock
    on conflict (symbol_id, timeframe, ts) do update
    set (
        open, high, low, close, volume, vwap, trade_count, provider, feed, data_status, fetched_at, is_extended
    ) = row(
        excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap,
        excluded.trade_count, excluded.provider, excluded.feed, excluded.data_status, excluded.fetched_at,
        excluded.is_extended
    )
    where (stored.data_status = 'live' or excluded.data_status = 'final')
    and (
        stored.open, stored.high, stored.low, stored.close, stored.volume, stored.vwap, stored.trade_count,
        stored.data_status
    ) is distinct from (
        excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap,
        excluded.trade_count, excluded.data_status
    )
    returning symbol_id, created_at = %(changed_at)s as is_new  -- which an update leaves alone
)
select symbol_id, count(*) filter (where is_new), count(*) filter (where not is_new)
from written
group by symbol_id;

-- name: count_refused
-- How many staged rows the series' policy kept out.
select count(*)
from staged_bars as staged
where not exists (
    select
    from series
    where series.symbol_id = staged.symbol_id
    and series.timeframe = %(timeframe)s
    and series.feed = %(feed)s
    and series.basis = %(basis)s
);

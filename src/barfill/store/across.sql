-- name: session_totals
-- Sessions by their day's bar and by the finest bars that cover them whole; a day of another feed or basis is none.
select
    symbols.id,
    (sessions.session_on::timestamp at time zone 'UTC') as label,
    sessions.opens_at,
    sessions.closes_at,
    finer.timeframe,
    finer.density,
    day.high,
    day.low,
    day.close,
    day.volume,
    inside.high,
    inside.low,
    inside.close,
    inside.volume,
    inside.bars
from symbols
join sessions
    on sessions.calendar = symbols.calendar
    and sessions.opens_at >= %(start)s
    and sessions.closes_at <= %(end)s
cross join lateral (
    select *
    from series
    where series.symbol_id = symbols.id
    and series.timeframe <> 'd1'
    and series.timeframe <> 'w1'
    and series.covered @> tstzrange(sessions.opens_at, sessions.closes_at)
    order by array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4'], series.timeframe::text)
    limit 1
) as finer
cross join lateral (
    select
        max(high) as high,
        min(low) as low,
        (array_agg(close order by ts desc))[1] as close,
        sum(volume) as volume,
        count(*)::integer as bars
    from ohlc_bars
    where ohlc_bars.symbol_id = symbols.id
    and ohlc_bars.timeframe = finer.timeframe
    and ohlc_bars.ts >= sessions.opens_at
    and ohlc_bars.ts < sessions.closes_at
    and ohlc_bars.data_status = 'final'
) as inside
left join lateral (
    select ohlc_bars.*
    from series as days
    join ohlc_bars
        on ohlc_bars.symbol_id = days.symbol_id
        and ohlc_bars.timeframe = 'd1'
        and ohlc_bars.ts = (sessions.session_on::timestamp at time zone 'UTC')
        and ohlc_bars.data_status = 'final'
    where days.symbol_id = symbols.id
    and days.timeframe = 'd1'
    and days.feed = finer.feed
    and days.basis = finer.basis
) as day on true
where symbols.id = any(%(symbol_ids)s::integer[])
order by symbols.id, sessions.opens_at;

-- name: with_days
-- Symbols that have bars within sessions; a null list asks for all.
select distinct symbol_id
from series
where timeframe <> 'd1'
and timeframe <> 'w1'
and bar_count > 0
and (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
order by symbol_id;

-- name: forget
-- What was found of these sessions before; a day's stamp may lie before its session's open, or behind it.
delete from bar_warnings
where symbol_id = any(%(symbol_ids)s::integer[])
and rule in ('W12', 'W17', 'W20')
and (
    (timeframe = 'd1' and ts = any(%(labels)s::timestamptz[]))
    or (timeframe <> 'd1' and ts = any(%(opens)s::timestamptz[]))
);

-- name: keep
-- What is found now.
insert into bar_warnings (symbol_id, timeframe, ts, rule, detail)
select given.symbol_id, given.timeframe, given.ts, given.rule, given.detail
from unnest(
    %(ids)s::integer[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(rules)s::text[], %(details)s::text[]
) as given (symbol_id, timeframe, ts, rule, detail)
on conflict (symbol_id, timeframe, ts, rule) do update
set detail = excluded.detail;

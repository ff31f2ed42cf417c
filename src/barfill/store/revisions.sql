-- name: list_changes
-- The newest changes of final bars first; those of one instant by bar.
select
    symbol,
    timeframe,
    ts,
    changed_at,
    believed_from,
    reason,
    old_provider,
    new_provider,
    run_id,
    is_alarm,
    old_open,
    old_high,
    old_low,
    old_close,
    old_volume,
    old_vwap,
    old_trade_count,
    new_open,
    new_high,
    new_low,
    new_close,
    new_volume,
    new_vwap,
    new_trade_count
from bar_changes
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and timeframe = any(%(timeframes)s::text[])
and (%(start)s::timestamptz is null or ts >= %(start)s)
and (%(end)s::timestamptz is null or ts < %(end)s)
and (%(since)s::timestamptz is null or changed_at >= %(since)s)
order by changed_at desc, symbol collate "C", timeframe, ts
limit %(limit)s;

-- name: count_changes
-- The same, summed up by series.
select
    symbol,
    timeframe,
    count(*),
    count(distinct ts),
    count(*) filter (where new_provider is null),
    count(*) filter (where is_alarm),
    max(changed_at)
from bar_changes
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and timeframe = any(%(timeframes)s::text[])
and (%(start)s::timestamptz is null or ts >= %(start)s)
and (%(end)s::timestamptz is null or ts < %(end)s)
and (%(since)s::timestamptz is null or changed_at >= %(since)s)
group by symbol, timeframe
order by symbol collate "C", timeframe;

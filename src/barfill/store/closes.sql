-- name: stored_bounds
-- Between which starts all bars of some series lie.
select min(oldest_ts), max(newest_ts)
from series
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[]);

-- name: neighbour_closes
-- The newest stored close before each stretch of rows and the oldest one after it: what a price jump is judged by.
-- The bounds that hold for all of them keep the planner away from the other years' partitions.
select wanted.symbol_id, earlier.close, later.close
from unnest(%(symbol_ids)s::integer[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
    as wanted (symbol_id, first_ts, last_ts)
left join lateral (
    select close
    from ohlc_bars
    where ohlc_bars.symbol_id = wanted.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts < wanted.first_ts
    and ohlc_bars.ts between %(oldest)s and %(newest)s
    order by ts desc
    limit 1
) as earlier on true
left join lateral (
    select close
    from ohlc_bars
    where ohlc_bars.symbol_id = wanted.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts > wanted.last_ts
    and ohlc_bars.ts between %(oldest)s and %(newest)s
    order by ts
    limit 1
) as later on true;

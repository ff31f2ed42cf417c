-- name: neighbour_closes
-- The newest stored close before each stretch of rows and the oldest one after it: what a price jump is judged by.
select wanted.symbol_id, earlier.close, later.close
from unnest(%(symbol_ids)s::integer[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
    as wanted (symbol_id, first_ts, last_ts)
left join lateral (
    select close
    from ohlc_bars
    where ohlc_bars.symbol_id = wanted.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts < wanted.first_ts
    order by ts desc
    limit 1
) as earlier on true
left join lateral (
    select close
    from ohlc_bars
    where ohlc_bars.symbol_id = wanted.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts > wanted.last_ts
    order by ts
    limit 1
) as later on true;

-- name: read_bounds
-- Between which starts a series has bars, or ever had. A nested look into the ends of the indexes.
select min(ts), max(ts)
from (
    select oldest_ts as ts
    from series
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    union all
    select newest_ts
    from series
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    union all
    select min(ts)
    from bar_revisions
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    union all
    select max(ts)
    from bar_revisions
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    union all
    select min(ts)
    from live_revisions
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    union all
    select max(ts)
    from live_revisions
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
) as ends;

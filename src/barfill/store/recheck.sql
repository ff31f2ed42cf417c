-- name: survey_series
-- The stored bars of one series that start in a range: how many, how many of them are live, of another feed than its
-- policy, or of years that the calendar does not know; the first and the last of the others.
select
    count(*),
    count(*) filter (where data_status = 'live'),
    count(*) filter (where feed <> %(feed)s),
    count(*) filter (where ts < %(known_from)s or ts >= %(known_until)s),
    min(ts) filter (where ts >= %(known_from)s),
    max(ts) filter (where ts < %(known_until)s)
from ohlc_bars
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
and (%(start)s::timestamptz is null or ts >= %(start)s::timestamptz)
and (%(end)s::timestamptz is null or ts < %(end)s::timestamptz);

-- name: final_starts
-- The starts of the final bars of one series, in time order.
copy (
    select symbol_id, ts
    from ohlc_bars
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
    and data_status = 'final'
    order by ts
) to stdout (format binary);

-- name: flagged_starts
-- The starts of the final bars of one series that are flagged as lying outside of regular hours, in time order.
copy (
    select symbol_id, ts
    from ohlc_bars
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
    and data_status = 'final'
    and is_extended
    order by ts
) to stdout (format binary);

-- name: read_peers
-- Other liquid symbols of a calendar that were asked for all of a stretch, and how many bars of it they have.
select
    series.symbol_id,
    (
        select count(*)
        from ohlc_bars
        where ohlc_bars.symbol_id = series.symbol_id
        and ohlc_bars.timeframe = %(timeframe)s
        and ohlc_bars.ts >= %(start)s
        and ohlc_bars.ts < %(end)s
    ) as bars
from series
join symbols on symbols.id = series.symbol_id
where series.timeframe = %(timeframe)s
and series.symbol_id <> %(symbol_id)s
and symbols.calendar = %(calendar)s
and symbols.is_active
and series.density >= %(density_min)s
and series.covered + coalesce(
    (
        select range_agg(tstzrange(gap_from, gap_to))
        from series_gaps
        where series_gaps.symbol_id = series.symbol_id
        and series_gaps.timeframe = series.timeframe
        and series_gaps.gap_from < %(end)s
        and series_gaps.gap_to > %(start)s
    ),
    '{}'
) @> tstzrange(%(start)s, %(end)s)
order by series.symbol_id
limit %(limit)s;

-- name: read_others
-- The other timeframes of a symbol that hold anything: whether they were asked for all of a stretch.
select
    series.timeframe,
    series.covered + coalesce(
        (
            select range_agg(tstzrange(gap_from, gap_to))
            from series_gaps
            where series_gaps.symbol_id = series.symbol_id
            and series_gaps.timeframe = series.timeframe
            and series_gaps.gap_from < %(end)s
            and series_gaps.gap_to > %(start)s
        ),
        '{}'
    ) @> tstzrange(%(start)s, %(end)s) as is_asked
from series
where series.symbol_id = %(symbol_id)s
and series.timeframe <> %(timeframe)s
and series.bar_count > 0;

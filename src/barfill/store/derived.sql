-- name: read_derived
-- What of these series was made of which finer ones.
select symbol_id, timeframe, source, ranges
from derived_ranges
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and timeframe = any(%(timeframes)s::text[])
order by symbol_id, timeframe, source;

-- name: take_out
-- What was written otherwise since: fetched, or made of another source.
update derived_ranges
set ranges = derived_ranges.ranges - given.ranges
from unnest(%(symbol_ids)s::integer[], %(ranges)s::tstzmultirange[]) as given (symbol_id, ranges)
where derived_ranges.symbol_id = given.symbol_id
and derived_ranges.timeframe = %(timeframe)s
and derived_ranges.source is distinct from %(source)s
and derived_ranges.ranges && given.ranges;

-- name: put_down
-- What is made of a source now.
insert into derived_ranges as known (symbol_id, timeframe, source, ranges)
select given.symbol_id, %(timeframe)s, %(source)s, given.ranges
from unnest(%(symbol_ids)s::integer[], %(ranges)s::tstzmultirange[]) as given (symbol_id, ranges)
on conflict (symbol_id, timeframe, source) do update
set ranges = known.ranges + excluded.ranges
where not known.ranges @> excluded.ranges;

-- name: made_of
-- What was made of finer bars around given stretches; the finest first, in the order of all locks.
-- With what was known of the source: bars may have been made beside what was settled as nobody's.
select
    derived_ranges.symbol_id,
    derived_ranges.timeframe,
    derived_ranges.ranges,
    finer.covered + coalesce(
        (
            select range_agg(tstzrange(series_gaps.gap_from, series_gaps.gap_to))
            from series_gaps
            where series_gaps.symbol_id = finer.symbol_id
            and series_gaps.timeframe = finer.timeframe
            and series_gaps.kind in ('no_trade', 'halted', 'unavailable')
        ),
        '{}'
    )
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    as given (symbol_id, start_at, end_at)
join derived_ranges
    on derived_ranges.symbol_id = given.symbol_id
    and derived_ranges.source = %(source)s
    and derived_ranges.ranges && tstzrange(given.start_at, given.end_at)
join series
    on series.symbol_id = derived_ranges.symbol_id
    and series.timeframe = derived_ranges.timeframe
join series as finer
    on finer.symbol_id = derived_ranges.symbol_id
    and finer.timeframe = %(source)s
order by
    array_position(array['m5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], derived_ranges.timeframe::text),
    derived_ranges.symbol_id
for update of series, derived_ranges;

-- name: remove_bars
-- Final derived bars of which the source is gone: kept as revisions that nothing has replaced. What lies outside of regular
-- hours was never derived.
with removed as (
    delete from ohlc_bars
    using unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        as given (symbol_id, start_at, end_at)
    where ohlc_bars.symbol_id = given.symbol_id
    and ohlc_bars.timeframe = %(timeframe)s
    and ohlc_bars.ts >= given.start_at
    and ohlc_bars.ts < given.end_at
    and ohlc_bars.data_status = 'final'
    and not ohlc_bars.is_extended
    and not (ohlc_bars.symbol_id, ohlc_bars.ts) in (
        select *
        from unnest(%(kept_ids)s::integer[], %(kept_starts)s::timestamptz[])
    )
    returning ohlc_bars.symbol_id
)

select symbol_id, count(*)::integer from removed group by symbol_id order by symbol_id;

-- name: lock_source
-- No page writes into the source as long as bars are made of it; what it covers by then.
select covered
from series
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
for share;

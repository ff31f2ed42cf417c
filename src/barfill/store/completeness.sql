-- name: read_tallies
-- Per series, whether its last run failed, and the bars of its gaps within coverage.
select
    series.symbol_id,
    series.timeframe,
    coalesce(series.last_result = 'fail', false),
    coalesce(lacking.inside, 0)
from series
left join (
    select
        series_gaps.symbol_id,
        series_gaps.timeframe,
        (sum(series_gaps.expected_bars) filter (
            where known.covered @> tstzrange(series_gaps.gap_from, series_gaps.gap_to)
        ))::bigint as inside
    from series_gaps
    join series as known using (symbol_id, timeframe)
    where series_gaps.symbol_id = any(%(symbol_ids)s::integer[])
    group by series_gaps.symbol_id, series_gaps.timeframe
) as lacking using (symbol_id, timeframe)
where series.symbol_id = any(%(symbol_ids)s::integer[])
order by series.symbol_id, series.timeframe;

-- name: read_settled
-- Per series, the bars of its settled gaps by kind.
select symbol_id, timeframe, kind, sum(expected_bars)::bigint
from series_gaps
where symbol_id = any(%(symbol_ids)s::integer[])
and (settled_at is not null or kind = any(%(settled_kinds)s::text[]))
group by symbol_id, timeframe, kind
order by symbol_id, timeframe, kind;

-- name: read_asked_for
-- What of each series was asked for so far, in microseconds: what is covered, and what gaps on record hold besides.
select
    symbol_id,
    timeframe,
    is_covered,
    (extract(epoch from lower(part)) * 1000000)::bigint,
    (extract(epoch from upper(part)) * 1000000)::bigint
from (
    select symbol_id, timeframe, true as is_covered, covered as parts
    from series
    where symbol_id = any(%(symbol_ids)s::integer[])
    union all
    select
        series.symbol_id,
        series.timeframe,
        false,
        range_agg(tstzrange(series_gaps.gap_from, series_gaps.gap_to)) - series.covered
    from series
    join series_gaps using (symbol_id, timeframe)
    where series.symbol_id = any(%(symbol_ids)s::integer[])
    and not series.covered @> tstzrange(series_gaps.gap_from, series_gaps.gap_to)
    group by series.symbol_id, series.timeframe
) as asked_for
cross join unnest(parts) as part;

-- name: lock
-- The series, against its other writers; whether one of the providers has sent something of it last.
select feed, basis, last_provider, coalesce(last_provider = any(%(providers)s::text[]), false) as is_theirs
from series
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s
for update;

-- name: move_out
-- Final bars of another company into quarantine, with their values; how many they are, and their ranges.
with removed as (
    delete from ohlc_bars
    where symbol_id = %(symbol_id)s
    and timeframe = %(timeframe)s
    and ts >= %(start)s
    and ts < %(end)s
    and provider = any(%(providers)s::text[])
    and data_status = 'final'
    returning *
),

forgotten as (
    delete from bar_warnings
    using removed
    where bar_warnings.symbol_id = removed.symbol_id
    and bar_warnings.timeframe = removed.timeframe
    and bar_warnings.ts = removed.ts
),

kept as (
    insert into quarantined_bars (symbol_id, symbol, timeframe, ts, rule, reason, raw, provider, feed)
    select
        removed.symbol_id,
        symbols.ticker,
        %(timeframe)s,
        removed.ts,
        'S04',
        %(reason)s,
        json_build_object(
            'symbol', symbols.ticker,
            'ts', to_char(removed.ts at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
            'open', removed.open,
            'high', removed.high,
            'low', removed.low,
            'close', removed.close,
            'volume', removed.volume,
            'vwap', removed.vwap,
            'trade_count', removed.trade_count
        )::text,
        removed.provider,
        removed.feed
    from removed
    join symbols on symbols.id = removed.symbol_id
)

select count(*), coalesce(range_agg(tstzrange(ts, ts + %(length)s::interval)), '{}') from removed;

-- name: answered
-- What of a stretch the providers were asked for, or is settled since their bars would be another company's; and where
-- others have sent bars of it.
select
    (
        select coalesce(range_agg(tstzrange(slice_from, slice_to)), '{}')
        from job_runs
        where provider = any(%(providers)s::text[])
        and symbol_ids @> array[%(symbol_id)s]::integer[]
        and timeframe = any(%(sources)s::text[])
        and (page_no > 0 or status = 'success')
        and slice_from < %(end)s
        and slice_to > %(start)s
    ) + (
        select coalesce(range_agg(tstzrange(gap_from, gap_to)), '{}')
        from series_gaps
        where symbol_id = %(symbol_id)s
        and timeframe = %(timeframe)s
        and reason like any(%(reasons)s::text[])
        and gap_from < %(end)s
        and gap_to > %(start)s
    ),
    (
        select coalesce(range_agg(tstzrange(ts, ts + %(length)s::interval)), '{}')
        from ohlc_bars
        where symbol_id = %(symbol_id)s
        and timeframe = %(timeframe)s
        and ts >= %(start)s
        and ts < %(end)s
        and data_status = 'final'
    );

-- name: known
-- What of ranges is covered, or on record as a gap.
select (
    series.covered + coalesce(
        (
            select range_agg(tstzrange(gap_from, gap_to))
            from series_gaps
            where series_gaps.symbol_id = series.symbol_id
            and series_gaps.timeframe = series.timeframe
        ),
        '{}'
    )
) * %(ranges)s::tstzmultirange
from series
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s;

-- name: forget_density
-- How often the symbol trades was learned from another company's bars.
update series
set density = null, updated_at = clock_timestamp()
where symbol_id = %(symbol_id)s
and timeframe = %(timeframe)s;

-- name: begun_runs
-- Unfinished runs that have asked for bars of a symbol under the ticker that it was thought to have.
select id
from job_runs
where status in ('queued', 'running')
and (status = 'running' or page_no > 0)
and provider = any(%(providers)s::text[])
and symbol_ids @> array[%(symbol_id)s]::integer[]
and slice_from < %(end)s
and slice_to > %(start)s
order by id;

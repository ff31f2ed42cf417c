-- name: read_newest
-- The newest bars of one series that start in a range, in time order.
copy (
    select newest.*
    from (
        select
            symbol_id,
            ts,
            open,
            high,
            low,
            close,
            volume,
            coalesce(vwap, 'NaN'),
            coalesce(trade_count, -1),
            data_status = 'final',
            is_extended
        from ohlc_bars
        where symbol_id = %(symbol_id)s
        and timeframe = %(timeframe)s
        and ts >= %(start)s
        and ts < %(end)s
        order by ts desc
        limit %(limit)s
    ) as newest
    order by newest.ts
) to stdout (format binary);

-- name: read_ledger
-- What is on record of one series, and whether somebody wants it kept complete.
select
    lower(series.covered),
    upper(series.covered),
    series.last_success_at,
    series.last_error_code,
    series.last_error,
    coalesce(series.bar_count, 0),
    (
        select count(*)
        from series_gaps
        where series_gaps.symbol_id = %(symbol_id)s
        and series_gaps.timeframe = %(timeframe)s
        and series_gaps.settled_at is null
        and series_gaps.kind = any(%(open_kinds)s::text[])
    ),
    exists (
        select
        from job_definitions
        where job_definitions.enabled
        and job_definitions.timeframe = %(timeframe)s
        and (
            job_definitions.symbol = %(ticker)s::text
            or job_definitions.symbols_array @> to_jsonb(%(ticker)s::text)
        )
    ),
    series.last_run_at is not null
from (values (0)) as one (row)
left join series on series.symbol_id = %(symbol_id)s and series.timeframe = %(timeframe)s;

-- name: is_being_fetched
-- Whether a run that is not over may bring bars of one symbol in a range, of one of these timeframes.
select exists (
    select
    from job_runs
    where status in ('queued', 'running')
    and not is_reread
    and symbol_ids @> array[%(symbol_id)s::integer]
    and timeframe = any(%(timeframes)s::text[])
    and slice_from < %(end)s
    and slice_to > %(start)s
);

-- name: read_status
-- What people see per series; answered from the ledger alone.
select
    symbol_id, ticker, timeframe, oldest_ts, newest_ts, bar_count, days_behind, sessions_behind, last_run_at,
    last_result, last_error_code, last_error
from backfill_status
where %(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[])
order by ticker collate "C", timeframe;

-- name: count_runs
-- Runs by status: all that are unfinished, and those finished since.
select status, count(*)
from job_runs
where status in ('queued', 'running') or finished_at >= %(since)s
group by status;

-- name: count_gaps
-- Gaps and their missing bars, per series and kind.
select
    symbol_id,
    timeframe,
    kind,
    count(*),
    sum(expected_bars)::bigint,
    count(settled_at),
    coalesce(sum(expected_bars) filter (where settled_at is not null), 0)::bigint
from series_gaps
where %(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[])
group by symbol_id, timeframe, kind;

-- name: sum_requests
-- API calls and rows of the runs that had pages since.
select
    coalesce(sum(actual_cost), 0)::bigint,
    coalesce(sum(rows_written), 0)::bigint,
    coalesce(sum(rows_received), 0)::bigint
from job_runs
where id = any(%(run_ids)s::bigint[]);

-- name: sum_series
-- By timeframe: series, stored bars, series whose last run failed, and those that are more than one session behind.
select
    timeframe,
    count(*),
    sum(bar_count)::bigint,
    count(*) filter (where last_result = 'fail'),
    count(*) filter (where sessions_behind > 1)
from backfill_status
group by timeframe;

-- name: sum_kept_runs
-- All runs that are kept, by status: how many, bars written and requests made.
select status, count(*), coalesce(sum(rows_written), 0)::bigint, coalesce(sum(actual_cost), 0)::bigint
from job_runs
group by status;

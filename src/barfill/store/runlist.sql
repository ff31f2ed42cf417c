-- name: list_runs
-- The newest first.
select
    id,
    job_def_id,
    symbols_array,
    timeframe,
    job_type,
    slice_from,
    slice_to,
    status,
    status = 'running' and worker_is_alive(worker, worker_has_lock, heartbeat_at, %(patience_s)s) as is_alive,
    progress_percent,
    rows_written,
    rows_received,
    provider,
    feed,
    basis,
    actual_cost,
    attempt,
    error_code,
    error_message,
    reason,
    triggered_by,
    epoch,
    worker,
    heartbeat_at,
    page_no,
    page_token,
    request_id,
    created_at,
    started_at,
    finished_at,
    updated_at,
    calendar_version
from job_runs
where (%(ids)s::bigint[] is null or id = any(%(ids)s::bigint[]))
and (%(statuses)s::text[] is null or status = any(%(statuses)s::text[]))
and (%(symbol_id)s::integer is null or symbol_ids @> array[%(symbol_id)s::integer])
and (%(timeframes)s::text[] is null or timeframe = any(%(timeframes)s::text[]))
order by id desc
limit %(limit)s;

-- name: count_runs
-- How many there are by status, of those that would be listed.
select status, count(*)
from job_runs
where (%(statuses)s::text[] is null or status = any(%(statuses)s::text[]))
and (%(symbol_id)s::integer is null or symbol_ids @> array[%(symbol_id)s::integer])
and (%(timeframes)s::text[] is null or timeframe = any(%(timeframes)s::text[]))
group by status;

-- name: next_in_queue
-- The ids of the runs that have waited longest.
select id
from job_runs
where status = 'queued'
order by id
limit %(limit)s;

-- name: with_status
-- The ids of all runs that are in one state.
select id
from job_runs
where status = %(status)s
and (%(provider)s::text is null or provider = %(provider)s)
order by id;

-- name: ended_since
-- How the runs ended that ended since.
select
    count(*) filter (where status = 'success'),
    count(*) filter (where status = 'failed'),
    count(*) filter (where status = 'cancelled')
from job_runs
where finished_at >= %(since)s;

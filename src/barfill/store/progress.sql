-- name: count_slices
-- Runs for one definition by status, with their bars; one that goes on in others is counted by these.
select
    job_runs.status,
    count(*),
    coalesce(sum(job_runs.rows_written), 0)::bigint,
    array_agg(distinct job_runs.timeframe)
from job_run_definitions
join job_runs on job_runs.id = job_run_definitions.run_id
where job_run_definitions.job_def_ids @> array[%(definition)s::integer]
and job_runs.status <> 'cancelled'
and not job_runs.is_reread
group by job_runs.status;

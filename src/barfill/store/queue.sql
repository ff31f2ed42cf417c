-- name: enqueue
-- An entry for each of the runs that wait, and the run remembers it. The epoch makes an entry worthless once somebody
-- has claimed the run past it.
with waiting as (
    select id, provider, priority, epoch, row_number() over (order by id) as position
    from job_runs
    where id = any(%(run_ids)s::bigint[])
    and status = 'queued'
),

entries as (
    select procrastinate_defer_jobs_v1(
        array_agg(
            row(
                %(prefix)s || provider, %(task)s, priority, null, null,
                jsonb_build_object('run_id', id, 'epoch', epoch),
                case when %(wait)s::interval > interval '0' then clock_timestamp() + %(wait)s::interval end
            )::procrastinate_job_to_defer_v1
            order by position
        )
    ) as ids
    from waiting
    having count(*) > 0
),

numbered as (
    select entry.id as queue_job_id, row_number() over (order by entry.id) as position
    from entries
    cross join lateral unnest(entries.ids) as entry (id)
)

update job_runs
set queue_job_id = numbered.queue_job_id
from waiting
join numbered using (position)
where job_runs.id = waiting.id;

-- name: dequeue
-- Entries of runs that nobody has to carry out any more, and that no worker has taken yet.
delete from procrastinate_jobs
using job_runs
where job_runs.id = any(%(run_ids)s::bigint[])
and procrastinate_jobs.id = job_runs.queue_job_id
and procrastinate_jobs.status = 'todo';

-- name: wake
-- Runs that were put off until a key may be used again are due now.
update procrastinate_jobs
set scheduled_at = null
from job_runs
where job_runs.queue_job_id = procrastinate_jobs.id
and job_runs.status = 'queued'
and job_runs.reason = any(%(reasons)s::text[])
and job_runs.provider = %(provider)s
and procrastinate_jobs.status = 'todo'
and procrastinate_jobs.scheduled_at > clock_timestamp();

-- name: move_entries
-- Entries that a scheduler of before has made, in the one queue that there was then.
update procrastinate_jobs
set queue_name = %(prefix)s || job_runs.provider
from job_runs
where job_runs.queue_job_id = procrastinate_jobs.id
and procrastinate_jobs.queue_name = 'bars'
and procrastinate_jobs.status = 'todo';

-- name: remove_stale
-- Entries that a worker had taken when it died: their runs get new ones.
delete from procrastinate_jobs
using procrastinate_jobs as taken
left join procrastinate_workers on procrastinate_workers.id = taken.worker_id
where procrastinate_jobs.id = taken.id
and taken.status = 'doing'
and (
    procrastinate_workers.id is null
    or procrastinate_workers.last_heartbeat < clock_timestamp() - make_interval(secs => %(patience_s)s)
);

-- name: count_due
-- Entries that could be taken now.
select count(*)
from procrastinate_jobs
where status = 'todo'
and queue_name = any(%(queues)s::text[])
and (scheduled_at is null or scheduled_at <= clock_timestamp());

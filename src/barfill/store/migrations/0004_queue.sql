-- Runs in the queue: what the entry of procrastinate needs to know of them, and who may be dead.

alter table job_runs
add column priority integer not null default 100,
add column is_restart boolean not null default false,
-- How many workers died while they carried the run out.
add column losses integer not null default 0,
-- Whether a page of the chain was one on which rows may have been lost.
add column may_lack_rows boolean not null default false,
-- The newest entry of the run in the queue; it may be gone.
add column queue_job_id bigint,
add constraint priority_is_within_bounds check (priority between 0 and 1000);

-- Whether the worker of a run lives: its heartbeat is fresh and, where it could take a lock, the lock is held, which
-- ends with its process.
create function worker_is_alive(
    worker text, has_lock boolean, heartbeat_at timestamptz, patience_s double precision
) returns boolean language sql stable as $$
    select
        worker is not null
        and coalesce(heartbeat_at > clock_timestamp() - make_interval(secs => patience_s), false)
        and (
            not has_lock
            or exists (
                select
                from pg_locks
                where locktype = 'advisory'
                and objsubid = 1
                and granted
                and database = (select oid from pg_database where datname = current_database())
                and (classid::bigint << 32) | objid::bigint = hashtextextended(worker, 0)
            )
        )
$$;

-- Up to which of its own migrations the queue's tables (procrastinate_*) have come.
create table queue_schema (
    migration text primary key,
    applied_at timestamptz not null default now()
);

-- name: create
-- Many runs at once; the ids come in the order given.
insert into job_runs (
    symbol, symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed, basis, triggered_by,
    job_def_id, priority, is_restart, is_live, is_reread, calendar_version
)
select
    given.symbol, given.symbols_array, given.symbol_ids, given.timeframe, given.job_type, given.slice_from,
    given.slice_to, given.provider, given.feed, given.basis, given.triggered_by, given.job_def_id, given.priority,
    given.is_restart, given.is_live, given.is_reread, given.calendar_version
from rows from (jsonb_to_recordset(%(runs)s::jsonb) as (
    symbol text, symbols_array jsonb, symbol_ids integer[], timeframe text, job_type text, slice_from timestamptz,
    slice_to timestamptz, provider text, feed text, basis text, triggered_by text, job_def_id integer,
    priority integer, is_restart boolean, is_live boolean, is_reread boolean, calendar_version text
)) with ordinality as given
order by given.ordinality
returning id;

-- name: link
-- For which definitions new runs fetch.
insert into job_run_definitions (run_id, job_def_ids)
select given.run_id, given.job_def_ids
from jsonb_to_recordset(%(links)s::jsonb) as given (run_id bigint, job_def_ids integer[]);

-- name: inherit
-- Runs in which another goes on fetch for those of its definitions that name one of their symbols.
with linked as (
    insert into job_run_definitions (run_id, job_def_ids)
    select job_runs.id, array_agg(job_definitions.id order by job_definitions.priority desc, job_definitions.id)
    from job_run_definitions as parent
    join job_definitions on job_definitions.id = any(parent.job_def_ids)
    join job_runs
        on job_runs.id = any(%(run_ids)s::bigint[])
        and coalesce(job_definitions.symbols_array, jsonb_build_array(job_definitions.symbol))
            ?| array(select jsonb_array_elements_text(job_runs.symbols_array))
    where parent.run_id = %(parent_id)s
    group by job_runs.id
    returning run_id, job_def_ids
)

update job_runs
set job_def_id = linked.job_def_ids[1]
from linked
where job_runs.id = linked.run_id;

-- name: same_calendar
-- Runs in which another goes on were planned by its calendar, where none is named.
update job_runs
set calendar_version = parent.calendar_version
from job_runs as parent
where job_runs.id = any(%(run_ids)s::bigint[])
and job_runs.calendar_version is null
and parent.id = %(parent_id)s;

-- name: claim
-- Take a run over: from now on only this epoch's pages count. No row means that there is nothing to do.
update job_runs
set
    epoch = epoch + 1,
    status = 'running',
    worker = %(worker)s,
    worker_has_lock = %(has_lock)s,
    started_at = coalesce(started_at, clock_timestamp()),
    heartbeat_at = clock_timestamp(),
    updated_at = clock_timestamp()
where id = %(run_id)s
and status in ('queued', 'running')
and (%(seen_epoch)s::integer is null or epoch = %(seen_epoch)s::integer)
and (select max(number) from schema_migrations) <= %(schema)s
returning
    id, epoch, page_no, attempt, progress_percent, symbols_array, symbol_ids, timeframe, slice_from, slice_to, provider,
    feed, basis, is_live, is_reread, job_type, triggered_by, priority, is_restart, page_token, open_symbol_id, open_until, seen_symbol_ids, actual_cost, rows_written,
    may_lack_rows;

-- name: beat
-- The worker lives; the runs that are still its own.
update job_runs
set heartbeat_at = clock_timestamp()
where worker = %(worker)s
and status = 'running'
returning id, epoch;

-- name: postpone
-- Back into the queue after a failure that passes; the pages done so far count.
update job_runs
set
    status = 'queued',
    attempt = attempt + 1,
    worker = null,
    reason = %(reason)s,
    error_message = %(message)s,
    updated_at = clock_timestamp()
where id = %(run_id)s
and epoch = %(epoch)s
and status = 'running';

-- name: release
-- Back into the queue as it is: the worker was asked to stop between two pages, or has to wait and says for what.
update job_runs
set
    status = 'queued',
    worker = null,
    reason = coalesce(%(reason)s, reason),
    error_message = coalesce(%(message)s, error_message),
    updated_at = clock_timestamp()
where id = %(run_id)s
and epoch = %(epoch)s
and status = 'running';

-- name: give_back
-- What a worker had goes back into the queue as it is, all of it: the worker ends, and lives.
update job_runs
set status = 'queued', worker = null, queue_job_id = null, updated_at = clock_timestamp()
where status = 'running'
and worker = %(worker)s
returning id;

-- name: finish
-- The one recorded outcome of a run that brought no final page.
update job_runs
set
    status = %(status)s,
    error_code = %(error_code)s,
    reason = %(reason)s,
    error_message = %(message)s,
    finished_at = greatest(started_at, clock_timestamp()),
    updated_at = clock_timestamp()
where id = %(run_id)s
and epoch = %(epoch)s
and status = 'running';

-- name: take_rejection_turn
-- Until the transaction ends nobody else decides whether a rejected key was told.
select pg_advisory_xact_lock(hashtextextended('barfill rejection ' || %(provider)s, 0));

-- name: is_rejection_told
-- Whether a run has failed within the day as the provider rejected the key.
select exists (
    select
    from job_runs
    where status = 'failed'
    and finished_at > clock_timestamp() - interval '1 day'
    and error_code = 'UNAUTHORIZED'
    and provider = %(provider)s
);

-- name: add_calls
-- Requests that brought no page. Not fenced: they were made, whoever has the run by now and however it ended.
update job_runs
set actual_cost = actual_cost + %(calls)s
where id = %(run_id)s;

-- name: retry
-- Ended runs begin again where they stopped, with fresh attempts and workers. Of one that was cancelled the worker may still live, and
-- send its outcome late: its epoch is over.
update job_runs
set
    status = 'queued',
    epoch = epoch + 1,
    attempt = 0,
    losses = 0,
    worker = null,
    error_code = null,
    error_message = null,
    reason = null,
    finished_at = null,
    updated_at = clock_timestamp()
where id = any(%(run_ids)s::bigint[])
and status in ('failed', 'cancelled')
returning id;

-- name: cancel
-- Stop runs that are not finished; a page in flight will be dropped by the fence.
update job_runs
set
    status = 'cancelled',
    error_code = 'CANCELLED',
    reason = %(reason)s,
    finished_at = greatest(started_at, clock_timestamp()),
    updated_at = clock_timestamp()
where id = any(%(run_ids)s::bigint[])
and status in ('queued', 'running')
returning id;

-- name: list_unfinished
-- Queued and running runs that bring what is missing, and whether the worker of each lives.
select
    id, epoch, page_no, attempt, progress_percent, symbols_array, symbol_ids, timeframe, slice_from, slice_to, provider,
    feed, basis, is_live, is_reread, status, worker,
    worker_is_alive(worker, worker_has_lock, heartbeat_at, %(patience_s)s) as is_alive
from job_runs
where status in ('queued', 'running')
and not is_reread
order by id;

-- name: count_queued_by_provider
-- How many wait for each provider, now or for their time.
select provider, count(*) from job_runs where status = 'queued' group by provider order by provider;

-- name: count_queued
-- How many wait, now or for their time.
select count(*) from job_runs where status = 'queued';

-- name: list_states
-- How some runs stand.
select
    id, epoch, page_no, attempt, progress_percent, symbols_array, symbol_ids, timeframe, slice_from, slice_to, provider,
    feed, basis, is_live, is_reread, status,
    status = 'queued' or status = 'running'
        and not worker_is_alive(worker, worker_has_lock, heartbeat_at, %(patience_s)s) as is_free,
    error_code, reason, error_message
from job_runs
where id = any(%(run_ids)s::bigint[])
order by id;

-- name: try_reaping
-- One process at a time; the others come again soon. One that is frozen in the middle holds nobody up for long.
select pg_try_advisory_xact_lock(hashtextextended('barfill reaping', 0))
from set_config('idle_in_transaction_session_timeout', '10s', true);

-- name: fail_lost
-- Runs that have lost so many workers that they may be what kills them.
update job_runs
set
    status = 'failed',
    error_code = 'WORKER_LOST',
    reason = 'worker_lost',
    error_message = format(
        '%%s workers died while they carried this run out. Look at their logs, then: barfill jobs retry %%s', losses + 1, id
    ),
    finished_at = greatest(started_at, clock_timestamp()),
    updated_at = clock_timestamp()
where status = 'running'
and losses + 1 >= %(losses_max)s
and not worker_is_alive(worker, worker_has_lock, heartbeat_at, %(patience_s)s)
returning id;

-- name: note_failed
-- The failures of whole runs, kept with each of their series too; symbols that are gone have none.
insert into series as stored (
    symbol_id, timeframe, feed, basis, last_run_at, last_result, last_error_code, last_error
)
select distinct on (symbols.id, job_runs.timeframe)
    symbols.id, job_runs.timeframe, job_runs.feed, job_runs.basis, job_runs.finished_at, 'fail', job_runs.error_code,
    job_runs.error_message
from job_runs
join symbols on symbols.id = any(job_runs.symbol_ids)
where job_runs.id = any(%(run_ids)s::bigint[])
order by symbols.id, job_runs.timeframe, job_runs.id desc
on conflict (symbol_id, timeframe) do update
set
    last_run_at = excluded.last_run_at,
    last_result = excluded.last_result,
    last_error_code = excluded.last_error_code,
    last_error = excluded.last_error,
    updated_at = clock_timestamp();

-- name: reap
-- Runs of dead workers wait again, at the page they had reached. The entry that brought a run to its dead worker is void,
-- since the run has been claimed past it, even while the queue still believes that its worker lives. Who was taken for
-- dead may only have stood still: its epoch is over.
with dead as (
    select id
    from job_runs
    where status = 'running'
    and not worker_is_alive(worker, worker_has_lock, heartbeat_at, %(patience_s)s)
    order by id
    limit %(limit)s
    for update skip locked
)

update job_runs
set
    status = 'queued',
    epoch = epoch + 1,
    worker = null,
    queue_job_id = null,
    losses = losses + 1,
    updated_at = clock_timestamp()
from dead
where job_runs.id = dead.id
returning job_runs.id;

-- name: list_without_entry
-- Runs that wait and that no queue entry will bring to a worker. One that a worker has taken does not count: it claims
-- the run at once, or never will.
select id
from job_runs
where status = 'queued'
and not exists (
    select
    from procrastinate_jobs
    where procrastinate_jobs.id = job_runs.queue_job_id
    and procrastinate_jobs.status = 'todo'
)
order by id
limit %(limit)s;

-- name: prune
-- Finished runs of long ago; failed ones stay as long as others.
delete from job_runs
where id = any(array(
    select id
    from job_runs
    where finished_at < clock_timestamp() - make_interval(days => %(days)s)
    order by finished_at
    limit %(limit)s
));

-- name: take_worker_lock
-- Shows that a worker lives, for as long as its connection does.
select pg_try_advisory_lock(hashtextextended(%(worker)s, 0));

-- name: holds_worker_lock
-- Whether the lock survived: a transaction pooler gives every statement to another session.
select exists (
    select
    from pg_locks
    where locktype = 'advisory'
    and objsubid = 1
    and granted
    and pid = pg_backend_pid()
    and (classid::bigint << 32) | objid::bigint = hashtextextended(%(worker)s, 0)
);

-- name: try_planning
-- Until the transaction ends nobody else plans; one that is frozen in the middle holds the others up for two minutes.
select pg_try_advisory_xact_lock(hashtextextended('barfill planning', 0))
from set_config('idle_in_transaction_session_timeout', '2min', true);

-- The states of a run, guarded: what a row may say in each, and which may follow which. docs/architecture.md has them.

-- What error_code may be: the codes of barfill.errors, and two that runs alone have.
create function is_error_code(code text) returns boolean language sql immutable as $$
    select code in (
        'BAD_RESPONSE', 'BUDGET_SPENT', 'CANCELLED', 'DATABASE_ERROR', 'FORBIDDEN_PLAN', 'INTERNAL_ERROR',
        'INVALID_INPUT', 'INVALID_SETTINGS', 'INVALID_TIMEFRAME', 'NOT_FOUND', 'PROVIDER_UNAVAILABLE',
        'RATE_LIMIT_EXCEEDED', 'SYMBOL_NOT_FOUND', 'TIMEOUT', 'UNAUTHORIZED', 'VALIDATION_FAILED', 'WORKER_LOST'
    )
$$;

-- Rows that somebody has written by hand are mended first, so that none of them keeps the schema back.

delete from job_runs
where timeframe not in ('m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1')
or case jsonb_typeof(symbols_array) when 'array' then jsonb_array_length(symbols_array) else 0 end
    <> cardinality(symbol_ids)
or cardinality(symbol_ids) = 0;

update job_runs
set job_type = case when timeframe in ('d1', 'w1') then 'fetch_historical' else 'fetch_intraday' end
where job_type not in ('fetch_intraday', 'fetch_historical');

update job_runs set basis = 'raw' where basis not in ('raw', 'split', 'all');
update job_runs set provider = 'unknown' where provider = '';
update job_runs set feed = 'unknown' where feed = '';

update job_runs
set symbol = null
where symbol is not null
and (cardinality(symbol_ids) <> 1 or symbols_array ->> 0 is distinct from symbol);

update job_runs
set
    epoch = greatest(epoch, 0),
    page_no = greatest(page_no, 0),
    attempt = greatest(attempt, 0),
    losses = greatest(losses, 0),
    actual_cost = greatest(actual_cost, 0),
    rows_written = greatest(rows_written, 0),
    rows_received = greatest(rows_received, 0)
where least(epoch, page_no, attempt, losses, actual_cost, rows_written, rows_received) < 0;

-- Nobody can be asked whether he is alive: the run waits for the next worker.
update job_runs
set status = 'queued', epoch = epoch + 1, worker = null
where status = 'running'
and (worker is null or heartbeat_at is null);

update job_runs set worker = null where status = 'queued' and worker is not null;

update job_runs
set error_code = case status when 'failed' then 'INTERNAL_ERROR' when 'cancelled' then 'CANCELLED' end
where status in ('failed', 'cancelled') <> (error_code is not null)
or not is_error_code(error_code);

update job_runs set progress_percent = 100 where status = 'success' and progress_percent <> 100;

update job_runs
set started_at = least(created_at, finished_at)
where (started_at is null and status in ('success', 'failed'))
or started_at > finished_at;

update series
set
    bar_count = found.bar_count,
    oldest_ts = found.oldest_ts,
    newest_ts = found.newest_ts
from (
    select marred.symbol_id, marred.timeframe, count(ts) as bar_count, min(ts) as oldest_ts, max(ts) as newest_ts
    from series as marred
    left join ohlc_bars on ohlc_bars.symbol_id = marred.symbol_id and ohlc_bars.timeframe = marred.timeframe
    where marred.bar_count < 0
    group by marred.symbol_id, marred.timeframe
) as found
where series.symbol_id = found.symbol_id
and series.timeframe = found.timeframe;

update series
set last_error_code = case last_result when 'fail' then 'INTERNAL_ERROR' end
where (last_result is not distinct from 'fail') <> (last_error_code is not null)
or not is_error_code(last_error_code);

alter table job_runs
drop constraint failed_says_why,
add constraint job_type_is_known check (job_type in ('fetch_intraday', 'fetch_historical')),
add constraint timeframe_is_known check (timeframe in ('m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1')),
add constraint basis_is_known check (basis in ('raw', 'split', 'all')),
add constraint source_is_named check (provider <> '' and feed <> ''),
add constraint symbols_are_named_and_known check (
    case jsonb_typeof(symbols_array) when 'array' then jsonb_array_length(symbols_array) else 0 end
        = cardinality(symbol_ids)
    and cardinality(symbol_ids) > 0
),
add constraint symbol_is_the_only_one check (
    symbol is null
    or (cardinality(symbol_ids) = 1 and symbols_array ->> 0 is not distinct from symbol)
),
add constraint counts_are_not_negative check (
    least(epoch, page_no, attempt, losses, actual_cost, rows_written, rows_received) >= 0
),
add constraint running_has_a_worker check (status <> 'running' or num_nulls(worker, heartbeat_at) = 0),
add constraint queued_has_no_worker check (status <> 'queued' or worker is null),
add constraint code_says_what_went_wrong check ((error_code is not null) = (status in ('failed', 'cancelled'))),
add constraint error_code_is_known check (is_error_code(error_code)),
add constraint success_is_whole check (status <> 'success' or progress_percent = 100),
add constraint ended_after_it_started check (
    case
        when finished_at is null then true
        when started_at is null then status not in ('success', 'failed')
        else finished_at >= started_at
    end
);

alter table series
add constraint bar_count_is_not_negative check (bar_count >= 0),
add constraint code_says_what_went_wrong check (
    (last_result is not distinct from 'fail') = (last_error_code is not null)
),
add constraint error_code_is_known check (is_error_code(last_error_code));

-- What no row can tell alone: what it was before. Pages between the first and the last change nothing that is looked at
-- here, and so pay for the condition only.
create function guard_run() returns trigger language plpgsql as $$
declare
    is_new_epoch constant boolean := new.epoch > old.epoch;
    complaint text;
begin
    if new.status <> old.status and (old.status, new.status) not in (
        ('queued', 'running'),
        ('queued', 'cancelled'),
        ('running', 'queued'),
        ('running', 'success'),
        ('running', 'failed'),
        ('running', 'cancelled'),
        ('failed', 'queued'),
        ('cancelled', 'queued')
    ) then
        complaint := format('goes from %s to %s by no way that there is', old.status, new.status);
    elsif new.epoch < old.epoch then
        complaint := format('cannot go back from epoch %s to %s', old.epoch, new.epoch);
    elsif new.page_no < old.page_no then
        complaint := format('cannot go back from page %s to %s', old.page_no, new.page_no);
    elsif new.actual_cost < old.actual_cost then
        complaint := format('cannot have made %s calls, having made %s', new.actual_cost, old.actual_cost);
    elsif old.status = 'queued' and new.status = 'running' and not is_new_epoch then
        complaint := 'is claimed under a new epoch only';
    elsif old.status in ('failed', 'cancelled') and new.status = 'queued' and not is_new_epoch then
        complaint := 'is retried under a new epoch only';
    elsif old.status = 'running' and new.status = 'running' and not is_new_epoch then
        complaint := 'changes its worker under a new epoch only';
    end if;
    if complaint is not null then
        raise exception using
            errcode = 'check_violation',
            table = 'job_runs',
            message = format('Run %s %s. Use: barfill jobs retry, or barfill jobs cancel', old.id, complaint);
    end if;
    return new;
end $$;

create trigger guard_run before update on job_runs
for each row when (
    new.status <> old.status
    or new.epoch < old.epoch
    or new.page_no < old.page_no
    or new.actual_cost < old.actual_cost
    or (new.status = 'running' and new.epoch = old.epoch and new.worker is distinct from old.worker)
)
execute function guard_run();

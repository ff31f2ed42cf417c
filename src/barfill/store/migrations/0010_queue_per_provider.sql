-- A queue for each provider's runs, so that a worker takes only what it has a key for.

do $$
begin
    if to_regclass('procrastinate_jobs') is not null then
        update procrastinate_jobs
        set queue_name = 'bars.' || job_runs.provider
        from job_runs
        where job_runs.queue_job_id = procrastinate_jobs.id
        and procrastinate_jobs.queue_name = 'bars'
        and procrastinate_jobs.status = 'todo';
    end if;
end
$$;

-- name: read_series
-- The ledger of the wanted series; null asks for all symbols.
select
    symbol_id,
    timeframe,
    feed,
    basis,
    covered,
    oldest_ts,
    newest_ts,
    bar_count,
    density,
    last_provider,
    last_success_at,
    last_result,
    last_error_code,
    last_error,
    last_run_at
from series
where (%(symbol_ids)s::integer[] is null or symbol_id = any(%(symbol_ids)s::integer[]))
and timeframe = any(%(timeframes)s::text[]);

-- name: read_policies
-- Feed and basis of the series that hold something.
select symbol_id, timeframe, feed, basis
from series
where symbol_id = any(%(symbol_ids)s::integer[])
and not (bar_count = 0 and isempty(covered))
order by symbol_id, timeframe;

-- name: read_providers
-- Who has brought what series hold.
select distinct last_provider collate "C" as name
from series
where last_provider is not null
and bar_count > 0
order by name;

-- name: fingerprint
-- Of all that derived bars depend on: while it is the same, nothing new is to be derived.
select
    (select row(count(*), sum(hash_multirange(covered)), sum(bar_count))::text from series),
    (select row(count(*), max(id), max(last_checked_at), count(settled_at))::text from series_gaps),
    (select row(count(*), max(updated_at))::text from job_definitions),
    (select row(count(*), count(*) filter (where is_active))::text from symbols),
    (now() at time zone 'UTC')::date;

-- name: note_failure
-- What went wrong last, for people; a series that is new takes the feed that was asked for until one answers.
insert into series as stored (
    symbol_id, timeframe, feed, basis, last_run_at, last_result, last_error_code, last_error
)
select wanted.symbol_id, %(timeframe)s, %(feed)s, %(basis)s, clock_timestamp(), 'fail', %(error_code)s, %(message)s
from unnest(%(symbol_ids)s::integer[]) as wanted (symbol_id)
order by wanted.symbol_id
on conflict (symbol_id, timeframe) do update
set
    last_run_at = excluded.last_run_at,
    last_result = excluded.last_result,
    last_error_code = excluded.last_error_code,
    last_error = excluded.last_error,
    updated_at = clock_timestamp();

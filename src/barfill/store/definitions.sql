-- name: keep_series
-- Make a definition of each series, or change it and switch it on; rows only for what was new or changed.
insert into job_definitions as stored (symbol, timeframe, window_days, priority)
select wanted.symbol, wanted_timeframe.name, %(window_days)s, %(priority)s
from unnest(%(symbols)s::text[]) as wanted (symbol)
cross join unnest(%(timeframes)s::text[]) as wanted_timeframe (name)
-- one order for all writers, so that they cannot deadlock; and the one in which people read timeframes
order by wanted.symbol, array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], wanted_timeframe.name)
on conflict (symbol, timeframe) do update
set window_days = excluded.window_days, priority = excluded.priority, enabled = true
where (stored.window_days, stored.priority, stored.enabled)
    is distinct from (excluded.window_days, excluded.priority, true)
returning xmax = 0 as is_new;

-- name: seed_series
-- Make a definition of each series that has none, and switch on those that are off; what people set in them stays.
insert into job_definitions as stored (symbol, timeframe, window_days)
select wanted.symbol, wanted_timeframe.name, %(window_days)s
from unnest(%(symbols)s::text[]) as wanted (symbol)
cross join unnest(%(timeframes)s::text[]) as wanted_timeframe (name)
order by wanted.symbol, array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], wanted_timeframe.name)
on conflict (symbol, timeframe) do update
set enabled = true
where not stored.enabled
returning xmax = 0 as is_new;

-- name: keep_batches
-- As keep_series, for batches; the same symbols at the same timeframe are the same batch.
insert into job_definitions as stored (
    symbols_array, timeframe, window_days, priority, batch_number, total_batches, watchlist_id
)
select
    batch.symbols, wanted_timeframe.name, %(window_days)s, %(priority)s, batch.number, %(total_batches)s,
    (select id from watchlists where name = %(watchlist)s)
from jsonb_array_elements(%(batches)s::jsonb) with ordinality as batch (symbols, number)
cross join unnest(%(timeframes)s::text[]) as wanted_timeframe (name)
order by batch.number, array_position(array['m1', 'm5', 'm15', 'm30', 'h1', 'h4', 'd1', 'w1'], wanted_timeframe.name)
on conflict (timeframe, md5(symbols_array::text)) where symbols_array is not null do update
set
    window_days = excluded.window_days,
    priority = excluded.priority,
    enabled = true,
    batch_number = excluded.batch_number,
    total_batches = excluded.total_batches,
    watchlist_id = coalesce(excluded.watchlist_id, stored.watchlist_id)
where (
    stored.window_days, stored.priority, stored.enabled, stored.batch_number, stored.total_batches, stored.watchlist_id
) is distinct from (
    excluded.window_days, excluded.priority, true, excluded.batch_number, excluded.total_batches,
    coalesce(excluded.watchlist_id, stored.watchlist_id)
)
returning xmax = 0 as is_new;

-- name: remove_replaced
-- The batches in whose place new ones have come: those of the same watchlist, and those of none that hold nothing else.
delete from job_definitions
using (select jsonb_agg(symbol) as symbols from unnest(%(symbols)s::text[]) as given (symbol)) as named
where job_definitions.symbols_array is not null
and job_definitions.timeframe = any(%(timeframes)s::text[])
and job_definitions.symbols_array not in (select jsonb_array_elements(%(batches)s::jsonb))
and case
    when job_definitions.watchlist_id is null then job_definitions.symbols_array <@ named.symbols
    else job_definitions.watchlist_id = (select id from watchlists where name = %(watchlist)s)
end;

-- name: list_overlapping
-- Batches of no watchlist that hold some of the given symbols, and others.
select job_definitions.id
from job_definitions
cross join (select jsonb_agg(symbol) as symbols from unnest(%(symbols)s::text[]) as given (symbol)) as named
where job_definitions.symbols_array ?| %(symbols)s::text[]
and not job_definitions.symbols_array <@ named.symbols
and job_definitions.timeframe = any(%(timeframes)s::text[])
and job_definitions.watchlist_id is null
order by job_definitions.id;

-- name: list_definitions
-- The most urgent first, each with its newest run; of a single symbol whether it is switched off itself.
select
    job_definitions.id,
    job_definitions.job_type,
    coalesce(job_definitions.symbols_array, jsonb_build_array(job_definitions.symbol)),
    job_definitions.timeframe,
    job_definitions.window_days,
    job_definitions.priority,
    job_definitions.enabled,
    coalesce(symbols.is_active, true),
    job_definitions.batch_number,
    job_definitions.total_batches,
    job_definitions.created_at,
    job_definitions.updated_at,
    newest.id,
    newest.status,
    newest.updated_at
from job_definitions
left join symbols on symbols.ticker = job_definitions.symbol
left join lateral (
    select job_runs.id, job_runs.status, job_runs.updated_at
    from job_run_definitions
    join job_runs on job_runs.id = job_run_definitions.run_id
    where job_run_definitions.job_def_ids @> array[job_definitions.id]
    order by job_run_definitions.run_id desc
    limit 1
) as newest on true
where (
    %(symbol)s::text is null
    or job_definitions.symbol = %(symbol)s::text
    or job_definitions.symbols_array ? %(symbol)s::text
)
and (%(timeframes)s::text[] is null or job_definitions.timeframe = any(%(timeframes)s::text[]))
and (%(is_enabled)s::boolean is null or job_definitions.enabled = %(is_enabled)s::boolean)
order by job_definitions.priority desc, job_definitions.id;

-- name: find_ids
-- Those of the given ids that there are.
select id
from job_definitions
where id = any(%(ids)s::integer[]);

-- name: switch
-- On or off; those that change.
update job_definitions
set enabled = %(enabled)s
where id = any(%(ids)s::integer[])
and enabled <> %(enabled)s
returning id;

-- name: remove
-- Definitions go; their runs stay and no longer say whose they were.
delete from job_definitions
where id = any(%(ids)s::integer[])
returning id;

-- name: disable_unlisted
-- Off with the single definitions of those of the given symbols that are on no watchlist.
update job_definitions
set enabled = false
from symbols
where symbols.ticker = job_definitions.symbol
and symbols.id = any(%(symbol_ids)s::integer[])
and job_definitions.enabled
and not exists (
    select
    from watchlist_symbols
    where watchlist_symbols.symbol_id = symbols.id
);

-- name: read_due
-- What is to be kept complete, the most urgent first: enabled definitions with those of their symbols that are active;
-- null asks for all symbols.
select
    job_definitions.id,
    array_agg(symbols.id order by symbols.ticker collate "C"),
    array_agg(symbols.ticker order by symbols.ticker collate "C"),
    job_definitions.timeframe,
    job_definitions.window_days,
    job_definitions.priority
from job_definitions
cross join lateral (
    select job_definitions.symbol as ticker
    where job_definitions.symbol is not null
    union all
    select jsonb_array_elements_text(job_definitions.symbols_array)
) as named
join symbols on symbols.ticker = named.ticker
where job_definitions.enabled
and symbols.is_active
and (%(tickers)s::text[] is null or symbols.ticker = any(%(tickers)s::text[]))
group by job_definitions.id
order by job_definitions.priority desc, job_definitions.id;

-- name: ensure_series
-- The definition of a series that keeps at least so many days, at least so urgently; what is more already stays.
insert into job_definitions as stored (symbol, timeframe, window_days, priority)
values (%(symbol)s, %(timeframe)s, %(window_days)s, %(priority)s)
on conflict (symbol, timeframe) do update
set
    window_days = greatest(stored.window_days, excluded.window_days),
    priority = greatest(stored.priority, excluded.priority),
    enabled = true
where stored.window_days < excluded.window_days
or stored.priority < excluded.priority
or not stored.enabled;

-- name: read_ensured
-- The definition of a single series.
select id, window_days
from job_definitions
where symbol = %(symbol)s
and timeframe = %(timeframe)s;

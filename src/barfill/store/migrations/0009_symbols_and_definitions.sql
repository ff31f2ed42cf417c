-- One rule for tickers, here, on the command line and towards providers. It is kept by a trigger, since a table may hold
-- tickers of before: those stay, can be switched off, and fail alone.
create function refuse_malformed_ticker() returns trigger language plpgsql as $$
begin
    if new.ticker !~ '^(?!.*\.\.)[A-Z0-9][A-Z0-9.\-/:^]{0,19}$' then
        raise exception using
            errcode = 'check_violation',
            message = format(
                'Symbol %L cannot be one (ticker_is_well_formed). Write 1 to 20 of the characters A-Z 0-9 . - / : ^ '
                '(no two dots in a row), such as AAPL, BRK.B or BTC/USD', new.ticker
            );
    end if;
    return new;
end $$;

create trigger refuse_malformed_ticker before insert or update of ticker on symbols
for each row execute function refuse_malformed_ticker();

create index job_definitions_by_member on job_definitions using gin (symbols_array) where symbols_array is not null;

-- A batch names symbols on record, as the foreign key of single symbols sees to: of others nobody would ever hear.
create function refuse_unknown_members() returns trigger language plpgsql as $$
declare
    unknown text;
begin
    if jsonb_typeof(new.symbols_array) is distinct from 'array' then
        return new;  -- its constraint says what is wrong
    end if;
    perform from symbols  -- stay until the batch is there
    where ticker in (select jsonb_array_elements_text(new.symbols_array))
    for key share;
    select member #>> '{}' into unknown
    from jsonb_array_elements(new.symbols_array) with ordinality as named (member, position)
    where jsonb_typeof(member) = 'string'
    and not exists (select from symbols where ticker = member #>> '{}')
    order by position
    limit 1;
    if found then
        raise exception using
            errcode = 'foreign_key_violation',
            message = format(
                'Symbol %L of the batch is not on record. Write tickers in upper case, and add what is new before: '
                'barfill symbols add %s; or: insert into symbols (ticker) values (%L)',
                unknown, upper(unknown), upper(unknown)
            );
    end if;
    return new;
end $$;

-- Makes batches name what is on record, each symbol once and in order. One of which nothing is left, or that would equal
-- another, goes.
create function bring_batches_in_step(batch_ids integer[]) returns void language plpgsql as $$
declare
    batch record;
begin
    for batch in
        select
            id,
            timeframe,
            symbols_array,
            (
                select jsonb_agg(ticker order by ticker collate "C")
                from symbols
                where ticker in (select upper(btrim(named)) from jsonb_array_elements_text(symbols_array) as named)
            ) as members
        from job_definitions
        where id = any(batch_ids)
        and symbols_array is not null
        order by id
    loop
        continue when batch.members = batch.symbols_array;
        if batch.members is null or exists (
            select
            from job_definitions
            where timeframe = batch.timeframe
            and symbols_array = batch.members
        ) then
            delete from job_definitions where id = batch.id;
        else
            update job_definitions set symbols_array = batch.members where id = batch.id;
        end if;
    end loop;
end $$;

-- Batches follow their symbols, as definitions of single ones do.
create function rename_members() returns trigger language plpgsql as $$
begin
    if not exists (select from was join renamed using (id) where was.ticker <> renamed.ticker) then
        return null;  -- most changes of symbols are others
    end if;
    update job_definitions
    set symbols_array = (
        select jsonb_agg(ticker order by ticker collate "C")
        from (
            select coalesce(renamed.ticker, named.ticker) as ticker
            from jsonb_array_elements_text(symbols_array) as named (ticker)
            left join was on was.ticker = named.ticker
            left join renamed on renamed.id = was.id
        ) as members
    )
    where symbols_array ?| array(
        select was.ticker
        from was
        join renamed using (id)
        where was.ticker <> renamed.ticker
    );
    return null;
end $$;

create function remove_members() returns trigger language plpgsql as $$
begin
    perform bring_batches_in_step(array(
        select id
        from job_definitions
        where symbols_array ?| array(select ticker from gone)
    ));
    return null;
end $$;

-- What batches of before name and nobody has heard of is looked up at the provider at the next look, and fails visibly.
insert into symbols (ticker)
select distinct upper(btrim(named.ticker))
from job_definitions
cross join lateral jsonb_array_elements_text(symbols_array) as named (ticker)
where upper(btrim(named.ticker)) ~ '^(?!.*\.\.)[A-Z0-9][A-Z0-9.\-/:^]{0,19}$'
on conflict (ticker) do nothing;

select bring_batches_in_step(array(select id from job_definitions where symbols_array is not null));

create trigger refuse_unknown_members before insert or update of symbols_array on job_definitions
for each row execute function refuse_unknown_members();

create trigger rename_members after update on symbols
referencing old table as was new table as renamed
for each statement execute function rename_members();

create trigger remove_members after delete on symbols
referencing old table as gone
for each statement execute function remove_members();

-- For which definitions each run fetches: all that want a part of it, the most urgent first, which is the one that
-- job_runs.job_def_id names. A row for each run, which never changes; ids of definitions that are gone stay in it.
create table job_run_definitions (
    run_id bigint primary key references job_runs (id) on delete cascade,
    job_def_ids integer[] not null,
    constraint serves_a_definition check (cardinality(job_def_ids) > 0)
);

create index job_run_definitions_by_definition on job_run_definitions using gin (job_def_ids);

insert into job_run_definitions (run_id, job_def_ids)
select id, array[job_def_id]
from job_runs
where job_def_id is not null;

-- Batches that were made of a watchlist belong to it: making them again replaces them.
alter table job_definitions
add column watchlist_id integer references watchlists (id) on delete set null,
add constraint only_batches_are_of_a_watchlist check (watchlist_id is null or symbols_array is not null);

create index job_definitions_by_watchlist on job_definitions (watchlist_id) where watchlist_id is not null;

-- The type of a definition follows from its timeframe, and says nothing else.
create or replace function complete_definition() returns trigger language plpgsql as $$
declare
    has_moved constant boolean := tg_op = 'UPDATE' and new.timeframe <> old.timeframe and new.job_type = old.job_type;
begin
    if new.job_type is null or has_moved then
        new.job_type := case when new.timeframe in ('d1', 'w1') then 'fetch_historical' else 'fetch_intraday' end;
    end if;
    if tg_op = 'UPDATE' then
        new.updated_at := clock_timestamp();
    end if;
    return new;
end $$;

update job_definitions
set job_type = case when timeframe in ('d1', 'w1') then 'fetch_historical' else 'fetch_intraday' end
where (job_type = 'fetch_historical') <> (timeframe in ('d1', 'w1'));

alter table job_definitions
add constraint job_type_fits_timeframe check ((job_type = 'fetch_historical') = (timeframe in ('d1', 'w1')));

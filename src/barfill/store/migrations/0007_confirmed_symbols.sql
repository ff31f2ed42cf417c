-- A symbol that somebody has written into the table is looked up at the provider before anything is fetched of it.

alter table symbols add column confirmed_at timestamptz;

-- Of these a provider has told bars.
update symbols
set confirmed_at = clock_timestamp()
where exists (
    select
    from series
    where series.symbol_id = symbols.id
    and series.bar_count > 0
);

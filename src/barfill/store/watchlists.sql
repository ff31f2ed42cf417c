-- name: create
-- A named list; one of that name stays as it is.
insert into watchlists (name)
values (%(name)s)
on conflict (name) do nothing;

-- name: find
-- One list by name.
select id
from watchlists
where name = %(name)s;

-- name: add
-- Symbols into a list; those in it stay.
insert into watchlist_symbols (watchlist_id, symbol_id)
select %(watchlist_id)s, given.symbol_id
from unnest(%(symbol_ids)s::integer[]) as given (symbol_id)
on conflict (watchlist_id, symbol_id) do nothing;

-- name: remove
-- Symbols out of a list.
delete from watchlist_symbols
using watchlists
where watchlists.id = watchlist_symbols.watchlist_id
and watchlists.name = %(name)s
and watchlist_symbols.symbol_id = any(%(symbol_ids)s::integer[]);

-- name: members
-- What is in a list, by ticker.
select symbols.id, symbols.ticker, symbols.name, symbols.asset_type, symbols.calendar, symbols.is_active,
    symbols.confirmed_at is not null
from watchlist_symbols
join watchlists on watchlists.id = watchlist_symbols.watchlist_id
join symbols on symbols.id = watchlist_symbols.symbol_id
where watchlists.name = %(name)s
order by symbols.ticker collate "C";

-- name: list_all
-- Every list and how many symbols it holds.
select watchlists.name, count(watchlist_symbols.symbol_id)
from watchlists
left join watchlist_symbols on watchlist_symbols.watchlist_id = watchlists.id
group by watchlists.name
order by watchlists.name;

-- name: drop
-- A list goes, its symbols and their bars stay.
delete from watchlists
where name = %(name)s;

-- name: add_symbols
-- New ones are added, known ones become active again; names and calendars on record stay.
insert into symbols (ticker, name, asset_type, calendar, is_active)
select distinct on (given.ticker) given.ticker, given.name, given.asset_type, given.calendar, given.is_active
from unnest(
    %(tickers)s::text[], %(names)s::text[], %(asset_types)s::text[], %(calendars)s::text[], %(actives)s::boolean[]
) as given (ticker, name, asset_type, calendar, is_active)
order by given.ticker
on conflict (ticker) do update
set is_active = true
where not symbols.is_active
and excluded.is_active;

-- name: find_symbols
-- By ticker, however many.
select id, ticker, name, asset_type, calendar, is_active, confirmed_at is not null, delisted_on
from symbols
where ticker = any(%(tickers)s::text[]);

-- name: find_by_ids
-- By id, however many; whatever their tickers are by now.
select id, ticker, name, asset_type, calendar, is_active, confirmed_at is not null, delisted_on
from symbols
where id = any(%(ids)s::integer[]);

-- name: read_active
-- Those that are kept complete, by ticker.
select id, ticker, name, asset_type, calendar, is_active, confirmed_at is not null, delisted_on
from symbols
where is_active
order by ticker collate "C";

-- name: read_all
-- All, by ticker.
select id, ticker, name, asset_type, calendar, is_active, confirmed_at is not null, delisted_on
from symbols
order by ticker collate "C";

-- name: read_unconfirmed
-- Active ones that no provider was asked about, by ticker; few or none.
select id, ticker, name, asset_type, calendar, is_active, false, delisted_on
from symbols
where is_active
and confirmed_at is null
order by ticker collate "C";

-- name: confirm
-- A provider offers them; it also names those that have no name.
update symbols
set confirmed_at = clock_timestamp(), name = coalesce(symbols.name, given.name)
from unnest(%(tickers)s::text[], %(names)s::text[]) as given (ticker, name)
where symbols.ticker = given.ticker
and symbols.confirmed_at is null;

-- name: set_active
-- Switch symbols on or off; their bars stay.
update symbols
set is_active = %(is_active)s
where ticker = any(%(tickers)s::text[])
and is_active <> %(is_active)s;

-- name: sum_sessions
-- A fingerprint of what is on record for a calendar, to see cheaply that nothing is missing.
select
    count(*),
    coalesce(sum(extract(epoch from opens_at)), 0)::bigint,
    coalesce(sum(extract(epoch from closes_at)), 0)::bigint
from sessions
where calendar = %(calendar)s;

-- name: remove_sessions
-- Days that turned out to be closed.
delete from sessions
where calendar = %(calendar)s
and not session_on = any(%(days)s::date[]);

-- name: write_sessions
-- Sessions that are new or whose hours changed.
insert into sessions as stored (calendar, session_on, opens_at, closes_at)
select %(calendar)s, given.session_on, given.opens_at, given.closes_at
from unnest(%(days)s::date[], %(opens)s::timestamptz[], %(closes)s::timestamptz[])
    as given (session_on, opens_at, closes_at)
order by given.session_on
on conflict (calendar, session_on) do update
set opens_at = excluded.opens_at, closes_at = excluded.closes_at
where (stored.opens_at, stored.closes_at) is distinct from (excluded.opens_at, excluded.closes_at);

-- name: list_applied
-- What the database has, in order.
select number, name, checksum
from schema_migrations
order by number;

-- name: wait_alone
-- One process at a time; let go at the transaction's end, as a pooler demands.
select pg_advisory_xact_lock(8241760514271193);

-- name: create_ledger
-- Where applied files are recorded.
create table if not exists schema_migrations (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);

-- name: record
-- One file, applied in this same transaction.
insert into schema_migrations (number, name, checksum)
values (%(number)s, %(name)s, %(checksum)s);

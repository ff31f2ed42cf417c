-- name: read_newest
-- The library's migration that the queue's tables stand at; null where there are none yet.
select max(migration)
from queue_schema;

-- name: record
-- Applied in this same transaction.
insert into queue_schema (migration)
values (%(migration)s);

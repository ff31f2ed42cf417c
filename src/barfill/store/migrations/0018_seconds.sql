-- Limits of a second, beside those of a minute: places of the same kind, with a shorter window. Providers without one have
-- none of them.

alter table quotas add column requests_per_second integer;
alter table quotas add constraint second_allows_something check (requests_per_second >= 1);

create table quota_seconds (
    quota_id integer not null references quotas (id) on delete cascade,
    slot_no integer not null,
    free_at timestamptz not null default '-infinity',
    taken_at timestamptz,
    taken_by text,
    primary key (quota_id, slot_no),
    constraint slots_count_from_one check (slot_no >= 1),
    constraint slot_is_taken_for_a_while check (taken_at < free_at),
    constraint taken_by_somebody check (num_nulls(taken_at, taken_by) in (0, 2))
) with (fillfactor = 50);

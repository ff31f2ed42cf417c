-- name: open
-- The key's quota under the terms that hold from now on; the last who opens it decides.
insert into quotas (provider, key_id, requests_per_minute, set_per_minute, requests_per_second, day_budget)
values (
    %(provider)s, %(key_id)s, %(requests_per_minute)s, %(requests_per_minute)s, %(requests_per_second)s, %(day_budget)s
)
on conflict (provider, key_id) do update
set
    requests_per_minute = least(excluded.set_per_minute, quotas.told_per_minute),
    set_per_minute = excluded.set_per_minute,
    requests_per_second = excluded.requests_per_second,
    day_budget = excluded.day_budget,
    updated_at = clock_timestamp()
returning id, clock_timestamp(), requests_per_minute;

-- name: learn
-- The provider has told its limit: the lower of the two holds.
update quotas
set
    requests_per_minute = least(set_per_minute, %(told_per_minute)s::integer),
    told_per_minute = %(told_per_minute)s,
    updated_at = clock_timestamp()
where id = %(quota_id)s
and told_per_minute is distinct from %(told_per_minute)s::integer
returning requests_per_minute;

-- name: add_slots
-- One place for each request that the limit allows.
insert into quota_slots (quota_id, slot_no)
select %(quota_id)s, slot_no
from generate_series(1, %(requests_per_minute)s::integer) as slot_no
on conflict (quota_id, slot_no) do nothing;

-- name: add_seconds
-- One place for each request that a second allows; of a lowered limit the ones beyond it are used no more.
insert into quota_seconds (quota_id, slot_no)
select %(quota_id)s, slot_no
from generate_series(1, %(requests_per_second)s::integer) as slot_no
on conflict (quota_id, slot_no) do nothing;

-- name: drop_slots
-- Places beyond a limit that was lowered; those that still count are left, and nobody goes before they are free.
delete from quota_slots
where quota_id = %(quota_id)s
and slot_no > %(requests_per_minute)s
and free_at <= clock_timestamp();

-- name: take
-- Take a place, or tell in which state the quota is and how many seconds it is worth sleeping.
with clock as materialized (
    select clock_timestamp() as at
),
quota as materialized (
    select
        quotas.*,
        clock.at,
        (clock.at at time zone 'UTC')::date as today,
        -- While somebody looks at charts, bulk work leaves a twentieth to them.
        quotas.requests_per_minute - case
            when %(purpose)s = 'interactive' or quotas.requests_per_minute = 1 then 0
            when quotas.interactive_seen_at <= clock.at - make_interval(secs => %(seen_s)s) then 0
            else greatest(1, quotas.requests_per_minute / 20)
        end as slots,
        (
            select max(free_at)
            from quota_slots
            where quota_id = quotas.id
            and slot_no > quotas.requests_per_minute
        ) as lowered_until
    from quotas
    cross join clock
    where quotas.id = %(quota_id)s
),
gate as materialized (
    select
        quota.*,
        case
            -- A rejected key may have been corrected since: who came later may try.
            when paused_until > at and (paused_until < 'infinity' or paused_at >= %(opened_at)s) then 'paused'
            when quota_days.requests >= day_budget then 'spent'
            when closed_until > at then 'closed'
            when must_probe and probing_until > at then 'probing'
            when lowered_until > at then 'lowered'
            when %(purpose)s = 'bulk' and interactive_waits_until > at then 'overtaken'
            else 'open'
        end as state
    from quota
    left join quota_days on quota_days.quota_id = quota.id and quota_days.day = quota.today
),
place as materialized (
    select quota_slots.slot_no
    from gate
    join quota_slots on quota_slots.quota_id = gate.id
    where gate.state = 'open'
    and quota_slots.slot_no <= gate.slots
    and quota_slots.free_at <= gate.at
    limit 1
    for update of quota_slots skip locked
),
second as materialized (
    select quota_seconds.slot_no
    from gate
    cross join place
    join quota_seconds on quota_seconds.quota_id = gate.id
    where quota_seconds.slot_no <= gate.requests_per_second
    and quota_seconds.free_at <= gate.at
    limit 1
    for update of quota_seconds skip locked
),
free as materialized (
    -- A place of the minute, and where the provider counts seconds too, one of the second.
    select place.slot_no, second.slot_no as second_no
    from gate
    cross join place
    left join second on true
    where gate.requests_per_second is null
    or second.slot_no is not null
),
waiting as materialized (
    -- A place that is held by a request under way is free in a window at the earliest, so no lease is sat out. One that is
    -- free is being taken by another now; it may have been free since -infinity, from which nothing can be subtracted.
    select
        extract(epoch from greatest(at, case gate.state
            when 'closed' then closed_until
            when 'probing' then least(probing_until, at + make_interval(secs => %(poll_s)s))
            when 'lowered' then least(lowered_until, at + make_interval(secs => %(window_s)s))
            when 'overtaken' then interactive_waits_until
            when 'open' then case
                when exists (select from place) then least(
                    at + make_interval(secs => %(second_s)s),
                    (
                        select min(free_at)
                        from quota_seconds
                        where quota_id = gate.id
                        and slot_no <= gate.requests_per_second
                    )
                )
                else least(
                    at + make_interval(secs => %(window_s)s),
                    (select min(free_at) from quota_slots where quota_id = gate.id and slot_no <= gate.slots)
                )
            end
            else at
        end) - at)::double precision as seconds
    from gate
    where not exists (select from free)
),
noted as (
    -- The probe's lease, which only one can have, and the traces of interactive requests.
    update quotas
    set
        probing_until = case
            when not gate.must_probe or not exists (select from free) then quotas.probing_until
            when quotas.probing_until > gate.at then quotas.probing_until
            else gate.at + make_interval(secs => %(request_s)s)
        end,
        interactive_seen_at = case
            when %(purpose)s = 'interactive' then gate.at
            else quotas.interactive_seen_at
        end,
        interactive_waits_until = case
            when %(purpose)s = 'interactive' and exists (select from waiting)
            then gate.at + make_interval(secs => %(grace_s)s + (select least(seconds, %(window_s)s) from waiting))
            else quotas.interactive_waits_until
        end
    from gate
    where quotas.id = gate.id
    and gate.state not in ('paused', 'spent')
    and (%(purpose)s = 'interactive' or (gate.must_probe and exists (select from free)))
    returning quotas.probing_until
),
counted as (
    insert into quota_days (quota_id, day, requests)
    select gate.id, gate.today, 1
    from gate
    cross join free
    where not gate.must_probe
    or exists (select from noted where noted.probing_until = gate.at + make_interval(secs => %(request_s)s))
    on conflict (quota_id, day) do update
    set requests = quota_days.requests + 1
    where quota_days.requests < coalesce((select day_budget from gate), 2147483647)
    returning requests
),
taken as (
    update quota_slots
    set
        taken_at = gate.at,
        taken_by = %(holder)s,
        purpose = %(purpose)s,
        free_at = gate.at + make_interval(secs => %(request_s)s + %(window_s)s)
    from gate
    cross join free
    cross join counted
    where quota_slots.quota_id = gate.id
    and quota_slots.slot_no = free.slot_no
    returning quota_slots.slot_no
),
second_taken as (
    update quota_seconds
    set
        taken_at = gate.at,
        taken_by = %(holder)s,
        free_at = gate.at + make_interval(secs => %(request_s)s + %(second_s)s)
    from gate
    cross join free
    cross join counted
    where quota_seconds.quota_id = gate.id
    and quota_seconds.slot_no = free.second_no
    returning quota_seconds.slot_no
)
select
    taken.slot_no,
    second_taken.slot_no,
    gate.at,
    gate.must_probe,
    gate.paused_at is not null,
    gate.state,
    coalesce(waiting.seconds, 0),
    gate.closed_reason,
    gate.paused_code,
    gate.paused_reason,
    extract(epoch from nullif(gate.paused_until, 'infinity') - gate.at)::double precision,
    gate.day_budget
from gate
left join taken on true
left join second_taken on true
left join waiting on true;

-- name: release
-- The answer is complete: from now on the request counts for one window more. Not waited for on disk: if this is lost,
-- the lease stays, which is longer.
with unhurried as materialized (
    select set_config('synchronous_commit', 'off', true)
)
update quota_slots
set free_at = clock_timestamp() + make_interval(secs => %(window_s)s)
from unhurried
where quota_id = %(quota_id)s
and slot_no = %(slot_no)s
and taken_by = %(holder)s
and taken_at = %(taken_at)s;

-- name: release_second
-- The same for its place of the second.
with unhurried as materialized (
    select set_config('synchronous_commit', 'off', true)
)
update quota_seconds
set free_at = clock_timestamp() + make_interval(secs => %(second_s)s)
from unhurried
where quota_id = %(quota_id)s
and slot_no = %(second_no)s
and taken_by = %(holder)s
and taken_at = %(taken_at)s;

-- name: give_back_second
-- The same for its place of the second.
update quota_seconds
set free_at = clock_timestamp(), taken_at = null, taken_by = null
where quota_id = %(quota_id)s
and slot_no = %(second_no)s
and taken_by = %(holder)s
and taken_at = %(taken_at)s;

-- name: give_back
-- Nothing was sent: as if the place had not been taken.
with given as (
    update quota_slots
    set free_at = clock_timestamp(), taken_at = null, taken_by = null, purpose = null
    where quota_id = %(quota_id)s
    and slot_no = %(slot_no)s
    and taken_by = %(holder)s
    and taken_at = %(taken_at)s
    returning quota_id
)
update quota_days
set requests = requests - 1
from given
where quota_days.quota_id = given.quota_id
and day = (%(taken_at)s::timestamptz at time zone 'UTC')::date;

-- name: end_probe
-- The probe's answer has come: after a success all may go, else the next probe when its time has come.
update quotas
set
    probing_until = null,
    must_probe = must_probe and not %(is_success)s,
    strikes = case when %(is_success)s then 0 else strikes end,
    failed_probes = case when %(is_success)s then 0 else failed_probes end,
    closed_reason = case when %(is_success)s then '' else closed_reason end,
    updated_at = clock_timestamp()
where id = %(quota_id)s
and probing_until = %(taken_at)s + make_interval(secs => %(request_s)s);

-- name: lift_pause
-- The provider takes the key again.
update quotas
set paused_at = null, paused_until = null, paused_code = null, paused_reason = null, updated_at = clock_timestamp()
where id = %(quota_id)s
and paused_at < %(taken_at)s;

-- name: lock
-- What the refusals so far have taught, held until the transaction ends.
select strikes, failed_probes, must_probe and coalesce(probing_until > clock_timestamp(), false)
from quotas
where id = %(quota_id)s
for update;

-- name: close
-- Nobody sends for so long, and the first who does goes alone.
update quotas
set
    strikes = %(strikes)s,
    failed_probes = %(failed_probes)s,
    must_probe = true,
    closed_until = greatest(closed_until, clock_timestamp() + make_interval(secs => %(seconds)s)),
    closed_reason = %(reason)s,
    updated_at = clock_timestamp()
where id = %(quota_id)s
returning extract(epoch from closed_until - clock_timestamp())::double precision;

-- name: count_refusal
-- One more 429 today.
insert into quota_days (quota_id, day, refused)
values (%(quota_id)s, (clock_timestamp() at time zone 'UTC')::date, 1)
on conflict (quota_id, day) do update
set refused = quota_days.refused + 1;

-- name: hold
-- The provider says that nothing is left; said again by many answers, so it is written only where it tells more.
update quotas
set
    closed_until = clock_timestamp() + make_interval(secs => %(seconds)s),
    closed_reason = case when must_probe then closed_reason else %(reason)s end,
    updated_at = clock_timestamp()
where id = %(quota_id)s
and closed_until < clock_timestamp() + make_interval(secs => %(seconds)s);

-- name: pause
-- Whoever asks with this key fails at once.
update quotas
set
    paused_at = clock_timestamp(),
    paused_until = coalesce(clock_timestamp() + make_interval(secs => %(seconds)s), 'infinity'),
    paused_code = %(code)s,
    paused_reason = %(reason)s,
    updated_at = clock_timestamp()
where id = %(quota_id)s;

-- name: read_hold
-- A pause, or else a day's budget that is used up; no row where neither is so.
select
    coalesce(paused_until > clock.at, false) as is_paused,
    extract(epoch from nullif(paused_until, 'infinity') - clock.at)::double precision,
    paused_code,
    paused_reason,
    day_budget
from quotas
cross join (select clock_timestamp() as at) as clock
left join quota_days on quota_days.quota_id = quotas.id and quota_days.day = (clock.at at time zone 'UTC')::date
where quotas.id = %(quota_id)s
and (paused_until > clock.at or quota_days.requests >= day_budget);

-- name: read_meters
-- Each key's quota as it stands. A place is taken at most once in a window, so the places tell the requests of the last.
select
    quotas.provider,
    quotas.key_id,
    quotas.requests_per_minute,
    quotas.set_per_minute,
    quotas.told_per_minute,
    slots.used,
    slots.used_interactive,
    slots.under_way,
    coalesce(quota_days.requests, 0),
    coalesce(quota_days.refused, 0),
    quotas.day_budget,
    case
        when paused_until > clock.at then 'paused'
        when quota_days.requests >= day_budget then 'spent'
        when closed_until > clock.at then 'closed'
        when must_probe then 'probing'
        when slots.free_at > clock.at then 'full'
        else 'open'
    end,
    case
        when paused_until > clock.at then nullif(paused_until, 'infinity')
        when quota_days.requests >= day_budget then (date_trunc('day', clock.at at time zone 'UTC') + interval '1 day') at time zone 'UTC'
        when closed_until > clock.at then closed_until
        when not must_probe and slots.free_at > clock.at then slots.free_at
    end,
    case
        when paused_until > clock.at then paused_reason
        when closed_until > clock.at or must_probe then closed_reason
        else ''
    end,
    slots.last_taken_at
from quotas
cross join (select clock_timestamp() as at) as clock
left join quota_days on quota_days.quota_id = quotas.id and quota_days.day = (clock.at at time zone 'UTC')::date
cross join lateral (
    select
        count(*) filter (where taken_at > clock.at - make_interval(secs => %(minute_s)s)) as used,
        count(*) filter (
            where taken_at > clock.at - make_interval(secs => %(minute_s)s)
            and purpose = 'interactive'
        ) as used_interactive,
        count(*) filter (where free_at > clock.at + make_interval(secs => %(window_s)s)) as under_way,
        least(min(free_at), clock.at + make_interval(secs => %(window_s)s)) as free_at,
        max(taken_at) as last_taken_at
    from quota_slots
    where quota_slots.quota_id = quotas.id
    and slot_no <= quotas.requests_per_minute
) as slots
order by quotas.provider, quotas.key_id;

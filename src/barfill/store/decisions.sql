-- name: make_due
-- Gaps that are to be asked for again now, whatever was planned.
update series_gaps
set next_check_at = clock_timestamp()
where id = any(%(ids)s::bigint[])
and settled_by is distinct from 'person';

-- name: settle
-- What a person says about gaps; what was known before is kept beside it.
update series_gaps
set
    kind = coalesce(%(kind)s, kind),
    reason = %(reason)s,
    settled_at = clock_timestamp(),
    settled_by = 'person',
    next_check_at = null,
    answers = answers || jsonb_build_array(jsonb_build_object(
        'by', 'person',
        'asked_at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
        'outcome', 'settled as ' || coalesce(%(kind)s, kind) || ': ' || %(reason)s,
        'kind_before', kind,
        'reason_before', reason
    ))
where id = any(%(ids)s::bigint[])
and settled_by is distinct from 'person'
returning id;

-- name: unsettle
-- Takes a settlement back, by a person or by the rule: asked for again at once. A kind that is accounted for by itself
-- would not be open; rows that a person has rejected are taken back where they were, not here.
update series_gaps
set
    kind = case
        when settled_by = 'person' and decided.entry ->> 'kind_before' = any(%(open_kinds)s::text[])
        then decided.entry ->> 'kind_before'
        else 'missing'
    end,
    reason = case when settled_by = 'person' then coalesce(decided.entry ->> 'reason_before', reason) else reason end,
    settled_at = null,
    settled_by = null,
    next_check_at = clock_timestamp(),
    answers = answers || jsonb_build_array(jsonb_build_object(
        'by', 'person',
        'asked_at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"'),
        'outcome', 'no longer settled'
    ))
from (
    select
        gaps.id,
        (
            select entries.entry
            from jsonb_array_elements(gaps.answers) with ordinality as entries (entry, position)
            where entries.entry ? 'kind_before'
            order by entries.position desc
            limit 1
        ) as entry
    from series_gaps as gaps
    where gaps.id = any(%(ids)s::bigint[])
) as decided
where series_gaps.id = decided.id
and series_gaps.settled_at is not null
and series_gaps.next_check_at is distinct from %(never)s
returning series_gaps.id;

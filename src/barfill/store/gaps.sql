-- name: overlapping
-- The gaps on record that touch the given stretches of time.
select
    series_gaps.id,
    series_gaps.symbol_id,
    series_gaps.gap_from,
    series_gaps.gap_to,
    series_gaps.expected_bars,
    series_gaps.kind,
    series_gaps.attempts,
    series_gaps.first_seen_at,
    series_gaps.last_checked_at,
    series_gaps.next_check_at,
    series_gaps.reason,
    series_gaps.calendar_version,
    series_gaps.settled_at,
    series_gaps.settled_by,
    '{}'::text[] as asked_of,
    series_gaps.answers::text
from unnest(%(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
    as judged (symbol_id, judged_from, judged_to)
cross join lateral (
    select *
    from series_gaps
    where series_gaps.symbol_id = judged.symbol_id
    and series_gaps.timeframe = %(timeframe)s
    and series_gaps.gap_from < judged.judged_to
    and series_gaps.gap_to > judged.judged_from
) as series_gaps
order by series_gaps.symbol_id, series_gaps.gap_from;

-- name: remove
-- Gaps that were filled, or that are written anew in parts.
delete from series_gaps
where id = any(%(ids)s::bigint[]);

-- name: add
-- New gaps, and what is left of trimmed ones with their history.
insert into series_gaps (
    symbol_id, timeframe, gap_from, gap_to, expected_bars, kind, attempts, first_seen_at, last_checked_at,
    next_check_at, reason, calendar_version, settled_at, settled_by, answers
)
select
    given.symbol_id, %(timeframe)s, given.gap_from, given.gap_to, given.expected_bars, given.kind, given.attempts,
    coalesce(given.first_seen_at, clock_timestamp()), coalesce(given.last_checked_at, clock_timestamp()),
    given.next_check_at, given.reason, given.calendar_version, given.settled_at, given.settled_by, given.answers
from unnest(
    %(symbol_ids)s::integer[], %(starts)s::timestamptz[], %(ends)s::timestamptz[], %(expected)s::integer[],
    %(kinds)s::text[], %(attempts)s::integer[], %(first_seen)s::timestamptz[], %(last_checked)s::timestamptz[],
    %(next_checks)s::timestamptz[], %(reasons)s::text[], %(calendars)s::text[], %(settled)s::timestamptz[],
    %(settled_by)s::text[], %(answers)s::jsonb[]
) as given (
    symbol_id, gap_from, gap_to, expected_bars, kind, attempts, first_seen_at, last_checked_at, next_check_at, reason,
    calendar_version, settled_at, settled_by, answers
);

-- name: see_again
-- Gaps of unchanged extent that were asked for once more and are still there.
update series_gaps
set
    expected_bars = given.expected_bars,
    kind = given.kind,
    attempts = given.attempts,
    first_seen_at = given.first_seen_at,
    last_checked_at = clock_timestamp(),
    next_check_at = given.next_check_at,
    reason = given.reason,
    calendar_version = given.calendar_version,
    settled_at = given.settled_at,
    settled_by = given.settled_by,
    answers = given.answers
from unnest(
    %(ids)s::bigint[], %(expected)s::integer[], %(kinds)s::text[], %(attempts)s::integer[],
    %(first_seen)s::timestamptz[], %(next_checks)s::timestamptz[], %(reasons)s::text[], %(calendars)s::text[],
    %(settled)s::timestamptz[], %(settled_by)s::text[], %(answers)s::jsonb[]
) as given (
    id, expected_bars, kind, attempts, first_seen_at, next_check_at, reason, calendar_version, settled_at, settled_by,
    answers
)
where series_gaps.id = given.id;

-- name: list_gaps
-- Gaps on record by filter; a null filter lets everything pass.
select
    series_gaps.id,
    series_gaps.symbol_id,
    series_gaps.timeframe,
    symbols.ticker,
    series_gaps.gap_from,
    series_gaps.gap_to,
    series_gaps.expected_bars,
    series_gaps.kind,
    series_gaps.attempts,
    series_gaps.first_seen_at,
    series_gaps.last_checked_at,
    series_gaps.next_check_at,
    series_gaps.reason,
    series_gaps.calendar_version,
    series_gaps.settled_at,
    series_gaps.settled_by,
    case when series_gaps.kind = 'missing' then array(
        select distinct answer ->> 'provider'
        from jsonb_array_elements(series_gaps.answers) as answer
        where answer ? 'provider'
    ) else '{}'::text[] end as asked_of
from series_gaps
join symbols on symbols.id = series_gaps.symbol_id
where (%(symbol_ids)s::integer[] is null or series_gaps.symbol_id = any(%(symbol_ids)s::integer[]))
and (%(timeframes)s::text[] is null or series_gaps.timeframe = any(%(timeframes)s::text[]))
and (%(kinds)s::text[] is null or series_gaps.kind = any(%(kinds)s::text[]))
and (%(due_by)s::timestamptz is null or series_gaps.next_check_at <= %(due_by)s::timestamptz)
and (%(starts_before)s::timestamptz is null or series_gaps.gap_from < %(starts_before)s::timestamptz)
and (%(ends_after)s::timestamptz is null or series_gaps.gap_to > %(ends_after)s::timestamptz)
and (
    %(is_settled)s::boolean is null
    or (series_gaps.settled_at is not null or not series_gaps.kind = any(%(open_kinds)s::text[])) = %(is_settled)s
)
and (%(ids)s::bigint[] is null or series_gaps.id = any(%(ids)s::bigint[]))
order by symbols.ticker, series_gaps.timeframe, series_gaps.gap_from
limit %(limit)s;

-- name: lock_series
-- The same locks, in the same order, as a page takes.
select
from series
where timeframe = %(timeframe)s
and symbol_id = any(%(symbol_ids)s::integer[])
order by symbol_id
for update;

-- name: read_answers
-- The evidence of gaps.
select id, answers
from series_gaps
where id = any(%(ids)s::bigint[]);

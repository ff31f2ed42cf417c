-- name: list_missing
-- Calendars in use without a session on record; XNYS is what a symbol gets that names none.
select calendar
from (select 'XNYS' as calendar union select calendar from symbols) as used
where not exists (select from sessions where sessions.calendar = used.calendar)
order by calendar;

-- name: read_sessions
-- The sessions of a calendar as they are on record, in microseconds.
select
    (extract(epoch from session_on) * 1000000)::bigint,
    (extract(epoch from opens_at) * 1000000)::bigint,
    (extract(epoch from closes_at) * 1000000)::bigint
from sessions
where calendar = %(calendar)s;

-- name: withdraw
-- What was covered as closed time and is none: it is asked for again.
update series
set covered = series.covered - %(withdrawn)s::tstzmultirange, updated_at = clock_timestamp()
from symbols
where symbols.id = series.symbol_id
and symbols.calendar = %(calendar)s
and series.timeframe = any(%(timeframes)s::text[])
and series.covered && %(withdrawn)s::tstzmultirange;

-- name: list_gaps_around
-- The gaps on record that touch days which are no longer as they were.
select series_gaps.id, series_gaps.timeframe, series_gaps.gap_from, series_gaps.gap_to, series_gaps.expected_bars
from series_gaps
join symbols on symbols.id = series_gaps.symbol_id
where symbols.calendar = %(calendar)s
and %(days)s::tstzmultirange && tstzrange(series_gaps.gap_from, series_gaps.gap_to);

-- name: remove_gaps
-- Gaps in which no bar is expected any more.
delete from series_gaps
where id = any(%(ids)s::bigint[]);

-- name: count_anew
-- Gaps in which fewer bars are expected than when they were found.
update series_gaps
set expected_bars = given.expected_bars, calendar_version = %(version)s
from unnest(%(ids)s::bigint[], %(counts)s::integer[]) as given (id, expected_bars)
where series_gaps.id = given.id;

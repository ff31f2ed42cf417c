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

-- name: flag_bars
-- What lies outside of regular hours by the hours that are known now; a bar of which nothing else changes has no revision.
update ohlc_bars
set is_extended = not %(regular)s::tstzmultirange @> ohlc_bars.ts
from symbols
where symbols.calendar = %(calendar)s
and ohlc_bars.symbol_id = symbols.id
and ohlc_bars.timeframe = any(%(timeframes)s::text[])
and ohlc_bars.ts >= %(start)s
and ohlc_bars.ts < %(end)s
and ohlc_bars.is_extended = %(regular)s::tstzmultirange @> ohlc_bars.ts;

-- name: flag_replaced
-- The same of the values that others have replaced.
update bar_revisions
set is_extended = not %(regular)s::tstzmultirange @> bar_revisions.ts
from symbols
where symbols.calendar = %(calendar)s
and bar_revisions.symbol_id = symbols.id
and bar_revisions.timeframe = any(%(timeframes)s::text[])
and bar_revisions.ts >= %(start)s
and bar_revisions.ts < %(end)s
and bar_revisions.is_extended = %(regular)s::tstzmultirange @> bar_revisions.ts;

-- name: flag_replaced_live
-- And of live ones.
update live_revisions
set is_extended = not %(regular)s::tstzmultirange @> live_revisions.ts
from symbols
where symbols.calendar = %(calendar)s
and live_revisions.symbol_id = symbols.id
and live_revisions.timeframe = any(%(timeframes)s::text[])
and live_revisions.ts >= %(start)s
and live_revisions.ts < %(end)s
and live_revisions.is_extended = %(regular)s::tstzmultirange @> live_revisions.ts;

"""
What follows for coverage and gaps where a calendar sees days otherwise than when they were judged.

A closure may be known only after its day, by a newer library or a user's file: gaps of that day are none. A session
that was not known was covered as closed time: it was never asked for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import psycopg
from psycopg.rows import TupleRow

from barfill.core.calendar import DAY_US, TradingCalendar, week_starts
from barfill.core.placing import extended_hours
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries
from barfill.store.symbols import has_sessions, sync_sessions

SQL = load_queries("sessions")


def follow_calendar(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar) -> None:
    """
    Makes the sessions on record those of *calendar*; where these were others, coverage and gaps of their days follow.

    Sessions that are new, or longer than they were, are withdrawn from coverage. Gaps lose the bars that are expected
    no more, and go where none is left. Bars are flagged anew as lying outside of regular hours or within.
    """
    if has_sessions(conn, calendar):
        return
    before = {row[0]: (row[1], row[2]) for row in conn.execute(SQL["read_sessions"], {"calendar": calendar.name})}
    with conn.transaction():
        sync_sessions(conn, calendar)
        if before:
            _follow(conn, calendar, before)


def _follow(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar, before: dict[int, tuple[int, int]]) -> None:
    now = {
        label: (opens, closes)
        for label, opens, closes in zip(
            calendar.labels.tolist(), calendar.opens.tolist(), calendar.closes.tolist(), strict=True
        )
    }
    longer = [label for label, hours in now.items() if not _holds(before.get(label), hours)]
    new_days = [label for label in longer if label not in before]
    hours = _ranges(extended_hours(calendar.name, *now[label]) for label in longer)
    _withdraw(conn, calendar, [one for one in Timeframe if one.is_intraday], hours)
    _withdraw(conn, calendar, [Timeframe.D1], _ranges((label, label + DAY_US) for label in new_days))
    mondays = week_starts(np.array(new_days, np.int64)).tolist()
    _withdraw(conn, calendar, [Timeframe.W1], _ranges((monday, monday + 7 * DAY_US) for monday in mondays))
    changed = [label for label in before.keys() | now.keys() if before.get(label) != now.get(label)]
    days = _ranges((label - DAY_US, label + 2 * DAY_US) for label in changed)
    _count_anew(conn, calendar, days)
    _flag_anew(conn, calendar, days)


def _holds(before: tuple[int, int] | None, hours: tuple[int, int]) -> bool:
    return before is not None and before[0] <= hours[0] and hours[1] <= before[1]


def _ranges(bounds: Iterable[tuple[int, int]]) -> Ranges:
    return Ranges(Range(from_us(start), from_us(end)) for start, end in bounds)


def _withdraw(
    conn: psycopg.Connection[TupleRow], calendar: TradingCalendar, timeframes: list[Timeframe], withdrawn: Ranges
) -> None:
    if withdrawn:
        names = [timeframe.value for timeframe in timeframes]
        conn.execute(SQL["withdraw"], {"calendar": calendar.name, "timeframes": names, "withdrawn": withdrawn})


def _count_anew(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar, days: Ranges) -> None:
    if not days:
        return
    removed: list[int] = []
    fewer: dict[int, int] = {}
    listed = conn.execute(SQL["list_gaps_around"], {"calendar": calendar.name, "days": days}).fetchall()
    for gap_id, name, start, end, bars in listed:
        count = calendar.expected_count(Timeframe(name), Range(start, end))
        if count == 0:
            removed.append(gap_id)
        elif count < bars:
            fewer[gap_id] = count
    if removed:
        conn.execute(SQL["remove_gaps"], {"ids": removed})
    if fewer:
        counts = {"ids": list(fewer), "counts": list(fewer.values()), "version": calendar.version}
        conn.execute(SQL["count_anew"], counts)


def _flag_anew(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar, days: Ranges) -> None:
    """Flags the intraday bars of these days by the regular hours that are known now."""
    intraday = [timeframe.value for timeframe in Timeframe if timeframe.is_intraday]
    for one in days:
        first, last = np.searchsorted(calendar.part_closes, [to_us(one.start), to_us(one.end)])
        bounds = zip(
            calendar.part_opens[first : last + 1].tolist(), calendar.part_closes[first : last + 1].tolist(), strict=True
        )
        regular = _ranges(bounds)
        for name in ("flag_bars", "flag_replaced", "flag_replaced_live"):
            conn.execute(
                SQL[name],
                {
                    "calendar": calendar.name,
                    "timeframes": intraday,
                    "start": one.start,
                    "end": one.end,
                    "regular": regular,
                },
            )

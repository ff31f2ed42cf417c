"""
What a provider says of the sessions of an exchange, against the calendar that barfill goes by.

The calendar comes with a library and is as old as its release; a closure or an early close that is announced later is
known to providers first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from barfill.core.calendar import TradingCalendar
from barfill.core.ranges import Range, from_us


@dataclass(frozen=True, slots=True)
class ToldSessions:
    """
    The sessions that a provider knows between two days; any other day of these is closed.

    Attributes:
        end: Excluded; the same as *first* where nothing is told.
        hours: From open to close, by the date in New York.
        names: What the provider calls a day, where it does.
    """

    first: date
    end: date
    hours: Mapping[date, Range]
    names: Mapping[date, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionDifference:
    """
    A day on which the two do not agree.

    Attributes:
        name: What the provider calls it, or "".
        told, expected: The session of the provider and that of the calendar; None where the day is closed.
    """

    on: date
    name: str
    told: Range | None
    expected: Range | None


def session_differences(told: ToldSessions, calendar: TradingCalendar) -> tuple[SessionDifference, ...]:
    """
    The days that *told* speaks of and *calendar* sees otherwise, the earliest first.

    Raises:
        OutsideCalendar: They reach beyond the sessions that *calendar* knows.
    """
    if told.end <= told.first:
        return ()
    expected = _expected(told, calendar)
    return tuple(
        SessionDifference(day, told.names.get(day, ""), told.hours.get(day), expected.get(day))
        for day in sorted(expected.keys() | told.hours.keys())
        if told.first <= day < told.end and told.hours.get(day) != expected.get(day)
    )


def _expected(told: ToldSessions, calendar: TradingCalendar) -> dict[date, Range]:
    days = Range(_midnight(told.first), _midnight(told.end))
    chosen = calendar.sessions(days, by_label=True)
    columns = (column[chosen].tolist() for column in (calendar.labels, calendar.opens, calendar.closes))
    return {
        from_us(label).date(): Range(from_us(opens), from_us(closes))
        for label, opens, closes in zip(*columns, strict=True)
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

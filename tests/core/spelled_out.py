"""Sessions and bars around some days, spelled out without barfill's calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from barfill.core.timeframe import Timeframe

DAY = timedelta(days=1)
HOLIDAYS = {date(2025, 11, 27)}
HALF_DAYS = {date(2025, 11, 28)}
WINTER = (date(2025, 11, 3), date(2026, 3, 8))
"""The days on which New York is five hours behind UTC; on the others around them it is four."""

Bar = tuple[datetime, datetime]


def session(day: date) -> Bar | None:
    """Open and close of a day, spelled out here; None where there is no session."""
    if day.weekday() >= 5 or day in HOLIDAYS:
        return None
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=5 if _is_winter(day) else 4)
    return midnight + timedelta(hours=9.5), midnight + timedelta(hours=13 if day in HALF_DAYS else 16)


def _is_winter(day: date) -> bool:
    return WINTER[0] <= day <= WINTER[1]


def around_the_clock(day: date) -> Bar | None:
    """A day of crypto."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight, midnight + DAY


def bars_around(day: date, timeframe: Timeframe, session_of: Callable[[date], Bar | None]) -> list[Bar]:
    """Stamp and end of all bars of the two weeks before and behind *day*, one after the other."""
    days = [day + number * DAY for number in range(-14, 15)]
    sessions = {one: times for one in days if (times := session_of(one)) is not None}
    if timeframe is Timeframe.D1:
        return [(datetime(one.year, one.month, one.day, tzinfo=UTC), times[1]) for one, times in sessions.items()]
    if timeframe is Timeframe.W1:
        mondays = {one - one.weekday() * DAY: times[1] for one, times in sessions.items()}  # the last session's close
        return [(datetime(one.year, one.month, one.day, tzinfo=UTC), close) for one, close in mondays.items()]
    bars = []
    for opens, closes in sessions.values():
        start = opens
        while start < closes:
            bars.append((start, min(start + timeframe.length, closes)))
            start += timeframe.length
    return bars

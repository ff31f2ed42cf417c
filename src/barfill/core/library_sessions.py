"""
The sessions of exchanges as the `exchange_calendars` library tells them, or as was kept of what it told.

The library takes most of a second to load and to build a calendar, longer than most commands need for all else. What it
told can be kept between two commands: `use_kept_sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import Range, from_us, to_us
from barfill.errors import InvalidInput

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

FIRST_YEAR = 1990
_LIBRARY = "exchange_calendars"
_NO_TIME = np.iinfo(np.int64).min

Columns = Mapping[str, NDArray[np.int64]]


class KeptSessions(Protocol):
    """What keeps the columns of calendars; what it can not keep or find again is built anew."""

    def find(self, key: str) -> Columns | None:
        """What was kept under *key*, a name for a file."""

    def keep(self, key: str, columns: Columns) -> None:
        """Keeps *columns* under *key*."""


@dataclass(frozen=True, slots=True, eq=False)
class LibrarySessions:
    """
    Columns by session, int64 (n,), microseconds UTC; a session without a break has one at its close.

    Attributes:
        known: Its first and last microsecond bound the days of which the library knows whether there is a session;
            shape (2,), end excluded.
        labels: 00:00 UTC of each session's date.
    """

    known: NDArray[np.int64]
    labels: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    break_starts: NDArray[np.int64]
    break_ends: NDArray[np.int64]

    @property
    def known_days(self) -> Range:
        """The days of which it is known whether there is a session."""
        start, end = self.known.tolist()
        return Range(from_us(start), from_us(end))


_KEPT: list[KeptSessions] = []


def use_kept_sessions(kept: KeptSessions | None) -> None:
    """Makes this process look at *kept* before it asks the library, and keep there what that tells."""
    _KEPT[:] = [] if kept is None else [kept]


def library_version() -> str:
    """The version of the library that is installed."""
    return metadata.version(_LIBRARY)


def library_sessions(name: str, last_year: int) -> LibrarySessions:
    """
    The sessions of the calendar *name* from 1990 to the end of *last_year*, or as much of it as is known.

    Raises:
        InvalidInput: No such calendar, or one that the library fails to build.
    """
    key = f"{name}-{last_year}-{library_version()}"
    for kept in _KEPT:
        columns = kept.find(key)
        if columns is not None and (found := _whole(columns)) is not None:
            return found
    sessions = _built(name, last_year)
    for kept in _KEPT:
        kept.keep(key, {one.name: getattr(sessions, one.name) for one in fields(sessions)})
    return sessions


def _whole(columns: Columns) -> LibrarySessions | None:
    """What was kept, unless it is not what this version keeps."""
    names = [one.name for one in fields(LibrarySessions)]
    if set(columns) != set(names) or any(columns[name].dtype != np.int64 for name in names):
        return None
    known, *by_session = (columns[name] for name in names)
    if known.shape != (2,) or len({column.shape for column in by_session}) != 1:
        return None
    return LibrarySessions(known, *by_session)


def _built(name: str, last_year: int) -> LibrarySessions:
    import exchange_calendars  # noqa: PLC0415  slow to load

    try:
        source, known = _from_library(name, last_year)
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise unknown_calendar(name) from error
    closes, break_starts, break_ends = _us(source.closes), _us(source.break_starts), _us(source.break_ends)
    is_whole = break_starts == _NO_TIME
    return LibrarySessions(
        np.array([to_us(known.start), to_us(known.end)]),
        _us(source.sessions),
        _us(source.opens),
        closes,
        np.where(is_whole, closes, break_starts),
        np.where(is_whole, closes, break_ends),
    )


def _from_library(name: str, last_year: int) -> tuple[ExchangeCalendar, Range]:
    """The library's calendar and the days that it knows: those asked for, unless it is recorded for fewer."""
    from exchange_calendars import get_calendar  # noqa: PLC0415  slow to load

    first, last = date(FIRST_YEAR, 1, 1), date(last_year, 12, 31)
    try:
        return get_calendar(name, start=str(first), end=str(last)), days_from(first, last)
    except (ValueError, NotImplementedError):
        pass  # recorded for fewer years: which, is told by one of the years that it gives by itself
    try:
        usual = get_calendar(name)
        lowest, highest = usual.bound_min(), usual.bound_max()
        first = first if lowest is None else max(first, lowest.date())
        last = last if highest is None else min(last, highest.date())
        return get_calendar(name, start=str(first), end=str(last)), days_from(first, last)
    except (ValueError, NotImplementedError) as error:  # the latter: Orthodox Easter on pandas 3
        raise InvalidInput(
            f"exchange_calendars cannot tell the sessions of {name}: {str(error)[:200]}. Update it, or use the "
            "calendar of another exchange with the same hours."
        ) from error


def days_from(first: date, last: date) -> Range:
    """From 00:00 UTC of *first* to the end of *last*."""
    return Range(midnight(first), midnight(last) + timedelta(days=1))


def midnight(day: date) -> datetime:
    """00:00 UTC of *day*."""
    return datetime.combine(day, time(), UTC)


def unknown_calendar(name: str) -> InvalidInput:
    """The error that says so."""
    return InvalidInput(f"Calendar {name!r} is unknown. Use an exchange's code such as XNYS, or 24/7.")


def _us(stamps: Any) -> NDArray[np.int64]:
    """int64 microseconds of a pandas index or series of instants; the lowest int64 where there is none."""
    values: NDArray[np.int64] = stamps.to_numpy("datetime64[us]").astype(np.int64)
    return values

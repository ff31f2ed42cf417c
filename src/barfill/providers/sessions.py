"""
Market calendars from providers: two pure steps, and what the readers of all vendors have in common.

All speak of US stocks, in New York's time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol, runtime_checkable

from barfill.core.ranges import Range
from barfill.core.told_sessions import ToldSessions
from barfill.errors import BadResponse, EmptyRange, excerpt
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import NEW_YORK

ONE_DAY = timedelta(days=1)

_SATURDAY = 5
_REGULAR_OPEN, _REGULAR_CLOSE = time(9, 30), time(16)
_TIME_OF_DAY = re.compile(r"\d\d:\d\d")

Listed = tuple[date, Range | None, str]
"""A day, its session (None: it is closed) and what it is called."""


@dataclass(frozen=True, slots=True)
class SessionsQuery:
    """
    The sessions of a range of days.

    Attributes:
        today: The date in New York.
        end: Excluded.
    """

    first: date
    today: date
    end: date

    @property
    def last(self) -> date:
        """The last day, for wires whose bounds are both included."""
        return self.end - ONE_DAY

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class SessionsProvider(Protocol):
    """A source of market calendars; the client of the same vendor sends what it builds."""

    @property
    def name(self) -> str:
        """Lower-case, as the provider of bars."""

    def sessions_requests(self, query: SessionsQuery) -> Sequence[HttpRequest]:
        """The requests that tell most of *query*, one wherever that does."""

    def parse_sessions(self, query: SessionsQuery, response: HttpResponse) -> ToldSessions:
        """
        What a 200 answer says, of days in *query* only.

        Raises:
            BadResponse: It does not parse, or contradicts itself.
        """


@runtime_checkable
class TellingTime(Protocol):
    """What such a source has besides that tells its own time."""

    def clock_request(self) -> HttpRequest:
        """The request for it."""

    def parse_clock(self, response: HttpResponse) -> datetime:
        """
        The instant at which a 200 answer was made.

        Raises:
            BadResponse: It does not parse.
        """


def local_session(day: date, opens: object, closes: object) -> Range:
    """
    The session of *day* between two times of day in New York, each as `09:30`.

    Raises:
        BadResponse: They are none (`schema`).
    """
    try:
        bounds = [_time_of_day(text) for text in (opens, closes)]
        return _session(day, *bounds)
    except (ValueError, OverflowError, EmptyRange) as error:
        raise BadResponse(
            f"The hours of {day} cannot be: {excerpt(repr(opens))} to {excerpt(repr(closes))}.", reason="schema"
        ) from error


def sessions_with(listed: Iterable[Listed], first: date, end: date) -> ToldSessions:
    """
    The sessions of a vendor that lists closed and short days alone: any other weekday has regular hours.

    Raises:
        BadResponse: A day is listed twice, with different hours (`schema`).
    """
    known, names = by_day(listed)
    hours = {day: known[day] if day in known else _regular(day) for day in _days(first, end)}
    return ToldSessions(first, max(first, end), _open_days(hours), names)


def by_day(listed: Iterable[Listed]) -> tuple[dict[date, Range | None], dict[date, str]]:
    """
    Sessions and names by their day.

    Raises:
        BadResponse: A day is listed twice, with different hours (`schema`).
    """
    known: dict[date, Range | None] = {}
    names: dict[date, str] = {}
    for day, session, name in listed:
        if known.setdefault(day, session) != session:
            raise BadResponse(f"The answer lists {day} twice, with different hours.", reason="schema")
        if name:
            names[day] = name
    return known, names


def _open_days(hours: Mapping[date, Range | None]) -> dict[date, Range]:
    return {day: session for day, session in hours.items() if session is not None}


def _regular(day: date) -> Range | None:
    return None if day.weekday() >= _SATURDAY else _session(day, _REGULAR_OPEN, _REGULAR_CLOSE)


def _session(day: date, opens: time, closes: time) -> Range:
    return Range(datetime.combine(day, opens, NEW_YORK), datetime.combine(day, closes, NEW_YORK))


def _days(first: date, end: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((end - first).days))


def _time_of_day(text: object) -> time:
    if not isinstance(text, str) or not _TIME_OF_DAY.fullmatch(text):
        raise ValueError(text)
    return time.fromisoformat(text)

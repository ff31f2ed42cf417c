"""
Compares what a provider says of the sessions of US stocks with the calendar that barfill goes by; changes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import chain

from barfill.core.calendar import trading_calendar
from barfill.core.told_sessions import SessionDifference, ToldSessions, session_differences
from barfill.errors import ProviderTimeout
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.instants import NEW_YORK
from barfill.providers.sessions import SessionsProvider, SessionsQuery, TellingTime

CALENDAR = "XNYS"
BACK, AHEAD = timedelta(days=30), timedelta(days=366)
"""How far before and after today providers are asked; most of them tell less."""
PATIENCE_S = 20.0
"""What is nice to know holds nobody up: a health check has a minute for all that it asks."""


@dataclass(frozen=True, slots=True)
class SessionsSource:
    """A provider of market calendars, and the client of the same vendor that asks it."""

    provider: SessionsProvider
    client: ProviderClient


@dataclass(frozen=True, slots=True)
class CalendarReport:
    """
    What a provider told, and what of it differs.

    Attributes:
        told: What its answers spoke of; nothing at all where that is empty.
        version: The library that the calendar comes from, and its version.
        skew_s: The provider's clock less this machine's; None where it tells none.
    """

    told: tuple[ToldSessions, ...]
    differences: tuple[SessionDifference, ...]
    version: str
    skew_s: float | None

    @property
    def days(self) -> tuple[date, date] | None:
        """The first and the last day that it told of."""
        return (self.told[0].first, self.told[-1].end - timedelta(days=1)) if self.told else None


async def compare_calendars(source: SessionsSource, now: datetime, *, patience_s: float = PATIENCE_S) -> CalendarReport:
    """
    Asks for the recent sessions and those to come.

    Args:
        patience_s: How long all of it may take, waits for the limit of requests and further attempts included.

    Raises:
        ProviderError: An answer cannot be had, or not be read.
    """
    try:
        async with asyncio.timeout(patience_s):
            return await _compared(source, now)
    except TimeoutError as error:
        raise ProviderTimeout(
            f"There was no answer within {patience_s:.0f} s. The limit of requests may be used up: look at it with: "
            "barfill status --quota",
            provider=source.provider.name,
        ) from error


async def _compared(source: SessionsSource, now: datetime) -> CalendarReport:
    provider, client = source.provider, source.client
    today = now.astimezone(NEW_YORK).date()
    query = SessionsQuery(today - BACK, today, today + AHEAD)
    answers = [
        await client.fetch(request, partial(provider.parse_sessions, query))
        for request in provider.sessions_requests(query)
    ]
    told = tuple(answer for answer in answers if answer.first < answer.end)
    skew_s = None
    if isinstance(provider, TellingTime):
        skew_s = await client.fetch(provider.clock_request(), partial(_skew_s, provider))
    calendar = trading_calendar(CALENDAR, query.last.year)
    differences = chain.from_iterable(session_differences(one, calendar) for one in told)
    return CalendarReport(told, tuple(differences), calendar.version, skew_s)


def _skew_s(provider: TellingTime, response: HttpResponse) -> float:
    return (provider.parse_clock(response) - response.received_at).total_seconds()

"""
Tradier's market calendar and clock: `GET /v1/markets/calendar`, a month in a call, and `GET /v1/markets/clock`.

Each day of the month is listed, open or closed, with its hours in New York's time. The clock tells the state of the
market and the time in epoch seconds, which alone is read.

Source:
    providers.md 5.3 and the recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from barfill.core.ranges import Range, from_us
from barfill.core.told_sessions import ToldSessions
from barfill.errors import BadResponse, excerpt
from barfill.providers.bar_pages import as_list
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import read_instant
from barfill.providers.sessions import ONE_DAY, Listed, SessionsQuery, by_day, local_session
from barfill.providers.strict_json import check_is_json
from barfill.providers.tradier import request_headers, root_url
from barfill.providers.tradier_decode import held_in
from barfill.providers.tradier_errors import PROVIDER, refuse_the_quota

CALENDAR_PATH, CLOCK_PATH = "/v1/markets/calendar", "/v1/markets/clock"

_DECEMBER = 12
_OPEN, _CLOSED = "open", "closed"


class TradierSessions:
    """
    The calendar of the provider `tradier`.

    Args:
        token: `TRADIER_API_TOKEN`.
        base_url: Replaces the plan's host, for instance by a simulated exchange; with or without `/v1`.
        plan: `free`, the sandbox, or `paid`, a brokerage account.
    """

    name = PROVIDER

    def __init__(self, token: str, *, base_url: str | None = None, plan: str) -> None:
        self._headers = request_headers(token)
        self._url = root_url(base_url, plan)

    def sessions_requests(self, query: SessionsQuery) -> Sequence[HttpRequest]:
        """Two, for this month and the next: on its last day this one says nothing of what is to come."""
        today = query.today
        months = ((today.year, today.month), (today.year + today.month // _DECEMBER, today.month % _DECEMBER + 1))
        return tuple(
            self._request(CALENDAR_PATH, {"month": f"{month:02}", "year": str(year)}, f" {year}-{month:02}")
            for year, month in months
        )

    def parse_sessions(self, query: SessionsQuery, response: HttpResponse) -> ToldSessions:
        """The days of the month that are asked for."""
        days = held_in(_checked(response), "calendar").get("days")
        rows = as_list(days.get("day") if isinstance(days, Mapping) else days, "'calendar.days.day'")
        hours, _ = by_day(map(_day, rows))
        asked = [day for day in hours if query.first <= day < query.end]
        if not asked:
            return ToldSessions(query.first, query.first, {})
        first, end = min(asked), max(asked) + ONE_DAY
        if len(asked) != (end - first).days:
            raise BadResponse(f"The calendar lacks days between {first} and {max(asked)}.", reason="count")
        return ToldSessions(first, end, {day: told for day in asked if (told := hours[day]) is not None})

    def clock_request(self) -> HttpRequest:
        """The clock."""
        return self._request(CLOCK_PATH, {}, "")

    def parse_clock(self, response: HttpResponse) -> datetime:
        """Its time, to the second."""
        stamp = held_in(_checked(response), "clock").get("timestamp")
        found = read_instant(stamp)
        if found is None:
            raise BadResponse(f"The clock has no 'timestamp': {excerpt(repr(stamp))}.", reason="schema")
        return from_us(found)

    def _request(self, path: str, params: Mapping[str, str], about: str) -> HttpRequest:
        return HttpRequest(f"{self._url}{path}", params, self._headers, f"{path}{about}")


def _checked(response: HttpResponse) -> bytes:
    refuse_the_quota(response)
    check_is_json(response)
    return response.body


def _day(row: object) -> Listed:
    try:
        day = date.fromisoformat(str(row["date"])) if isinstance(row, Mapping) else None
    except (KeyError, ValueError):
        day = None
    if day is None or not isinstance(row, Mapping) or row.get("status") not in (_OPEN, _CLOSED):
        raise BadResponse(f"A day of the calendar cannot be read: {excerpt(repr(row))}.", reason="schema")
    return day, _session(day, row.get(_OPEN)) if row["status"] == _OPEN else None, ""


def _session(day: date, hours: object) -> Range:
    bounds = hours if isinstance(hours, Mapping) else {}
    return local_session(day, bounds.get("start"), bounds.get("end"))

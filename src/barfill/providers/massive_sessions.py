"""
Massive's closed and short days to come: `GET /v1/marketstatus/upcoming`.

A row for each exchange and day; those of the New York Stock Exchange are read. There is no history, and the list ends
some months ahead. Whether today is listed is not documented, so that its absence says nothing.

Source:
    providers.md 4.2; vendor OpenAPI (`/v1/marketstatus/upcoming`) and the recorded answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from barfill.core.ranges import Range, from_us
from barfill.core.told_sessions import ToldSessions
from barfill.errors import BadResponse, EmptyRange, excerpt
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import read_instant
from barfill.providers.massive import URL
from barfill.providers.massive_errors import PROVIDER
from barfill.providers.sessions import ONE_DAY, SessionsQuery, sessions_with
from barfill.providers.strict_json import check_is_json, read_json

PATH = "/v1/marketstatus/upcoming"

_EXCHANGE = "NYSE"
_CLOSED = "closed"


class _Day(msgspec.Struct, gc=False):
    exchange: str
    date: date
    status: str
    name: str = ""
    open: str | None = None
    close: str | None = None


_DAYS = msgspec.json.Decoder(list[_Day])


class MassiveSessions:
    """
    The calendar of the provider `massive`.

    Args:
        key: `MASSIVE_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange.
    """

    name = PROVIDER

    def __init__(self, key: str, *, base_url: str | None = None) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._url = (base_url or URL).rstrip("/") + PATH

    def sessions_requests(self, query: SessionsQuery) -> Sequence[HttpRequest]:
        """One, without any parameter."""
        return (HttpRequest(self._url, {}, self._headers, PATH),)

    def parse_sessions(self, query: SessionsQuery, response: HttpResponse) -> ToldSessions:
        """From tomorrow, or today where it is listed, to the last day that is."""
        check_is_json(response)
        rows = read_json(response.body, _DAYS, "list of days")
        listed = [row for row in rows if row.exchange == _EXCHANGE and query.today <= row.date < query.end]
        days = [row.date for row in listed]
        first, end = min((query.today + ONE_DAY, *days)), max(days, default=query.today) + ONE_DAY
        return sessions_with(((row.date, _session(row), row.name) for row in listed), first, end)


def _session(row: _Day) -> Range | None:
    if row.status == _CLOSED:
        return None
    opens, closes = read_instant(row.open), read_instant(row.close)
    try:
        if opens is not None and closes is not None:
            return Range(from_us(opens), from_us(closes))
    except EmptyRange:
        pass
    raise BadResponse(
        f"{row.date} is neither closed nor has it hours: '{excerpt(row.status)}', from {row.open!r} to {row.close!r}.",
        reason="schema",
    )

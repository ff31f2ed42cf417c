"""
Alpaca's market calendar: `GET /v2/calendar` of the trading host.

Open days alone are listed, from 1970 to 2029, both bounds included. Regular hours come as `HH:MM`, extended ones, which
are not read, as `HHMM`, both in New York's time.

Source:
    providers.md 3.3; vendor OpenAPI (`/v2/calendar`) and the recorded answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from barfill.core.told_sessions import ToldSessions
from barfill.providers.alpaca import trading_url
from barfill.providers.alpaca_errors import CALENDAR_PATH, PROVIDER
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.sessions import ONE_DAY, SessionsQuery, by_day, local_session
from barfill.providers.strict_json import check_is_json, read_json


class _Session(msgspec.Struct, gc=False):
    date: date
    open: str
    close: str


_SESSIONS = msgspec.json.Decoder(list[_Session])


class AlpacaSessions:
    """
    The calendar of the provider `alpaca`.

    Args:
        key, secret: `ALPACA_API_KEY` and `ALPACA_API_SECRET`.
        base_url: Replaces the trading host, for instance by a simulated exchange.
    """

    name = PROVIDER

    def __init__(self, key: str, secret: str, *, base_url: str | None = None) -> None:
        self._headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self._url = trading_url(key, base_url) + CALENDAR_PATH

    def sessions_requests(self, query: SessionsQuery) -> Sequence[HttpRequest]:
        """One, for the whole range."""
        params = {"start": query.first.isoformat(), "end": query.last.isoformat()}
        return (HttpRequest(self._url, params, self._headers, f"{CALENDAR_PATH} {query}"),)

    def parse_sessions(self, query: SessionsQuery, response: HttpResponse) -> ToldSessions:
        """Up to the last session that is listed: a list that ends early says nothing of what follows."""
        check_is_json(response)
        rows = read_json(response.body, _SESSIONS, "calendar")
        asked = [row for row in rows if query.first <= row.date < query.end]
        hours, _ = by_day((row.date, local_session(row.date, row.open, row.close), "") for row in asked)
        sessions = {day: session for day, session in hours.items() if session is not None}
        return ToldSessions(query.first, max(sessions, default=query.first - ONE_DAY) + ONE_DAY, sessions)

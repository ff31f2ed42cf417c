"""
Finnhub's closed and short days: `GET /stock/market-holiday`.

Past and coming ones in one list without a range. `tradingHour` is empty where the market is closed, else its hours in
the time zone that the answer names.

Source:
    providers.md 6.1; vendor swagger (`/stock/market-holiday`), its sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import msgspec

from barfill.core.told_sessions import ToldSessions
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.finnhub import URL, VERSION
from barfill.providers.finnhub_errors import PROVIDER
from barfill.providers.instants import NEW_YORK
from barfill.providers.rows import check_variant
from barfill.providers.sessions import ONE_DAY, Listed, SessionsQuery, local_session, sessions_with
from barfill.providers.strict_json import check_is_json, read_json

PATH = "/stock/market-holiday"

_EXCHANGE = "US"


class _Day(msgspec.Struct, rename="camel", gc=False):
    at_date: date
    trading_hour: str
    event_name: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Day]
    exchange: str
    timezone: str


_ANSWER = msgspec.json.Decoder(_Answer)


class FinnhubSessions:
    """
    The calendar of the provider `finnhub`.

    Args:
        key: `FINNHUB_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange; with or without `/api/v1`.
    """

    name = PROVIDER

    def __init__(self, key: str, *, base_url: str | None = None) -> None:
        self._headers = {"X-Finnhub-Token": key}
        self._url = (base_url or URL).rstrip("/").removesuffix(VERSION) + VERSION + PATH

    def sessions_requests(self, query: SessionsQuery) -> Sequence[HttpRequest]:
        """One, which takes no range."""
        return (HttpRequest(self._url, {"exchange": _EXCHANGE}, self._headers, f"{PATH} {_EXCHANGE}"),)

    def parse_sessions(self, query: SessionsQuery, response: HttpResponse) -> ToldSessions:
        """Between the first and the last day that are listed: beyond them nothing is told."""
        check_is_json(response)
        answer = read_json(response.body, _ANSWER, "list of holidays")
        check_variant("exchange", answer.exchange, _EXCHANGE)
        check_variant("timezone", answer.timezone, NEW_YORK.key)
        days = [row.at_date for row in answer.data]
        first = max(query.first, min(days, default=query.end))
        end = min(query.end, max(days, default=query.first) + ONE_DAY)
        asked = (row for row in answer.data if first <= row.at_date < end)
        return sessions_with(map(_listed, asked), first, end)


def _listed(row: _Day) -> Listed:
    opens, _, closes = row.trading_hour.partition("-")
    session = local_session(row.at_date, opens, closes) if row.trading_hour else None
    return row.at_date, session, row.event_name or ""

"""
Finnhub as a whole: routes, keys, limits, and which code answers what.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import msgspec

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.finnhub import events, reference
from barfill.simulate.finnhub.dialect import FinnhubDialect
from barfill.simulate.finnhub.pages import make_page
from barfill.simulate.finnhub.queries import RESOLUTIONS, FinnhubQuery, parse_candle
from barfill.simulate.finnhub.refusals import EMPTY_KEY, INVALID_KEY, NO_KEY, error, no_access
from barfill.simulate.limits import SECOND_S, Allowance, Limit, SlidingWindow
from barfill.simulate.market.sessions import MINUTE_NS, NEW_YORK
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import BarsQuery, Page
from barfill.simulate.replies import JSON_TYPE, Reply, reply_of
from barfill.simulate.vendor import Asked, Dialect, Route

#: Requests a minute of the free plan (providers.md 6.4). Those of paying ones are not documented there: 300 here.
PLANS = {"free": 60, "paid": 300}
#: Over all plans.
REQUESTS_PER_SECOND = 30
_CSV_COLUMNS = ("t", "o", "h", "l", "c", "v")
_ENDPOINTS = {
    "/stock/candle": "candle",
    "/stock/split": "split",
    "/stock/dividend": "dividend",
    "/stock/dividend2": "dividend2",
    "/stock/earnings": "earnings",
    "/calendar/earnings": "earnings_calendar",
    "/stock/symbol": "symbols",
    "/ca/symbol-change": "symbol_change",
    "/stock/market-holiday": "holidays",
    "/stock/market-status": "market_status",
    "/quote": "quote",
    "/search": "search",
}


class Finnhub:
    """One symbol a request. The token is in a header or in the URL."""

    name = "finnhub"
    bars_endpoints = frozenset({"candle"})
    events_endpoints = frozenset({"split", "dividend"})
    calendar_endpoints = frozenset({"holidays"})
    # The official client puts two slashes behind its base.
    routes: tuple[Route, ...] = tuple(
        Route(f"/api/v1{slash}{path}", endpoint) for path, endpoint in _ENDPOINTS.items() for slash in ("", "/")
    )

    def __init__(self, market: Market, clock: MovableClock, config: ExchangeConfig) -> None:
        self.dialect: Dialect = FinnhubDialect()
        self.requests_per_minute = config.requests_per_minute or PLANS[config.plan]
        self._market = market
        self._clock = clock
        self._is_free = config.plan == "free"

    def new_limit(self) -> Limit:
        """Who allows more than 30 a second over a minute allows as many in each second."""
        per_second = max(REQUESTS_PER_SECOND, self.requests_per_minute // 60)
        return Limit(SlidingWindow(self.requests_per_minute), SlidingWindow(per_second, SECOND_S))

    def key_of(self, asked: Asked) -> str:
        return asked.params.get("token") or asked.headers.get("X-Finnhub-Token", "")

    def key_refusal(self, asked: Asked) -> Reply | None:
        key = self.key_of(asked)
        if key and key != "wrong":
            return None
        if key:
            return reply_of(401, error(INVALID_KEY))
        is_empty = "token" in asked.params or "X-Finnhub-Token" in asked.headers
        return reply_of(429, error(EMPTY_KEY)) if is_empty else reply_of(401, error(NO_KEY))

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        """None are documented."""
        return {}

    def unknown_path(self) -> Reply:
        return reply_of(404, error("Not found"))

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """CSV where candles are asked for in it."""
        is_page = asked.endpoint == "candle" and reply.status == 200 and reply.content_type == JSON_TYPE  # noqa: PLR2004
        return as_csv(reply) if is_page and asked.params.get("format") == "csv" else reply

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        return tuple(name for name in [asked.params.get("symbol", "")] if name)

    def timeframe(self, asked: Asked) -> Timeframe | None:
        return RESOLUTIONS.get(asked.params.get("resolution", ""))

    def query(self, asked: Asked) -> BarsQuery:
        if self._is_free:
            raise no_access()
        return parse_candle(asked.params)

    def page(self, query: BarsQuery) -> Page:
        assert isinstance(query, FinnhubQuery)
        return make_page(self._market, query, self._clock.now_ns(), self._today)

    def freshness(self, query: BarsQuery) -> object:
        """The minute, within which no bar appears."""
        return self._clock.now_ns() // MINUTE_NS

    def lookup(self, asked: Asked) -> Any:
        market, params, today, now_ns = self._market, asked.params, self._today, self._clock.now_ns()
        premium = events.PREMIUM.get(asked.endpoint)
        if premium is not None:
            if self._is_free:
                raise no_access()
            return premium(market, params, today)
        is_free = self._is_free
        answers: dict[str, Callable[[], Any]] = {
            "earnings": lambda: events.earnings(market, params, today, now_ns, is_free=is_free),
            "earnings_calendar": lambda: events.earnings_calendar(market, params, today, now_ns, is_free=is_free),
            "symbols": lambda: reference.symbols(market, params, today),
            "holidays": lambda: reference.holidays(params, today),
            "market_status": lambda: reference.market_status(params, now_ns),
            "quote": lambda: reference.quote(market, params, today, now_ns),
            "search": lambda: reference.search(market, params, today),
        }
        return answers[asked.endpoint]()

    @property
    def _today(self) -> date:
        return self._clock.now().astimezone(NEW_YORK).date()


def as_csv(reply: Reply) -> Reply:
    """The reply's arrays as CSV, only their names where there are none; what a fault has misshapen stays as it is."""
    try:
        arrays = msgspec.json.decode(reply.body)
        rows = zip(*(arrays[name] for name in _CSV_COLUMNS), strict=True) if "t" in arrays else ()
        lines = [",".join(map(str, row)) for row in rows]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return reply
    text = "\n".join([",".join(_CSV_COLUMNS), *lines]) + "\n"
    return replace(reply, body=text.encode(), content_type="text/csv", zipped=None)

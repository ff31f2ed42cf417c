"""
Alpaca as a whole: routes, keys, limits, and which code answers what.
"""

from typing import Any

from barfill.simulate.alpaca import reference
from barfill.simulate.alpaca.corporate import corporate_actions
from barfill.simulate.alpaca.crypto import AlpacaCryptoQuery, make_crypto_page, parse_crypto_query
from barfill.simulate.alpaca.dialect import DATA_ENDPOINTS, AlpacaDialect
from barfill.simulate.alpaca.pages import make_page
from barfill.simulate.alpaca.queries import AlpacaQuery, Entitlement, parse_query
from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.json_text import encode_json
from barfill.simulate.limits import Allowance, Limit, SlidingWindow
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, NEW_YORK, SECOND_NS
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe, named_timeframe
from barfill.simulate.queries import BarsQuery, Page
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Dialect, Route

#: Requests a minute of each plan (providers.md 3.6).
PLANS = {"free": 200, "paid": 10_000}
#: Pages that end this long before what is visible cannot change any more.
_SETTLED_AFTER_NS = 400 * 24 * HOUR_NS
_UNAUTHORIZED = 401


class Alpaca:
    """Both of its hosts, data and trading; each counts a key's requests apart."""

    name = "alpaca"
    bars_endpoints = DATA_ENDPOINTS
    events_endpoints: frozenset[str] = frozenset()
    calendar_endpoints = frozenset({"calendar"})
    routes: tuple[Route, ...] = (
        Route("/v2/stocks/bars", "bars"),
        Route("/v2/stocks/{symbol}/bars", "symbol_bars"),
        Route("/v1/corporate-actions", "corporate_actions"),
        Route("/v1beta3/crypto/{loc}/bars", "crypto_bars"),
        Route("/v2/assets", "assets", "trading"),
        Route("/v2/assets/{symbol}", "asset", "trading"),
        Route("/v2/calendar", "calendar", "trading"),
        Route("/v2/clock", "clock", "trading"),
    )

    def __init__(self, market: Market, crypto: CryptoMarket, clock: MovableClock, config: ExchangeConfig) -> None:
        self.dialect: Dialect = AlpacaDialect()
        self.requests_per_minute = config.requests_per_minute or PLANS[config.plan]
        self._market = market
        self._crypto = crypto
        self._clock = clock
        self._has_chicago_days = config.crypto_days == "chicago"
        self._is_free = config.plan == "free"
        self._wrong_key_status = config.wrong_key_status

    def new_limit(self) -> Limit:
        return Limit(SlidingWindow(self.requests_per_minute))

    def key_of(self, asked: Asked) -> str:
        return asked.headers.get("APCA-API-KEY-ID", "")

    def key_refusal(self, asked: Asked) -> Reply | None:
        key, secret = self.key_of(asked), asked.headers.get("APCA-API-SECRET-KEY", "")
        if asked.endpoint == "crypto_bars" and not key and not secret:
            return None
        if not key or not secret:
            return Reply(_UNAUTHORIZED, encode_json(self.dialect.rejected(_UNAUTHORIZED)))
        if "wrong" in {key, secret}:
            return Reply(self._wrong_key_status, encode_json(self.dialect.rejected(self._wrong_key_status)))
        return None

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(allowance.limit),
            "X-RateLimit-Remaining": str(allowance.remaining),
            "X-RateLimit-Reset": str(allowance.reset_s),
        }

    def unknown_path(self) -> Reply:
        return Reply(404, b'{"message":"Not Found"}')

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """All of it is JSON."""
        return reply

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        if "symbol" in asked.names:
            return (asked.names["symbol"],)
        return tuple(name for name in asked.params.get("symbols", "").split(",") if name)

    def timeframe(self, asked: Asked) -> Timeframe | None:
        return named_timeframe(asked.params.get("timeframe", ""))

    def query(self, asked: Asked) -> BarsQuery:
        if asked.endpoint == "crypto_bars":
            now_ns = self._clock.now_ns()
            return parse_crypto_query(asked.params, asked.names["loc"], now_ns, has_chicago_days=self._has_chicago_days)
        return parse_query(asked.params, asked.names.get("symbol"), self._market.listings, self._plan)

    def page(self, query: BarsQuery) -> Page:
        if isinstance(query, AlpacaCryptoQuery):
            return make_crypto_page(self._crypto, query, self._clock.now_ns())
        assert isinstance(query, AlpacaQuery)
        return make_page(self._market, query, self._plan.visible_ns(query.feed))

    def freshness(self, query: BarsQuery) -> object:
        """Bars appear minute by minute, so within a minute equal queries have equal answers; those of crypto grow."""
        if isinstance(query, AlpacaCryptoQuery):
            return self._clock.now_ns() // SECOND_NS
        visible_ns = self._plan.visible_ns(query.feed)
        return 0 if query.end_ns < visible_ns - _SETTLED_AFTER_NS else visible_ns // MINUTE_NS

    def lookup(self, asked: Asked) -> Any:
        names, now_ns = self._market.names, self._clock.now_ns()
        today = self._clock.now().astimezone(NEW_YORK).date()
        if asked.endpoint == "corporate_actions":
            return corporate_actions(self._market.listings, names, asked.params, today)
        if asked.endpoint == "assets":
            return reference.assets(self._market.listings, names, self._crypto, asked.params, today)
        if asked.endpoint == "asset":
            return reference.one_asset(self._market.listings, names, self._crypto, asked.names["symbol"], today)
        if asked.endpoint == "calendar":
            return reference.calendar(asked.params)
        return reference.clock(now_ns)

    @property
    def _plan(self) -> Entitlement:
        return Entitlement(self._is_free, self._clock.now_ns())

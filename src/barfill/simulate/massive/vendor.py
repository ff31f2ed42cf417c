"""
Massive as a whole: routes, keys, limits, and which code answers what.
"""

from collections.abc import Callable, Mapping
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.json_text import encode_json
from barfill.simulate.limits import Allowance, Limit, SlidingWindow
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import MINUTE_NS, SECOND_NS
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.massive.crypto import pair_rows, pair_tickers
from barfill.simulate.massive.dialect import MassiveDialect
from barfill.simulate.massive.events import (
    DIVIDENDS,
    NEW_DIVIDENDS,
    NEW_SPLITS,
    SPLITS,
    dividend_rows,
    new_dividend_rows,
    new_split_rows,
    split_rows,
)
from barfill.simulate.massive.links import VENDOR_URL, Links
from barfill.simulate.massive.lists import Listed, Row, list_page
from barfill.simulate.massive.open_close import open_close
from barfill.simulate.massive.pages import make_crypto_page, make_page
from barfill.simulate.massive.plan import PLANS, Plan
from barfill.simulate.massive.queries import MassiveQuery, parse_crypto_grouped, parse_grouped, parse_prev, parse_range
from barfill.simulate.massive.status import market_now, market_upcoming
from barfill.simulate.massive.tickers import TICKERS, one_ticker, ticker_events, ticker_rows
from barfill.simulate.massive.windows import timeframe_of
from barfill.simulate.queries import BarsQuery, Page, Refusal
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Dialect, Route

_BEARER = "Bearer "


class Massive:
    """The vendor that was Polygon.io. A key is in a header or in the URL."""

    name = "massive"
    bars_endpoints = frozenset({"aggs", "grouped", "crypto_grouped", "prev"})
    events_endpoints = frozenset({"splits", "dividends", "new_splits", "new_dividends"})
    calendar_endpoints = frozenset({"market_upcoming"})
    routes: tuple[Route, ...] = (
        Route("/v2/aggs/ticker/{ticker}/range/{multiplier}/{timespan}/{from}/{to}", "aggs"),
        Route("/v2/aggs/grouped/locale/us/market/stocks/{date}", "grouped"),
        Route("/v2/aggs/grouped/locale/global/market/crypto/{date}", "crypto_grouped"),
        Route("/v2/aggs/ticker/{ticker}/prev", "prev"),
        Route("/v1/open-close/{ticker}/{date}", "open_close"),
        Route("/v3/reference/tickers", "tickers"),
        Route("/v3/reference/tickers/{ticker}", "ticker"),
        Route("/vX/reference/tickers/{ticker}/events", "ticker_events"),
        Route("/v3/reference/splits", "splits"),
        Route("/v3/reference/dividends", "dividends"),
        Route("/stocks/v1/splits", "new_splits"),
        Route("/stocks/v1/dividends", "new_dividends"),
        Route("/v1/marketstatus/now", "market_now"),
        Route("/v1/marketstatus/upcoming", "market_upcoming"),
    )

    def __init__(
        self,
        market: Market,
        crypto: CryptoMarket,
        clock: MovableClock,
        config: ExchangeConfig,
        own_url: Callable[[], str],
    ) -> None:
        is_own = config.next_url_host == "own"
        self._links = Links((lambda: f"{own_url()}/massive") if is_own else (lambda: VENDOR_URL))
        self.dialect: Dialect = MassiveDialect(self._links)
        self.requests_per_minute = config.requests_per_minute or PLANS[config.plan]
        self._market = market
        self._crypto = crypto
        self._clock = clock
        self._is_free = config.plan == "free"

    def new_limit(self) -> Limit:
        return Limit(SlidingWindow(self.requests_per_minute))

    def key_of(self, asked: Asked) -> str:
        header = asked.headers.get("Authorization", "")
        if header.startswith(_BEARER):
            return header.removeprefix(_BEARER).strip()
        return asked.params.get("apiKey", "")

    def key_refusal(self, asked: Asked) -> Reply | None:
        if self.key_of(asked) in {"", "wrong"}:
            return Reply(401, encode_json(self.dialect.rejected(401)))
        return None

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        """None are documented."""
        return {}

    def unknown_path(self) -> Reply:
        return Reply(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """All of it is JSON."""
        return reply

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        if "ticker" in asked.names:
            return (asked.names["ticker"],)
        if asked.endpoint == "grouped":
            return tuple(sorted(self._market.names.by_ticker))
        if asked.endpoint == "crypto_grouped":
            return pair_tickers(self._crypto, self._plan.today)
        return tuple(name for name in [asked.params.get("ticker", "")] if name)

    def timeframe(self, asked: Asked) -> Timeframe | None:
        if asked.endpoint in {"grouped", "crypto_grouped", "prev"}:
            return Timeframe(1, "Day")
        try:
            found = timeframe_of(asked.names["multiplier"], asked.names["timespan"])
        except (KeyError, Refusal):
            return None
        # Scripts say w1 whatever day a vendor's weeks begin with.
        return Timeframe(found.amount, "Week") if found.unit == "SundayWeek" else found

    def query(self, asked: Asked) -> BarsQuery:
        if asked.endpoint == "aggs":
            return parse_range(asked.names, asked.params, self._plan)
        if asked.endpoint == "grouped":
            return parse_grouped(asked.names["date"], asked.params, self._market.names, self._plan)
        if asked.endpoint == "crypto_grouped":
            return parse_crypto_grouped(asked.names["date"], asked.params, self._crypto, self._plan)
        return parse_prev(asked.names["ticker"], asked.params, self._plan)

    def page(self, query: BarsQuery) -> Page:
        assert isinstance(query, MassiveQuery)
        if query.is_of_crypto:
            return make_crypto_page(self._crypto, query, self._clock.now_ns())
        return make_page(self._market, query, self._clock.now_ns())

    def freshness(self, query: BarsQuery) -> object:
        """
        The minute, within which no bar appears; of crypto, whose open bars grow, the second.

        Settled pages, too, are made anew in each: a split to come changes what is adjusted.
        """
        assert isinstance(query, MassiveQuery)
        return self._clock.now_ns() // (SECOND_NS if query.is_of_crypto else MINUTE_NS)

    def lookup(self, asked: Asked) -> Any:
        market, params, plan = self._market, asked.params, self._plan
        ticker = asked.names.get("ticker", "")
        answers: dict[str, Callable[[], Any]] = {
            "open_close": lambda: open_close(market, ticker, asked.names["date"], params, plan),
            "tickers": lambda: self._listed(TICKERS, asked, self._tickers),
            "ticker": lambda: one_ticker(market, self._crypto, ticker, params, plan.today),
            "ticker_events": lambda: ticker_events(market, ticker, plan.today),
            "splits": lambda: self._listed(SPLITS, asked, lambda given: split_rows(market, given, plan.today)),
            "dividends": lambda: self._listed(DIVIDENDS, asked, lambda given: dividend_rows(market, given, plan.today)),
            "new_splits": lambda: self._listed(
                NEW_SPLITS, asked, lambda given: new_split_rows(market, given, plan.today)
            ),
            "new_dividends": lambda: self._listed(
                NEW_DIVIDENDS, asked, lambda given: new_dividend_rows(market, given, plan.today, plan.now_ns)
            ),
            "market_now": lambda: market_now(plan.now_ns),
            "market_upcoming": lambda: market_upcoming(plan.today),
        }
        return answers[asked.endpoint]()

    def _tickers(self, given: Mapping[str, str]) -> list[Row]:
        if given.get("market") == "crypto":
            return pair_rows(self._crypto, given, self._plan.today)
        return ticker_rows(self._market, given, self._plan.today)

    def _listed(self, listed: Listed, asked: Asked, rows: Callable[[Mapping[str, str]], list[Row]]) -> Row:
        return list_page(listed, asked.params, rows, self._links)

    @property
    def _plan(self) -> Plan:
        return Plan(self._is_free, self._clock.now_ns())

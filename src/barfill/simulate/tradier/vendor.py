"""
Tradier as a whole: routes, tokens, limits, and which code answers what.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.limits import Allowance, Limit, StartedWindow
from barfill.simulate.market.sessions import MINUTE_NS, SECOND_NS
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import BarsQuery, Page
from barfill.simulate.replies import JSON_TYPE, Reply, reply_of
from barfill.simulate.tradier.clock import market_calendar, market_clock
from barfill.simulate.tradier.dialect import TradierDialect
from barfill.simulate.tradier.fundamentals import corporate_actions, dividends
from barfill.simulate.tradier.pages import make_page
from barfill.simulate.tradier.queries import (
    DAYS,
    MINUTES,
    Plan,
    TradierQuery,
    market_ticker,
    parse_history,
    parse_timesales,
)
from barfill.simulate.tradier.quotes import quotes
from barfill.simulate.tradier.xml_text import XML_TYPE, encode_xml
from barfill.simulate.vendor import Asked, Dialect, Route

#: Requests a minute of the sandbox and of a live token (providers.md 5.5).
PLANS = {"free": 60, "paid": 120}
_BEARER = "Bearer "
_UNAUTHORIZED = 401


class Tradier:
    """One symbol a request. Without ``Accept: application/json`` answers are XML."""

    name = "tradier"
    bars_endpoints = frozenset({"timesales", "history"})
    events_endpoints: frozenset[str] = frozenset()
    calendar_endpoints = frozenset({"calendar"})
    routes: tuple[Route, ...] = (
        Route("/v1/markets/timesales", "timesales"),
        Route("/v1/markets/history", "history"),
        Route("/v1/markets/calendar", "calendar"),
        Route("/v1/markets/clock", "clock"),
        Route("/v1/markets/quotes", "quotes"),
        Route("/beta/markets/fundamentals/dividends", "dividends"),
        Route("/beta/markets/fundamentals/corporate_actions", "corporate_actions"),
    )

    def __init__(self, market: Market, clock: MovableClock, config: ExchangeConfig) -> None:
        self.dialect: Dialect = TradierDialect()
        self.requests_per_minute = config.requests_per_minute or PLANS[config.plan]
        self._market = market
        self._clock = clock
        self._is_sandbox = config.plan == "free"

    def new_limit(self) -> Limit:
        return Limit(StartedWindow(self.requests_per_minute))

    def key_of(self, asked: Asked) -> str:
        header = asked.headers.get("Authorization", "")
        return header.removeprefix(_BEARER).strip() if header.startswith(_BEARER) else ""

    def key_refusal(self, asked: Asked) -> Reply | None:
        if self.key_of(asked) in {"", "wrong"}:
            return reply_of(_UNAUTHORIZED, self.dialect.rejected(_UNAUTHORIZED))
        return None

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        return {
            "X-Ratelimit-Allowed": str(allowance.limit),
            "X-Ratelimit-Used": str(allowance.limit - allowance.remaining),
            "X-Ratelimit-Available": str(allowance.remaining),
            "X-Ratelimit-Expiry": str(round(allowance.resets_at_s * 1000)),
        }

    def unknown_path(self) -> Reply:
        return reply_of(404, self.dialect.not_found("", ""))

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """XML unless the request says that it accepts JSON. Errors stay as they are."""
        is_page = reply.status == 200 and reply.content_type == JSON_TYPE  # noqa: PLR2004
        return as_xml(reply) if is_page and "json" not in asked.headers.get("Accept", "").lower() else reply

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        text = asked.params.get("symbol") or asked.params.get("symbols", "")
        return tuple(market_ticker(name) for name in text.split(",") if name)

    def timeframe(self, asked: Asked) -> Timeframe | None:
        interval = asked.params.get("interval", "")
        if asked.endpoint == "history":
            return DAYS.get(interval or "daily")
        return MINUTES.get(interval)

    def query(self, asked: Asked) -> BarsQuery:
        parse = parse_timesales if asked.endpoint == "timesales" else parse_history
        return parse(asked.params, self._plan)

    def page(self, query: BarsQuery) -> Page:
        assert isinstance(query, TradierQuery)
        plan = self._plan
        return make_page(self._market, query, plan.visible_ns, plan.today)

    def freshness(self, query: BarsQuery) -> object:
        """The second while the forming bar is in the answer, else the minute."""
        visible_ns = self._plan.visible_ns
        is_forming = query.timeframe.is_intraday and query.end_ns >= visible_ns - 15 * MINUTE_NS
        return visible_ns // (SECOND_NS if is_forming else MINUTE_NS)

    def lookup(self, asked: Asked) -> Any:
        market, params, plan = self._market, asked.params, self._plan
        answers: dict[str, Callable[[], Any]] = {
            "calendar": lambda: market_calendar(params, plan.today),
            "clock": lambda: market_clock(plan.now_ns),
            "quotes": lambda: quotes(market, params, plan),
            "dividends": lambda: dividends(market, params, plan),
            "corporate_actions": lambda: corporate_actions(market, params, plan),
        }
        return answers[asked.endpoint]()

    @property
    def _plan(self) -> Plan:
        return Plan(self._is_sandbox, self._clock.now_ns())


def as_xml(reply: Reply) -> Reply:
    """The reply's JSON as XML; what is no JSON object, since a fault has been there, stays as it is."""
    try:
        document = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        return reply
    # A list has no name of its own: its items need a root.
    root = document if isinstance(document, dict) else {"response": {"item": document}}
    return replace(reply, body=encode_xml(root), content_type=XML_TYPE, zipped=None)

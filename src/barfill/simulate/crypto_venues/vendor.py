"""
What crypto venues have in common as vendors: no key, one limit for all who ask, pairs by the venue's own names.
"""

from collections.abc import Mapping
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.crypto_venues.queries import CryptoQuery, crypto_page
from barfill.simulate.limits import SECOND_S, Allowance, Limit, SlidingWindow
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import SECOND_NS
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.venues import Traded
from barfill.simulate.queries import BarsQuery, Page
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Dialect, Document, Route

_WEEK = Timeframe(7, "Day")


class CryptoVendor:
    """A venue over the crypto market. A subclass gives it its routes, its pairs' names, its queries and its lists."""

    name: str
    dialect: Dialect
    routes: tuple[Route, ...]
    bars_endpoints: frozenset[str]
    events_endpoints: frozenset[str] = frozenset()
    calendar_endpoints: frozenset[str] = frozenset()
    #: Its own spelling of each timeframe.
    timeframes: Mapping[str, Timeframe]
    #: The parameter or the name in the path that says which pair, and the one that says which timeframe.
    pair_name: str
    timeframe_name: str

    def __init__(
        self,
        market: CryptoMarket,
        clock: MovableClock,
        config: ExchangeConfig,
        per_minute: int,
        per_second: int | None = None,
    ) -> None:
        self.requests_per_minute = config.requests_per_minute or per_minute
        # Whoever sets the limit of a minute means no other.
        self._per_second = per_second if config.requests_per_minute is None else None
        self._market = market
        self._clock = clock
        self._pairs = {self.native(one): one for one in market.venue(self.name).traded}

    def native(self, traded: Traded) -> str:
        """The venue's name of a pair."""
        raise NotImplementedError

    def new_limit(self) -> Limit:
        bursts = [] if self._per_second is None else [SlidingWindow(self._per_second, SECOND_S)]
        return Limit(SlidingWindow(self.requests_per_minute), *bursts)

    def key_of(self, asked: Asked) -> str:
        """There are no keys: the address counts, and here all have the same."""
        return ""

    def key_refusal(self, asked: Asked) -> Reply | None:
        return None

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        return {}

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """All of it is JSON."""
        return reply

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        traded = self.pair(self._text(asked, self.pair_name))
        return () if traded is None else (traded.symbol,)

    def timeframe(self, asked: Asked) -> Timeframe | None:
        found = self.timeframes.get(self._text(asked, self.timeframe_name))
        return Timeframe(1, "Week") if found == _WEEK else found

    def pair(self, text: str) -> Traded | None:
        """The pair that a request names."""
        return self._pairs.get(text)

    def page(self, query: BarsQuery) -> Page:
        assert isinstance(query, CryptoQuery)
        return crypto_page(self._market, query, self._clock.now_ns())

    def freshness(self, query: BarsQuery) -> object:
        """The bar under way changes each second, no other ever does."""
        assert isinstance(query, CryptoQuery)
        return self._clock.now_ns() // SECOND_NS if query.end_ns >= query.open_ns else 0

    @property
    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    def _text(self, asked: Asked, name: str) -> str:
        return asked.names.get(name) or asked.params.get(name, "")

    def lookup(self, asked: Asked) -> Any:
        raise NotImplementedError


def whole(text: str) -> int | None:
    """A number of digits only, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None  # noqa: PLR2004 -- int64


def message(text: str) -> Document:
    return {"message": text}

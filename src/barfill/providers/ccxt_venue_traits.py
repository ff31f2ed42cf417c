"""
What is known of crypto venues: what ccxt says of them, and what it does not.

Source:
    providers.md 8.1 and 8.3 (rows per call, order, `since`, weeks), ccxt 4.5.90's `describe` (rateLimit, costs, page
    sizes). A venue that is not in the table is used by ccxt's word alone, and trusted less: see `Traits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from barfill.core.capabilities import CRYPTO, Capabilities, PageCounts
from barfill.core.timeframe import Timeframe

DELAY = timedelta(seconds=60)
"""A venue may close a bar at the next trade only, seen 45 s late (T10)."""
PAGE_SIZE_MAX = 1_000
"""No more rows are asked for at a time, whatever ccxt thinks that a venue sends."""
PAGE_SIZE_UNKNOWN = 100
RATE_SHARE = 0.95
"""Of the limit that ccxt keeps to: a venue counts by its own clock, and its list of markets costs more than a page."""

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """
    Attributes:
        is_verified: Whether its paging is known. Of others, silence before the first row proves nothing.
        takes_end: Whether a request can name the end of its window.
        newest_only: Of each timeframe it sends the newest `page_size` rows, whatever it is asked for.
        weeks_from_monday: Whether its weeks are ISO weeks; others are made of days.
        cost: Of one page of bars, in units of ccxt's rateLimit.
        weight_max: What all requests of an address may weigh in a minute, where headers tell what they did.
        history_start: Nothing older is there.
        options: For ccxt.
        not_asked: What ccxt would ask besides spot markets, by a part of its URL; it is told that there is nothing.
    """

    is_verified: bool = False
    takes_end: bool = False
    newest_only: bool = False
    weeks_from_monday: bool = False
    cost: float = 1.0
    weight_max: int | None = None
    history_start: datetime | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    not_asked: str | None = None


_BINANCE = MappingProxyType({"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"})
_COINBASE_START = datetime(2015, 1, 1, tzinfo=UTC)

TRAITS: Mapping[str, Traits] = MappingProxyType(
    {
        "binance": Traits(
            is_verified=True,
            takes_end=True,
            weeks_from_monday=True,
            cost=0.4,
            weight_max=6_000,
            history_start=datetime(2017, 7, 1, tzinfo=UTC),
            options=_BINANCE,
        ),
        "binanceus": Traits(
            is_verified=True, takes_end=True, weeks_from_monday=True, weight_max=1_200, options=_BINANCE
        ),
        "coinbase": Traits(
            is_verified=True, takes_end=True, cost=3.0, history_start=_COINBASE_START, not_asked="product_type=FUTURE"
        ),
        "coinbaseexchange": Traits(is_verified=True, takes_end=True, history_start=_COINBASE_START),
        # Kraken's weeks begin on Thursdays, as those of the epoch do.
        "kraken": Traits(is_verified=True, newest_only=True, cost=1.2),
    }
)


def traits_of(venue: str) -> Traits:
    """What is known of *venue*; of an unknown one, what is safe to assume."""
    return TRAITS.get(venue) or Traits()


def capabilities_of(exchange: Any, *, page_size: int, requests_per_minute: int | None, is_real: bool) -> Capabilities:
    """
    What a venue can do.

    Args:
        exchange: Its object in ccxt.
        requests_per_minute: None is what ccxt keeps to.
        is_real: Whether it is the venue itself; a simulated exchange may replay bars of any year.
    """
    traits = traits_of(exchange.id)
    spacing_s = exchange.rateLimit / 1000 * traits.cost
    limit = requests_per_minute or max(1, int(RATE_SHARE * _MINUTE_S / spacing_s))
    known = {one for one in Timeframe if one.label in (exchange.timeframes or {})}
    timeframes = known if traits.weeks_from_monday else known - {Timeframe.W1}
    per_day = {one: timedelta(days=1) / one.length for one in timeframes if one.is_intraday}
    return Capabilities(
        provider=exchange.id,
        follows_companies=True,
        asset_types=CRYPTO,
        timeframes=frozenset(timeframes),
        symbols_per_call_max=1,
        symbols_length_max=100,
        page_size=page_size,
        page_counts=PageCounts.BARS,
        delay=DELAY,
        history_start=traits.history_start if is_real else None,
        has_extended_hours=False,
        requests_per_minute=limit,
        feed=exchange.id,
        bars_per_session=MappingProxyType({one: per_day.get(one, 1.0) for one in timeframes}),
        # The newest row is the open candle, and one more may close on the way.
        history_bars=page_size - 2 if traits.newest_only else None,
        spacing_s=min(spacing_s, _MINUTE_S / limit),
    )


def rows_max(exchange: Any) -> int:
    """How many bars a page of a venue holds at most, by ccxt's word."""
    spot = (exchange.features or {}).get("spot") or {}
    told = (spot.get("fetchOHLCV") or {}).get("limit")
    return min(int(told), PAGE_SIZE_MAX) if told else PAGE_SIZE_UNKNOWN

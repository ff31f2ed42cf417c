"""Job definitions as the engine plans them: symbols that want the same windows with the same urgency, together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from barfill.core.capabilities import Capabilities
from barfill.core.plan import Slice
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey, make_market
from barfill.engine.settings import EngineSettings
from barfill.store.database import Connection
from barfill.store.definitions import due_definitions
from barfill.store.symbols import Symbol, find_symbols


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """
    Attributes:
        priority: That of the most urgent definition of these symbols.
        definitions: By series, the definition that asks for it; the one with the longest window, if there are several.
    """

    market: Market
    priority: int
    definitions: Mapping[SeriesKey, int]

    def definition_of(self, one: Slice) -> int | None:
        """The definition that *one* serves; None where it serves several, or only what is derived from it."""
        found = {self.definitions.get((symbol_id, one.timeframe)) for symbol_id, _ in one.symbols}
        return found.pop() if len(found) == 1 else None


@dataclass(slots=True)
class _Wish:
    """What the definitions want of one symbol."""

    symbol_id: int
    priority: int = 0
    days: dict[Timeframe, int] = field(default_factory=dict)
    definitions: dict[Timeframe, int] = field(default_factory=dict)


def read_standing_orders(
    conn: Connection,
    capabilities: Capabilities,
    settings: EngineSettings,
    now: datetime,
    *,
    tickers: Collection[str] | None = None,
) -> tuple[StandingOrder, ...]:
    """
    All that enabled definitions want, the most urgent first; with *tickers*, of these symbols only.

    Raises:
        OutsideCalendar: A window reaches beyond the calendar.
    """
    wishes: dict[str, _Wish] = {}
    for definition in due_definitions(conn):
        for ticker, symbol_id in definition.symbol_ids.items():
            if tickers is not None and ticker not in tickers:
                continue
            wish = wishes.setdefault(ticker, _Wish(symbol_id))
            wish.priority = max(wish.priority, definition.priority)
            if definition.window_days > wish.days.get(definition.timeframe, 0):
                wish.days[definition.timeframe] = definition.window_days
                wish.definitions[definition.timeframe] = definition.id
    symbols = find_symbols(conn, wishes)
    alike: dict[tuple[int, str, tuple[tuple[Timeframe, int], ...]], list[Symbol]] = {}
    for ticker, wish in wishes.items():
        days = tuple((timeframe, wish.days[timeframe]) for timeframe in Timeframe if timeframe in wish.days)
        alike.setdefault((wish.priority, symbols[ticker].calendar, days), []).append(symbols[ticker])
    orders = []
    for (priority, calendar, days), members in alike.items():
        market = make_market(conn, calendar, members, _windows(days, now), capabilities, settings, now)
        definitions = {
            (symbol.id, timeframe): found
            for symbol in members
            for timeframe, found in wishes[symbol.ticker].definitions.items()
        }
        orders.append(StandingOrder(market, priority, definitions))
    return tuple(sorted(orders, key=lambda order: -order.priority))


def _windows(days: tuple[tuple[Timeframe, int], ...], now: datetime) -> dict[Timeframe, Range]:
    """From 00:00 UTC so many days ago, so that a window is the same all day long."""
    today = datetime.combine(now.date(), time(), UTC)
    return {timeframe: Range(today - timedelta(days=count), now) for timeframe, count in days}

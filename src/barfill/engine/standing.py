"""Job definitions as the engine plans them: symbols that want the same windows with the same urgency, together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from barfill.core.plan import Slice
from barfill.core.ranges import Range
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey, make_markets
from barfill.engine.settings import EngineSettings
from barfill.store.database import Connection
from barfill.store.definitions import due_definitions
from barfill.store.symbols import Symbol, find_symbols


class Claimant(NamedTuple):
    """A definition that wants a series: its place by urgency, its id, and since when it wants bars."""

    place: int
    id: int
    start: datetime


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """
    Attributes:
        priority: That of the most urgent definition of these symbols.
        claimants: By series, the definitions that want it.
    """

    market: Market
    priority: int
    claimants: Mapping[SeriesKey, Sequence[Claimant]]

    def definitions_of(self, one: Slice) -> tuple[int, ...]:
        """The definitions that want *one*, or what is derived from it; the most urgent first."""
        derived = {step.target for step in self.market.sources.derive if one.timeframe in step.candidates}
        found = {
            claimant
            for symbol_id, _ in one.symbols
            for timeframe in (one.timeframe, *derived)
            for claimant in self.claimants.get((symbol_id, timeframe), ())
        }
        # A slice before all windows completes the first week of one.
        wanting = {claimant for claimant in found if claimant.start < one.range.end} or found
        return tuple(claimant.id for claimant in sorted(wanting))


@dataclass(frozen=True, slots=True)
class StandingOrders:
    """
    Attributes:
        orders: All that can be asked for, the most urgent first.
        unserved: What no provider has that can be asked, a sentence each.
    """

    orders: tuple[StandingOrder, ...]
    unserved: tuple[str, ...]


@dataclass(slots=True)
class _Wish:
    """What the definitions want of one symbol."""

    symbol_id: int
    priority: int = 0
    days: dict[Timeframe, int] = field(default_factory=dict)
    claimants: dict[Timeframe, list[Claimant]] = field(default_factory=dict)


def read_standing_orders(
    conn: Connection,
    roster: Roster,
    settings: EngineSettings,
    now: datetime,
    *,
    tickers: Collection[str] | None = None,
) -> StandingOrders:
    """
    All that enabled definitions want, the most urgent first; with *tickers*, of these symbols only.

    Args:
        roster: The providers that can be asked.
    """
    wishes: dict[str, _Wish] = {}
    today = datetime.combine(now.date(), time(), UTC)
    for place, definition in enumerate(due_definitions(conn, tickers)):
        claimant = Claimant(place, definition.id, today - timedelta(days=definition.window_days))
        for ticker, symbol_id in definition.symbol_ids.items():
            wish = wishes.setdefault(ticker, _Wish(symbol_id))
            wish.priority = max(wish.priority, definition.priority)
            wish.days[definition.timeframe] = max(definition.window_days, wish.days.get(definition.timeframe, 0))
            wish.claimants.setdefault(definition.timeframe, []).append(claimant)
    symbols = find_symbols(conn, wishes)
    alike: dict[tuple[int, tuple[tuple[Timeframe, int], ...]], list[Symbol]] = {}
    for ticker, wish in wishes.items():
        days = tuple((timeframe, wish.days[timeframe]) for timeframe in Timeframe if timeframe in wish.days)
        alike.setdefault((wish.priority, days), []).append(symbols[ticker])
    orders: list[StandingOrder] = []
    unserved: list[str] = []
    for (priority, days), members in alike.items():
        markets, texts = make_markets(conn, members, _windows(days, now), roster, settings, now)
        unserved.extend(texts)
        for market in markets:
            claimants = {
                (symbol.id, timeframe): found
                for symbol in market.symbols
                for timeframe, found in wishes[symbol.ticker].claimants.items()
            }
            orders.append(StandingOrder(market, priority, claimants))
    return StandingOrders(tuple(sorted(orders, key=lambda one: -one.priority)), tuple(unserved))


def _windows(days: tuple[tuple[Timeframe, int], ...], now: datetime) -> dict[Timeframe, Range]:
    """From 00:00 UTC so many days ago, so that a window is the same all day long."""
    today = datetime.combine(now.date(), time(), UTC)
    return {timeframe: Range(today - timedelta(days=count), now) for timeframe, count in days}

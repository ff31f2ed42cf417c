"""
What a backfill reads from the ledger before it decides anything: symbols, windows, coverage, gaps, unfinished runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.capabilities import Capabilities
from barfill.core.plan import Sources, sources
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.errors import SymbolNotFound
from barfill.store import symbols as symbol_store
from barfill.store.database import Connection
from barfill.store.gaps import ListedGap, list_gaps
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol

SeriesKey = tuple[int, Timeframe]


@dataclass(frozen=True, slots=True)
class Market:
    """
    Symbols that share a calendar, and what is wanted of each of them.

    Attributes:
        windows: By timeframe, cut to what the provider offers and to the final horizon.
        sources: What of that is fetched and what derived.
    """

    calendar: TradingCalendar
    symbols: tuple[Symbol, ...]
    windows: Mapping[Timeframe, Range]
    sources: Sources

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """All that are fetched or derived, finest first."""
        wanted = set(self.windows) | set(self.sources.fetch)
        return tuple(timeframe for timeframe in Timeframe if timeframe in wanted)


def read_markets(
    conn: Connection, request: BackfillRequest, capabilities: Capabilities, settings: EngineSettings, now: datetime
) -> tuple[Market, ...]:
    """
    The symbols of *request* by calendar, with their windows; writes the calendars' sessions where they are new.

    Raises:
        SymbolNotFound: A ticker is not in the table.
        OutsideCalendar: A window reaches beyond the calendar.
    """
    found = symbol_store.find_symbols(conn, request.tickers)
    unknown = [ticker for ticker in request.tickers if ticker not in found]
    if unknown:
        raise SymbolNotFound(
            f"Symbol {', '.join(map(repr, unknown[:5]))} is not in the table. Add it: barfill symbols add {unknown[0]}"
        )
    by_calendar: dict[str, list[Symbol]] = {}
    for symbol in found.values():
        by_calendar.setdefault(symbol.calendar, []).append(symbol)
    return tuple(
        make_market(conn, name, symbols, request.windows, capabilities, settings, now)
        for name, symbols in by_calendar.items()
    )


def make_market(
    conn: Connection,
    calendar_name: str,
    symbols: Iterable[Symbol],
    wanted: Mapping[Timeframe, Range],
    capabilities: Capabilities,
    settings: EngineSettings,
    now: datetime,
) -> Market:
    """
    Symbols of one calendar with the windows *wanted* of each; writes the calendar's sessions where they are new.

    Raises:
        OutsideCalendar: A window reaches beyond the calendar.
    """
    calendar = trading_calendar(calendar_name, now.year + 1)
    symbol_store.sync_sessions(conn, calendar)
    windows = _windows(wanted, calendar, capabilities, now)
    plan = sources(windows, capabilities, h1_from_m15=settings.h1_from_m15, h4_from_m15=settings.h4_from_m15)
    return Market(calendar, tuple(sorted(symbols, key=lambda one: one.ticker.encode())), windows, plan)


def read_rows(conn: Connection, market: Market) -> dict[SeriesKey, SeriesRow]:
    """The ledger rows of all series of *market* that have one."""
    return read_series(conn, [symbol.id for symbol in market.symbols], market.timeframes)


def read_gaps(conn: Connection, market: Market) -> dict[SeriesKey, list[ListedGap]]:
    """All gaps on record of the series of *market*, whatever their kind."""
    gaps: dict[SeriesKey, list[ListedGap]] = {}
    listed = list_gaps(conn, symbol_ids=[symbol.id for symbol in market.symbols], timeframes=market.timeframes)
    for one in listed:
        gaps.setdefault((one.gap.symbol_id, one.timeframe), []).append(one)
    return gaps


def not_due(gaps: Iterable[ListedGap], now: datetime) -> Ranges:
    """The ranges that are not to be asked for before a later time."""
    return Ranges(one.gap.range for one in gaps if one.gap.next_check_at is not None and one.gap.next_check_at > now)


def ids_by_ticker(markets: Sequence[Market]) -> dict[str, int]:
    """Symbol ids of all *markets*."""
    return {symbol.ticker: symbol.id for market in markets for symbol in market.symbols}


def _windows(
    wanted: Mapping[Timeframe, Range], calendar: TradingCalendar, capabilities: Capabilities, now: datetime
) -> dict[Timeframe, Range]:
    windows: dict[Timeframe, Range] = {}
    for timeframe, window in wanted.items():
        start = max(window.start, capabilities.history_start or window.start)
        end = min(window.end, calendar.closed_until(timeframe, now, capabilities.delay))
        if start < end:
            windows[timeframe] = Range(start, end)
    return windows

"""How complete the stored series are, each from the first instant it covers to the final horizon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from barfill.core.calendar import trading_calendar
from barfill.core.completeness import KnownGap, completeness
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.report import SeriesState
from barfill.store.database import Connection, Database
from barfill.store.gaps import list_gaps
from barfill.store.series import read_series
from barfill.store.symbols import Symbol, find_symbols, read_active


def series_states(
    database: Database, tickers: Sequence[str] | None, *, delay: timedelta = timedelta(minutes=16)
) -> tuple[SeriesState, ...]:
    """
    One state per series on record, by ticker and timeframe; *tickers* None asks for all active symbols.

    Args:
        delay: How old a bar must be before it is expected.
    """
    now = database.now()
    return database.run(_read_states, tickers, now, delay)


def _read_states(
    conn: Connection, tickers: Sequence[str] | None, now: datetime, delay: timedelta
) -> tuple[SeriesState, ...]:
    symbols = read_active(conn) if tickers is None else list(find_symbols(conn, tickers).values())
    ids = None if tickers is None else [symbol.id for symbol in symbols]
    rows = read_series(conn, ids, list(Timeframe))
    gaps: dict[tuple[int, Timeframe], list[KnownGap]] = {}
    for one in list_gaps(conn, symbol_ids=ids):
        known = KnownGap(one.gap.range, one.gap.expected_bars, GapKind(one.gap.kind))
        gaps.setdefault((one.gap.symbol_id, one.timeframe), []).append(known)
    states = []
    for symbol in sorted(symbols, key=lambda one: one.ticker):
        for timeframe in Timeframe:
            row = rows.get((symbol.id, timeframe))
            if row is None:
                continue
            window = _window(symbol, timeframe, row.covered.hull, now, delay)
            has_failed = row.last_result == "fail"
            if window is None:
                states.append(SeriesState(symbol.ticker, timeframe, 0, 0, 0, has_failed))
                continue
            calendar = trading_calendar(symbol.calendar, now.year + 1)
            found = completeness(window, row.covered, gaps.get((symbol.id, timeframe), []), calendar, timeframe)
            states.append(
                SeriesState(symbol.ticker, timeframe, found.expected, found.present, found.settled, has_failed)
            )
    return tuple(states)


def _window(
    symbol: Symbol, timeframe: Timeframe, covered: Range | None, now: datetime, delay: timedelta
) -> Range | None:
    if covered is None:
        return None
    horizon = trading_calendar(symbol.calendar, now.year + 1).closed_until(timeframe, now, delay)
    return Range(covered.start, max(horizon, covered.end))

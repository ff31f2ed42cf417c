"""How complete the stored series are, each over what was asked for so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.completeness import KnownGap, completeness
from barfill.core.gaps import GapKind
from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.report import SeriesState
from barfill.store.database import Connection, Database
from barfill.store.gaps import list_gaps
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol, find_symbols, read_active


def series_states(database: Database, tickers: Sequence[str] | None) -> tuple[SeriesState, ...]:
    """One state per series on record, by ticker and timeframe; *tickers* None asks for all active symbols."""
    return database.run(_read_states, tickers, database.now())


def _read_states(conn: Connection, tickers: Sequence[str] | None, now: datetime) -> tuple[SeriesState, ...]:
    symbols = read_active(conn) if tickers is None else list(find_symbols(conn, tickers).values())
    ids = None if tickers is None else [symbol.id for symbol in symbols]
    rows = read_series(conn, ids, list(Timeframe))
    gaps: dict[tuple[int, Timeframe], list[KnownGap]] = {}
    for one in list_gaps(conn, symbol_ids=ids):
        known = KnownGap(one.gap.range, one.gap.expected_bars, GapKind(one.gap.kind))
        gaps.setdefault((one.gap.symbol_id, one.timeframe), []).append(known)
    states = []
    for symbol in sorted(symbols, key=lambda one: one.ticker):
        calendar = trading_calendar(symbol.calendar, now.year + 1)
        for timeframe in Timeframe:
            row = rows.get((symbol.id, timeframe))
            if row is not None:
                states.append(_state(symbol, row, gaps.get((symbol.id, timeframe), []), calendar))
    return tuple(states)


def _state(symbol: Symbol, row: SeriesRow, gaps: Sequence[KnownGap], calendar: TradingCalendar) -> SeriesState:
    """Over all that was asked for so far: covered, or a gap on record. What nobody asked for is not missing."""
    asked_for = row.covered | Ranges(gap.range for gap in gaps)
    parts = [completeness(part, row.covered, gaps, calendar, row.timeframe) for part in asked_for]
    return SeriesState(
        symbol.ticker,
        row.timeframe,
        expected=sum(part.expected for part in parts),
        present=sum(part.present for part in parts),
        settled=sum(part.settled for part in parts),
        has_failed=row.last_result == "fail",
    )

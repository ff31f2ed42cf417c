"""
The ledger against the table: bars that are covered, expected and on no gap, and that the table does not hold.

Somebody has deleted them, or a table was restored in part: no fetch would ever bring them back by itself, as what is
covered is not asked for. They go on record as missing and out of coverage, so that the next backfill fetches them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.absent import LockedSeries, locking_series, record_absent
from barfill.store.bars import stored_starts
from barfill.store.database import Connection, Database
from barfill.store.gaps import KnownGap, list_gaps
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol, find_by_ids, read_all
from barfill.store.writes import GapRecord

REASON = "was fetched before and is no longer in the table"
_AT_ONCE = timedelta(days=366)
"""So much of a series is read at once: a year of minutes is 100,000 bars."""


@dataclass(frozen=True, slots=True)
class AbsentBars:
    """A run of bars that the ledger has and the table has not."""

    ticker: str
    symbol_id: int
    timeframe: Timeframe
    range: Range
    bars: int


def find_absent(
    database: Database,
    symbol_ids: Sequence[int] | None,
    timeframes: Sequence[Timeframe],
    *,
    within: Range | None = None,
    records: bool = False,
) -> list[AbsentBars]:
    """
    The bars that are covered and not stored, by ticker, timeframe and time.

    Where a quiet stretch lacks more bars than it did, nobody can tell which of them were stored: all are told.

    Args:
        symbol_ids: None for all symbols on record.
        within: Only of this time; None looks at everything that is covered.
        records: Whether they go on record as missing, due at once, and out of coverage.

    Raises:
        StoreError: The tables cannot be read or written.
    """
    symbols = database.run(read_all) if symbol_ids is None else list(database.run(find_by_ids, symbol_ids).values())
    last_year = database.now().year + 1
    found: list[AbsentBars] = []
    for symbol in sorted(symbols, key=lambda one: one.ticker):
        calendar = trading_calendar(symbol.calendar, last_year)
        rows = database.run(read_series, [symbol.id], timeframes)
        for timeframe in timeframes:
            row = rows.get((symbol.id, timeframe))
            if row is None or not database.run(_absent, row, calendar, within):
                continue
            look = _record if records else _tell
            found.extend(database.run(look, symbol, timeframe, calendar, within))
    return found


def _tell(
    conn: Connection, symbol: Symbol, timeframe: Timeframe, calendar: TradingCalendar, within: Range | None
) -> list[AbsentBars]:
    row = read_series(conn, [symbol.id], [timeframe])[symbol.id, timeframe]
    return [AbsentBars(symbol.ticker, symbol.id, timeframe, *run) for run in _absent(conn, row, calendar, within)]


def _record(
    conn: Connection, symbol: Symbol, timeframe: Timeframe, calendar: TradingCalendar, within: Range | None
) -> list[AbsentBars]:
    """The same, on record; looked for once more while nobody writes the series."""
    with locking_series(conn, LockedSeries(symbol.id, timeframe)):
        found = _tell(conn, symbol, timeframe, calendar, within)
        gaps = [
            GapRecord(
                symbol_id=one.symbol_id,
                range=one.range,
                expected_bars=one.bars,
                kind="missing",
                reason=REASON,
                calendar_version=calendar.version,
            )
            for one in found
        ]
        if gaps:
            record_absent(
                conn,
                LockedSeries(symbol.id, timeframe),
                gaps,
                lambda _id, part: calendar.expected_starts(timeframe, part),
            )
    return found


def _absent(
    conn: Connection, row: SeriesRow, calendar: TradingCalendar, within: Range | None
) -> list[tuple[Range, int]]:
    """Runs of bars that are covered, not stored and on no gap, each with their number."""
    covered = row.covered & within if within is not None else row.covered
    hull = covered.hull
    if hull is None:
        return []
    gaps = [one.gap for one in list_gaps(conn, symbol_ids=[row.symbol_id], timeframes=[row.timeframe], within=hull)]
    runs: list[tuple[Range, int]] = []
    for part in _parts(covered):
        expected = calendar.expected_starts(row.timeframe, part)
        stored = stored_starts(conn, [row.symbol_id], row.timeframe, part)[row.symbol_id]
        absent = np.flatnonzero(~np.isin(expected, stored, assume_unique=True))
        absent = absent[~_is_on_record(expected, absent, [one for one in gaps if one.range & part])]
        runs.extend(_runs(expected, absent, calendar, row.timeframe))
    return runs


def _is_on_record(expected: NDArray[np.int64], absent: NDArray[np.intp], gaps: Iterable[KnownGap]) -> NDArray[np.bool_]:
    """Which of the absent bars a gap accounts for, shape (n,)."""
    accounted = np.zeros(len(absent), np.bool_)
    starts = expected[absent]
    for gap in gaps:
        inside = (starts >= to_us(gap.range.start)) & (starts < to_us(gap.range.end))
        # Bars lie between those of a quiet stretch: only their number tells whether one more has gone.
        if gap.kind != "no_trade" or int(inside.sum()) <= gap.expected_bars:
            accounted |= inside
    return accounted


def _runs(
    expected: NDArray[np.int64], absent: NDArray[np.intp], calendar: TradingCalendar, timeframe: Timeframe
) -> Iterable[tuple[Range, int]]:
    for part in np.split(absent, np.flatnonzero(np.diff(absent) > 1) + 1):
        if len(part):
            end = expected[part[-1]] + timeframe.length_us
            if timeframe.is_intraday:
                end = calendar.bar_ends(timeframe, expected[part[-1:]])[0]
            yield Range(from_us(int(expected[part[0]])), from_us(int(end))), len(part)


def _parts(covered: Ranges) -> Iterable[Range]:
    """*covered* in parts that are not too long to be read at once."""
    for one in covered:
        cuts: list[datetime] = [one.start]
        while one.end - cuts[-1] > _AT_ONCE:
            cuts.append(cuts[-1] + _AT_ONCE)
        for start, end in pairwise([*cuts, one.end]):
            yield Range(start, end)

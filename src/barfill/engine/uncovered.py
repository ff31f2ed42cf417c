"""What was never asked for between what was: the holes in a series' coverage that no gap accounts for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.gaps import list_gaps
from barfill.store.series import read_series
from barfill.store.symbols import find_by_ids


@dataclass(frozen=True, slots=True)
class UncoveredBars:
    """A range of a series that nobody has asked for yet, and how many bars are expected in it."""

    ticker: str
    timeframe: Timeframe
    range: Range
    bars: int


def find_uncovered(
    database: Database, symbol_ids: Sequence[int] | None, timeframes: Sequence[Timeframe]
) -> list[UncoveredBars]:
    """
    By ticker, timeframe and time, from the first to the last instant that was asked for of each series.

    Args:
        symbol_ids: None for all symbols on record.
    """
    rows = database.run(read_series, symbol_ids, timeframes)
    told = {key: row.covered for key, row in rows.items()}
    for one in database.run(list_gaps, symbol_ids=symbol_ids, timeframes=timeframes):
        key = (one.gap.symbol_id, one.timeframe)
        told[key] = told.get(key, Ranges()) | one.gap.range
    symbols = database.run(find_by_ids, sorted({symbol_id for symbol_id, _ in told}))
    last_year = database.now().year + 1
    found: list[UncoveredBars] = []
    for (symbol_id, timeframe), ranges in told.items():
        hull, symbol = ranges.hull, symbols[symbol_id]
        calendar = trading_calendar(symbol.calendar, last_year)
        for part in Ranges([hull]) - ranges if hull is not None else ():
            if bars := calendar.expected_count(timeframe, part):
                found.append(UncoveredBars(symbol.ticker, timeframe, part, bars))
    order = list(Timeframe)
    return sorted(found, key=lambda one: (one.ticker, order.index(one.timeframe), one.range.start))

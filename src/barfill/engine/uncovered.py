"""
The holes in a series' coverage that no gap accounts for: never asked for between what was, or to be derived again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.derived import read_derived
from barfill.store.gaps import list_gaps
from barfill.store.series import read_series
from barfill.store.symbols import find_by_ids


@dataclass(frozen=True, slots=True)
class UncoveredBars:
    """
    A range of a series, from the start of its first bar to the end of its last, and how many bars are expected in it.

    Attributes:
        is_to_derive: Whether its bars were derived before and their source has changed; else nobody has asked.
    """

    ticker: str
    timeframe: Timeframe
    range: Range
    bars: int
    is_to_derive: bool = False


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
    derived = database.run(read_derived, symbol_ids, timeframes)
    for one in database.run(list_gaps, symbol_ids=symbol_ids, timeframes=timeframes):
        key = (one.gap.symbol_id, one.timeframe)
        told[key] = told.get(key, Ranges()) | one.gap.range
    symbols = database.run(find_by_ids, sorted({symbol_id for symbol_id, _ in told}))
    last_year = database.now().year + 1
    found: list[UncoveredBars] = []
    for (symbol_id, timeframe), ranges in told.items():
        hull, symbol = ranges.hull, symbols[symbol_id]
        calendar = trading_calendar(symbol.calendar, last_year)
        holes = Ranges([hull]) - ranges if hull is not None else Ranges()
        made = Ranges(one for of_source in derived.get((symbol_id, timeframe), {}).values() for one in of_source)
        for parts, is_to_derive in ((holes - made, False), (holes & made, True)):
            for part in parts:
                starts = calendar.expected_starts(timeframe, part)
                if len(starts):
                    whole = Range(from_us(int(starts[0])), from_us(int(starts[-1]) + timeframe.length_us))
                    found.append(UncoveredBars(symbol.ticker, timeframe, whole, len(starts), is_to_derive))
    order = list(Timeframe)
    return sorted(found, key=lambda one: (one.ticker, order.index(one.timeframe), one.range.start))

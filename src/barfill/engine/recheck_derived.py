"""Derived bars against their sources: each is made again, in memory, and compared with what is stored."""

from __future__ import annotations

from collections.abc import Iterator

from barfill.core.audit import Discrepancy, not_as_made, within
from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.ranges import Range, Ranges
from barfill.core.resample import resample
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Ledger, weeks_of_years, whole_part
from barfill.store.database import Connection
from barfill.store.recheck import read_final


def misderived(
    conn: Connection, symbol_id: int, target: Timeframe, ledger: Ledger, calendar: TradingCalendar, window: Range | None
) -> Iterator[Discrepancy]:
    """
    The bars of a series that are not what its sources make now, by source and time.

    Args:
        ledger: Of the series and all that are finer.
        window: Only bars that start in it.
    """
    row = ledger.rows[symbol_id, target]
    for source, recorded in ledger.derived.get((symbol_id, target), {}).items():
        made_there = recorded & row.covered
        ranges = made_there & window if window is not None else made_there
        whole = whole_part(ledger.known((symbol_id, source)), source, target, calendar)
        for chunk in weeks_of_years(ranges):
            stored = _within(read_final(conn, symbol_id, target, chunk), ranges)
            held = Range(chunk.start, chunk.end + target.length)
            made = resample(read_final(conn, symbol_id, source, held), source, target, calendar)
            is_whole = within(stored.ts, whole)
            for ts in stored.ts[~is_whole].tolist():
                yield Discrepancy(ts, f"{source.label}, of which it was made, does not cover it any more")
            inside = Ranges([chunk]) & ranges & whole
            yield from not_as_made(stored.take(is_whole), _within(made, inside))


def _within(bars: BarColumns, ranges: Ranges) -> BarColumns:
    return bars.take(within(bars.ts, ranges))

"""Bars that are gone from the table: on record as missing, out of coverage, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection
from barfill.store.gaps import lock_series, replace_gaps
from barfill.store.pages import count_series, retract_coverage
from barfill.store.writes import Expected, GapRecord


class LockedSeries(NamedTuple):
    """One series that nobody else writes meanwhile."""

    symbol_id: int
    timeframe: Timeframe


@contextmanager
def locking_series(conn: Connection, series: LockedSeries) -> Iterator[None]:
    """A transaction during which nobody else writes the series."""
    with conn.transaction():
        lock_series(conn, series.timeframe, [series.symbol_id])
        yield


def record_absent(conn: Connection, series: LockedSeries, gaps: Sequence[GapRecord], expected: Expected) -> None:
    """
    Puts *gaps* of a locked series on record, takes them out of coverage and counts the series anew.

    Args:
        expected: As for `replace_gaps`.
    """
    ranges = {series.symbol_id: Ranges(gap.range for gap in gaps)}
    replace_gaps(conn, series.timeframe, ranges, gaps, expected)
    retract_coverage(conn, series.timeframe, ranges)
    count_series(conn, series.timeframe, [series.symbol_id])

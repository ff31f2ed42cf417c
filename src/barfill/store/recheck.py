"""Stored bars as they are read to be judged again: nothing here writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.bars import SQL as BARS_SQL
from barfill.store.binary_copy import as_columns, read_starts, read_stored
from barfill.store.database import Connection
from barfill.store.queries import load_queries

SQL = load_queries("recheck")


@dataclass(frozen=True, slots=True)
class Survey:
    """
    What is stored of a series.

    Attributes:
        strange: Bars of another feed than the series' policy.
        unplaced: Bars of years of which no calendar knows anything.
        first, last: Starts of the others; None where there are none.
    """

    count: int
    live: int
    strange: int
    unplaced: int
    first: datetime | None
    last: datetime | None


def survey_series(
    conn: Connection, symbol_id: int, timeframe: Timeframe, feed: str, wanted: Range | None, *, known: Range
) -> Survey:
    """
    The stored bars of a series in *wanted*, or all, in figures.

    Args:
        known: The years that the calendar knows.
    """
    parameters = {
        "symbol_id": symbol_id,
        "timeframe": timeframe.value,
        "feed": feed,
        "start": wanted.start if wanted else None,
        "end": wanted.end if wanted else None,
        "known_from": known.start,
        "known_until": known.end,
    }
    row = conn.execute(SQL["survey_series"], parameters, binary=True).fetchone()
    assert row is not None
    return Survey(*row)


def read_final(conn: Connection, symbol_id: int, timeframe: Timeframe, wanted: Range) -> BarColumns:
    """The final bars of a series that start in *wanted*, in time order; `symbol` is 0 in all rows."""
    parameters = {"symbol_id": symbol_id, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    stored = read_stored(conn, BARS_SQL["read_bars"], parameters)
    final = stored[stored["is_final"]]
    return as_columns(final, np.zeros(len(final), np.int32))


def final_starts(conn: Connection, symbol_id: int, timeframe: Timeframe, wanted: Range) -> NDArray[np.int64]:
    """The starts of the final bars of a series in *wanted*: int64 microseconds UTC, increasing."""
    parameters = {"symbol_id": symbol_id, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    return np.ascontiguousarray(read_starts(conn, SQL["final_starts"], parameters)["ts"])


def flagged_starts(conn: Connection, symbol_id: int, timeframe: Timeframe, wanted: Range) -> NDArray[np.int64]:
    """The starts of those that are flagged as lying outside of regular hours: int64 microseconds UTC, increasing."""
    parameters = {"symbol_id": symbol_id, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    return np.ascontiguousarray(read_starts(conn, SQL["flagged_starts"], parameters)["ts"])

"""The bars of a series in parts that fit into memory, all of one moment."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.bars import read_rows
from barfill.store.binary_copy import StoredRows
from barfill.store.queries import load_queries

SQL = load_queries("export")

PART_BARS = 100_000
"""The most bars of a part: a part lasts as long as so many of them."""


def read_parts(
    conn: psycopg.Connection[TupleRow],
    symbol_id: int,
    timeframe: Timeframe,
    wanted: Range | None,
    *,
    as_of: datetime | None = None,
) -> Generator[StoredRows, None, None]:
    """
    The bars of one series in time order, in parts of at most 100,000; none is empty.

    All parts are of one snapshot, whatever others write meanwhile: the connection is in a transaction of its own until
    the last part was taken, or the iterator is closed.

    Args:
        wanted: Only bars that start in it; None takes all.
        as_of: As they were stored at this instant of the database's clock; None reads what is stored now.
    """
    with conn.transaction():
        conn.execute(b"set transaction isolation level repeatable read, read only")
        named = {"symbol_id": symbol_id, "timeframe": timeframe.value}
        row = conn.execute(SQL["read_bounds"], named, binary=True).fetchone()
        assert row is not None
        if row[0] is None:
            return
        held = Range(row[0], row[1] + timedelta(microseconds=1))
        stretch = held if wanted is None else held & wanted
        if stretch is None:
            return
        for part in _parts(stretch, timeframe.length * PART_BARS):
            rows = read_rows(conn, symbol_id, timeframe, part, as_of=as_of)
            if len(rows):
                yield rows


def _parts(stretch: Range, length: timedelta) -> Iterator[Range]:
    start = stretch.start
    while start < stretch.end:
        end = min(start + length, stretch.end)
        yield Range(start, end)
        start = end

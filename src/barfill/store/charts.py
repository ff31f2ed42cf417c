"""What a chart shows of one series: its newest bars, and how its ledger stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.binary_copy import StoredRows, read_stored
from barfill.store.queries import load_queries
from barfill.store.writes import OPEN_KINDS

SQL = load_queries("charts")


@dataclass(frozen=True, slots=True)
class ChartLedger:
    """
    What is on record of a series.

    Attributes:
        from_ts, to_ts: The first and the last instant that is covered; None where nothing is.
        gaps_found: Gaps that may still fill.
        is_wanted: Whether a definition that is switched on keeps it complete.
        was_run: Whether anything of it was ever asked for.
    """

    from_ts: datetime | None
    to_ts: datetime | None
    last_success_at: datetime | None
    last_error_code: str | None
    last_error: str | None
    bar_count: int
    gaps_found: int
    is_wanted: bool
    was_run: bool


def read_newest(
    conn: psycopg.Connection[TupleRow], symbol_id: int, timeframe: Timeframe, wanted: Range, limit: int
) -> StoredRows:
    """The newest *limit* bars of a series that start in *wanted*, in time order."""
    parameters = {
        "symbol_id": symbol_id,
        "timeframe": timeframe.value,
        "start": wanted.start,
        "end": wanted.end,
        "limit": limit,
    }
    return read_stored(conn, SQL["read_newest"], parameters)


def read_ledger(conn: psycopg.Connection[TupleRow], symbol_id: int, ticker: str, timeframe: Timeframe) -> ChartLedger:
    """How the series stands; of one that nobody has touched, nothing but whether it is wanted."""
    parameters = {
        "symbol_id": symbol_id,
        "ticker": ticker,
        "timeframe": timeframe.value,
        "open_kinds": list(OPEN_KINDS),
    }
    row = conn.execute(SQL["read_ledger"], parameters, binary=True).fetchone()
    assert row is not None
    return ChartLedger(*row)


def is_being_fetched(
    conn: psycopg.Connection[TupleRow], symbol_id: int, timeframes: Iterable[Timeframe], wanted: Range
) -> bool:
    """Whether an unfinished run may still bring bars of *wanted*; those that only read again do not count."""
    parameters = {
        "symbol_id": symbol_id,
        "timeframes": [timeframe.value for timeframe in timeframes],
        "start": wanted.start,
        "end": wanted.end,
    }
    row = conn.execute(SQL["is_being_fetched"], parameters).fetchone()
    return row is not None and bool(row[0])

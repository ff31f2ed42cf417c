"""The ledger: per series its source policy, its coverage and its counters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.page import RAW
from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("series")


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """
    One symbol at one timeframe, as the ledger knows it.

    Attributes:
        covered: What is known to be completely fetched.
        oldest_ts, newest_ts: The first and the last start stored; None where nothing is.
        density: The share of expected bars that the series usually has; None where unknown.
        last_provider: Who brought what was stored last; None before anything was.
        last_result: `ok`, `fail`, or None before the first run.
    """

    symbol_id: int
    timeframe: Timeframe
    feed: str
    basis: str
    covered: Ranges
    oldest_ts: datetime | None
    newest_ts: datetime | None
    bar_count: int
    density: float | None
    last_provider: str | None
    last_success_at: datetime | None
    last_result: str | None
    last_error_code: str | None
    last_error: str | None
    last_run_at: datetime | None


def read_series(
    conn: psycopg.Connection[TupleRow], symbol_ids: Iterable[int] | None, timeframes: Iterable[Timeframe]
) -> dict[tuple[int, Timeframe], SeriesRow]:
    """The series on record among the wanted ones; None asks for all symbols. A series never touched has no row."""
    named = {timeframe.value: timeframe for timeframe in timeframes}
    parameters = {
        "symbol_ids": None if symbol_ids is None else list(symbol_ids),
        "timeframes": list(named),
    }
    found: dict[tuple[int, Timeframe], SeriesRow] = {}
    for symbol_id, name, *rest in conn.execute(SQL["read_series"], parameters, binary=True):
        timeframe = named[name]
        found[symbol_id, timeframe] = SeriesRow(symbol_id, timeframe, *rest)
    return found


def read_policies(
    conn: psycopg.Connection[TupleRow], symbol_ids: Sequence[int]
) -> dict[int, dict[Timeframe, tuple[str, str]]]:
    """Feed and basis of the series that hold something, by symbol id and timeframe."""
    found: dict[int, dict[Timeframe, tuple[str, str]]] = {}
    for symbol_id, name, feed, basis in conn.execute(SQL["read_policies"], {"symbol_ids": list(symbol_ids)}):
        found.setdefault(symbol_id, {})[Timeframe(name)] = (feed, basis)
    return found


def read_providers(conn: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """The names of all that have brought what series hold, in alphabetical order."""
    return tuple(name for (name,) in conn.execute(SQL["read_providers"]))


def fingerprint(conn: psycopg.Connection[TupleRow]) -> tuple[object, ...]:
    """Of all that derived bars depend on: while it is the same, nothing new is to be derived."""
    row = conn.execute(SQL["fingerprint"]).fetchone()
    assert row is not None
    return row


def note_failure(
    conn: psycopg.Connection[TupleRow],
    symbol_ids: Sequence[int],
    timeframe: Timeframe,
    *,
    feed: str,
    error_code: str,
    message: str,
    basis: str = RAW,
) -> None:
    """Records what went wrong last with these series, for people; nothing is judged by it."""
    parameters = {
        "symbol_ids": list(symbol_ids),
        "timeframe": timeframe.value,
        "feed": feed,
        "basis": basis,
        "error_code": error_code,
        "message": message,
    }
    conn.execute(SQL["note_failure"], parameters)

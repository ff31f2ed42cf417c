"""What people look at: freshness per series, counts of runs, gaps and calls. Nothing here scans bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("status")


@dataclass(frozen=True, slots=True)
class StatusRow:
    """A row of `backfill_status`: how far a series reaches, and how its last run went."""

    symbol_id: int
    ticker: str
    timeframe: Timeframe
    oldest_ts: datetime | None
    newest_ts: datetime | None
    bar_count: int
    days_behind: int | None
    sessions_behind: int | None
    last_run_at: datetime | None
    last_result: str | None
    last_error_code: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class GapCount:
    """Gaps of one kind in one series, and how many bars they miss; of those, what is settled by a rule or a person."""

    gaps: int
    bars: int
    settled_gaps: int = 0
    settled_bars: int = 0


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What some runs took and brought."""

    requests_made: int
    rows_written: int
    rows_received: int


@dataclass(frozen=True, slots=True)
class SeriesSums:
    """Of one timeframe: series, their stored bars, how many of them failed last, how many are over a session behind."""

    series: int
    bars: int
    failed: int
    behind: int


@dataclass(frozen=True, slots=True)
class RunSums:
    """Runs of one status: how many, the bars that they wrote, the requests that they made."""

    runs: int
    bars_written: int
    calls: int


def read_status(conn: psycopg.Connection[TupleRow], symbol_ids: Iterable[int] | None = None) -> list[StatusRow]:
    """The series on record by ticker and timeframe; None asks for all symbols."""
    found = conn.execute(SQL["read_status"], {"symbol_ids": _ids(symbol_ids)}, binary=True)
    return [StatusRow(row[0], row[1], Timeframe(row[2]), *row[3:]) for row in found]


def count_runs(conn: psycopg.Connection[TupleRow], since: datetime) -> dict[str, int]:
    """Runs by status: all unfinished ones, and those that finished at or after *since*."""
    return dict(conn.execute(SQL["count_runs"], {"since": since}).fetchall())


def count_gaps(
    conn: psycopg.Connection[TupleRow], symbol_ids: Iterable[int] | None = None
) -> dict[tuple[int, Timeframe, str], GapCount]:
    """Gaps on record by symbol id, timeframe and kind; None asks for all symbols."""
    found = conn.execute(SQL["count_gaps"], {"symbol_ids": _ids(symbol_ids)}, binary=True)
    return {(row[0], Timeframe(row[1]), row[2]): GapCount(*row[3:]) for row in found}


def sum_series(conn: psycopg.Connection[TupleRow]) -> dict[Timeframe, SeriesSums]:
    """All series on record, summed by timeframe."""
    return {Timeframe(row[0]): SeriesSums(*row[1:]) for row in conn.execute(SQL["sum_series"], binary=True)}


def sum_kept_runs(conn: psycopg.Connection[TupleRow]) -> dict[str, RunSums]:
    """All runs that are kept, summed by status."""
    return {row[0]: RunSums(*row[1:]) for row in conn.execute(SQL["sum_kept_runs"], binary=True)}


def sum_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int]) -> RunTotals:
    """API calls made and rows written by these runs."""
    row = conn.execute(SQL["sum_requests"], {"run_ids": list(run_ids)}).fetchone()
    assert row is not None
    return RunTotals(*row)


def _ids(symbol_ids: Iterable[int] | None) -> list[int] | None:
    return None if symbol_ids is None else list(symbol_ids)

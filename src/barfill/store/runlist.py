"""Job runs as people look at them: listed, counted, watched. Nothing here changes one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import JobRunNotFound
from barfill.store.queries import load_queries
from barfill.store.workers import HEARTBEAT_PATIENCE_S

SQL = load_queries("runlist")

Status = Literal["queued", "running", "success", "failed", "cancelled"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRun:
    """
    All that is known of a run.

    Attributes:
        is_alive: Whether a living worker is on it; false of all that are not running.
        actual_cost: API calls made.
        attempt: How often it failed in a way that passes, and was queued again.
        page_no: Pages written.
        page_token: The provider's word for the page that comes next.
        calendar_version: By which calendar it was planned; None of runs that were made before this was kept.
    """

    id: int
    job_def_id: int | None
    symbols: tuple[str, ...]
    timeframe: Timeframe
    job_type: str
    range: Range
    status: Status
    is_alive: bool
    progress_percent: float
    rows_written: int
    rows_received: int
    provider: str
    feed: str
    basis: str
    actual_cost: int
    attempt: int
    error_code: str | None
    error_message: str | None
    reason: str | None
    triggered_by: str
    epoch: int
    worker: str | None
    heartbeat_at: datetime | None
    page_no: int
    page_token: str | None
    request_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    calendar_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant: those that fit all that is not None."""

    statuses: Sequence[Status] | None = None
    symbol_id: int | None = None
    timeframes: Sequence[Timeframe] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How many runs ended in which way."""

    success: int
    failed: int
    cancelled: int


ALL_RUNS = RunFilter()


def list_runs(conn: psycopg.Connection[TupleRow], wanted: RunFilter = ALL_RUNS, *, limit: int) -> list[ListedRun]:
    """Runs, the newest first."""
    return _listed(conn, _parameters(wanted), limit=limit)


def find_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int]) -> list[ListedRun]:
    """
    The runs of these ids, each once, in the order given.

    Raises:
        JobRunNotFound: One does not exist.
    """
    found = {run.id: run for run in _listed(conn, _parameters(ALL_RUNS), ids=list(run_ids), limit=len(run_ids))}
    unknown = [run_id for run_id in run_ids if run_id not in found]
    if unknown:
        raise JobRunNotFound(f"There is no job run {unknown[0]}, or no longer. See: barfill jobs list")
    return [found[run_id] for run_id in dict.fromkeys(run_ids)]


def open_runs(conn: psycopg.Connection[TupleRow], *, queued_max: int) -> list[ListedRun]:
    """The running runs, the oldest first, and behind them the first of the queue."""
    running = RunFilter(statuses=("running",))
    runs = _listed(conn, _parameters(running), limit=None)
    ids = [row[0] for row in conn.execute(SQL["next_in_queue"], {"limit": queued_max})]
    queued = _listed(conn, _parameters(RunFilter(statuses=("queued",))), ids=ids, limit=None)
    return [*reversed(runs), *reversed(queued)]


def count_by_status(conn: psycopg.Connection[TupleRow], wanted: RunFilter = ALL_RUNS) -> dict[Status, int]:
    """How many runs there are in each state, in the order in which a run goes through them."""
    counts: dict[Status, int] = dict(conn.execute(SQL["count_runs"], _parameters(wanted)).fetchall())
    return {status: counts[status] for status in STATUSES if status in counts}


def runs_in(conn: psycopg.Connection[TupleRow], status: Status, provider: str | None = None) -> list[int]:
    """The ids of all runs in this state, or of those of one provider."""
    return [row[0] for row in conn.execute(SQL["with_status"], {"status": status, "provider": provider})]


def ended_since(conn: psycopg.Connection[TupleRow], since: datetime) -> Ended:
    """How the runs ended that ended at *since* or later."""
    row = conn.execute(SQL["ended_since"], {"since": since}).fetchone()
    assert row is not None
    return Ended(*row)


def _parameters(wanted: RunFilter) -> dict[str, object]:
    return {
        "statuses": None if wanted.statuses is None else list(wanted.statuses),
        "symbol_id": wanted.symbol_id,
        "timeframes": None if wanted.timeframes is None else _names(wanted.timeframes),
    }


def _names(timeframes: Iterable[Timeframe]) -> list[str]:
    return [timeframe.value for timeframe in timeframes]


def _listed(
    conn: psycopg.Connection[TupleRow],
    parameters: dict[str, object],
    *,
    ids: Sequence[int] | None = None,
    limit: int | None,
) -> list[ListedRun]:
    more = {"ids": ids, "limit": limit, "patience_s": HEARTBEAT_PATIENCE_S}
    found = conn.execute(SQL["list_runs"], parameters | more, binary=True)
    return [
        ListedRun(
            id=row[0],
            job_def_id=row[1],
            symbols=tuple(row[2]),
            timeframe=Timeframe(row[3]),
            job_type=row[4],
            range=Range(row[5], row[6]),
            status=row[7],
            is_alive=row[8],
            progress_percent=row[9],
            rows_written=row[10],
            rows_received=row[11],
            provider=row[12],
            feed=row[13],
            basis=row[14],
            actual_cost=row[15],
            attempt=row[16],
            error_code=row[17],
            error_message=row[18],
            reason=row[19],
            triggered_by=row[20],
            epoch=row[21],
            worker=row[22],
            heartbeat_at=row[23],
            page_no=row[24],
            page_token=row[25],
            request_id=row[26],
            created_at=row[27],
            started_at=row[28],
            finished_at=row[29],
            updated_at=row[30],
            calendar_version=row[31],
        )
        for row in found
    ]

"""
Job runs: created, claimed, finished. `pages.py` moves a claimed run from page to page.

A run is `queued` until a worker claims it, `running` under that worker's epoch, and ends once: as `success` with
the page that closes its chain, or as `failed` or `cancelled` here. Claiming counts the epoch up, and every later
change is fenced by it, so a worker that was taken for dead can do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.page import RAW
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped
from barfill.store.queries import load_queries
from barfill.store.workers import HEARTBEAT_PATIENCE_S, Worker

SQL = load_queries("runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """One slice to fetch: a range of one timeframe for a batch of symbols, tickers and ids in the same order."""

    symbols: tuple[str, ...]
    symbol_ids: tuple[int, ...]
    timeframe: Timeframe
    range: Range
    provider: str
    feed: str
    basis: str = RAW
    job_type: str = "fetch_historical"
    triggered_by: str = "user"
    job_def_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun:
    """A run under this worker's epoch, at the page it had reached; `attempt` counts earlier failures."""

    id: int
    epoch: int
    page_no: int
    page_token: str | None
    open_symbol_id: int | None
    open_until: datetime | None
    seen_symbol_ids: tuple[int, ...]
    symbols: tuple[str, ...]
    symbol_ids: tuple[int, ...]
    timeframe: Timeframe
    range: Range
    provider: str
    feed: str
    basis: str
    attempt: int
    actual_cost: int
    rows_written: int
    progress_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A queued or running run; `is_alive` says whether the worker it belongs to lives."""

    id: int
    status: str
    epoch: int
    worker: str | None
    is_alive: bool
    symbols: tuple[str, ...]
    symbol_ids: tuple[int, ...]
    timeframe: Timeframe
    range: Range
    provider: str
    feed: str
    basis: str
    page_no: int
    progress_percent: float
    attempt: int


def create_runs(conn: psycopg.Connection[TupleRow], runs: Sequence[NewRun]) -> list[int]:
    """The ids of the new runs, in the order given; one statement, all or none."""
    rows = [
        {
            "symbol": run.symbols[0] if len(run.symbols) == 1 else None,
            "symbols_array": run.symbols,
            "symbol_ids": run.symbol_ids,
            "timeframe": run.timeframe.value,
            "job_type": run.job_type,
            "slice_from": run.range.start.isoformat(),
            "slice_to": run.range.end.isoformat(),
            "provider": run.provider,
            "feed": run.feed,
            "basis": run.basis,
            "triggered_by": run.triggered_by,
            "job_def_id": run.job_def_id,
        }
        for run in runs
    ]
    return sorted(row[0] for row in conn.execute(SQL["create"], {"runs": json.dumps(rows)}))


def claim_run(
    conn: psycopg.Connection[TupleRow], run_id: int, worker: Worker, *, seen_epoch: int | None = None
) -> ClaimedRun | None:
    """
    Takes the run over, or gives None where there is nothing to do: it is finished, or unknown.

    Args:
        seen_epoch: Claim only if nobody else has claimed it since it was listed with this epoch.
    """
    parameters = {"run_id": run_id, "worker": worker.id, "has_lock": worker.has_lock, "seen_epoch": seen_epoch}
    row = conn.execute(SQL["claim"], parameters, binary=True).fetchone()
    if row is None:
        return None
    return ClaimedRun(
        id=row[0],
        epoch=row[1],
        page_no=row[2],
        page_token=row[3],
        open_symbol_id=row[4],
        open_until=row[5],
        seen_symbol_ids=tuple(row[6]),
        symbols=tuple(row[7]),
        symbol_ids=tuple(row[8]),
        timeframe=Timeframe(row[9]),
        range=Range(row[10], row[11]),
        provider=row[12],
        feed=row[13],
        basis=row[14],
        attempt=row[15],
        actual_cost=row[16],
        rows_written=row[17],
        progress_percent=row[18],
    )


def heartbeat(conn: psycopg.Connection[TupleRow], worker: Worker) -> dict[int, int]:
    """Shows that the worker lives; gives the runs that are still its own, with their epochs."""
    return dict(conn.execute(SQL["beat"], {"worker": worker.id}).fetchall())


def requeue_run(conn: psycopg.Connection[TupleRow], run_id: int, epoch: int, *, reason: str, message: str) -> None:
    """
    Back into the queue after a failure that passes; counts an attempt.

    Raises:
        PageDropped: The run is no longer this worker's.
    """
    parameters = {"run_id": run_id, "epoch": epoch, "reason": reason, "message": message}
    _fenced(conn.execute(SQL["requeue"], parameters), run_id, epoch)


def release_run(conn: psycopg.Connection[TupleRow], run_id: int, epoch: int) -> None:
    """
    Back into the queue as it is, for whoever goes on with it: its worker was asked to stop.

    Raises:
        PageDropped: The run is no longer this worker's.
    """
    _fenced(conn.execute(SQL["release"], {"run_id": run_id, "epoch": epoch}), run_id, epoch)


def restart_chain(conn: psycopg.Connection[TupleRow], run_id: int, epoch: int) -> None:
    """
    Forgets a page token that is no longer good; go on from what is not covered.

    Raises:
        PageDropped: The run is no longer this worker's.
    """
    _fenced(conn.execute(SQL["restart_chain"], {"run_id": run_id, "epoch": epoch}), run_id, epoch)


def fail_run(
    conn: psycopg.Connection[TupleRow],
    run_id: int,
    epoch: int,
    *,
    error_code: str,
    reason: str,
    message: str,
    requests_made: int = 0,
) -> None:
    """
    Ends the run as failed.

    Raises:
        PageDropped: The run is no longer this worker's, or is finished.
    """
    parameters = {
        "run_id": run_id,
        "epoch": epoch,
        "status": "failed",
        "error_code": error_code,
        "reason": reason,
        "message": message,
        "requests_made": requests_made,
    }
    _fenced(conn.execute(SQL["finish"], parameters), run_id, epoch)


def cancel_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int], *, reason: str = "") -> list[int]:
    """Cancels those that are not finished, whoever works on them, and gives their ids."""
    found = conn.execute(SQL["cancel"], {"run_ids": list(run_ids), "reason": reason or None})
    return [row[0] for row in found]


def retry_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int]) -> list[int]:
    """Puts failed and cancelled runs back into the queue, to go on where they stopped, and gives their ids."""
    return [row[0] for row in conn.execute(SQL["retry"], {"run_ids": list(run_ids)})]


def unfinished_runs(
    conn: psycopg.Connection[TupleRow], *, patience_s: float = HEARTBEAT_PATIENCE_S
) -> list[UnfinishedRun]:
    """All queued and running runs, oldest first; a killed worker's runs are known as such at once."""
    found = conn.execute(SQL["list_unfinished"], {"patience_s": patience_s}, binary=True)
    return [
        UnfinishedRun(
            id=row[0],
            status=row[1],
            epoch=row[2],
            worker=row[3],
            is_alive=row[4],
            symbols=tuple(row[5]),
            symbol_ids=tuple(row[6]),
            timeframe=Timeframe(row[7]),
            range=Range(row[8], row[9]),
            provider=row[10],
            feed=row[11],
            basis=row[12],
            page_no=row[13],
            progress_percent=row[14],
            attempt=row[15],
        )
        for row in found
    ]


def prune_runs(conn: psycopg.Connection[TupleRow], *, days: int) -> int:
    """Forgets runs that finished more than *days* days ago; how many."""
    return conn.execute(SQL["prune"], {"days": days}).rowcount


def _fenced(done: psycopg.Cursor[TupleRow], run_id: int, epoch: int) -> None:
    if done.rowcount != 1:
        raise PageDropped(f"Run {run_id} is finished, or has gone on without epoch {epoch}. Nothing was changed.")

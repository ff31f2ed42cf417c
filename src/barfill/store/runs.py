"""
Job runs: created, claimed, finished. `pages.py` moves a claimed run from page to page.

A run is `queued` until a worker claims it, `running` under that worker's epoch, and ends once: as `success` with
the page that closes its chain, or as `failed` or `cancelled` here. Claiming counts the epoch up, and so does whatever
takes a run away from a worker that may still live; every later change is fenced by it, so a worker that was taken for
dead can do no harm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from barfill.core.capabilities import FILES
from barfill.core.page import RAW
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped
from barfill.store.migrate import check_known, ours
from barfill.store.queries import load_queries
from barfill.store.queue import dequeue, enqueue, remove_stale_entries
from barfill.store.workers import HEARTBEAT_PATIENCE_S, Worker

SQL = load_queries("runs")

BY_THE_USER = "by the user"
"""Why a run was cancelled that somebody does not want."""
SPLIT = "split: "
"""So begins why a run was cancelled that goes on in others."""
_REASON_LENGTH_MAX = 500
REAPED_MAX = 50
LOSSES_MAX = 20
"""A run whose worker died so often may well be what kills them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    One slice to fetch: a range of one timeframe for a batch of symbols, tickers and ids in the same order.

    Attributes:
        is_live: Whether its bars may still change: they are kept as live, and prove nothing.
        is_reread: Whether it reads again what is covered: what comes corrects, what it lacks says nothing.
    """

    symbols: tuple[str, ...]
    symbol_ids: tuple[int, ...]
    timeframe: Timeframe
    range: Range
    provider: str
    feed: str
    basis: str = RAW
    is_live: bool = False
    is_reread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun(Asked):
    """
    A run that is to be made.

    Attributes:
        triggered_by: `user`, `cron` or `system`.
        job_def_ids: The definitions for which it fetches, the most urgent first.
        priority: The greater, the sooner.
        is_restart: Whether it goes on where another run broke off: it does not restart again for the same reason.
        calendar_version: By which calendar it was planned; None for that of the run that it carries on.
    """

    job_type: str = "fetch_historical"
    triggered_by: str = "user"
    job_def_ids: tuple[int, ...] = ()
    priority: int = 100
    is_restart: bool = False
    calendar_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun(Asked):
    """A run and how far it has come; `attempt` counts earlier failures."""

    id: int
    epoch: int
    page_no: int
    attempt: int
    progress_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedRun(StoredRun):
    """A run under this worker's epoch, at the page it had reached; the other fields are those of a `NewRun`."""

    job_type: str
    triggered_by: str
    priority: int
    is_restart: bool
    page_token: str | None
    open_symbol_id: int | None
    open_until: datetime | None
    seen_symbol_ids: tuple[int, ...]
    actual_cost: int
    rows_written: int
    may_lack_rows: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState(StoredRun):
    """How a run stands; `is_free` says that it waits, or that its worker is dead."""

    status: str
    is_free: bool
    error_code: str | None
    reason: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun(StoredRun):
    """A queued or running run; `is_alive` says whether the worker it belongs to lives."""

    status: str
    worker: str | None
    is_alive: bool


def create_runs(conn: psycopg.Connection[TupleRow], runs: Sequence[NewRun]) -> list[int]:
    """The ids of the new runs, in the order given, each with its entry in the queue; all or none."""
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
            "job_def_id": run.job_def_ids[0] if run.job_def_ids else None,
            "priority": run.priority,
            "is_restart": run.is_restart,
            "is_live": run.is_live,
            "is_reread": run.is_reread,
            "calendar_version": run.calendar_version,
        }
        for run in runs
    ]
    with conn.transaction():
        ids = sorted(row[0] for row in conn.execute(SQL["create"], {"runs": json.dumps(rows)}))
        links = [
            {"run_id": run_id, "job_def_ids": run.job_def_ids}
            for run_id, run in zip(ids, runs, strict=True)
            if run.job_def_ids
        ]
        if links:
            conn.execute(SQL["link"], {"links": json.dumps(links)})
        enqueue(conn, ids)
    return ids


def create_pieces(conn: psycopg.Connection[TupleRow], parent_id: int, runs: Sequence[NewRun]) -> list[int]:
    """As `create_runs`, of runs in which another goes on: they fetch for its definitions, as far as these name them."""
    with conn.transaction():
        ids = create_runs(conn, runs)
        conn.execute(SQL["inherit"], {"parent_id": parent_id, "run_ids": ids})
        conn.execute(SQL["same_calendar"], {"parent_id": parent_id, "run_ids": ids})
    return ids


def claim_run(
    conn: psycopg.Connection[TupleRow], run_id: int, worker: Worker, *, seen_epoch: int | None = None
) -> ClaimedRun | None:
    """
    Takes the run over, or gives None where there is nothing to do: it is finished, or unknown.

    What a newer barfill may have made of the run is not touched.

    Args:
        seen_epoch: Claim only if nobody else has claimed it since it was listed with this epoch.

    Raises:
        SchemaOutdated: A newer barfill has changed the schema meanwhile.
    """
    parameters = {
        "run_id": run_id,
        "worker": worker.id,
        "has_lock": worker.has_lock,
        "seen_epoch": seen_epoch,
        "schema": len(ours()),
    }
    row = conn.execute(SQL["claim"], parameters, binary=True).fetchone()
    if row is None:
        check_known(conn)
        return None
    job_type, triggered_by, priority, is_restart, *state = row[_SHARED:]
    token, open_symbol_id, open_until, seen, cost, rows_written, may_lack_rows = state
    return ClaimedRun(
        **_shared(row),
        job_type=job_type,
        triggered_by=triggered_by,
        priority=priority,
        is_restart=is_restart,
        page_token=token,
        open_symbol_id=open_symbol_id,
        open_until=open_until,
        seen_symbol_ids=tuple(seen),
        actual_cost=cost,
        rows_written=rows_written,
        may_lack_rows=may_lack_rows,
    )


def heartbeat(conn: psycopg.Connection[TupleRow], worker: Worker) -> dict[int, int]:
    """Shows that the worker lives; gives the runs that are still its own, with their epochs."""
    return dict(conn.execute(SQL["beat"], {"worker": worker.id}).fetchall())


def postpone_run(
    conn: psycopg.Connection[TupleRow], run_id: int, epoch: int, wait: timedelta, *, reason: str, message: str
) -> None:
    """
    Back into the queue for later, after a failure that passes; counts an attempt.

    Raises:
        PageDropped: The run is no longer this worker's.
    """
    parameters = {"run_id": run_id, "epoch": epoch, "reason": reason, "message": message}
    with conn.transaction():
        _fenced(conn.execute(SQL["postpone"], parameters), run_id, epoch)
        enqueue(conn, [run_id], wait)


def release_run(
    conn: psycopg.Connection[TupleRow],
    run_id: int,
    epoch: int,
    wait: timedelta = timedelta(),
    *,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """
    Back into the queue as it is, for whoever goes on with it: its worker was asked to stop, or has to wait.

    Args:
        reason, message: What it waits for, for people.

    Raises:
        PageDropped: The run is no longer this worker's.
    """
    with conn.transaction():
        parameters = {"run_id": run_id, "epoch": epoch, "reason": reason, "message": message}
        _fenced(conn.execute(SQL["release"], parameters), run_id, epoch)
        enqueue(conn, [run_id], wait)


def give_back_runs(conn: psycopg.Connection[TupleRow], worker_id: str) -> list[int]:
    """
    Puts all runs that a worker still has back into the queue, at the page they have reached; their ids.

    It must carry out none of them any more. A run that is left without this counts as one that has lost a worker.
    """
    with conn.transaction():
        ids = [row[0] for row in conn.execute(SQL["give_back"], {"worker": worker_id})]
        enqueue(conn, ids)
    return ids


def fail_run(
    conn: psycopg.Connection[TupleRow],
    run_id: int,
    epoch: int,
    *,
    error_code: str,
    reason: str,
    message: str,
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
    }
    _fenced(conn.execute(SQL["finish"], parameters), run_id, epoch)


def is_rejection_told(conn: psycopg.Connection[TupleRow], provider: str) -> bool:
    """
    Whether a run has failed within the day as *provider* rejected the key.

    Within the caller's transaction; until that ends, nobody else gets an answer.
    """
    conn.execute(SQL["take_rejection_turn"], {"provider": provider})
    return conn.execute(SQL["is_rejection_told"], {"provider": provider}).fetchone() == (True,)


def add_calls(conn: psycopg.Connection[TupleRow], run_id: int, calls: int) -> None:
    """
    Counts requests that were made for the run and brought no page, whoever has it by now: they were paid for.

    A run that is forgotten meanwhile is passed over.
    """
    conn.execute(SQL["add_calls"], {"run_id": run_id, "calls": calls})


def fail_whole_run(
    conn: psycopg.Connection[TupleRow], run_id: int, epoch: int, *, error_code: str, reason: str, message: str
) -> None:
    """
    Ends the run as failed, and notes it with all its series.

    Raises:
        PageDropped: The run is no longer this worker's, or is finished.
    """
    with conn.transaction():
        fail_run(conn, run_id, epoch, error_code=error_code, reason=reason, message=message)
        conn.execute(SQL["note_failed"], {"run_ids": [run_id]})


def end_split_run(conn: psycopg.Connection[TupleRow], run_id: int, epoch: int, *, reason: str) -> None:
    """
    Ends a run that goes on in others; to be called in the transaction that makes these.

    Raises:
        PageDropped: The run is no longer this worker's, or is finished: nothing may go on in its place.
    """
    parameters = {
        "run_id": run_id,
        "epoch": epoch,
        "status": "cancelled",
        "error_code": "CANCELLED",
        "reason": f"{SPLIT}{reason}"[:_REASON_LENGTH_MAX],
        "message": None,
    }
    _fenced(conn.execute(SQL["finish"], parameters), run_id, epoch)
    dequeue(conn, [run_id])


def cancel_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int], *, reason: str = "") -> list[int]:
    """Cancels those that are not finished, whoever works on them, and gives their ids."""
    with conn.transaction():
        ids = [row[0] for row in conn.execute(SQL["cancel"], {"run_ids": list(run_ids), "reason": reason or None})]
        dequeue(conn, ids)
    return ids


def retry_runs(conn: psycopg.Connection[TupleRow], run_ids: Sequence[int]) -> list[int]:
    """Puts failed and cancelled runs back into the queue, to go on where they stopped, and gives their ids."""
    with conn.transaction():
        ids = [row[0] for row in conn.execute(SQL["retry"], {"run_ids": list(run_ids)})]
        enqueue(conn, ids)
    return ids


def reap_runs(conn: psycopg.Connection[TupleRow], *, patience_s: float = HEARTBEAT_PATIENCE_S) -> list[int]:
    """
    Puts runs of dead workers back into the queue, at the page they had reached, and runs that wait without an entry in
    it; a run that has lost too many workers fails. At most 50 at a time, by one process at a time. Their ids.
    """
    with conn.transaction():
        if conn.execute(SQL["try_reaping"]).fetchone() != (True,):
            return []
        parameters = {"patience_s": patience_s, "limit": REAPED_MAX, "losses_max": LOSSES_MAX}
        lost = [row[0] for row in conn.execute(SQL["fail_lost"], parameters)]
        if lost:
            conn.execute(SQL["note_failed"], {"run_ids": lost})
        ids = {row[0] for row in conn.execute(SQL["reap"], parameters)}
        remove_stale_entries(conn, patience_s=patience_s)
        ids |= {row[0] for row in conn.execute(SQL["list_without_entry"], parameters)}
        enqueue(conn, sorted(ids))
    return sorted(ids)


def unfinished_runs(
    conn: psycopg.Connection[TupleRow], *, patience_s: float = HEARTBEAT_PATIENCE_S
) -> list[UnfinishedRun]:
    """
    All queued and running runs, oldest first; a killed worker's runs are known as such at once.

    Interrupted imports are not among them: only whoever has the files can go on with one, so nobody waits for it.
    """
    return [run for run in _list_unfinished(conn, patience_s) if run.is_alive or run.provider != FILES]


def interrupted_imports(
    conn: psycopg.Connection[TupleRow], *, patience_s: float = HEARTBEAT_PATIENCE_S
) -> list[UnfinishedRun]:
    """Runs that were to bring bars from files and that nobody carries out, oldest first."""
    return [run for run in _list_unfinished(conn, patience_s) if run.provider == FILES and not run.is_alive]


def _list_unfinished(conn: psycopg.Connection[TupleRow], patience_s: float) -> list[UnfinishedRun]:
    found = conn.execute(SQL["list_unfinished"], {"patience_s": patience_s}, binary=True)
    return [
        UnfinishedRun(**_shared(row), status=status, worker=worker, is_alive=is_alive)
        for row in found
        for status, worker, is_alive in [row[_SHARED:]]
    ]


def count_queued(conn: psycopg.Connection[TupleRow]) -> int:
    """How many runs wait for a worker, or for their time."""
    row = conn.execute(SQL["count_queued"]).fetchone()
    return 0 if row is None else int(row[0])


def queued_by_provider(conn: psycopg.Connection[TupleRow]) -> dict[str, int]:
    """How many runs wait for a worker with the key of each provider, or for their time."""
    return {provider: int(count) for provider, count in conn.execute(SQL["count_queued_by_provider"])}


def run_states(
    conn: psycopg.Connection[TupleRow], run_ids: Sequence[int], *, patience_s: float = HEARTBEAT_PATIENCE_S
) -> list[RunState]:
    """How these runs stand, by id."""
    parameters = {"run_ids": list(run_ids), "patience_s": patience_s}
    return [
        RunState(**_shared(row), status=status, is_free=is_free, error_code=code, reason=reason, error_message=message)
        for row in conn.execute(SQL["list_states"], parameters, binary=True)
        for status, is_free, code, reason, message in [row[_SHARED:]]
    ]


def prune_runs(conn: psycopg.Connection[TupleRow], *, days: int, limit: int | None = None) -> int:
    """Forgets runs that finished more than *days* days ago, the oldest first, at most *limit*; how many."""
    return conn.execute(SQL["prune"], {"days": days, "limit": limit}).rowcount


_SHARED = 15
"""So many columns of a run come first in every statement that returns one."""


def _shared(row: TupleRow) -> dict[str, Any]:
    """The fields of a `StoredRun`."""
    run_id, epoch, page_no, attempt, progress, symbols, ids, timeframe, start, end, *source = row[:_SHARED]
    provider, feed, basis, is_live, is_reread = source
    return {
        "id": run_id,
        "epoch": epoch,
        "page_no": page_no,
        "attempt": attempt,
        "progress_percent": progress,
        "symbols": tuple(symbols),
        "symbol_ids": tuple(ids),
        "timeframe": Timeframe(timeframe),
        "range": Range(start, end),
        "provider": provider,
        "feed": feed,
        "basis": basis,
        "is_live": is_live,
        "is_reread": is_reread,
    }


def _fenced(done: psycopg.Cursor[TupleRow], run_id: int, epoch: int) -> None:
    if done.rowcount != 1:
        raise PageDropped(f"Run {run_id} is finished, or has gone on without epoch {epoch}. Nothing was changed.")

"""Runs as people look at them: listed, counted, found, and what moves right now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from barfill.core.timeframe import Timeframe
from barfill.errors import JobRunNotFound
from barfill.store.database import Database
from barfill.store.runlist import (
    Ended,
    RunFilter,
    count_by_status,
    ended_since,
    find_runs,
    list_runs,
    open_runs,
    runs_in,
)
from barfill.store.runs import NewRun, add_calls, cancel_runs, claim_run, create_runs, fail_run
from barfill.store.workers import Presence, Worker
from tests.store.builders import WORKER, add, minutes, query


def make(database: Database, tickers: dict[str, int], timeframe: Timeframe = Timeframe.M15) -> int:
    run = NewRun(
        symbols=tuple(tickers),
        symbol_ids=tuple(tickers.values()),
        timeframe=timeframe,
        range=minutes(0, 60),
        provider="alpaca",
        feed="sip",
    )
    return database.run(create_runs, [run])[0]


def fail(database: Database, run_id: int) -> None:
    run = database.run(claim_run, run_id, WORKER)
    assert run is not None
    database.run(fail_run, run_id, run.epoch, error_code="TIMEOUT", reason="read", message="slow")
    database.run(add_calls, run_id, 3)


def test_runs_are_listed_newest_first_and_filtered(database: Database) -> None:
    """
    By state, by symbol alone or among others, by timeframe; no more than the limit; counted by the same filter.
    """
    a, b = add(database, "A", "B")
    both, alone, daily = (
        make(database, {"A": a, "B": b}),
        make(database, {"A": a}),
        make(database, {"B": b}, Timeframe.D1),
    )
    fail(database, alone)

    def ids(limit: int = 10, **wanted: object) -> list[int]:
        return [run.id for run in database.run(list_runs, RunFilter(**wanted), limit=limit)]  # type: ignore[arg-type]

    assert ids() == [daily, alone, both]
    assert ids(limit=2) == [daily, alone]
    assert ids(symbol_id=b) == [daily, both]
    assert ids(statuses=["failed"]) == [alone]
    assert ids(timeframes=[Timeframe.M15], statuses=["queued", "failed"]) == [alone, both]
    assert database.run(count_by_status) == {"queued": 2, "failed": 1}
    assert database.run(count_by_status, RunFilter(symbol_id=b)) == {"queued": 2}


def test_a_run_is_found_with_all_that_is_known(database: Database) -> None:
    """
    In the order asked for, each once.
    """
    (a,) = add(database, "A")
    first, second = make(database, {"A": a}), make(database, {"A": a})
    fail(database, second)

    runs = database.run(find_runs, [second, first, second])

    assert [run.id for run in runs] == [second, first]
    failed, queued = runs
    assert (failed.error_code, failed.reason, failed.error_message, failed.actual_cost) == (
        "TIMEOUT",
        "read",
        "slow",
        3,
    )
    assert (failed.symbols, failed.timeframe, failed.range) == (("A",), Timeframe.M15, minutes(0, 60))
    assert (queued.worker, queued.started_at, queued.is_alive, queued.progress_percent) == (None, None, False, 0.0)


def test_an_unknown_run_is_named(database: Database) -> None:
    """
    With where to look.
    """
    (a,) = add(database, "A")
    run_id = make(database, {"A": a})

    with pytest.raises(JobRunNotFound, match=r"no job run 999, or no longer\. See: barfill jobs list"):
        database.run(find_runs, [run_id, 999])


def test_a_run_whose_worker_is_gone_is_not_alive(database: Database) -> None:
    """
    By the worker's lock, or where it has none by its heartbeat.
    """
    (a,) = add(database, "A")
    locked, beating = make(database, {"A": a}), make(database, {"A": a})
    with Presence(database) as presence:
        database.run(claim_run, locked, presence.worker)
        database.run(claim_run, beating, Worker("pooled", has_lock=False))
        both = [run.is_alive for run in database.run(find_runs, [locked, beating])]
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")

    assert both == [True, True]
    # The server needs a moment to see the closed socket.
    assert any(not database.run(find_runs, [locked])[0].is_alive for _ in range(200))
    assert not database.run(find_runs, [beating])[0].is_alive


def test_open_runs_are_the_running_ones_and_the_head_of_the_queue(database: Database) -> None:
    """
    The oldest first, which is the order in which they are worked off.
    """
    (a,) = add(database, "A")
    queued, running, later, last, over = (make(database, {"A": a}) for _ in range(5))
    database.run(claim_run, running, WORKER)
    database.run(cancel_runs, [over])

    assert [run.id for run in database.run(open_runs, queued_max=2)] == [running, queued, later]
    assert database.run(runs_in, "queued") == [queued, later, last]


def test_what_ended_meanwhile_is_counted(database: Database) -> None:
    """
    What ended before does not count.
    """
    (a,) = add(database, "A")
    early, failed, cancelled, _ = (make(database, {"A": a}) for _ in range(4))
    database.run(cancel_runs, [early])
    since = database.now()
    fail(database, failed)
    database.run(cancel_runs, [cancelled])

    assert database.run(ended_since, since) == Ended(0, 1, 1)
    assert database.run(ended_since, since - timedelta(hours=1)) == Ended(0, 1, 2)
    assert database.run(ended_since, database.now() + timedelta(hours=1)) == Ended(0, 0, 0)

"""Runs from creation to their one outcome, and whether their workers live."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.runs import (
    NewRun,
    UnfinishedRun,
    cancel_runs,
    claim_run,
    create_runs,
    fail_run,
    heartbeat,
    prune_runs,
    release_run,
    requeue_run,
    restart_chain,
    retry_runs,
    unfinished_runs,
)
from barfill.store.workers import Presence, Worker
from tests.store.builders import WORKER, add, claimed_run, minute, minutes, page, query


def new_run(number: int = 0) -> NewRun:
    """A run of two symbols over an hour of its own."""
    wanted = minutes(60 * number, 60 * number + 60)
    return NewRun(
        symbols=("A", "B"), symbol_ids=(1, 2), timeframe=Timeframe.M15, range=wanted, provider="alpaca", feed="sip"
    )


def test_runs_are_created_in_order_and_claimed_whole(database: Database) -> None:
    """
    Ids come in the order given, and a claim tells everything that the fetch needs.
    """
    ids = database.run(create_runs, [new_run(number) for number in range(50)])

    claimed = database.run(claim_run, ids[7], WORKER)

    assert claimed is not None
    assert (claimed.id, claimed.epoch, claimed.page_no, claimed.page_token) == (ids[7], 1, 0, None)
    assert (claimed.symbols, claimed.symbol_ids, claimed.timeframe) == (("A", "B"), (1, 2), Timeframe.M15)
    assert (claimed.range, claimed.provider, claimed.feed, claimed.basis) == (minutes(420, 480), "alpaca", "sip", "raw")
    assert database.run(create_runs, []) == []


def test_claim_goes_on_where_the_last_page_ended(database: Database) -> None:
    """
    Token, open symbol and seen symbols of the committed pages come with the next claim.
    """
    a, b = add(database, "A", "B")
    run = claimed_run(database, [a, b])
    state: dict[str, Any] = {"next_token": "t1", "open_symbol_id": b, "open_until": minute(3), "requests_made": 3}
    database.run(write_page, page(run, {a: {0: 1}, b: {2: 1}}, seen_symbol_ids=[b, a], **state))
    database.run(write_page, page(run, {b: {3: 1}}, page_no=1, seen_symbol_ids=[b], progress_percent=40.0, **state))

    claimed = database.run(claim_run, run.id, WORKER)

    assert claimed is not None
    assert (claimed.page_no, claimed.page_token, claimed.actual_cost, claimed.rows_written) == (2, "t1", 6, 3)
    assert (claimed.open_symbol_id, claimed.open_until, claimed.seen_symbol_ids) == (b, minute(3), (a, b))
    assert claimed.progress_percent == 40.0


def test_finished_run_cannot_be_claimed(database: Database) -> None:
    """
    A claim of a finished or unknown run gives nothing, and so no request is made.
    """
    (run_id,) = database.run(create_runs, [new_run()])
    database.run(cancel_runs, [run_id], reason="user")

    assert database.run(claim_run, run_id, WORKER) is None
    assert database.run(claim_run, 10_000, WORKER) is None
    assert database.run(cancel_runs, [run_id]) == []


def test_one_of_two_takers_gets_a_dead_run(database: Database) -> None:
    """
    Of two workers that saw the same dead run, the second to claim it gets nothing.
    """
    run = claimed_run(database, add(database, "A"))

    first = database.run(claim_run, run.id, WORKER, seen_epoch=run.epoch)
    second = database.run(claim_run, run.id, WORKER, seen_epoch=run.epoch)

    assert first is not None
    assert second is None


def test_run_fails_once_with_its_reason(database: Database) -> None:
    """
    The outcome says code, reason and text; a second outcome, or one of an old epoch, is refused.
    """
    run = claimed_run(database, add(database, "A"))
    why: dict[str, Any] = {"error_code": "BAD_RESPONSE", "reason": "page_loop", "message": "The token repeats."}

    with pytest.raises(PageDropped):
        database.run(fail_run, run.id, run.epoch - 1, **why)
    database.run(fail_run, run.id, run.epoch, requests_made=2, **why)
    with pytest.raises(PageDropped):
        database.run(fail_run, run.id, run.epoch, **why)

    assert query(database, "select status, error_code, reason, error_message, actual_cost from job_runs") == [
        ("failed", "BAD_RESPONSE", "page_loop", "The token repeats.", 2)
    ]


def test_passing_failure_spends_an_attempt(database: Database) -> None:
    """
    A requeued run waits with its pages kept and one attempt more; retrying an ended one begins with none.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(write_page, page(run, {}, next_token="t1"))
    database.run(requeue_run, run.id, run.epoch, reason="http_502", message="later")

    claimed = database.run(claim_run, run.id, WORKER)

    assert claimed is not None
    assert (claimed.attempt, claimed.page_no, claimed.page_token) == (1, 1, "t1")
    database.run(fail_run, run.id, claimed.epoch, error_code="TIMEOUT", reason="", message="")
    assert database.run(retry_runs, [run.id]) == [run.id]
    again = database.run(claim_run, run.id, WORKER)
    assert again is not None
    assert (again.attempt, again.page_no) == (0, 1)


def test_released_run_spends_no_attempt(database: Database) -> None:
    """
    A worker that is asked to stop gives its run back as it is, once.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(write_page, page(run, {}, next_token="t1"))

    database.run(release_run, run.id, run.epoch)

    with pytest.raises(PageDropped):
        database.run(release_run, run.id, run.epoch)
    claimed = database.run(claim_run, run.id, WORKER)
    assert claimed is not None
    assert (claimed.attempt, claimed.page_no, claimed.page_token) == (0, 1, "t1")


def test_chain_begins_anew_after_a_stale_token(database: Database) -> None:
    """
    H24: a forgotten token takes what was seen of the chain with it, not the pages.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(
        write_page, page(run, {}, next_token="t1", open_symbol_id=1, open_until=minute(1), seen_symbol_ids=[1])
    )

    database.run(restart_chain, run.id, run.epoch)

    claimed = database.run(claim_run, run.id, WORKER)
    assert claimed is not None
    assert (claimed.page_no, claimed.page_token, claimed.open_symbol_id, claimed.seen_symbol_ids) == (1, None, None, ())


def test_killed_worker_is_known_dead_at_once(database: Database) -> None:
    """
    A worker's lock ends with its process, so its runs are free right after a SIGKILL, whatever its heartbeat says.
    """
    (a,) = add(database, "A")
    program = (
        "import sys\nfrom barfill.store.database import Database\nfrom barfill.store.workers import Presence\n"
        "with Database(sys.argv[1]) as database, Presence(database) as presence:\n"
        "    print(presence.worker.id, presence.worker.has_lock, flush=True)\n    sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", program, database.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker_id, has_lock = process.stdout.readline().split()
        run = claimed_run(database, [a], Worker(worker_id, has_lock == "True"))
        (alive,) = database.run(unfinished_runs)
        process.kill()

    assert (alive.worker, alive.is_alive) == (worker_id, True)
    # The server needs a moment to see the closed socket.
    assert any(not _the_run(database).is_alive for _ in range(200))
    assert _the_run(database).id == run.id


def _the_run(database: Database) -> UnfinishedRun:
    (one,) = database.run(unfinished_runs)
    return one


def test_worker_without_a_lock_lives_by_its_heartbeat(database: Database) -> None:
    """
    Behind a pooler a worker is alive while its heartbeat is young, and dead after.
    """
    (a,) = add(database, "A")
    with Presence(database, use_lock=False) as presence:
        assert not presence.worker.has_lock
        run = claimed_run(database, [a], presence.worker)
        assert [one.is_alive for one in database.run(unfinished_runs)] == [True]
        query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")
        assert [one.is_alive for one in database.run(unfinished_runs)] == [False]

        assert database.run(heartbeat, presence.worker) == {run.id: run.epoch}

    assert [one.is_alive for one in database.run(unfinished_runs)] == [True]


def test_lost_lock_is_taken_again(database: Database) -> None:
    """
    A worker whose connection broke shows itself again with its next claim.
    """
    with Presence(database) as presence:
        first = presence.worker
        query(database, "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory'")
        second = presence.worker

        assert first == second == Worker(first.id, has_lock=True)
        assert query(database, "select count(*) from pg_locks where locktype = 'advisory' and granted") == [(1,)]


def test_heartbeat_names_the_runs_that_are_still_ours(database: Database) -> None:
    """
    A run that was cancelled or taken over is no longer in a worker's heartbeat.
    """
    ids = add(database, "A")
    kept, lost, cancelled = (claimed_run(database, ids) for _ in range(3))
    database.run(claim_run, lost.id, Worker("other", has_lock=False))
    database.run(cancel_runs, [cancelled.id])

    assert database.run(heartbeat, WORKER) == {kept.id: 1}


def test_old_runs_are_pruned(database: Database) -> None:
    """
    Runs that ended long ago go, unfinished and recent ones stay.
    """
    old, recent, open_run = database.run(create_runs, [new_run(number) for number in range(3)])
    database.run(cancel_runs, [old, recent])
    query(database, "update job_runs set finished_at = now() - interval '40 days' where id = %s", old)

    assert database.run(prune_runs, days=30) == 1
    assert query(database, "select id from job_runs order by id") == [(recent,), (open_run,)]

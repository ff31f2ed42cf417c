"""Runs from creation to their one outcome, and whether their workers live."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped, SchemaOutdated, StoreError
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.runs import (
    SQL,
    NewRun,
    UnfinishedRun,
    add_calls,
    cancel_runs,
    claim_run,
    create_runs,
    fail_run,
    heartbeat,
    interrupted_imports,
    postpone_run,
    prune_runs,
    reap_runs,
    release_run,
    retry_runs,
    unfinished_runs,
)
from barfill.store.workers import Presence, Worker, planning_turn
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
    database.run(fail_run, run.id, run.epoch, **why)
    with pytest.raises(PageDropped):
        database.run(fail_run, run.id, run.epoch, **why)

    assert query(database, "select status, error_code, reason, error_message from job_runs") == [
        ("failed", "BAD_RESPONSE", "page_loop", "The token repeats.")
    ]


def test_calls_count_whoever_has_the_run_by_now(database: Database) -> None:
    """
    Requests that brought no page are counted beside those of pages, of a run that has ended too; none is forgotten.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(write_page, page(run, {}, next_token="t1", requests_made=3))
    database.run(cancel_runs, [run.id])

    database.run(add_calls, run.id, 2)
    database.run(add_calls, run.id + 1, 2)

    assert query(database, "select status, actual_cost from job_runs") == [("cancelled", 5)]


TOO_LATE: dict[str, Any] = {"error_code": "TIMEOUT", "reason": "read", "message": "slow"}


def test_who_was_taken_for_dead_ends_no_run(database: Database) -> None:
    """
    A run that was reaped waits under a new epoch; its former worker, which only stood still, can neither fail it nor
    put it off nor give it back, before somebody has claimed it and after.
    """
    run = claimed_run(database, add(database, "A"))
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")
    database.run(reap_runs)

    for status, epoch in [("queued", 2), ("running", 3)]:
        with pytest.raises(PageDropped):
            database.run(fail_run, run.id, run.epoch, **TOO_LATE)
        with pytest.raises(PageDropped):
            database.run(release_run, run.id, run.epoch)
        with pytest.raises(PageDropped):
            database.run(postpone_run, run.id, run.epoch, timedelta(0), reason="read", message="slow")
        assert query(database, "select status, epoch, error_code from job_runs") == [(status, epoch, None)]
        database.run(claim_run, run.id, Worker("other", has_lock=False))


def test_who_lost_a_cancelled_run_does_not_end_it_once_it_is_retried(database: Database) -> None:
    """
    Cancelled in the middle and put back into the queue: the late outcome of who had it is refused.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(cancel_runs, [run.id])
    database.run(retry_runs, [run.id])

    with pytest.raises(PageDropped):
        database.run(fail_run, run.id, run.epoch, **TOO_LATE)

    assert query(database, "select status, epoch, error_code from job_runs") == [("queued", 2, None)]


def test_a_run_that_nobody_has_claimed_cannot_fail(database: Database) -> None:
    """
    Only who carries a run out can say how it ends, whatever epoch it names.
    """
    (run_id,) = database.run(create_runs, [new_run()])

    with pytest.raises(PageDropped):
        database.run(fail_run, run_id, 0, **TOO_LATE)

    assert query(database, "select status from job_runs") == [("queued",)]


def test_passing_failure_spends_an_attempt(database: Database) -> None:
    """
    A requeued run waits with its pages kept and one attempt more, and tells what put it off until a page comes;
    retrying an ended one begins with none.
    """
    run = claimed_run(database, add(database, "A"))
    database.run(write_page, page(run, {}, next_token="t1"))
    database.run(postpone_run, run.id, run.epoch, timedelta(minutes=1), reason="http_502", message="later")

    claimed = database.run(claim_run, run.id, WORKER)

    assert claimed is not None
    assert (claimed.attempt, claimed.page_no, claimed.page_token) == (1, 1, "t1")
    assert query(database, "select reason, error_message from job_runs") == [("http_502", "later")]
    database.run(write_page, page(claimed, {}, next_token="t2"))
    assert query(database, "select reason, error_message from job_runs") == [(None, None)]
    database.run(fail_run, run.id, claimed.epoch, error_code="TIMEOUT", reason="", message="")
    assert database.run(retry_runs, [run.id]) == [run.id]
    again = database.run(claim_run, run.id, WORKER)
    assert again is not None
    assert (again.attempt, again.page_no) == (0, 2)


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
    with Presence(Database(database.url, is_pooled=True)) as presence:
        assert not presence.worker.has_lock
        run = claimed_run(database, [a], presence.worker)
        assert [one.is_alive for one in database.run(unfinished_runs)] == [True]
        query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")
        assert [one.is_alive for one in database.run(unfinished_runs)] == [False]

        assert database.run(heartbeat, presence.worker) == {run.id: run.epoch}

    assert [one.is_alive for one in database.run(unfinished_runs)] == [True]


def test_nobody_waits_for_an_interrupted_import(database: Database) -> None:
    """
    A run that nobody with the files carries out is no unfinished work to others; one that lives is.
    """
    import_run = replace(new_run(), provider="files")
    (run_id,) = database.run(create_runs, [import_run])

    assert database.run(unfinished_runs) == []
    assert [one.id for one in database.run(interrupted_imports)] == [run_id]

    with Presence(database) as presence:
        database.run(claim_run, run_id, presence.worker)
        assert [one.id for one in database.run(unfinished_runs)] == [run_id]
        assert database.run(interrupted_imports) == []


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


def entries(database: Database) -> list[tuple[Any, ...]]:
    """Run id, epoch and priority of the queue's entries that nobody has taken, in the order in which they go out."""
    return query(
        database,
        "select (args ->> 'run_id')::int, (args ->> 'epoch')::int, priority from procrastinate_jobs "
        "where status = 'todo' order by priority desc, id",
    )


def test_a_run_and_its_entry_are_made_together(database: Database) -> None:
    """
    Each new run has one entry in the queue, of its priority; undone together with it.
    """
    ids = database.run(create_runs, [new_run(), replace(new_run(1), priority=200), new_run(2)])

    assert entries(database) == [(ids[1], 0, 200), (ids[0], 0, 100), (ids[2], 0, 100)]
    with database.connection() as conn, suppress(ZeroDivisionError), conn.transaction():
        create_runs(conn, [new_run(3)])
        raise ZeroDivisionError
    assert len(entries(database)) == 3


def test_a_run_whose_entry_cannot_be_made_is_not_made(database: Database) -> None:
    """
    Neither exists without the other.
    """
    _break_the_queue(database)

    with pytest.raises(StoreError):
        database.run(create_runs, [new_run()])

    assert query(database, "select id from job_runs") == []


def test_a_run_whose_entry_cannot_be_made_is_not_put_off(database: Database) -> None:
    """
    It stays with its worker, and is found where that worker dies.
    """
    run = claimed_run(database, add(database, "A"))
    _break_the_queue(database)

    with pytest.raises(StoreError):
        database.run(postpone_run, run.id, run.epoch, timedelta(minutes=1), reason="http_502", message="later")
    with pytest.raises(StoreError):
        database.run(release_run, run.id, run.epoch)

    assert query(database, "select status, worker, attempt from job_runs") == [("running", WORKER.id, 0)]


def _break_the_queue(database: Database) -> None:
    """No entry can be made any more."""
    query(database, "alter table procrastinate_jobs add constraint full_up check (status <> 'todo') not valid")


def test_a_run_that_waits_again_has_an_entry_of_its_new_epoch(database: Database) -> None:
    """
    Released, postponed and retried runs go out again, postponed ones later; cancelled ones do not.
    """
    ids = database.run(create_runs, [new_run(number) for number in range(4)])
    for run_id in ids:
        database.run(claim_run, run_id, WORKER)
    query(database, "delete from procrastinate_jobs")

    database.run(release_run, ids[0], 1)
    database.run(postpone_run, ids[1], 1, timedelta(hours=1), reason="http_502", message="later")
    database.run(fail_run, ids[2], 1, error_code="TIMEOUT", reason="", message="")
    database.run(retry_runs, [ids[2]])
    database.run(cancel_runs, [ids[3]])

    assert entries(database) == [(ids[0], 1, 100), (ids[1], 1, 100), (ids[2], 2, 100)]
    due = query(database, "select scheduled_at > now() + interval '59 minutes' from procrastinate_jobs order by id")
    assert due == [(None,), (True,), (None,)]
    database.run(cancel_runs, ids)
    assert entries(database) == []


def test_reaping_brings_back_what_a_dead_worker_had(database: Database) -> None:
    """
    Its run waits again at its page, with an entry; runs of the living, and runs that wait with an entry, stay as they
    are; a run that waits without any gets one.
    """
    dead = claimed_run(database, add(database, "A"))
    database.run(write_page, page(dead, {}, next_token="t1"))
    alive, waiting, forgotten = database.run(create_runs, [new_run(number) for number in range(1, 4)])
    database.run(claim_run, alive, Worker("other", has_lock=False))
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds' where worker = 'tester'")
    query(database, f"delete from procrastinate_jobs where (args ->> 'run_id')::int <> {waiting}")

    assert database.run(reap_runs) == [dead.id, forgotten]

    assert entries(database) == [(waiting, 0, 100), (dead.id, 2, 100), (forgotten, 0, 100)]
    found = query(database, "select id, status, page_no, losses, attempt from job_runs order by id")
    assert found == [
        (dead.id, "queued", 1, 1, 0),
        (alive, "running", 0, 0, 0),
        (waiting, "queued", 0, 0, 0),
        (forgotten, "queued", 0, 0, 0),
    ]
    assert database.run(reap_runs) == []


def test_a_run_that_kills_its_workers_fails(database: Database) -> None:
    """
    After twenty dead workers a run ends, and says so.
    """
    run = claimed_run(database, add(database, "A"))
    query(database, "update job_runs set losses = 19, heartbeat_at = now() - interval '61 seconds'")

    assert database.run(reap_runs) == []

    assert query(database, "select last_result, last_error_code from backfill_status") == [("fail", "WORKER_LOST")]
    ((status, code, message),) = query(database, "select status, error_code, error_message from job_runs")
    assert (status, code) == ("failed", "WORKER_LOST")
    assert message == (
        f"20 workers died while they carried this run out. Look at their logs, then: barfill jobs retry {run.id}"
    )


def test_a_retried_run_has_lost_no_workers(database: Database) -> None:
    """
    A run that failed by its dead workers and is put back into the queue may lose twenty again.
    """
    run = claimed_run(database, add(database, "A"))
    query(database, "update job_runs set losses = 19, heartbeat_at = now() - interval '61 seconds'")
    database.run(reap_runs)
    assert database.run(retry_runs, [run.id]) == [run.id]

    database.run(claim_run, run.id, WORKER)
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")

    assert database.run(reap_runs) == [run.id]
    assert query(database, "select status, losses from job_runs") == [("queued", 1)]


def test_entries_that_dead_workers_had_taken_go(database: Database) -> None:
    """
    An entry in the hands of a worker that no longer beats is removed, and its run gets a new one.
    """
    (run_id,) = database.run(create_runs, [new_run()])
    query(
        database,
        "insert into procrastinate_workers (last_heartbeat) values (now() - interval '2 minutes');"
        "update procrastinate_jobs set status = 'doing', worker_id = (select max(id) from procrastinate_workers)",
    )

    assert database.run(reap_runs) == [run_id]

    assert query(database, "select status::text, (args ->> 'run_id')::int from procrastinate_jobs") == [
        ("todo", run_id)
    ]


def test_a_killed_workers_run_is_to_be_had_at_once(database: Database) -> None:
    """
    Its entry is still in the hands of a worker that has beaten a moment ago; its run gets a new one all the same.
    """
    run = claimed_run(database, add(database, "A"))
    query(
        database,
        "insert into procrastinate_workers default values;"
        "update procrastinate_jobs set status = 'doing', worker_id = (select max(id) from procrastinate_workers);"
        "update job_runs set worker_has_lock = true",
    )

    assert database.run(reap_runs) == [run.id]

    assert query(database, "select args ->> 'epoch' from procrastinate_jobs where status = 'todo'") == [("2",)]


def test_one_at_a_time_reaps(database: Database) -> None:
    """
    P08: whoever comes while another reaps finds nothing to do, and comes again.
    """
    dead = claimed_run(database, add(database, "A"))
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")

    with database.connection() as conn, conn.transaction():
        conn.execute(SQL["try_reaping"])
        assert database.run(reap_runs) == []

    assert database.run(reap_runs) == [dead.id]


def test_reaping_passes_over_a_run_that_is_locked(database: Database) -> None:
    """
    P08: a worker that was taken for dead may be in the middle of a page; the runs of others do not wait for it.
    """
    ids = add(database, "A")
    busy, dead = claimed_run(database, ids), claimed_run(database, ids)
    query(database, "update job_runs set heartbeat_at = now() - interval '61 seconds'")

    with ThreadPoolExecutor(1) as pool, database.connection() as conn, conn.transaction():
        conn.execute("select from job_runs where id = %s for update", [busy.id])
        assert pool.submit(database.run, reap_runs).result(timeout=5) == [dead.id]


def test_who_stands_still_while_reaping_holds_nobody_up(database: Database) -> None:
    """
    The turn to reap ends with ten seconds of silence, that to plan with two minutes.
    """
    with database.connection() as conn, conn.transaction():
        assert conn.execute(SQL["try_reaping"]).fetchone() == (True,)
        assert conn.execute("show idle_in_transaction_session_timeout").fetchone() == ("10s",)
        assert reap_elsewhere(database) == (False,)
    with database.connection() as conn, conn.transaction():
        assert conn.execute(SQL["try_planning"]).fetchone() == (True,)
        assert conn.execute("show idle_in_transaction_session_timeout").fetchone() == ("2min",)
    with planning_turn(database), database.connection() as conn:
        found = conn.execute("select count(*) from pg_locks where locktype = 'advisory' and granted").fetchone()
        assert found == (1,)


def test_one_at_a_time_plans(database: Database) -> None:
    """
    P09: whoever comes while another plans has the turn after it.
    """
    order: list[str] = []

    def plan_second() -> None:
        with planning_turn(database):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with planning_turn(database):
            second = pool.submit(plan_second)
            with suppress(TimeoutError):
                second.result(timeout=0.5)
            order.append("first")
        second.result(timeout=10)

    assert order == ["first", "second"]


def reap_elsewhere(database: Database) -> tuple[Any, ...] | None:
    """Whether somebody else could reap now."""
    with database.connection() as conn, conn.transaction():
        return conn.execute(SQL["try_reaping"]).fetchone()


def test_nothing_is_claimed_once_the_schema_is_a_newer_ones(database: Database) -> None:
    """P11: an old worker that goes on beside a new one stops, and says to update; the run waits for the new one."""
    (run_id,) = database.run(create_runs, [new_run()])
    query(database, "insert into schema_migrations (number, name, checksum) values (9999, '9999_new.sql', '')")

    with pytest.raises(SchemaOutdated, match="Update barfill"):
        database.run(claim_run, run_id, WORKER, seen_epoch=0)

    assert query(database, "select status, epoch from job_runs") == [("queued", 0)]


def test_entries_say_nothing_but_run_and_epoch(database: Database) -> None:
    """P10: the queue's library logs them in full."""
    database.run(create_runs, [new_run(), new_run()])

    assert query(database, "select distinct k from procrastinate_jobs, jsonb_object_keys(args) k order by 1") == [
        ("epoch",),
        ("run_id",),
    ]

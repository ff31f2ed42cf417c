"""Real `barfill worker` processes in the traps of the queue's library: dead heartbeats, silent ends, entries twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from barfill.store.queue import enqueue
from barfill.store.runs import claim_run, fail_run, retry_runs
from barfill.store.workers import Worker
from torture.freezing import freeze
from torture.measure import Measure
from torture.server import Server, own_server
from torture.verdict import Verdict, judge_the_end, requests_of
from torture.yard import PATIENCE_S, TICKERS, Yard, open_yard

SEED = 11
SOON_S = 60.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that these tests may stop."""
    with own_server() as own:
        yield own


@pytest.fixture
def yard(server: Server) -> Iterator[Yard]:
    """An exchange, an empty database, and room for workers between them."""
    with open_yard(server, SEED) as opened:
        yield opened


def is_as_the_source(yard: Yard) -> None:
    """Nothing is left to do, and nothing is wrong."""
    verdict = Verdict("end")
    judge_the_end(yard, verdict)
    assert verdict.wrong == []


def fresh_heartbeats(yard: Yard) -> list[int]:
    """Ids of the queue's workers that have beaten lately."""
    rows = yard.rows(
        "select id from procrastinate_workers where last_heartbeat > clock_timestamp() - make_interval(secs => %s)",
        PATIENCE_S / 2,
    )
    return [row[0] for row in rows]


def test_a_database_that_is_away_for_long_is_waited_for(server: Server, yard: Yard) -> None:
    """P04: the same process goes on after more than its heartbeat's patience, does the work, and beats."""
    child = yard.start("worker", is_spared=True)
    queues = 3  # of the provider with a key, of the venue without one, of the housekeeping
    assert yard.pause(SOON_S, until=lambda: len(fresh_heartbeats(yard)) == queues)

    server.kill()
    time.sleep(PATIENCE_S + 2)
    server.start()
    yard.define(TICKERS[:1])

    assert yard.settle()
    time.sleep(PATIENCE_S)
    assert child.is_alive
    assert len(fresh_heartbeats(yard)) == queues
    is_as_the_source(yard)


def test_a_worker_under_load_ends_in_order(yard: Yard) -> None:
    """P06: SIGTERM is answered within 30 s with exit code 0; the runs are back in the queue, and no page is lost."""
    yard.define(TICKERS[:6])
    yard.start_workers(1)
    assert yard.pause(SOON_S, until=lambda: bool(yard.rows("select 1 from job_runs where page_no > 0")))

    ((code, seconds),) = yard.end_workers()

    assert code == 0
    assert seconds <= 30
    states = {row[0] for row in yard.rows("select status from job_runs")}
    assert "queued" in states
    assert states <= {"queued", "success"}
    yard.start_workers(1)
    assert yard.settle()
    is_as_the_source(yard)


def test_a_sigterm_while_a_worker_starts_is_an_orderly_end(yard: Yard) -> None:
    """P06: at whatever step of its start the signal comes, a service manager sees no failure."""
    codes = []
    for delay_s in (0.05, 0.15, 0.25, 0.35, 0.5, 0.8):
        child = yard.start("worker", is_spared=True)
        time.sleep(delay_s)
        child.process.send_signal(signal.SIGTERM)
        codes.append(child.process.wait(SOON_S))

    assert set(codes) <= {0, -signal.SIGTERM}, codes


def test_a_failing_side_task_is_no_silent_end(yard: Yard) -> None:
    """P05: the library ends its worker quietly as its heartbeat fails; ours begins anew, and works."""
    child = yard.start("worker", is_spared=True)
    assert yard.pause(SOON_S, until=lambda: bool(fresh_heartbeats(yard)))
    before = fresh_heartbeats(yard)
    rename = "alter function {}(bigint) rename to {}"
    with yard.database.connection() as conn:
        conn.execute(rename.format("procrastinate_update_heartbeat_v1", "gone").encode())
        assert yard.pause(
            SOON_S, until=lambda: bool(yard.rows("select 1 from procrastinate_workers where id > %s", before[0]))
        )
        conn.execute(rename.format("gone", "procrastinate_update_heartbeat_v1").encode())
    yard.define(TICKERS[:1])

    assert yard.settle()
    assert child.is_alive
    is_as_the_source(yard)


def test_a_retry_of_a_run_whose_entry_still_waits_does_no_harm(yard: Yard) -> None:
    """P07: with two and three entries each run is carried out once, no page is asked for twice, and no entry stays."""
    yard.define(TICKERS[:2])
    ids = [row[0] for row in yard.rows("select id from job_runs order by id")]
    yard.database.run(enqueue, ids)
    run = yard.database.run(claim_run, ids[0], Worker("tester", has_lock=False))
    assert run is not None
    yard.database.run(fail_run, run.id, run.epoch, error_code="TIMEOUT", reason="read", message="slow")
    assert yard.database.run(retry_runs, ids) == [ids[0]]
    assert len(yard.rows("select 1 from procrastinate_jobs where status = 'todo'")) == 2 * len(ids) + 1

    yard.start_workers(2)

    assert yard.settle()
    assert yard.pause(
        SOON_S, until=lambda: not yard.rows("select 1 from procrastinate_jobs where task_name = 'carry_out'")
    )
    assert requests_of(yard)[1] == 0
    is_as_the_source(yard)


def test_a_worker_frozen_inside_a_transaction_holds_nobody_up(server: Server) -> None:
    """P02: its locks are let go of, others finish its work, and thawed it does no harm."""
    verdict = Verdict("freeze")

    freeze(server, Measure(seed=SEED, freezes=0), verdict)

    assert verdict.wrong == []
    assert verdict.figures["frozen"].endswith("1 in a transaction")


def test_a_second_sigterm_leaves_at_once(yard: Yard) -> None:
    """P06: who asks twice does not wait; nothing is lost, and others go on with the runs."""
    yard.define(TICKERS[:2])
    child = yard.start("worker", is_spared=True)
    assert yard.pause(SOON_S, until=lambda: yard.run_in_hand(child) is not None)
    yard.towards_exchange.hold_answers()
    yard.pause(1.0)

    child.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    child.process.send_signal(signal.SIGTERM)

    assert child.process.wait(5) == -signal.SIGTERM
    yard.towards_exchange.let_answers_go()
    yard.start_workers(1)
    assert yard.settle()
    is_as_the_source(yard)

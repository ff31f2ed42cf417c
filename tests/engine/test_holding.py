"""Runs that wait for a key: why they wait is told, and once nothing stands against them they go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.quota import SharedQuota, key_id_of
from barfill.engine.schedule import Schedule, told
from barfill.engine.tick import Tick
from barfill.engine.worker import QueueWorker
from barfill.errors import CredentialsRejected, RateLimited
from barfill.providers.client import ProviderClient
from barfill.store.quota import QuotaTerms
from tests.engine.rig import Collector, Rig
from tests.engine.test_worker import define, look

D1 = Timeframe.D1


def client_of(rig: Rig, *, budget: int | None = None) -> ProviderClient:
    """A process of its own: a client under the quota that all share."""
    terms = QuotaTerms(
        provider="alpaca", key_id=key_id_of("alpaca", "key"), requests_per_minute=1000, day_budget=budget
    )
    return rig.client(SharedQuota(rig.database, terms))


def process(rig: Rig, *, budget: int | None = None) -> tuple[Rig, QueueWorker, Tick]:
    """As `schedule --once`: a look, then what is due; with what was told."""
    other = replace(rig, listener=Collector())

    async def once() -> tuple[QueueWorker, Tick]:
        client = client_of(other, budget=budget)
        try:
            looking = Schedule(rig.database, Clients(client), rig.settings, other.listener, every=timedelta(minutes=15))
            found = await looking.look()
            worker = QueueWorker(rig.database, Clients(client), rig.settings, other.listener)
            await worker.run_until_empty()
            return worker, found
        finally:
            await client.aclose()

    worker, found = asyncio.run(once())
    return other, worker, found


def states(rig: Rig) -> dict[tuple[str, str | None, str | None], int]:
    """How many runs stand how, with code and reason."""
    found = rig.query("select status, error_code, reason, count(*)::int from job_runs group by 1, 2, 3")
    return {(status, code, reason): count for status, code, reason, count in found}


def test_a_spent_budget_is_told_once_and_a_higher_one_holds_at_once(rig: Rig) -> None:
    """The runs say what they wait for; with a higher budget the next process carries them out, without waiting."""
    define(rig, D1, window_days=60)
    rig.page_size = 10

    first, worker, _ = process(rig, budget=2)

    waiting = {key: count for key, count in states(rig).items() if key[0] == "queued"}
    assert list(waiting) == [("queued", None, "budget_spent")]
    notes = [note for note in first.listener.notes if "budget of 2 requests" in note]
    assert len(notes) == 1
    assert worker.tally.postponed >= 1
    again, _, _ = process(rig, budget=2)
    assert len([note for note in again.listener.notes if "budget of 2 requests" in note]) == 1
    assert rig.bar_requests() == 2
    process(rig, budget=1000)
    assert list(states(rig)) == [("success", None, None)]


def test_a_run_that_waits_for_the_budget_waits_until_midnight(rig: Rig) -> None:
    """Nobody asks before, while the budget is what it was."""
    define(rig, D1, window_days=60)
    rig.page_size = 10

    process(rig, budget=2)

    due = rig.query(
        "select distinct scheduled_at = (date_trunc('day', now() at time zone 'UTC') + interval '1 day') "
        "at time zone 'UTC' or scheduled_at - now() < interval '1 day' from procrastinate_jobs where status = 'todo'"
    )
    assert due == [(True,)]


def test_a_rejected_key_fails_one_run_and_puts_the_others_aside(rig: Rig) -> None:
    """At every later look nothing is planned, and it is said what to do; with a good key everything is carried out."""
    define(rig, D1, Timeframe.M15, Timeframe.M5)
    made = look(rig).runs
    rig.key = "wrong"
    rig.exchange.forget_requests()

    ticks = [process(rig) for _ in range(3)]

    count = len(made)
    assert count > 1
    assert states(rig) == {("failed", "UNAUTHORIZED", "unauthorized"): 1, ("queued", None, "paused"): count - 1}
    assert rig.bar_requests() == 1
    assert isinstance(ticks[-1][2].held, CredentialsRejected)
    assert "ALPACA_API_KEY" in told(ticks[-1][2])
    assert len(rig.exchange.requests) == 3  # the run's, and one trial of each process after it
    rig.key = "key"
    process(rig)
    assert {status for status, _, _ in states(rig)} == {"failed", "success"}
    assert states(rig)["success", None, None] >= count - 1


def test_a_lifted_pause_makes_its_runs_due(rig: Rig) -> None:
    """Told to wait two hours, the runs wait, and say so; lifted as docs/operations.md tells, they go on at once."""
    define(rig, D1)
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H02", "args": {"retry_after": "7200"}}])
    process(rig)
    assert list(states(rig)) == [("queued", None, "paused")]
    rig.exchange.set_faults([])
    _, _, found = process(rig)
    assert isinstance(found.held, RateLimited)

    rig.change("update quotas set paused_at = null, paused_until = null, paused_code = null, paused_reason = null")
    process(rig)

    assert list(states(rig)) == [("success", None, None)]

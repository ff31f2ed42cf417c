"""The scenarios: what is done to barfill while it works, and what must hold afterwards."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from barfill.simulate import random_script
from torture.server import Server
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end, requests_of
from torture.yard import CHAINS, PATIENCE_S, TICKERS, Child, Yard, open_yard

BACK_S_MAX = 60.0
"""So long after the database's return a worker may need to beat again."""
STOP_S_MAX = 30.0
"""So long may an orderly end take."""
FAULTS = ("H01", "H04", "H10", "H13", "H14", "H15", "H16", "H17", "H18", "H20", "H22", "H24", "H32")
"""What passes by itself; faults that stop a series until somebody has looked have tests of their own."""
FAULT_RATE = 0.08
FAULT_S_MAX = 1.0
DAYS_TO_HEAL = 2
"""On the first what was under way as the exchange became well is finished, on the second what that held back."""
ALL_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    How much of it.

    Attributes:
        seed: The same seed chooses the same faults and victims; processes run as fast as they happen to.
        workers: How many `barfill worker`.
        kills: SIGKILLs of the first scenario; the others take theirs from it.
        freezes, stops: How often a worker is frozen, and the database stopped.
        is_frozen_in_transaction: Whether one is also frozen while it holds locks: others wait 10 s for these.
        away_s: Shortest and longest absence of the database.
        chaos_s: How long network and provider are bad.
        limit: Requests a minute in the scenario of that name, and how long it lasts.
    """

    seed: int
    workers: int = 3
    kills: int = 50
    freezes: int = 10
    stops: int = 6
    is_frozen_in_transaction: bool = True
    away_s: tuple[float, float] = (2.0, 40.0)
    chaos_s: float = 60.0
    limit: int = 200
    limit_s: float = 150.0


def kills(server: Server, measure: Measure, verdict: Verdict) -> None:
    """SIGKILL of random workers and of the scheduler while work flows (R01, R06, R36, P01, P08, P09)."""
    with open_yard(server, measure.seed) as yard, looking(yard, verdict):
        yard.feed()
        yard.start("schedule", "--plan-only", "--every", "1")
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: _is_flowing(yard))
        while yard.kills < measure.kills:
            yard.feed()
            yard.pause(yard.chance.uniform(0.0, 0.5))
            yard.kill_one()
        verdict.hold(yard.settle(), "work is left after the kills")
        _end(yard, verdict)
        _nobody_ended(yard, verdict)
        _nothing_failed(yard, verdict)
        verdict.figures["kills"] = f"{yard.kills} ({yard.kills_at_work} of workers with runs in hand)"
        judge_the_end(yard, verdict, extra_requests_max=yard.kills * CHAINS)
        _again_costs_nothing(yard, verdict)


def freeze(server: Server, measure: Measure, verdict: Verdict) -> None:
    """A worker stands still while others do its work anew from a corrected source, then goes on (R03, P02, P08)."""
    with open_yard(server, measure.seed + 1) as yard, looking(yard, verdict):
        late = 0
        for _ in range(measure.freezes):
            yard.define(TICKERS[len(yard.tickers) : len(yard.tickers) + 1])
            late += _freeze_with_an_answer_on_its_way(yard, verdict)
        caught = _freeze_inside_a_transaction(yard, verdict) if measure.is_frozen_in_transaction else 0
        verdict.figures["frozen"] = (
            f"{measure.freezes} before a stale answer ({late} overtaken), {caught} in a transaction"
        )
        verdict.hold(late == measure.freezes, f"only {late} of {measure.freezes} late pages came about")
        _end(yard, verdict)
        judge_the_end(yard, verdict)
        revised = yard.rows("select count(*) from bar_revisions")[0][0]
        verdict.hold(revised == 0, f"{revised} bars were overwritten")


def database(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Immediate stops of PostgreSQL, which stays away for a while (R04, S05, P04, P05)."""
    with open_yard(server, measure.seed + 2) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        away_s = 0.0
        for _ in range(measure.stops):
            yard.pause(ALL_S, until=lambda: _is_flowing(yard))
            yard.pause(yard.chance.uniform(0.2, 2.0))
            server.kill()
            rest = yard.chance.uniform(*measure.away_s)
            yard.pause(rest)
            server.start()
            away_s += rest
            yard.feed()
        verdict.hold(yard.settle(), "work is left after the database came back")
        _heartbeats_are_fresh(yard, verdict)
        _end(yard, verdict)
        verdict.figures["stops"] = f"{measure.stops}, away {away_s:.0f} s"
        _nobody_ended(yard, verdict)
        _nothing_failed(yard, verdict)
        judge_the_end(yard, verdict)


def network(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Connections to exchange and database cut at random, and after COMMIT was sent (S06, S10, H18)."""
    with open_yard(server, measure.seed + 3) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: _is_flowing(yard))
        yard.towards_database.commit_cut_rate = 0.02
        deadline = time.monotonic() + measure.chaos_s
        while time.monotonic() < deadline:
            yard.feed()
            yard.pause(yard.chance.uniform(0.3, 3.0))
            yard.chance.choice([yard.towards_exchange, yard.towards_database]).cut()
        yard.towards_database.commit_cut_rate = 0.0
        verdict.hold(yard.settle(), "work is left after the network healed")
        _heartbeats_are_fresh(yard, verdict)
        _end(yard, verdict)
        exchange, store = yard.towards_exchange, yard.towards_database
        verdict.figures["cut"] = (
            f"{exchange.cuts} to the exchange, {store.cuts} to the database, {store.commit_cuts} after COMMIT"
        )
        verdict.hold(store.commit_cuts > 0, "no COMMIT lost its reply")
        _nothing_failed(yard, verdict)
        judge_the_end(yard, verdict)


def faults(server: Server, measure: Measure, verdict: Verdict) -> None:
    """The exchange misbehaves by random scripts, and workers die meanwhile; then it is well again (R15, R28)."""
    with open_yard(server, measure.seed + 4) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        deadline = time.monotonic() + measure.chaos_s
        while time.monotonic() < deadline:
            seed = yard.chance.randrange(1_000_000)
            yard.exchange.set_faults(random_script(seed, 6, FAULTS, rate=FAULT_RATE, seconds_max=FAULT_S_MAX))
            for _ in range(3):
                yard.feed()
                yard.pause(yard.chance.uniform(0.5, 2.0))
            yard.kill_one()
        yard.exchange.set_faults([])
        for _ in range(DAYS_TO_HEAL):
            _a_day_passes(yard)
            verdict.hold(yard.settle(), "work is left after the exchange was well again")
        _end(yard, verdict)
        fired = [name for one in yard.exchange.requests if one.fault for name in re.findall(r"[A-Z]\d+", one.fault)]
        verdict.figures["faults"] = f"{len(fired)} of {len(set(fired))} kinds"
        verdict.figures["kills"] = str(yard.kills)
        judge_the_end(yard, verdict)


def limit(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Workers are killed while they share a request limit: no 60 s hold more than it allows (R11)."""
    with open_yard(server, measure.seed + 5, requests_per_minute=measure.limit) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers + 1)
        yard.pause(ALL_S, until=lambda: requests_of(yard)[0] > 0)
        deadline = time.monotonic() + measure.limit_s
        while time.monotonic() < deadline:
            yard.feed()
            yard.pause(min(yard.chance.uniform(3.0, 8.0), max(0.0, deadline - time.monotonic())))
            if time.monotonic() < deadline:
                yard.kill_one()
        _end(yard, verdict)
        summary = yard.exchange.ledger.summary()
        refused = len([one for one in yard.exchange.requests if one.status == 429])  # noqa: PLR2004  by its name
        verdict.figures["kills"] = str(yard.kills)
        verdict.figures["fullest 60 s"] = f"{summary['max_in_any_60s']} of {measure.limit}"
        verdict.figures["requests"] = f"{requests_of(yard)[0]:,} in {measure.limit_s:.0f} s"
        verdict.hold(not summary["limit_was_exceeded"], f"{summary['max_in_any_60s']} requests within 60 s")
        verdict.hold(refused == 0, f"{refused} requests were refused")


SCENARIOS: Mapping[str, Callable[[Server, Measure, Verdict], None]] = {
    "kills": kills,
    "freeze": freeze,
    "database": database,
    "network": network,
    "faults": faults,
    "limit": limit,
}


def _freeze_with_an_answer_on_its_way(yard: Yard, verdict: Verdict) -> bool:
    """
    A worker is frozen while a wrong answer is on its way to it; the right one is stored elsewhere; then it thaws.

    Whether it came to that: the run was finished by somebody else while the late answer waited.
    """
    frozen = yard.start("worker", "--concurrency", "1", is_spared=True)
    run = _first_run(yard, frozen)
    yard.towards_exchange.hold_answers()
    before = len(yard.exchange.requests)
    yard.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H33", "args": {"factor": 1.01}}])
    yard.pause(ALL_S, until=lambda: any(one.fault == "H33" for one in yard.exchange.requests[before:]))
    frozen.process.send_signal(signal.SIGSTOP)
    yard.exchange.set_faults([])
    other = yard.start("worker", "--concurrency", "2", exchange_url=yard.exchange.alpaca_url, is_spared=True)
    is_over = yard.settle()
    verdict.hold(is_over, "what a frozen worker had was not gone on with")
    frozen.process.send_signal(signal.SIGCONT)
    yard.towards_exchange.let_answers_go()
    yard.pause(1.0)
    verdict.hold(frozen.is_alive, "the thawed worker ended")
    _end(yard, verdict)
    state = yard.rows("select status, epoch from job_runs where id = %s", run)
    return is_over and not other.is_alive and state[0][0] == "success" and state[0][1] > 1


def _freeze_inside_a_transaction(yard: Yard, verdict: Verdict) -> int:
    """A worker frozen while it holds locks keeps nobody from the work; how often one was caught at it."""
    yard.define(TICKERS[len(yard.tickers) : len(yard.tickers) + 1])
    frozen = yard.start("worker", "--concurrency", "1", is_spared=True)
    _first_run(yard, frozen)
    caught = 0
    deadline = time.monotonic() + ALL_S / 6
    while not caught and time.monotonic() < deadline:
        frozen.process.send_signal(signal.SIGSTOP)
        time.sleep(0.02)  # what the server was doing for it ends meanwhile
        if yard.rows(
            "select 1 from pg_locks join pg_class on pg_class.oid = relation join pg_stat_activity using (pid) "
            "where relname = 'series' and mode = 'RowExclusiveLock' and state = 'idle in transaction'"
        ):
            caught = 1
        else:
            frozen.process.send_signal(signal.SIGCONT)
            time.sleep(yard.chance.uniform(0.0, 0.03))
    other = yard.start("worker", "--concurrency", "2", exchange_url=yard.exchange.alpaca_url, is_spared=True)
    verdict.hold(yard.settle(), "a worker frozen inside a transaction holds the work up")
    verdict.hold(other.is_alive, "the other worker ended")
    frozen.process.send_signal(signal.SIGCONT)
    yard.pause(1.0)
    return caught


def _first_run(yard: Yard, child: Child) -> int:
    """The run of which *child* has stored a page."""
    yard.pause(ALL_S, until=lambda: yard.run_in_hand(child) is not None)
    run = yard.run_in_hand(child)
    assert run is not None, "a worker takes no run"
    return run


def _is_flowing(yard: Yard) -> bool:
    """Whether some run has been taken and pages come in."""
    return bool(yard.rows("select 1 from job_runs where status = 'running' and page_no > 0 limit 1"))


def _end(yard: Yard, verdict: Verdict) -> None:
    """An orderly end of all workers, within its time and with exit code 0."""
    for code, seconds in yard.end_workers():
        verdict.hold(code == 0, f"a worker ended with exit code {code} after SIGTERM")
        verdict.hold(seconds <= STOP_S_MAX, f"a worker needed {seconds:.0f} s to end after SIGTERM")
    running = yard.rows("select id from job_runs where status = 'running'")
    verdict.hold(not running, f"{len(running)} runs are still those of workers that have ended")


def _heartbeats_are_fresh(yard: Yard, verdict: Verdict) -> None:
    """Every worker of the yard is known to the queue as alive."""
    since = "select id from procrastinate_workers where last_heartbeat > clock_timestamp() - make_interval(secs => %s)"
    are_fresh = yard.pause(BACK_S_MAX, until=lambda: len(yard.rows(since, PATIENCE_S)) >= len(yard.workers))
    fresh = len(yard.rows(since, PATIENCE_S))
    verdict.hold(are_fresh, f"after {BACK_S_MAX:.0f} s {fresh} of {len(yard.workers)} workers have a fresh heartbeat")


def _a_day_passes(yard: Yard) -> None:
    """What was put off becomes due, and so do the gaps of bars that were held back."""
    with yard.database.connection() as conn:
        conn.execute("update procrastinate_jobs set scheduled_at = null where status = 'todo'")
        conn.execute("update series_gaps set next_check_at = clock_timestamp() - interval '1 second'")


def _again_costs_nothing(yard: Yard, verdict: Verdict) -> None:
    """A look and a worker that find everything done ask nothing and write no row version (R06)."""
    versions = "select max(xmin::text::bigint), count(*) from {}"
    tables = ("ohlc_bars", "series", "series_gaps", "job_runs")
    before = [yard.rows(versions.format(table)) for table in tables]
    asked = len(yard.exchange.requests)
    verdict.hold(yard.look() == 0, "a look at what is complete makes runs")
    worker = yard.start("worker", "--until-empty", is_spared=True)
    yard.pause(STOP_S_MAX, until=lambda: not worker.is_alive)
    verdict.hold(worker.process.poll() == 0, "a worker without work did not end well")
    verdict.hold(len(yard.exchange.requests) == asked, "what is complete was asked for again")
    after = [yard.rows(versions.format(table)) for table in tables]
    verdict.hold(before == after, f"rows of what is complete were written again: {before}, {after}")


def _nobody_ended(yard: Yard, verdict: Verdict) -> None:
    verdict.hold(not yard.ended, f"workers ended by themselves, by exit code: {dict(yard.ended)}")


def _nothing_failed(yard: Yard, verdict: Verdict) -> None:
    failed = yard.rows("select error_code, reason, count(*) from job_runs where status = 'failed' group by 1, 2")
    verdict.hold(not failed, f"runs failed: {failed}")

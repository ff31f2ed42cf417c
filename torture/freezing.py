"""Workers that stand still while others do their work, and go on (R03, P02, P08)."""

from __future__ import annotations

import signal
import time

from torture.checks import ALL_S, end_in_order
from torture.measure import Measure
from torture.server import Server
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end
from torture.yard import TICKERS, Child, Yard, open_yard


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
        end_in_order(yard, verdict)
        judge_the_end(yard, verdict)
        revised = yard.rows("select count(*) from bar_revisions")[0][0]
        verdict.hold(revised == 0, f"{revised} bars were overwritten")


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
    end_in_order(yard, verdict)
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

"""The scenarios: what is done to barfill while it works, and what must hold afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from barfill.simulate import random_script
from torture.ailing import full
from torture.checks import (
    ALL_S,
    a_day_passes,
    again_costs_nothing,
    end_in_order,
    heartbeats_are_fresh,
    is_flowing,
    no_run_is_with_the_dead,
    nobody_ended,
    nothing_failed,
)
from torture.freezing import freeze
from torture.limits import limit
from torture.measure import Measure
from torture.points import points
from torture.pooling import pooler
from torture.server import Server
from torture.simulation.scenario import simulate
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end
from torture.yard import CHAINS, TICKERS, Yard, open_yard

FAULTS = ("H01", "H04", "H10", "H13", "H14", "H15", "H16", "H17", "H18", "H20", "H22", "H24", "H32")
"""What passes by itself; faults that stop a series until somebody has looked have tests of their own."""
FAULT_RATE = 0.08
FAULT_S_MAX = 1.0
DAYS_TO_HEAL = 2
"""On the first what was under way as the exchange became well is finished, on the second what that held back."""


def kills(server: Server, measure: Measure, verdict: Verdict) -> None:
    """SIGKILL of random workers and of the scheduler while work flows (R01, R06, R07, R36, P01, P08, P09)."""
    with (
        open_yard(server, measure.seed, window_days=measure.window_days) as yard,
        looking(yard, verdict, at_least=measure.snapshots),
    ):
        yard.define(TICKERS[: measure.symbols])
        yard.start("schedule", "--plan-only", "--every", "1")
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: is_flowing(yard))
        while yard.kills < measure.kills:
            yard.feed()
            yard.pause(yard.chance.uniform(0.0, 0.5))
            yard.kill_one()
        killed = time.monotonic()
        no_run_is_with_the_dead(yard, verdict)
        verdict.hold(yard.settle(), "work is left after the kills")
        over_s = time.monotonic() - killed
        end_in_order(yard, verdict)
        nobody_ended(yard, verdict)
        nothing_failed(yard, verdict)
        verdict.figures["kills"] = f"{yard.kills} ({yard.kills_at_work} of workers with runs in hand)"
        verdict.figures["all over"] = f"{over_s:.0f} s after the last"
        judge_the_end(yard, verdict, extra_requests_max=yard.kills * CHAINS)
        again_costs_nothing(yard, verdict)


def database(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Immediate stops of PostgreSQL, which stays away for a while (R04, S05, P04, P05)."""
    with open_yard(server, measure.seed + 2) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        away_s = 0.0
        for rest in _absences(yard, measure):
            yard.pause(ALL_S, until=lambda: is_flowing(yard))
            yard.pause(yard.chance.uniform(0.2, 2.0))
            server.kill()
            yard.pause(rest)
            server.start()
            away_s += rest
            yard.feed()
        verdict.hold(yard.settle(), "work is left after the database came back")
        heartbeats_are_fresh(yard, verdict)
        end_in_order(yard, verdict)
        verdict.figures["stops"] = f"{measure.stops}, away {away_s:.0f} s"
        nobody_ended(yard, verdict)
        nothing_failed(yard, verdict)
        judge_the_end(yard, verdict)


def network(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Connections to exchange and database cut at random, and after COMMIT was sent (S06, S10, H18)."""
    with open_yard(server, measure.seed + 3) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: is_flowing(yard))
        yard.towards_database.commit_cut_rate = 0.02
        deadline = time.monotonic() + measure.chaos_s
        while time.monotonic() < deadline:
            yard.feed()
            yard.pause(yard.chance.uniform(0.3, 3.0))
            yard.chance.choice([yard.towards_exchange, yard.towards_database]).cut()
        yard.towards_database.commit_cut_rate = 0.0
        verdict.hold(yard.settle(), "work is left after the network healed")
        heartbeats_are_fresh(yard, verdict)
        end_in_order(yard, verdict)
        exchange, store = yard.towards_exchange, yard.towards_database
        verdict.figures["cut"] = (
            f"{exchange.cuts} to the exchange, {store.cuts} to the database, {store.commit_cuts} after COMMIT"
        )
        verdict.hold(store.commit_cuts > 0, "no COMMIT lost its reply")
        nothing_failed(yard, verdict)
        judge_the_end(yard, verdict)


def faults(server: Server, measure: Measure, verdict: Verdict) -> None:
    """The exchange misbehaves by random scripts, and workers die meanwhile; then it is well again (R15, R28)."""
    with open_yard(server, measure.seed + 4) as yard, looking(yard, verdict):
        yard.feed()
        yard.start_workers(measure.workers)
        yard.pause(ALL_S, until=lambda: is_flowing(yard))
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
            a_day_passes(yard)
            verdict.hold(yard.settle(), "work is left after the exchange was well again")
        end_in_order(yard, verdict)
        fired = [name for one in yard.exchange.requests if one.fault for name in re.findall(r"[A-Z]\d+", one.fault)]
        verdict.hold(bool(fired), "no fault fired")
        verdict.figures["faults"] = f"{len(fired)} of {len(set(fired))} kinds"
        verdict.figures["kills"] = str(yard.kills)
        judge_the_end(yard, verdict)


def simulation(_server: Server, measure: Measure, verdict: Verdict) -> None:
    """Seeded simulations under a virtual clock, on a server of their own (R28)."""
    simulate(measure.seed, measure.seeds, verdict)


SCENARIOS: Mapping[str, Callable[[Server, Measure, Verdict], None]] = {
    "kills": kills,
    "points": points,
    "freeze": freeze,
    "database": database,
    "network": network,
    "faults": faults,
    "pooler": pooler,
    "full": full,
    "limit": limit,
    "simulation": simulation,
}


def _absences(yard: Yard, measure: Measure) -> list[float]:
    """How long the database stays away each time, in seconds: the lengths asked for, and random ones."""
    asked = list(measure.absences_s[: measure.stops])
    asked += [yard.chance.uniform(*measure.away_s) for _ in range(measure.stops - len(asked))]
    yard.chance.shuffle(asked)
    return asked

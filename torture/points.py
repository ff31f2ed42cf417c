"""Workers that die at chosen steps of a page, and others that go on with what they had (R02, P01)."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from barfill.crash import POINTS
from torture.checks import ALL_S, end_in_order, nobody_ended, nothing_failed
from torture.measure import Measure
from torture.server import Server
from torture.snapshots import looking
from torture.verdict import Verdict, judge_the_end, requests_of
from torture.yard import Yard, open_yard

NOTHING_IN_FLIGHT = ("k1", "k11", "k12")
"""Here no answer is lost: before a page's request, or after its COMMIT was sent."""
PASSES_MAX = 3
"""A worker dies at the first to third time that it comes by its point; at k1 at the first, which is once per run."""
GROUP = 2
"""Symbols at a time: enough for every death, and little to finish afterwards."""
CHAIN = "1"
"""One run at a time for whoever dies: a second one's request would be in flight whatever the first one's point."""


def points(server: Server, measure: Measure, verdict: Verdict) -> None:
    """Workers die at every crash point; where nothing was in flight no request is made again, else one for each."""
    with open_yard(server, measure.seed + 6) as yard, looking(yard, verdict):
        deaths = 0
        for names in (NOTHING_IN_FLIGHT, tuple(name for name in POINTS if name not in NOTHING_IN_FLIGHT)):
            before = requests_of(yard)[1]
            died = _die_at(yard, measure, names, verdict)
            yard.start_workers(measure.workers)
            verdict.hold(yard.settle(), f"work is left after the deaths at {', '.join(names)}")
            end_in_order(yard, verdict)
            repeated = requests_of(yard)[1] - before
            allowed = 0 if names is NOTHING_IN_FLIGHT else died
            verdict.hold(
                repeated <= allowed, f"killed {died} times at {', '.join(names)}, {repeated} requests repeated"
            )
            verdict.figures[f"repeated after {names[0]}..{names[-1]}"] = f"{repeated} of {allowed}"
            deaths += died
        verdict.figures["deaths"] = f"{deaths} at {len(POINTS)} points"
        nobody_ended(yard, verdict)
        nothing_failed(yard, verdict)
        judge_the_end(yard, verdict)


def _die_at(yard: Yard, measure: Measure, names: Sequence[str], verdict: Verdict) -> int:
    """Starts workers that die at these points, some at a time, until each has had its deaths; how many died."""
    rest = list(names) * measure.deaths_per_point
    yard.chance.shuffle(rest)
    died = 0
    while rest:
        wave, rest = rest[: measure.workers], rest[measure.workers :]
        yard.feed(group=GROUP, waiting_min=GROUP)
        doomed = [
            yard.start("worker", "--concurrency", CHAIN, is_spared=True, crash_at=f"{name}:{_passes(yard, name)}")
            for name in wave
        ]
        yard.pause(ALL_S, until=lambda doomed=doomed: not any(one.is_alive for one in doomed))  # type: ignore[misc]
        for name, child in zip(wave, doomed, strict=True):
            code = child.process.poll()
            verdict.hold(code == -signal.SIGKILL, f"a worker that was to die at {name} has exit code {code}")
            died += code == -signal.SIGKILL
            yard.dismiss(child)
    return died


def _passes(yard: Yard, name: str) -> int:
    return 1 if name == "k1" else yard.chance.randint(1, PASSES_MAX)

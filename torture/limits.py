"""Workers that share a request limit, undisturbed and killed (R11)."""

from __future__ import annotations

import time

from torture.checks import ALL_S, end_in_order, no_run_is_with_the_dead
from torture.measure import Measure
from torture.server import Server
from torture.snapshots import looking
from torture.verdict import Verdict, requests_of
from torture.yard import Yard, open_yard

USED_MIN = 0.95
"""So much of a limit is used as long as nobody is killed: a killed worker's place is free only after its lease."""
WINDOW_S = 60.0
_REFUSED = 429


def limit(server: Server, measure: Measure, verdict: Verdict) -> None:
    """However many workers share a limit, and whoever is killed: no 60 s hold more requests than it allows."""
    for number, allowed in enumerate(measure.limits):
        with (
            open_yard(server, measure.seed + 5 + number, requests_per_minute=allowed) as yard,
            looking(yard, verdict),
        ):
            yard.feed()
            yard.start_workers(measure.limit_workers)
            yard.pause(ALL_S, until=lambda yard=yard: requests_of(yard)[0] > 0)  # type: ignore[misc]
            if measure.limit_calm_s:
                _is_used(yard, allowed, measure.limit_calm_s, verdict)
            before = requests_of(yard)[0]
            _share(yard, measure.limit_s, with_kills=True)
            verdict.figures[f"{allowed}/min with {yard.kills} kills"] = (
                f"{requests_of(yard)[0] - before:,} in {measure.limit_s:.0f} s"
            )
            no_run_is_with_the_dead(yard, verdict)
            end_in_order(yard, verdict)
            summary = yard.exchange.ledger.summary()
            fullest = summary["max_in_any_60s"]
            refused = len([one for one in yard.exchange.requests if one.status == _REFUSED])
            verdict.figures["fullest 60 s"] = f"{fullest} of {allowed}"
            verdict.hold(not summary["limit_was_exceeded"], f"{fullest} requests within 60 s, {allowed} are allowed")
            verdict.hold(refused == 0, f"{refused} requests were refused")


def _share(yard: Yard, seconds: float, *, with_kills: bool) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yard.feed()
        yard.pause(min(yard.chance.uniform(3.0, 8.0), max(0.0, deadline - time.monotonic())))
        if with_kills and time.monotonic() < deadline:
            yard.kill_one()


def _is_used(yard: Yard, allowed: int, seconds: float, verdict: Verdict) -> None:
    """Without kills the limit is used, from the second minute on: the first requests find all places free."""
    _share(yard, WINDOW_S, with_kills=False)
    before, begun = requests_of(yard)[0], time.monotonic()
    _share(yard, seconds, with_kills=False)
    asked, took_s = requests_of(yard)[0] - before, time.monotonic() - begun
    used = asked / (allowed * took_s / WINDOW_S)
    verdict.figures[f"{allowed}/min undisturbed"] = f"{asked:,} in {took_s:.0f} s, {100 * used:.1f} % used"
    verdict.hold(used >= USED_MIN, f"{100 * used:.1f} % of {allowed} requests a minute were used without any kill")

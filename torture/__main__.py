"""`python -m torture`: kills, freezes, cuts and lies while barfill works; at the end all must be as the source."""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torture.measure import ABSENCES_S, SHORT, THOROUGH, Measure
from torture.report import rendered, summed_up
from torture.scenarios import SCENARIOS
from torture.server import Server, own_server
from torture.verdict import Verdict

SEED_MAX = 10_000
_AMOUNTS = ("kills", "symbols", "workers", "stops", "minutes", "seeds")


def main() -> int:
    """Tortures and prints; 1 where anything did not hold."""
    options = _options()
    seed = options.seed if options.seed is not None else random.randrange(SEED_MAX)
    measure = _measure(options, seed)
    begun = time.monotonic()
    print(
        f"seed {seed}; {measure.workers} workers, CPython {platform.python_version()}, {os.cpu_count()} cores, "
        f"load before {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with own_server() as server:
        verdicts = [_tortured(name, server, measure) for name in options.scenario or SCENARIOS]
    print(rendered(verdicts))
    took_s = time.monotonic() - begun
    print(f"\n{summed_up(verdicts)}; {took_s:.0f} s. The same again: python -m torture --seed {seed}{_how(options)}")
    return 1 if any(verdict.wrong for verdict in verdicts) else 0


def _tortured(name: str, server: Server, measure: Measure) -> Verdict:
    print(f"{name} ...", file=sys.stderr, flush=True)
    verdict = Verdict(name)
    begun = time.monotonic()
    try:
        SCENARIOS[name](server, measure, verdict)
    except Exception as error:
        traceback.print_exc()
        verdict.wrong.append(f"the torture itself broke off: {type(error).__name__}: {error}")
    verdict.seconds = time.monotonic() - begun
    return verdict


def _measure(options: argparse.Namespace, seed: int) -> Measure:
    """A form, and what the options change of it."""
    form = SHORT if options.short else THOROUGH if options.thorough else Measure(seed=seed)
    asked: dict[str, Any] = {
        "kills": options.kills,
        "symbols": options.symbols,
        "workers": options.workers,
        "stops": options.stops,
        "absences_s": ABSENCES_S if options.stops is not None else None,
        "limits": tuple(options.limit) if options.limit else None,
        "limit_workers": options.workers,
        "seeds": options.seeds,
    }
    if options.minutes is not None:
        asked |= dict.fromkeys(("chaos_s", "limit_s"), 60.0 * options.minutes)
        asked["limit_calm_s"] = 60.0 * options.minutes if options.limit else None
    return replace(form, seed=seed, **{name: value for name, value in asked.items() if value is not None})


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--short", action="store_true", help="the form of the CI: some minutes")
    forms.add_argument("--thorough", action="store_true", help="the counts of the list of faults: some hours")
    parser.add_argument("--seed", type=int, help="which moments, victims and faults; random without it")
    parser.add_argument("--kills", type=int, help="SIGKILLs in the scenario of that name [50; short 5; thorough 200]")
    parser.add_argument("--symbols", type=int, help="how many symbols `kills` begins with [4; thorough 50]")
    parser.add_argument(
        "--workers", type=int, help="how many `barfill worker` [3, limit 4; short 2; thorough 3, limit 8]"
    )
    parser.add_argument(
        "--stops", type=int, help="stops of the database, some of 5, 40 and 120 s [6; short 1; thorough 20]"
    )
    parser.add_argument(
        "--limit", type=int, action="append", help="requests a minute; may be repeated [200; thorough 5 too]"
    )
    parser.add_argument("--seeds", type=int, help="how many simulations, from --seed on [200; short 20]")
    parser.add_argument("--minutes", type=float, help="how long network, faults and limit last; with --limit also calm")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; may be repeated")
    return parser.parse_args(arguments)


def _how(options: argparse.Namespace) -> str:
    """The options that were given besides the seed."""
    told = [f"--{name} {getattr(options, name)}" for name in _AMOUNTS if getattr(options, name) is not None]
    told += [f"--limit {limit}" for limit in options.limit or ()]
    told += [f"--scenario {name}" for name in options.scenario or ()]
    told += [f"--{form}" for form in ("short", "thorough") if getattr(options, form)]
    return "".join(f" {one}" for one in told)


if __name__ == "__main__":
    sys.exit(main())

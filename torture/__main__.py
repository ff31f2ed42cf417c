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

from torture.report import rendered
from torture.scenarios import SCENARIOS, Measure
from torture.server import Server, own_server
from torture.verdict import Verdict

SHORT = Measure(
    seed=0,
    workers=2,
    kills=5,
    freezes=1,
    stops=1,
    is_frozen_in_transaction=False,
    away_s=(2.0, 3.0),
    chaos_s=5.0,
    limit=60,
    limit_s=8.0,
)
SEED_MAX = 10_000


def main() -> int:
    """Tortures and prints; 1 where anything did not hold."""
    options = _options()
    seed = options.seed if options.seed is not None else random.randrange(SEED_MAX)
    measure = replace(SHORT if options.short else Measure(seed=seed), seed=seed)
    if options.kills is not None:
        measure = replace(measure, kills=options.kills)
    if options.workers is not None:
        measure = replace(measure, workers=options.workers)
    if options.minutes is not None:
        measure = replace(measure, chaos_s=60.0 * options.minutes, limit_s=60.0 * options.minutes)
    begun = time.monotonic()
    print(
        f"seed {seed}; {measure.workers} workers, CPython {platform.python_version()}, {os.cpu_count()} cores, "
        f"load before {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with own_server() as server:
        verdicts = [_tortured(name, server, measure) for name in options.scenario or SCENARIOS]
    print(rendered(verdicts))
    failed = [verdict for verdict in verdicts if verdict.wrong]
    how = f"{len(failed)} of {len(verdicts)} scenarios failed" if failed else f"all {len(verdicts)} scenarios hold"
    print(
        f"\n{how}; {time.monotonic() - begun:.0f} s. The same again: python -m torture --seed {seed}{_short(options)}"
    )
    return 1 if failed else 0


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


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the form of the CI: about a minute and a half")
    parser.add_argument("--seed", type=int, help="which moments, victims and faults; random without it")
    parser.add_argument("--kills", type=int, help="SIGKILLs in the scenario of that name [50; short: 5]")
    parser.add_argument("--workers", type=int, help="how many `barfill worker` [3; short: 2]")
    parser.add_argument("--minutes", type=float, help="how long network, faults and limit last, each")
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="only this one; may be repeated")
    return parser.parse_args(arguments)


def _short(options: argparse.Namespace) -> str:
    return " --short" if options.short else ""


if __name__ == "__main__":
    sys.exit(main())

"""The simulation as a scenario of the torture test: seeds from the given one on, and whether they repeat."""

from __future__ import annotations

import os
import sys
from collections import Counter

from torture.simulation.one import Outcome
from torture.simulation.sweep import sweeping
from torture.verdict import Verdict

REPEATS = 10
"""So often the first seed, and any that fails, must come out the same."""
REPEATED_MAX = 3
"""So many of those that fail are repeated."""


def simulate(first: int, count: int, verdict: Verdict) -> None:
    """Runs the seeds *first* to *first* + *count* - 1 (R28)."""
    totals: Counter[str] = Counter()
    virtual_s, real_s = 0.0, 0.0
    with sweeping() as sweep:
        failed: list[Outcome] = []
        again = {first}
        for outcome in sweep.outcomes(range(first, first + count)):
            totals.update(outcome.counts)
            virtual_s, real_s = virtual_s + outcome.virtual_s, real_s + outcome.real_s
            if outcome.wrong:
                failed.append(outcome)
                verdict.wrong.append(f"seed {outcome.seed}: {'; '.join(outcome.wrong)[:600]}")
                verdict.wrong.append(
                    f"  again: python -m torture --scenario simulation --seeds 1 --seed {outcome.seed}"
                )
                _keep_history(outcome)
        again |= {outcome.seed for outcome in failed[:REPEATED_MAX]}
        for seed in sorted(again):
            digests = Counter(outcome.digest for outcome in sweep.outcomes([seed] * REPEATS))
            verdict.hold(len(digests) == 1, f"seed {seed} has {len(digests)} histories in {REPEATS} runs")
    verdict.figures["seeds"] = f"{count:,} from {first}, {len(failed)} failed"
    verdict.figures["virtual"] = f"{virtual_s / 3600:,.0f} h"
    verdict.figures["a seed"] = f"{real_s / count:.2f} s"
    verdict.figures["repeated"] = f"{len(again)} x {REPEATS}"
    verdict.figures |= {name: f"{number:,}" for name, number in totals.items()}


def _keep_history(outcome: Outcome) -> None:
    """What happened, on the error output, where that was asked for."""
    if os.environ.get("TORTURE_LOG"):
        sys.stderr.write("\n".join([f"history of seed {outcome.seed}", *outcome.lines, ""]))

"""The table: a line for each scenario, its figures, and what did not hold."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from torture.verdict import Verdict

WIDTH = 110
WRONG_MAX = 12


def rendered(verdicts: Sequence[Verdict]) -> str:
    """All verdicts as text."""
    blocks = [f"{'scenario':<10} {'verdict':<8} {'seconds':>7}  figures"]
    blocks += [_block(verdict) for verdict in verdicts]
    return "\n".join(blocks)


def summed_up(verdicts: Sequence[Verdict]) -> str:
    """How many hold, in half a sentence."""
    ran = [verdict for verdict in verdicts if not verdict.not_run]
    failed = sum(bool(verdict.wrong) for verdict in ran)
    if not ran:
        return "nothing was run"
    text = f"{failed} of {len(ran)} scenarios failed" if failed else f"all {len(ran)} scenarios hold"
    return text + (f", {len(verdicts) - len(ran)} not run" if len(ran) < len(verdicts) else "")


def _block(verdict: Verdict) -> str:
    figures = "; ".join(f"{name} {value}" for name, value in verdict.figures.items())
    if verdict.not_run:
        figures = f"not run: {verdict.not_run}"
    head = f"{verdict.scenario:<10} {verdict.word:<8} {verdict.seconds:>7.0f}  "
    lines = textwrap.wrap(figures, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
    lines += [f"  WRONG    {text}" for text in verdict.wrong[:WRONG_MAX]]
    if len(verdict.wrong) > WRONG_MAX:
        lines.append(f"  WRONG    and {len(verdict.wrong) - WRONG_MAX} more")
    return "\n".join(lines)

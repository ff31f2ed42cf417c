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


def _block(verdict: Verdict) -> str:
    figures = "; ".join(f"{name} {value}" for name, value in verdict.figures.items())
    head = f"{verdict.scenario:<10} {'FAILS' if verdict.wrong else 'holds':<8} {verdict.seconds:>7.0f}  "
    lines = textwrap.wrap(figures, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]
    lines += [f"  WRONG    {text}" for text in verdict.wrong[:WRONG_MAX]]
    if len(verdict.wrong) > WRONG_MAX:
        lines.append(f"  WRONG    and {len(verdict.wrong) - WRONG_MAX} more")
    return "\n".join(lines)

"""Job runs as they are listed, on the command line and by the HTTP API."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from barfill.engine.advice import ADVICE
from barfill.store.runlist import ListedRun


def run_to_json(run: ListedRun) -> dict[str, Any]:
    """Every column under the name that it has in job_runs, and what to do about an error."""
    known = asdict(run)
    known.pop("range")
    first = {"id": run.id, "job_def_id": run.job_def_id, "symbols": run.symbols, "timeframe": run.timeframe.label}
    bounds = {"slice_from": run.range.start, "slice_to": run.range.end}
    return first | bounds | {key: value for key, value in known.items() if key not in first} | {"advice": advice(run)}


def advice(run: ListedRun) -> str | None:
    """What to do about the run's error; None where there is none."""
    return ADVICE.get(run.error_code) if run.error_code else None

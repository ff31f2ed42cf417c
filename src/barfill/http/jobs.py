"""`/jobs`: what was fetched, is being fetched and waits; retry and cancel."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from barfill.core.timeframe import Timeframe
from barfill.engine.listed_runs import run_to_json
from barfill.engine.reading import find_symbol
from barfill.engine.retrying import retry
from barfill.http.answers import json_answer
from barfill.http.context import Context, InContext
from barfill.http.problems import CONFLICT, PROBLEMS, WRITE_PROBLEMS
from barfill.http.wire import Interval, Strict, Ticker
from barfill.store.runlist import RunFilter, Status, count_by_status, find_runs, list_runs
from barfill.store.runs import BY_THE_USER, cancel_runs

RUNS_USUAL, RUNS_MAX = 20, 1_000

router = APIRouter(prefix="/jobs", tags=["jobs"])

RunId = Annotated[int, Path(ge=1, le=2**63 - 1, description="As `GET /jobs` names it.")]


class JobsQuery(Strict):
    """Which runs."""

    status: list[Status] = Field(default_factory=list, max_length=5, description="Only these.")
    symbol: Ticker | None = Field(None, description="Only runs that fetch it, alone or among others.")
    timeframe: list[Interval] = Field(default_factory=list, max_length=len(Timeframe))
    limit: int = Field(RUNS_USUAL, ge=1, le=RUNS_MAX, description="So many at most, the newest.")


class Job(BaseModel):
    """One execution of one slice: symbols, a timeframe and a range, under the names of the table `job_runs`."""

    id: int
    job_def_id: int | None
    symbols: list[str]
    timeframe: str
    slice_from: datetime
    slice_to: datetime
    job_type: str
    status: Status
    is_alive: bool = Field(description="Whether a living worker is on it.")
    progress_percent: float
    rows_written: int
    rows_received: int
    provider: str
    feed: str
    basis: str
    actual_cost: int = Field(description="Requests made.")
    attempt: int
    error_code: str | None
    error_message: str | None
    advice: str | None = Field(description="What to do about the error.")
    reason: str | None
    triggered_by: str
    epoch: int
    worker: str | None
    heartbeat_at: datetime | None
    page_no: int
    page_token: str | None
    request_id: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    calendar_version: str | None


class JobsAnswer(BaseModel):
    """Runs, the newest first; `counts` by status of all that are meant, listed or not."""

    runs: list[Job]
    counts: dict[str, int]


@router.get("", response_model=JobsAnswer, responses=PROBLEMS)
def jobs(query: Annotated[JobsQuery, Query()], context: InContext) -> Response:
    """Runs, the newest first: `barfill jobs list --json`."""
    database = context.database
    wanted = RunFilter(
        statuses=query.status or None,
        symbol_id=database.run(find_symbol, query.symbol).id if query.symbol else None,
        timeframes=query.timeframe or None,
    )
    found = database.run(list_runs, wanted, limit=query.limit)
    return json_answer({"runs": [run_to_json(one) for one in found], "counts": database.run(count_by_status, wanted)})


@router.get("/{run_id}", response_model=Job, responses=PROBLEMS)
def job(run_id: RunId, context: InContext) -> Response:
    """All that is known of a run."""
    return _run(context, run_id)


@router.post("/{run_id}/retry", response_model=Job, responses={**PROBLEMS, **WRITE_PROBLEMS, **CONFLICT})
def retry_job(run_id: RunId, context: InContext) -> Response:
    """Put a failed or cancelled run back into the queue; it goes on at the page that it had reached."""
    (before,) = context.database.run(find_runs, [run_id])
    done = retry(context.database, [run_id], patience_s=context.engine.worker_patience_s)
    if run_id not in done.queued:
        raise HTTPException(HTTPStatus.CONFLICT, f"Run {run_id} stays {before.status}: {done.left[run_id]}.")
    return _run(context, run_id)


@router.post("/{run_id}/cancel", response_model=Job, responses={**PROBLEMS, **WRITE_PROBLEMS, **CONFLICT})
def cancel_job(run_id: RunId, context: InContext) -> Response:
    """End a run that is not finished; what it has written stays."""
    (before,) = context.database.run(find_runs, [run_id])
    if not context.database.run(cancel_runs, [run_id], reason=BY_THE_USER):
        raise HTTPException(HTTPStatus.CONFLICT, f"Run {run_id} stays {before.status}: it is over already.")
    return _run(context, run_id)


def _run(context: Context, run_id: int) -> Response:
    (found,) = context.database.run(find_runs, [run_id])
    return json_answer(run_to_json(found))

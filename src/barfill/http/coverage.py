"""`POST /ensure-coverage`, and the progress of what it began: polled, or as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from barfill.engine.ensuring import Progress, Status, ensure, read_progress
from barfill.engine.reading import find_symbol
from barfill.http.charts import Coverage
from barfill.http.context import Context, InContext, context_of
from barfill.http.problems import PROBLEMS, WRITE_PROBLEMS
from barfill.http.wire import Interval, Strict, Ticker

WINDOW_DAYS, WINDOW_DAYS_MAX = 730, 36_500
STREAMS_MAX = 100
EVERY_S = 1.0


router = APIRouter(tags=["coverage"])


class Wanted(Strict):
    """A series to be kept complete."""

    symbol: Ticker
    timeframe: Interval
    window_days: int = Field(WINDOW_DAYS, ge=1, le=WINDOW_DAYS_MAX, description="How far back, in days.")


class Series(Strict):
    """One series."""

    symbol: Ticker
    timeframe: Interval


class BackfillProgress(BaseModel):
    """Slices are runs; the percentage counts bars that the calendar lets one expect, not slices."""

    total_slices: int
    completed_slices: int
    running_slices: int
    queued_slices: int
    failed_slices: int
    progress_percent: float = Field(ge=0, le=100)
    bars_written: int


class CoverageAnswer(BaseModel):
    """How a series stands."""

    job_def_id: int | None
    symbol: str
    timeframe: str
    window_days: int
    status: Status
    coverage_status: Coverage
    backfill_progress: BackfillProgress


@router.post("/ensure-coverage", responses={**PROBLEMS, **WRITE_PROBLEMS})
def ensure_coverage(wanted: Wanted, context: InContext) -> CoverageAnswer:
    """
    Keep a series complete from now on; it returns at once.

    Calling it again changes nothing, and tells how far it has come. A symbol that was never seen is put on record and
    looked up at the providers by the scheduler.
    """
    found = ensure(
        context.database, context.roster, context.engine, wanted.symbol, wanted.timeframe, wanted.window_days
    )
    if found.status == "looking_up":
        context.wake()
    return _answer(found)


@router.get("/progress", responses=PROBLEMS)
def progress(series: Annotated[Series, Query()], context: InContext) -> CoverageAnswer:
    """How far a series has come; it changes nothing."""
    return _answer(_read(context, series))


def _known(series: Annotated[Series, Query()], context: InContext) -> None:
    """A stream that has begun can tell no status any more."""
    context.database.run(find_symbol, series.symbol)


async def _has_place(context: InContext) -> None:
    """So many streams are open at a time."""
    if context.streams >= STREAMS_MAX:
        text = f"{STREAMS_MAX} streams are open already, which is the most. Poll /api/v1/progress instead."
        raise HTTPException(429, text, {"Retry-After": "10"})


@router.get(
    "/progress/stream",
    response_class=EventSourceResponse,
    responses={**PROBLEMS, 429: WRITE_PROBLEMS[429]},
    dependencies=[Depends(_known), Depends(_has_place)],
)
async def progress_stream(
    series: Annotated[Series, Query()], request: Request, context: Annotated[Context, Depends(context_of)]
) -> AsyncIterator[ServerSentEvent]:
    """
    The same as server-sent events: `progress` at once and whenever it changes, `done` at the end.
    """
    before: CoverageAnswer | None = None
    context.streams += 1
    try:
        while not await request.is_disconnected():
            answer = _answer(await asyncio.to_thread(_read, context, series))
            if answer != before:
                yield ServerSentEvent(data=answer, event="progress")
            if answer.status not in {"looking_up", "gaps_detected"}:
                yield ServerSentEvent(data=answer, event="done")
                return
            before = answer
            await asyncio.sleep(EVERY_S)
    finally:
        context.streams -= 1


def _read(context: Context, series: Series) -> Progress:
    return read_progress(context.database, context.roster, context.engine, series.symbol, series.timeframe)


def _answer(found: Progress) -> CoverageAnswer:
    ledger, slices = found.ledger, found.slices
    return CoverageAnswer(
        job_def_id=found.definition,
        symbol=found.symbol.ticker,
        timeframe=found.timeframe.label,
        window_days=found.window_days,
        status=found.status,
        coverage_status=Coverage(
            from_ts=ledger.from_ts,
            to_ts=ledger.to_ts,
            last_success_at=ledger.last_success_at,
            gaps_found=ledger.gaps_found,
        ),
        backfill_progress=BackfillProgress(
            total_slices=slices.total,
            completed_slices=slices.completed,
            running_slices=slices.running,
            queued_slices=slices.queued,
            failed_slices=slices.failed,
            progress_percent=found.percent,
            bars_written=slices.bars_written,
        ),
    )

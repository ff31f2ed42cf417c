"""`GET /status` and `GET /gaps`: how symbols stand and what is not there, as the command line says it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from barfill.core.timeframe import Timeframe
from barfill.engine.listed_gaps import GapChoice, counts_by_kind, gap_to_json, list_chosen
from barfill.engine.reading import find_symbol
from barfill.engine.status import read_statuses
from barfill.http.answers import json_answer
from barfill.http.context import Context, InContext
from barfill.http.problems import PROBLEMS
from barfill.http.wire import Interval, Strict, Ticker
from barfill.store.writes import GapKind

SYMBOLS_MAX = 100
GAPS_USUAL, GAPS_MAX = 100, 10_000

router = APIRouter(tags=["standing"])

Tickers = Annotated[list[Ticker], Field(max_length=SYMBOLS_MAX, description="Only these; of all without it.")]


class StatusQuery(Strict):
    """Whose status."""

    symbol: Tickers = Field(default_factory=list)
    unhealthy: bool = Field(False, description="Only those that are stale or failed.")


class SeriesStatus(BaseModel):
    """One timeframe of a symbol; what is not known yet is left out."""

    complete: bool | None = None
    share: float | None = Field(None, description="Of the expected bars, how many are there or accounted for.")
    expected: int | None = None
    present: int | None = None
    settled: int | None = None
    settled_by_kind: dict[str, int] | None = None
    oldest_ts: datetime | None = None
    newest_ts: datetime | None = None
    bar_count: int | None = None
    sessions_behind: int | None = None
    days_behind: int | None = None
    last_run_at: datetime | None = None
    last_result: str | None = None
    last_error_code: str | None = None
    last_error: str | None = None
    open_gaps: int


class SymbolStatus(BaseModel):
    """One symbol; `sessions_behind` is of the timeframe that is farthest behind."""

    symbol: str
    asset_type: str
    healthy: bool
    sessions_behind: int | None
    days_behind: int | None
    timeframes: dict[str, SeriesStatus]


class StatusAnswer(BaseModel):
    """Whether all that was asked about is healthy, and each symbol."""

    healthy: bool
    symbols: list[SymbolStatus]


class GapsQuery(Strict):
    """Which gaps."""

    symbol: Tickers = Field(default_factory=list)
    timeframe: list[Interval] = Field(default_factory=list, max_length=len(Timeframe))
    kind: list[GapKind] = Field([], max_length=8, description="Only these kinds, settled ones included.")
    settled: bool = Field(False, description="Settled ones too.")
    limit: int = Field(GAPS_USUAL, ge=1, le=GAPS_MAX, description="The first so many.")


class Gap(BaseModel):
    """Expected bars that are not there; instants in UTC, `gap_to` excluded."""

    id: int
    symbol: str
    timeframe: str
    gap_from: datetime
    gap_to: datetime
    expected_bars: int
    kind: GapKind
    attempts: int
    first_seen_at: datetime | None
    last_checked_at: datetime | None
    next_check_at: datetime | None
    settled_at: datetime | None
    settled_by: str | None
    reason: str


class GapsAnswer(BaseModel):
    """By symbol, timeframe and time; `counts` are of all kinds of these symbols and timeframes, listed or not."""

    gaps: list[Gap]
    counts: dict[str, dict[str, int]]


@router.get("/status", response_model=StatusAnswer, responses=PROBLEMS)
def status(query: Annotated[StatusQuery, Query()], context: InContext) -> Response:
    """How complete each symbol is, how far behind, and how its last run went: `barfill status --json`."""
    tickers = [context.database.run(find_symbol, one).ticker for one in query.symbol]
    found = read_statuses(context.database, list(dict.fromkeys(tickers)))
    unhealthy = [one for one in found if not one.is_healthy]
    shown = unhealthy if query.unhealthy else found
    return json_answer({"healthy": not unhealthy, "symbols": [one.to_json() for one in shown]})


@router.get("/gaps", response_model=GapsAnswer, responses=PROBLEMS)
def gaps(query: Annotated[GapsQuery, Query()], context: InContext) -> Response:
    """What is not there, each with its reason: `barfill gaps --json`, without a look into the table of bars."""
    choice = GapChoice(
        symbol_ids=_ids(context, query.symbol),
        timeframes=tuple(query.timeframe) or tuple(Timeframe),
        kinds=tuple(query.kind),
        with_settled=query.settled,
        limit=query.limit,
    )
    listed = [gap_to_json(one) for one in list_chosen(context.database, choice)]
    return json_answer({"gaps": listed, "counts": counts_by_kind(context.database, choice)})


def _ids(context: Context, tickers: list[str]) -> list[int] | None:
    """None, which stands for all symbols, where none is named."""
    return [context.database.run(find_symbol, one).id for one in tickers] or None

"""`GET /chart`: the bars of one series, from the store alone."""

from __future__ import annotations

import hashlib
from datetime import datetime
from math import isnan
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, model_validator

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.ranges import Range, from_us
from barfill.engine.charting import Chart, read_chart
from barfill.engine.reading import ALL_TIME
from barfill.http.context import InContext
from barfill.http.problems import PROBLEMS
from barfill.http.wire import Instant, Interval, Strict, Ticker

BARS_USUAL, BARS_MAX = 1_000, 10_000

router = APIRouter(tags=["charts"])
_encoder = msgspec.json.Encoder()


class ChartQuery(Strict):
    """What a chart asks for."""

    symbol: Ticker
    timeframe: Interval
    start: Instant | None = Field(None, alias="from", description="The first instant at which a bar may start.")
    end: Instant | None = Field(None, alias="to", description="The first one at which none may.")
    limit: int = Field(BARS_USUAL, ge=1, le=BARS_MAX, description="So many at most, the newest.")
    adjustment: Literal["raw"] = Field("raw", description="Prices as they were traded.")

    @model_validator(mode="after")
    def _is_in_order(self) -> ChartQuery:
        if self.start and self.end and self.start >= self.end:
            raise ValueError("from must lie before to")
        return self

    @property
    def range(self) -> Range:
        """From when to when."""
        return Range(self.start or ALL_TIME.start, self.end or ALL_TIME.end)


class Bar(BaseModel):
    """Prices in the quote currency as traded, volume in units; vwap and trade_count where the provider gives them."""

    ts: datetime = Field(description="When it starts (UTC); of days and weeks 00:00 of their date.")
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trade_count: int | None
    data_status: Literal["live", "final"]
    is_extended: bool = Field(description="Whether it lies outside of regular hours.")


class Coverage(BaseModel):
    """How far the series is known to be completely fetched."""

    from_ts: datetime | None
    to_ts: datetime | None
    last_success_at: datetime | None
    gaps_found: int = Field(description="Gaps that may still fill.")


class ChartAnswer(BaseModel):
    """Bars in time order, the newest included."""

    symbol: str
    timeframe: str
    adjustment: Literal["raw"]
    warming_cache: bool = Field(description="Whether more bars of this chart are on their way: ask again.")
    has_earlier: bool = Field(description="Whether older ones are stored: ask with `to` = the first bar's `ts`.")
    coverage: Coverage
    bars: list[Bar]


@router.get("/chart", response_model=ChartAnswer, responses={304: {"description": "As before"}, **PROBLEMS})
def chart(query: Annotated[ChartQuery, Query()], request: Request, context: InContext) -> Response:
    """
    The newest bars of a series, those of the current session included.

    It answers from what is stored and never waits for a provider.
    """
    found = read_chart(context.database, query.symbol, query.timeframe, query.range, query.limit)
    body = _encoder.encode(_document(found))
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if tag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _document(found: Chart) -> dict[str, object]:
    rows, ledger = found.rows, found.ledger
    names = ("ts", "open", "high", "low", "close", "volume", "vwap", "trade_count", "is_final", "is_extended")
    values = zip(*(rows[name].tolist() for name in names), strict=True)
    return {
        "symbol": found.symbol.ticker,
        "timeframe": found.timeframe.label,
        "adjustment": "raw",
        "warming_cache": found.is_warming,
        "has_earlier": found.has_earlier,
        "coverage": {
            "from_ts": ledger.from_ts,
            "to_ts": ledger.to_ts,
            "last_success_at": ledger.last_success_at,
            "gaps_found": ledger.gaps_found,
        },
        "bars": [_bar(*row) for row in values],
    }


class _Bar(msgspec.Struct):
    """A `Bar`, encoded without a detour."""

    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trade_count: int | None
    data_status: str
    is_extended: bool


def _bar(
    start_us: int,
    o: float,
    h: float,
    low: float,
    c: float,
    volume: float,
    vwap: float,
    count: int,
    is_final: bool,
    is_extended: bool,
) -> _Bar:
    return _Bar(
        from_us(start_us),
        o,
        h,
        low,
        c,
        volume,
        None if isnan(vwap) else vwap,
        None if count == NO_TRADE_COUNT else count,
        "final" if is_final else "live",
        is_extended,
    )

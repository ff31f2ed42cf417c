"""Values of requests, checked as they come in: tickers, timeframes, instants."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from barfill.core.instants import as_instant
from barfill.core.ticker import is_ticker
from barfill.core.timeframe import Timeframe

TICKER_LENGTH_MAX = 32


def _ticker(text: str) -> str:
    ticker = text.strip().upper()
    if not is_ticker(ticker):
        raise ValueError("no ticker. Write it as AAPL, BRK.B or BTC/USD")
    return ticker


def _timeframe(text: object) -> object:
    return Timeframe.parse(text) if isinstance(text, str) and not isinstance(text, Timeframe) else text


def _instant(text: object) -> object:
    return as_instant(text, "It") if isinstance(text, str) else text


Ticker = Annotated[
    str,
    Field(max_length=TICKER_LENGTH_MAX, description="A ticker, in any case.", examples=["AAPL", "BTC/USD"]),
    AfterValidator(_ticker),
]
Interval = Annotated[
    Timeframe,
    BeforeValidator(_timeframe, json_schema_input_type=str),
    PlainSerializer(lambda timeframe: timeframe.label, return_type=str),
    Field(description="1m 5m 15m 30m 1h 4h 1d 1w, also m15, 15Min and the like.", examples=["15m", "1d"]),
]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant, json_schema_input_type=str),
    Field(
        description="A date, its 00:00 UTC, or an instant with its zone.",
        examples=["2026-03-02", "2026-03-02T14:30:00Z"],
    ),
]


class Strict(BaseModel):
    """Parameters or a body in which nothing may stand that is not known."""

    model_config = ConfigDict(extra="forbid")


def stamp(instant: datetime | None) -> str | None:
    """An instant as it goes out: ISO 8601 in UTC, to the second where there is nothing below it."""
    if instant is None:
        return None
    return instant.isoformat(timespec="microseconds" if instant.microsecond else "seconds").replace("+00:00", "Z")

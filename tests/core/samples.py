"""Calendars, instants and bars that the tests of the core share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import AROUND_THE_CLOCK, TradingCalendar, trading_calendar
from barfill.core.ranges import Range, from_us, to_us

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"
MINUTE = 60_000_000
DAY = 86_400_000_000

needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real bars of ../shared/data are absent")


def new_york() -> TradingCalendar:
    """The sessions of XNYS from 1990 to 2027."""
    return trading_calendar("XNYS", 2027)


def round_the_clock() -> TradingCalendar:
    """The days of crypto."""
    return trading_calendar(AROUND_THE_CLOCK, 2027)


def at(text: str) -> datetime:
    """`2024-03-05` or `2024-03-05T14:30`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def us(text: str) -> int:
    """The same in microseconds since 1970."""
    return to_us(at(text))


def span(start: str, end: str) -> Range:
    """From *start* up to *end*, UTC."""
    return Range(at(start), at(end))


def texts(stamps: NDArray[np.int64]) -> list[str]:
    """Instants as people write them."""
    return [from_us(stamp).isoformat(timespec="minutes").removesuffix("+00:00") for stamp in stamps.tolist()]


def bars(ts: Any, *, symbol: Any = 0, **columns: Any) -> BarColumns:
    """
    Plausible bars at these instants: 100 to 101, volume 1,000; other values by column, one or one each.
    """
    stamps = np.asarray(ts, np.int64)
    usual: dict[str, Any] = {"open": 100.0, "high": 101.0, "low": 99.5, "close": 100.5, "volume": 1_000.0}
    usual |= {"vwap": 100.2, "trade_count": 10} | columns
    dtypes = {"trade_count": np.int64}
    values: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(value, dtypes.get(name, np.float64)), stamps.shape).copy()
        for name, value in usual.items()
    }
    return BarColumns(symbol=np.broadcast_to(np.asarray(symbol, np.int32), stamps.shape).copy(), ts=stamps, **values)


def priced(ts: Any, close: Any, *, symbol: Any = 0) -> BarColumns:
    """Bars without a body or wick at these closes."""
    return bars(ts, symbol=symbol, open=close, high=close, low=close, close=close, vwap=np.nan)


def real_bars(name: str) -> BarColumns:
    """The bars of one file of ../shared/data."""
    frame = pl.read_parquet(REAL_DATA / f"{name}.parquet")
    prices = {column: frame[column].to_numpy().astype(np.float64) for column in ("open", "high", "low", "close")}
    volume = frame["volume"].to_numpy().astype(np.float64)
    stamps = frame["ts"].dt.epoch("us").to_numpy()
    return bars(stamps, volume=volume, vwap=np.nan, trade_count=NO_TRADE_COUNT, **prices)

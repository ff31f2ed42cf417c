"""Bars as Polars frames: the form in which people and files get them."""

from __future__ import annotations

import numpy as np
import polars as pl

from barfill.core.bars import NO_TRADE_COUNT
from barfill.store.binary_copy import StoredRows

SCHEMA = pl.Schema(
    {
        "ts": pl.Datetime("us", "UTC"),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "vwap": pl.Float64(),
        "trade_count": pl.Int64(),
        "data_status": pl.String(),
        "is_extended": pl.Boolean(),
    }
)
"""Of a frame of bars: start (UTC), raw prices, volume in units, null where there is no vwap or count, live or final,
and whether the bar lies outside of regular hours."""


def as_frame(stored: StoredRows) -> pl.DataFrame:
    """Rows as read back, in their order, in the columns of `SCHEMA`."""
    columns = {name: np.ascontiguousarray(stored[name]) for name in SCHEMA if name != "data_status"}
    columns["is_final"] = np.ascontiguousarray(stored["is_final"])
    return pl.DataFrame(columns).select(
        pl.col("ts").cast(SCHEMA["ts"]),
        "open",
        "high",
        "low",
        "close",
        "volume",
        pl.col("vwap").fill_nan(None),
        pl.when(pl.col("trade_count") != NO_TRADE_COUNT).then("trade_count"),
        pl.when("is_final").then(pl.lit("final")).otherwise(pl.lit("live")).alias("data_status"),
        "is_extended",
    )

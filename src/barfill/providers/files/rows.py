"""
A file's rows as rows of bars: tickers in barfill's spelling, starts of bars, numbers.

Nothing is judged here but whether a value can be read at all: what cannot stays with the rule that it breaks and with
its raw text, and the rules judge the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.ranges import Range, to_us
from barfill.core.ticker import asset_types_of, is_ticker
from barfill.providers.files.columns import PRICES, ColumnMap
from barfill.providers.files.stamps import StampRule, read_stamps, starts_of

NO_TICKER = ""
"""Stands for the symbol of rows that name none; sorts before all others."""
ROW_SCHEMA = pl.Schema(
    [
        ("ticker", pl.String()),
        ("ts", pl.Int64()),
        *((name, pl.Float64()) for name in (*PRICES, "volume", "vwap")),
        ("trade_count", pl.Int64()),
        *((name, pl.String()) for name in ("rule", "reason", "raw")),
    ]
)
"""
Rows on their way into pages: `ts` in microseconds UTC, null where unreadable; `rule`, `reason` and `raw` only of rows
that cannot be read.
"""
_NO_VALUE = ("", "na", "n/a", "nan", "none", "null", "-")
"""What stands for a vwap or a trade count that there is not; in a price or a volume it is garbage."""
_RAW_LENGTH_MAX = 100
_REASONS = {
    "Q16": "the symbol is not a ticker",
    "Q01": "the time cannot be read, does not exist, or is none at which a bar can be",
    "Q04": "a price or the volume is not a number",
    "Q10": "the vwap or the trade count is not a number",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """
    How a file's rows are to be read.

    Attributes:
        symbol: Of all rows; None where a column tells.
        is_around_the_clock: Whether all symbols trade so; None goes by their spelling.
        within: Rows outside of it are left out.
    """

    columns: ColumnMap
    stamps: StampRule
    symbol: str | None = None
    is_around_the_clock: bool | None = None
    within: Range | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """
    Attributes:
        frame: By `ROW_SCHEMA`, in the order of the file.
        left_out: How many lay outside of the range that was asked for.
    """

    frame: pl.DataFrame
    left_out: int


def read_rows(batch: pl.DataFrame, rule: RowRule) -> Rows:
    """The rows of a *batch* as a file has them; blank lines are none."""
    columns = rule.columns
    raw = batch.filter(~pl.all_horizontal(pl.all().is_null()))
    ticker, is_malformed = _tickers(raw, rule)
    around = _around_the_clock(ticker, rule)
    stamps = read_stamps([raw[name] for name in columns.ts], rule.stamps.format)
    ts = starts_of(stamps, rule.stamps, around)
    numbers = {name: _numbers(raw[getattr(columns, name)]) for name in (*PRICES, "volume")}
    vwap, is_bad_vwap = _optional(raw, columns.vwap)
    trades, is_bad_count = _optional(raw, columns.trade_count)
    is_whole = trades == np.floor(trades)
    is_bad_count |= ~(is_whole | np.isnan(trades)) | np.isinf(trades)
    rules = np.select(
        [is_malformed, ts < 0, np.any([one.is_null().to_numpy() for one in numbers.values()], axis=0)],
        ["Q16", "Q01", "Q04"],
        np.where(is_bad_vwap | is_bad_count, "Q10", ""),
    )
    frame = pl.DataFrame(
        {
            "ticker": ticker,
            "ts": pl.Series(ts),
            **{name: one.fill_null(float("nan")) for name, one in numbers.items()},
            "vwap": pl.Series(vwap, dtype=pl.Float64),
            "trade_count": np.where(np.isfinite(trades) & is_whole, trades, NO_TRADE_COUNT).astype(np.int64),
            "rule": pl.Series(rules.astype(str), dtype=pl.String),
        }
    ).with_columns(
        ts=pl.when(pl.col("ts") >= 0).then("ts"),
        rule=pl.when(pl.col("rule") != "").then("rule"),
        reason=pl.lit(None, pl.String),
        raw=pl.lit(None, pl.String),
    )
    faulty = np.flatnonzero(rules != "")
    if len(faulty):
        told = pl.Series([_raw(row) for row in raw[faulty.tolist()].iter_rows(named=True)], dtype=pl.String)
        frame = frame.with_columns(
            reason=pl.col("rule").replace_strict(_REASONS, default=None, return_dtype=pl.String),
            raw=frame["raw"].scatter(faulty, told),
        )
    frame = frame.select(ROW_SCHEMA.names()).cast(ROW_SCHEMA)
    if rule.within is None:
        return Rows(frame, 0)
    start, end = to_us(rule.within.start), to_us(rule.within.end)
    kept = frame.filter(pl.col("ts").is_null() | ((pl.col("ts") >= start) & (pl.col("ts") < end)))
    return Rows(kept, len(frame) - len(kept))


def _tickers(raw: pl.DataFrame, rule: RowRule) -> tuple[pl.Series, NDArray[np.bool_]]:
    """The ticker of each row, `NO_TICKER` where its text is none."""
    if rule.symbol is not None or rule.columns.symbol is None:
        ticker = pl.repeat(rule.symbol, len(raw), dtype=pl.String, eager=True)
        return ticker, np.zeros(len(raw), np.bool_)
    text = raw[rule.columns.symbol].cast(pl.String).str.strip_chars().str.to_uppercase()
    malformed = [one for one in text.unique().to_list() if one is None or not is_ticker(one)]
    is_malformed = text.is_in(malformed, nulls_equal=True)
    ticker = text.set(is_malformed, NO_TICKER)
    return ticker, is_malformed.to_numpy()


def _around_the_clock(ticker: pl.Series, rule: RowRule) -> NDArray[np.bool_]:
    if rule.is_around_the_clock is not None:
        return np.full(len(ticker), rule.is_around_the_clock)
    pairs = [one for one in ticker.unique().to_list() if "crypto" in asset_types_of(one)]
    return ticker.is_in(pairs).to_numpy()


def _numbers(column: pl.Series) -> pl.Series:
    """As float64; null where it is no number. What is none by its value (`NaN`, `inf`) the rules see."""
    if column.dtype == pl.Boolean:
        return pl.repeat(None, len(column), dtype=pl.Float64, eager=True)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    return column.cast(pl.Float64, strict=False)


def _optional(raw: pl.DataFrame, name: str | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A column that need not be there, NaN where nothing is told; and where something is told that is no number."""
    if name is None:
        return np.full(len(raw), np.nan), np.zeros(len(raw), np.bool_)
    column = raw[name]
    is_told = column.is_not_null()
    if column.dtype == pl.String:
        is_told &= ~column.str.strip_chars().str.to_lowercase().is_in(_NO_VALUE)
    numbers = _numbers(column)
    is_bad = (is_told & numbers.is_null()).fill_null(value=False)
    return numbers.fill_null(float("nan")).to_numpy().copy(), is_bad.to_numpy().copy()


def _raw(row: dict[str, object]) -> str:
    """The values as the file has them, as JSON."""
    shown = {name: value if value is None else str(value)[:_RAW_LENGTH_MAX] for name, value in row.items()}
    return json.dumps(shown)

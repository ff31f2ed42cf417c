"""
Bars as columns: the form in which they travel from a page to the table.

Rows of many symbols share one `BarColumns`; `symbol` is an index into a tuple of tickers that travels beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

NO_TRADE_COUNT = -1
"""Stands in `trade_count` where the provider gave none; a missing `vwap` is NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class BarColumns:
    """
    Rows of bars, each column of shape (n,).

    Attributes:
        symbol: int32, index into the tickers that travel beside the columns.
        ts: int64, start of the bar, microseconds since 1970-01-01 UTC (d1 and w1: 00:00 of their session's label).
        open, high, low, close, volume: float64. Prices in the quote currency, as traded (raw); volume in units.
        vwap: float64, NaN where the provider gives none.
        trade_count: int64, `NO_TRADE_COUNT` where the provider gives none.
    """

    symbol: NDArray[np.int32]
    ts: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    vwap: NDArray[np.float64]
    trade_count: NDArray[np.int64]

    def __post_init__(self) -> None:
        lengths = {len(getattr(self, name)) for name in COLUMN_NAMES}
        if len(lengths) != 1:
            raise ValueError(f"Columns of unequal length: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> BarColumns:
        """The chosen rows, by mask, positions or slice, in that order."""
        return BarColumns(*(getattr(self, name)[rows] for name in COLUMN_NAMES))

    def sorted_by_key(self) -> BarColumns:
        """By symbol index, then `ts`; stable. Returns itself where it is in order already."""
        step = np.diff(self.symbol)
        if np.all((step > 0) | ((step == 0) & (self.ts[1:] >= self.ts[:-1]))):
            return self
        return self.take(np.lexsort((self.ts, self.symbol)))

    def with_symbols(self, new_index: NDArray[np.int32]) -> BarColumns:
        """The same rows with `symbol` read through *new_index* (shape (tickers,), int32)."""
        values = [getattr(self, name) for name in COLUMN_NAMES[1:]]
        return BarColumns(new_index[self.symbol], *values)

    @staticmethod
    def empty() -> BarColumns:
        """No rows."""
        return BarColumns(*(np.empty(0, dtype) for dtype in _DTYPES))

    @staticmethod
    def concat(parts: Sequence[BarColumns]) -> BarColumns:
        """The rows of all parts, one after the other; their tickers must be the same."""
        if not parts:
            return BarColumns.empty()
        return BarColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMN_NAMES))


COLUMN_NAMES = tuple(field.name for field in fields(BarColumns))
_DTYPES = (np.int32, np.int64, *([np.float64] * 6), np.int64)

"""
Rows that keep the contract, as typed objects of msgspec: from them to columns at full speed.

A page's typed path proves that nothing was hidden from it (a key twice, an unknown field) by counting: every text in
JSON has two quotes, so the body must hold exactly as many as what was read. `texts_in` counts the share of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.providers.instants import EARLIEST_US

QUOTES_OF_A_TEXT = 2

_EXACT_INTEGER_MAX = 2**53
_KEYS_OF_A_ROW = 6
"""`t o h l c v`: what every row has."""


class WireBar(msgspec.Struct, gc=False, kw_only=True):
    """What the rows of all vendors have in common; each adds its stamp `t`."""

    o: float
    h: float
    l: float  # noqa: E741  the vendors' key
    c: float
    v: float
    n: int = NO_TRADE_COUNT
    vw: float = math.nan


_FLOATS = tuple(map(attrgetter, ("o", "h", "l", "c", "v", "vw")))


def typed_columns(
    bars: Sequence[WireBar], symbol: NDArray[np.int32], stamps: NDArray[np.int64] | None, *, latest_us: int
) -> BarColumns | None:
    """
    The columns of *bars*; None where a count or a stamp is none that can be.

    Args:
        stamps: Microseconds as sent, shape (n,); None where one could not be read.
        latest_us: Rule Q01: no stamp is later.
    """
    if stamps is None or (len(bars) and not EARLIEST_US <= stamps.min() <= stamps.max() <= latest_us):
        return None
    try:
        trade_count = np.array([bar.n for bar in bars], np.int64)
    except OverflowError:
        return None
    if np.any((trade_count < NO_TRADE_COUNT) | (trade_count > _EXACT_INTEGER_MAX)):
        return None
    o, h, low, c, v, vwap = (np.fromiter(map(value, bars), np.float64, len(bars)) for value in _FLOATS)
    return BarColumns(symbol, stamps, o, h, low, c, v, vwap, trade_count)


def texts_in(rows: BarColumns) -> int:
    """How many texts the keys of *rows* are in JSON."""
    given = np.count_nonzero(rows.trade_count != NO_TRADE_COUNT) + np.count_nonzero(~np.isnan(rows.vwap))
    return _KEYS_OF_A_ROW * len(rows) + int(given)

"""
Whether the bars beside absent ones hold so many trades that nobody can have been quiet between them.

How often a symbol has its coarse bars says little about one or two that are absent: who has had 500 of them in a row
may be quiet once in a thousand, or never. How many trades the bars around hold says more. Trades cluster, so the least
of them counts, not the usual one. Calibration: the XRP/ETH trades of Binance, 2019-10-11 to 13, in bars of 1, 2, 3 or
5 minutes: of the 20 bars around each of 1,365 bars without a trade the least has at most 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barfill.core.timeframe import Timeframe

TRADES_MIN = 20
"""Where each bar around holds so many trades, silence is not believed."""
BARS_AROUND = 10
"""So many bars on either side are looked at; there must be as many altogether."""


def is_busy_around(
    trades: NDArray[np.int64],
    at: NDArray[np.int64],
    first: NDArray[np.int64],
    end: NDArray[np.int64],
    timeframe: Timeframe,
) -> NDArray[np.bool_]:
    """
    For each run of absent bars whether all bars around it hold `TRADES_MIN` trades; shape (n,).

    Minutes are left out: three of them in a row are doubted anyway, and one or two are too short to tell.

    Args:
        trades: Of all bars that came, ascending by time, shape (m,); negative where the provider does not say.
        at: The first bar behind each run, as a position in *trades*.
        first, end: Which bars may be looked at beside it, end excluded.
    """
    first, end = np.maximum(first, at - BARS_AROUND), np.minimum(end, at + BARS_AROUND)
    is_telling = (end - first >= BARS_AROUND) & (timeframe is not Timeframe.M1)
    busy = np.zeros(len(at), np.bool_)
    if is_telling.any():
        bounds = np.stack((first[is_telling], end[is_telling]), axis=1).ravel()
        least = np.minimum.reduceat(np.append(trades, TRADES_MIN), bounds)[::2]
        busy[is_telling] = least >= TRADES_MIN
    return busy

"""
When a run of absent bars is too long for chance: the arithmetic of rule S1.

The chance of a run of k absent bars is (1 - d)^k, where d is the share of bars that the symbol usually has.

d is capped, so that no symbol is expected to be perfect: at 0.99 intraday (a run of 3 is suspicious, as the quality
rules lay down), higher for h4 (2), d1 and w1 (1), where a liquid symbol that trades every minute does not miss a bar.

Trades cluster, so quiet minutes do too. Where a page holds single absent bars enough to tell, the chance is
(1 - d) c^(k-1), where c is how often an absent bar follows another in the symbol's other runs. Calibration: over 34
regular sessions of real minutes of SPY, AAPL, GOOG and SHY (2008 to 2015) no run is suspicious. SHY, which lacks 17 %
of its minutes, would have 0.7 % false alarms a session by (1 - d)^k, and has 0.02 % with c = 0.28; thin crypto pairs
(XRP/ETH, BTC/USD and BTC/EUR of 2016 to 2019) have 0.03 to 0.04 % a day by the same count, and none in 7 days.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barfill.core.timeframe import Timeframe

CHANCE_MIN = 1e-6
"""A run of absent bars that is less likely than this is not believed."""
DENSITY_OF_THE_LIQUID = 0.999
"""Of a symbol that has so many of its bars not one may be absent where there is a reason to doubt the answer."""
_DENSITY_MAX = {Timeframe.H4: 0.9999, Timeframe.D1: 1 - 1e-6, Timeframe.W1: 1 - 1e-6}
_DENSITY_MAX_DEFAULT = 0.99
_SINGLES_MIN = 10
_ROUNDING = 1e-9  # 0.01 ** 3 comes out a little above 1e-6


def is_suspicious(
    length: NDArray[np.int64],
    symbol: NDArray[np.int32],
    density: NDArray[np.float64],
    is_in_doubt: NDArray[np.bool_],
    timeframe: Timeframe,
) -> NDArray[np.bool_]:
    """
    Rule S1 for runs of absent bars, columns of shape (n,); where nothing is known of a symbol, every run is.

    Args:
        length: How many bars.
        density: The share of its bars that the run's symbol usually has, NaN where unknown.
        is_in_doubt: Whether there is a reason to doubt the answer there.
    """
    absent = 1 - np.minimum(density, _DENSITY_MAX.get(timeframe, _DENSITY_MAX_DEFAULT))
    log_min = np.log(CHANCE_MIN) * (1 - _ROUNDING)
    with np.errstate(invalid="ignore"):
        is_natural = length * np.log(absent) > 2 * log_min
        goes_on = np.maximum(absent, _continuation(length, symbol, is_natural))
        log_chance = np.log(absent) + (length - 1) * np.log(goes_on)
    suspicious: NDArray[np.bool_] = np.isnan(absent) | (log_chance <= log_min)
    return suspicious | (is_in_doubt & (density >= DENSITY_OF_THE_LIQUID))


def _continuation(
    length: NDArray[np.int64], symbol: NDArray[np.int32], is_natural: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """
    How often, in the symbol's other natural runs on the page, an absent bar follows an absent one; else 0.

    A symbol must have single absent bars enough: otherwise a few holes would explain each other.
    """
    size = int(symbol.max(initial=0)) + 1
    singles = np.bincount(symbol, weights=length == 1, minlength=size)[symbol]
    bars = np.where(is_natural, length, 0)
    following = np.where(is_natural, length - 1, 0)
    other_bars = np.bincount(symbol, weights=bars, minlength=size)[symbol] - bars
    other_following = np.bincount(symbol, weights=following, minlength=size)[symbol] - following
    share = other_following / np.maximum(other_bars, 1)
    return np.where(singles >= _SINGLES_MIN, share, 0.0)

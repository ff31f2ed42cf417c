"""
The minutes of whole UTC days of a pair on a venue, made so that they add up to its daily bars.

All venues follow one walk per coin, bent to the prices that the venue has on the day.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.simulate.market.bars import VWAP_DECIMALS, Bars
from barfill.simulate.market.chance import bells, uniforms
from barfill.simulate.market.maintenance import is_down
from barfill.simulate.market.sessions import MINUTE_NS, Nanos
from barfill.simulate.market.utc_buckets import DAY_NS

#: Volumes are counted in whole lots of this part of a coin, so that minutes add up exactly.
LOTS_PER_COIN = 100_000_000
_MINUTES_A_DAY = 1440
#: What a trade is worth, roughly: the counts of trades follow from it.
QUOTE_PER_TRADE = 2_000.0

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairKeys:
    """Where the random numbers come from: the coin's are the same on all venues."""

    coin: int
    venue: int


@dataclass(frozen=True, slots=True)
class CryptoDays:
    """The days to make, counted from 1970-01-01: prices (open, high, low, close), shape (4, n), and volumes in lots."""

    days: Nanos
    prices: Table
    lots: Nanos


def crypto_minutes(days: CryptoDays, keys: PairKeys, venue: str, minute_share: float, decimals: int) -> Bars:
    """The minute bars of *days*, in time order, volumes in lots. A minute without a trade has none."""
    if not days.days.size:
        return Bars.none()
    rows, minutes = days.days[:, None], np.arange(_MINUTES_A_DAY, dtype=np.int64)[None, :]
    stamps = rows * DAY_NS + minutes * MINUTE_NS
    is_up = ~is_down(venue, stamps)
    traded = is_up & (uniforms(keys.venue, 0, rows, minutes) < minute_share)
    idle = ~traded.any(axis=1)
    traded[idle, is_up[idle].argmax(axis=1)] = True
    opens, highs, lows, closes = (table[traded] for table in _prices(days, keys, traded, decimals))
    lots = _lots(days, keys, traded)[traded]
    return Bars(
        ts=stamps[traded],
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=lots,
        trades=1 + (lots / LOTS_PER_COIN * closes / QUOTE_PER_TRADE).astype(np.int64),
        vwap=np.round((opens + highs + lows + closes) / 4, VWAP_DECIMALS),
    )


def _prices(
    days: CryptoDays, keys: PairKeys, traded: NDArray[np.bool_], decimals: int
) -> tuple[Table, Table, Table, Table]:
    day_open, day_high, day_low, day_close = (column[:, None] for column in days.prices)
    rows, minutes = days.days[:, None], np.arange(_MINUTES_A_DAY, dtype=np.int64)[None, :]
    walk = np.cumsum(bells(keys.coin, 1, rows, minutes), axis=1)
    passed = (minutes + 1) / _MINUTES_A_DAY
    scale = 0.45 * (day_high - day_low) / np.sqrt(_MINUTES_A_DAY)
    path = day_open + (day_close - day_open) * passed + scale * (walk - passed * walk[:, -1:])
    closes = np.clip(path, day_low, day_high)
    opens = np.concatenate([day_open, closes[:, :-1]], axis=1)
    place = np.arange(rows.size)
    opens[place, traded.argmax(axis=1)] = days.prices[0]
    closes[place, _MINUTES_A_DAY - 1 - traded[:, ::-1].argmax(axis=1)] = days.prices[3]
    wick = 0.01 * (day_high - day_low) * uniforms(keys.venue, 5, rows, minutes)
    highs = np.minimum(np.maximum(opens, closes) + wick, day_high)
    lows = np.maximum(np.minimum(opens, closes) - wick, day_low)
    highs[place, np.where(traded, highs, -np.inf).argmax(axis=1)] = days.prices[1]
    lows[place, np.where(traded, lows, np.inf).argmin(axis=1)] = days.prices[2]
    opens, highs, lows, closes = (np.round(table, decimals) for table in (opens, highs, lows, closes))
    return opens, highs, lows, closes


def _lots(days: CryptoDays, keys: PairKeys, traded: NDArray[np.bool_]) -> Nanos:
    """Each traded minute has at least one lot; what rounding leaves goes to the last one."""
    rows, minutes = days.days[:, None], np.arange(_MINUTES_A_DAY, dtype=np.int64)[None, :]
    weight = np.where(traded, 0.2 + uniforms(keys.venue, 8, rows, minutes) ** 4, 0.0)
    spare = (days.lots - traded.sum(axis=1))[:, None]
    lots = np.where(traded, 1 + np.floor(spare * (weight / weight.sum(axis=1, keepdims=True))), 0).astype(np.int64)
    last = _MINUTES_A_DAY - 1 - traded[:, ::-1].argmax(axis=1)
    lots[np.arange(last.size), last] += days.lots - lots.sum(axis=1)
    return lots

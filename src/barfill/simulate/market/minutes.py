"""
The minutes of synthetic sessions, made so that they add up to the daily bars.

Regular minutes: a bridge from the session's open to its close that touches its high and its low; volume in a U over the
day. Extended minutes are sparse, and move around the open (before) and the close (after). The volume of all minutes is
the daily volume. A minute without a trade has no row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.simulate.market.bars import VWAP_DECIMALS, Bars
from barfill.simulate.market.chance import bells, quads, uniforms
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.sessions import MINUTE_NS, Nanos, Sessions

_MINUTES_A_DAY = 16 * 60
#: Minutes from 04:00 to 09:30.
_BEFORE_OPEN = 330
_FOUR_O_CLOCK = 4 * 60
_EXTENDED_WEIGHT = 0.02
_IEX_REGULAR_SHARE, _IEX_EXTENDED_SHARE = 0.9, 0.25

Table = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Grid:
    """Sessions x minutes from 04:00 New York."""

    days: Nanos
    minutes: Nanos
    regular_count: Nanos
    is_regular: Mask
    is_extended: Mask


@dataclass(frozen=True, slots=True)
class Days:
    """The sessions to make: their positions in the calendar, raw prices (open, high, low, close) and shares."""

    rows: NDArray[np.intp]
    prices: Table
    volume: Nanos


def minutes_of(listing: Listing, key: int, sessions: Sessions, days: Days, *, is_iex: bool) -> Bars:
    """
    The minute bars of *days*, in time order.

    Args:
        key: Of the symbol's random numbers.
        is_iex: As the IEX feed sees them: fewer minutes, 2 to 3 % of the volume.
    """
    rows, daily, volume = days.rows, days.prices, days.volume
    if not rows.size:
        return Bars.none()
    grid = _grid(sessions, rows)
    traded = _traded(listing, key, grid)
    open_, high, low, close = _prices(listing, key, grid, traded, daily)
    shares = _shares(key, grid, traded, volume)
    if is_iex:
        shares, traded = _as_iex(key, grid, traded, shares)
    stamps = sessions.extended_open_ns[rows][:, None] + grid.minutes * MINUTE_NS
    opens, highs, lows, closes = (table[traded] for table in (open_, high, low, close))
    volumes = shares[traded]
    return Bars(
        ts=stamps[traded],
        open=opens,
        high=highs,
        low=lows,
        close=closes,
        volume=volumes,
        trades=np.maximum(1, volumes // 110),
        vwap=np.round((opens + highs + lows + closes) / 4, VWAP_DECIMALS),
    )


def _grid(sessions: Sessions, rows: NDArray[np.intp]) -> _Grid:
    minutes = np.arange(_MINUTES_A_DAY, dtype=np.int64)[None, :]
    regular_count = ((sessions.close_ns - sessions.open_ns)[rows] // MINUTE_NS)[:, None]
    extended_count = ((sessions.extended_close_ns - sessions.extended_open_ns)[rows] // MINUTE_NS)[:, None]
    is_regular = (minutes >= _BEFORE_OPEN) & (minutes < _BEFORE_OPEN + regular_count)
    return _Grid(
        days=sessions.days[rows].astype(np.int64)[:, None],
        minutes=minutes,
        regular_count=regular_count,
        is_regular=is_regular,
        is_extended=~is_regular & (minutes < extended_count),
    )


def _traded(listing: Listing, key: int, grid: _Grid) -> Mask:
    dice = uniforms(key, 0, grid.days, grid.minutes)
    regular = grid.is_regular & (dice < listing.minute_share)
    regular[~regular.any(axis=1), _BEFORE_OPEN] = True
    traded = regular | (grid.is_extended & (dice < listing.extended_share))
    for halt in listing.halts:
        if halt.from_minute is not None and halt.to_minute is not None:
            on = grid.days[:, 0] == np.datetime64(halt.day, "D").astype(np.int64)
            traded[on, halt.from_minute - _FOUR_O_CLOCK : halt.to_minute - _FOUR_O_CLOCK] = False
    return traded


def _prices(listing: Listing, key: int, grid: _Grid, traded: Mask, daily: Table) -> tuple[Table, Table, Table, Table]:
    day_open, day_high, day_low, day_close = (column[:, None] for column in daily)
    path = _bridge(key, grid, daily)
    before = grid.minutes < _BEFORE_OPEN
    around = np.where(before, day_open, day_close)
    first_dice, last_dice, wick_dice, _ = quads(key, 5, grid.days, grid.minutes)
    opens = np.where(grid.is_regular, np.roll(path, 1, axis=1), around * (0.998 + 0.004 * first_dice))
    closes = np.where(grid.is_regular, path, around * (0.998 + 0.004 * last_dice))
    regular = traded & grid.is_regular
    place = np.arange(opens.shape[0])
    opens[place, regular.argmax(axis=1)] = daily[0]
    closes[place, _MINUTES_A_DAY - 1 - regular[:, ::-1].argmax(axis=1)] = daily[3]
    wick = 0.02 * (day_high - day_low) * wick_dice
    highs, lows = np.maximum(opens, closes) + wick, np.minimum(opens, closes) - wick
    highs = np.where(grid.is_regular, np.minimum(highs, day_high), highs)
    lows = np.where(grid.is_regular, np.maximum(lows, day_low), lows)
    highs[place, np.where(regular, highs, -np.inf).argmax(axis=1)] = daily[1]
    lows[place, np.where(regular, lows, np.inf).argmin(axis=1)] = daily[2]
    opens, highs, lows, closes = (np.round(table, listing.decimals) for table in (opens, highs, lows, closes))
    return opens, highs, lows, closes


def _bridge(key: int, grid: _Grid, daily: Table) -> Table:
    """The price at the end of each regular minute: a walk bent so that it ends at the close, within the day's range."""
    day_open, day_high, day_low, day_close = (column[:, None] for column in daily)
    steps = np.where(grid.is_regular, bells(key, 1, grid.days, grid.minutes), 0.0)
    walk = np.cumsum(steps, axis=1)
    passed = np.clip(grid.minutes - _BEFORE_OPEN + 1, 0, grid.regular_count) / grid.regular_count
    scale = 0.45 * (day_high - day_low) / np.sqrt(grid.regular_count)
    path = day_open + (day_close - day_open) * passed + scale * (walk - passed * walk[:, -1:])
    bounded: Table = np.clip(path, day_low, day_high)
    return bounded


def _shares(key: int, grid: _Grid, traded: Mask, volume: Nanos) -> Nanos:
    """Each traded minute has at least one share; what rounding leaves goes to the last regular minute."""
    passed = np.clip(grid.minutes - _BEFORE_OPEN, 0, grid.regular_count) / grid.regular_count
    shape = np.where(grid.is_regular, 0.6 + 2.4 * (2 * passed - 1) ** 4, _EXTENDED_WEIGHT)
    weight = np.where(traded, shape * (0.5 + uniforms(key, 8, grid.days, grid.minutes)), 0.0)
    spare = (volume - traded.sum(axis=1))[:, None]
    shares = np.where(traded, 1 + np.floor(spare * (weight / weight.sum(axis=1, keepdims=True))), 0).astype(np.int64)
    last = _MINUTES_A_DAY - 1 - (traded & grid.is_regular)[:, ::-1].argmax(axis=1)
    shares[np.arange(last.size), last] += volume - shares.sum(axis=1)
    return shares


def _as_iex(key: int, grid: _Grid, traded: Mask, shares: Nanos) -> tuple[Nanos, Mask]:
    chance = np.where(grid.is_regular, _IEX_REGULAR_SHARE, _IEX_EXTENDED_SHARE)
    seen = traded & (uniforms(key, 9, grid.days, grid.minutes) < chance)
    part = 0.02 + 0.01 * uniforms(key, 140, grid.days)
    return np.maximum(1, np.floor(shares * part)).astype(np.int64), seen

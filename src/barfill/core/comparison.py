"""
The bars of one series as two sources have them, and how they differ.

Pure. Prices are never compared without a tolerance: sources round, and some send float32. Half a tick of a US stock is
what rounding to cents loses; relative parts are shares of the larger value. Volumes differ more, as tapes count odd
lots, corrections and late trades differently: docs/verify.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import US_STOCKS
from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput

PRICE_TOLERANCE = 1e-6
"""Five times what float32 loses."""
VOLUME_TOLERANCE = 0.10
"""What 19 of 20 days of a liquid stock keep to, of two vendors of the whole tape."""
ROUND_LOT = 100.0
"""Shares: a bar may lack one odd lot."""
PRICES = ("open", "high", "low", "close")

_EPSILON = 1e-9  # of float64 arithmetic, whatever tolerance is asked for
_DOLLAR = 1.0  # from here on US stocks are quoted in cents, below in hundredths of them (Regulation NMS, rule 612)
_HALF_CENT, _HALF_SUBCENT = 0.005, 0.00005


class Kind(StrEnum):
    """How two sources differ about a bar."""

    PRICE = "price"
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """
    What counts as equal.

    Attributes:
        price, volume: Shares of the larger of two values, 0 to 1.
        has_ticks: Whether half a tick of a US stock is let pass besides.
        lot: So many units of volume are let pass besides.
        has_volume: Whether volumes are compared at all: those of two feeds are not comparable.

    Raises:
        InvalidInput: A share is not from 0 up to, not including, 1.
    """

    price: float = PRICE_TOLERANCE
    volume: float = VOLUME_TOLERANCE
    has_ticks: bool = False
    lot: float = 0.0
    has_volume: bool = True

    def __post_init__(self) -> None:
        for name, share in (("price", self.price), ("volume", self.volume)):
            if not 0 <= share < 1:
                raise InvalidInput(
                    f"A tolerance of {share:g} for the {name} is no share. Give one from 0 up to 1: 0.01 is 1 %."
                )

    @staticmethod
    def of(asset_type: str, *, price: float | None, volume: float | None, has_volume: bool = True) -> Tolerance:
        """The usual one for symbols of a kind; a share that is given stands alone, without tick or lot."""
        is_stock = asset_type in US_STOCKS
        return Tolerance(
            price=PRICE_TOLERANCE if price is None else price,
            volume=VOLUME_TOLERANCE if volume is None else volume,
            has_ticks=is_stock and price is None,
            lot=ROUND_LOT if is_stock and volume is None else 0.0,
            has_volume=has_volume,
        )

    def allowed_price(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far apart two prices may lie, shape (n,)."""
        allowed: NDArray[np.float64] = max(self.price, _EPSILON) * _greater(here, there)
        if self.has_ticks:
            smaller = np.minimum(np.abs(here), np.abs(there))
            allowed = allowed + np.where(smaller >= _DOLLAR, _HALF_CENT, _HALF_SUBCENT)
        return allowed

    def allowed_volume(self, here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far apart two volumes may lie, shape (n,)."""
        return max(self.volume, _EPSILON) * _greater(here, there) + self.lot


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One bar about which the sources differ.

    Attributes:
        ts: Its start, microseconds UTC.
        column: The column that differs most; `close` where a side has no bar.
        here, there: Its values; None where that side has no bar.
        size: Their difference as a share of the larger; 1 where a side has no bar.
    """

    kind: Kind
    ts: int
    column: str
    here: float | None
    there: float | None
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    What became of the expected bars of a series.

    Attributes:
        expected: Bars that the calendar lets one expect where both were looked at.
        compared: Those that both sides have.
        equal: Those of them that differ in nothing beyond the tolerance.
        counts: How many differ, by kind; a bar may differ in price and in volume.
        differences: The greatest of each kind, by kind, greatest first; bars that are missing the newest first.
    """

    expected: int
    compared: int
    equal: int
    counts: dict[Kind, int] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    @property
    def has_differences(self) -> bool:
        """Whether anything differs, beyond the tolerance."""
        return any(self.counts.values())


def compare(
    here: BarColumns,
    there: BarColumns,
    scope: Ranges,
    timeframe: Timeframe,
    calendar: TradingCalendar,
    *,
    tolerance: Tolerance,
    left_out: NDArray[np.int64] | None = None,
    worst_max: int = 10,
) -> Comparison:
    """
    How *here* and *there* differ about the bars that start in *scope*.

    Args:
        here, there: One series each, strictly ascending by ts; what the calendar does not expect is passed over.
        left_out: Starts of bars about which one side cannot be asked.
        worst_max: How many differences of each kind are told one by one.

    Raises:
        OutsideCalendar: *scope* reaches beyond the calendar.
    """
    starts = expected_in(scope, timeframe, calendar)
    if left_out is not None:
        starts = starts[~np.isin(starts, left_out)]
    here, there = here.take(np.isin(here.ts, starts)), there.take(np.isin(there.ts, starts))
    is_here, is_there = np.isin(there.ts, here.ts), np.isin(here.ts, there.ts)
    mine, theirs = here.take(is_there), there.take(is_here)
    price_size, column = _price_sizes(mine, theirs, tolerance)
    volume_size = _volume_sizes(mine, theirs, tolerance)
    absent = {Kind.MISSING_HERE: there.take(~is_here), Kind.MISSING_THERE: here.take(~is_there)}
    counts = {
        Kind.PRICE: int(np.count_nonzero(price_size)),
        **{kind: len(rows) for kind, rows in absent.items()},
        Kind.VOLUME: int(np.count_nonzero(volume_size)),
    }
    found = [
        *_worst(Kind.PRICE, mine, theirs, price_size, column, worst_max),
        *(one for kind, rows in absent.items() for one in _absences(kind, rows, worst_max)),
        *_worst(Kind.VOLUME, mine, theirs, volume_size, np.full(len(mine), len(PRICES)), worst_max),
    ]
    return Comparison(
        expected=len(starts),
        compared=len(mine),
        equal=int(np.count_nonzero((price_size == 0) & (volume_size == 0))),
        counts=counts,
        differences=tuple(found),
    )


def expected_in(scope: Ranges, timeframe: Timeframe, calendar: TradingCalendar) -> NDArray[np.int64]:
    """The starts of the bars that a complete series has in *scope*, ascending."""
    parts = [calendar.expected_starts(timeframe, one) for one in scope]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _greater(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(np.abs(here), np.abs(there))


def _shares(here: NDArray[np.float64], there: NDArray[np.float64], allowed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences as shares of the larger value, 0 where they are allowed."""
    apart = np.abs(here - there)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(apart > allowed, apart / _greater(here, there), 0.0)


def _price_sizes(
    mine: BarColumns, theirs: BarColumns, tolerance: Tolerance
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The greatest share by which a price of each bar differs, and which price it is."""
    shares = []
    for name in PRICES:
        here, there = getattr(mine, name), getattr(theirs, name)
        shares.append(_shares(here, there, tolerance.allowed_price(here, there)))
    together = np.stack(shares)
    return together.max(axis=0), together.argmax(axis=0)


def _volume_sizes(mine: BarColumns, theirs: BarColumns, tolerance: Tolerance) -> NDArray[np.float64]:
    if not tolerance.has_volume:
        return np.zeros(len(mine))
    return _shares(mine.volume, theirs.volume, tolerance.allowed_volume(mine.volume, theirs.volume))


def _worst(
    kind: Kind,
    mine: BarColumns,
    theirs: BarColumns,
    size: NDArray[np.float64],
    column: NDArray[np.intp],
    worst_max: int,
) -> Iterator[Difference]:
    differing = np.flatnonzero(size)
    for row in differing[np.argsort(-size[differing], kind="stable")][:worst_max].tolist():
        name = (*PRICES, "volume")[int(column[row])]
        here, there = float(getattr(mine, name)[row]), float(getattr(theirs, name)[row])
        yield Difference(kind, int(mine.ts[row]), name, here, there, float(size[row]))


def _absences(kind: Kind, rows: BarColumns, worst_max: int) -> Iterator[Difference]:
    for ts, close in zip(rows.ts[::-1][:worst_max].tolist(), rows.close[::-1][:worst_max].tolist(), strict=True):
        here, there = (None, close) if kind is Kind.MISSING_HERE else (close, None)
        yield Difference(kind, ts, "close", here, there, 1.0)

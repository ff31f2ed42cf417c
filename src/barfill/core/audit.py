"""
Whether what is on record of a series is what is stored of it, and whether derived bars are what their sources make.

Pure: starts, coverage and bars go in, what does not agree comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import COLUMN_NAMES, BarColumns
from barfill.core.ranges import Ranges, to_us

SUM_TOLERANCE = 1e-9
"""As a share: volumes and vwaps of derived bars are sums of floats. Everything else is compared exactly."""
_SUMS = ("volume", "vwap")


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A bar, by its start in microseconds UTC, and what is wrong with it."""

    ts: int
    reason: str


def within(ts: NDArray[np.int64], ranges: Ranges) -> NDArray[np.bool_]:
    """Which instants lie in *ranges*, shape (n,)."""
    if not ranges:
        return np.zeros(len(ts), np.bool_)
    starts = np.array([to_us(one.start) for one in ranges], np.int64)
    ends = np.array([to_us(one.end) for one in ranges], np.int64)
    place = np.searchsorted(starts, ts, side="right") - 1
    found: NDArray[np.bool_] = (place >= 0) & (ts < ends[np.maximum(place, 0)])
    return found


def unaccounted(
    expected: NDArray[np.int64], stored: NDArray[np.int64], covered: Ranges, gaps: Ranges
) -> NDArray[np.int64]:
    """The starts of bars that are covered and expected, and neither stored nor on record as a gap."""
    absent = expected[~np.isin(expected, stored)]
    return absent[within(absent, covered) & ~within(absent, gaps)]


def unproved(expected: NDArray[np.int64], stored: NDArray[np.int64], covered: Ranges) -> NDArray[np.int64]:
    """The starts of final bars that are stored where one is expected, and not covered."""
    regular = stored[np.isin(stored, expected)]
    return regular[~within(regular, covered)]


def not_as_made(stored: BarColumns, made: BarColumns) -> list[Discrepancy]:
    """
    Where the stored bars of one series are not those that were *made* of its source anew; both in time order.

    Prices and counts must be the same, volumes and vwaps within `SUM_TOLERANCE`.
    """
    found = [
        *(Discrepancy(ts, "its source makes such a bar, and none is stored") for ts in _only(made, stored)),
        *(Discrepancy(ts, "its source has no bar of it") for ts in _only(stored, made)),
    ]
    _, here, there = np.intersect1d(stored.ts, made.ts, return_indices=True)
    ours, theirs = stored.take(here), made.take(there)
    for name in COLUMN_NAMES[2:]:
        one, other = getattr(ours, name).astype(np.float64), getattr(theirs, name).astype(np.float64)
        slack = SUM_TOLERANCE * np.abs(other) if name in _SUMS else 0.0
        with np.errstate(invalid="ignore"):
            differs = ~(np.abs(one - other) <= slack) & ~(np.isnan(one) & np.isnan(other))
        for position in np.flatnonzero(differs).tolist():
            reason = f"its {name} is {one[position]:.10g}, its source makes {other[position]:.10g}"
            found.append(Discrepancy(int(ours.ts[position]), reason))
    # A bar of which several values differ is one bar: the first is told.
    return sorted({one.ts: one for one in reversed(found)}.values(), key=lambda one: one.ts)


def _only(bars: BarColumns, others: BarColumns) -> list[int]:
    starts: list[int] = bars.ts[~np.isin(bars.ts, others.ts)].tolist()
    return starts

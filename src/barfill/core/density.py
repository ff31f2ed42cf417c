"""
How often a symbol has a bar where one is expected: the yardstick of rule S1.

Bars are counted in blocks of about a session (20 bars at least), and the median over the last 20 blocks with any row
is the density: a hole does not drag it down, and neither does a provider that answers with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.core.timeframe import Timeframe

BLOCKS_MAX = 20
DENSITY_OF_THE_THIN_MAX = 0.99
ROWS_TO_LEARN = 20
_SESSION_MINUTES = 390
_ROWS_MIN = 5
_BLOCK_BARS_MIN = 20


@dataclass(frozen=True, slots=True, eq=False)
class RangeCounts:
    """
    How many expected bars of each proven range had a row; one entry per range, sorted by (symbol, start).

    Attributes:
        symbol: int32 (m,).
        first, end: int64 (m,), the expected bars of the range, as positions in the calendar's expected starts.
        key_first, key_end: int64 (m,), the rows of the range, as positions in `position`.
        position: int64 (n,), of each row the position of its bar.
    """

    symbol: NDArray[np.int32]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    key_first: NDArray[np.int64]
    key_end: NDArray[np.int64]
    position: NDArray[np.int64]

    @property
    def absent(self) -> NDArray[np.int64]:
        """How many expected bars of each range had no row."""
        absent: NDArray[np.int64] = (self.end - self.first) - (self.key_end - self.key_first)
        return absent


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """
    By symbol index, NaN where nothing is known.

    Attributes:
        judged: What to judge absence by: the median over the blocks of this page and, in place of those that it
            lacks of 20, the density known before.
        updated: The density to remember: the one known before, moved towards this page's by as many 20ths as
            the page has blocks.
    """

    judged: NDArray[np.float64]
    updated: NDArray[np.float64]


def block_bars(timeframe: Timeframe) -> int:
    """How many expected bars make a block."""
    minutes = timeframe.length_us // 60_000_000
    return max(_BLOCK_BARS_MIN, -(-_SESSION_MINUTES // minutes))


def densities(counts: RangeCounts, known: NDArray[np.float64], timeframe: Timeframe) -> Densities:
    """The densities of all symbols after a page; *known* by symbol index, NaN where unknown."""
    size = block_bars(timeframe)
    expected = np.bincount(counts.symbol, weights=counts.end - counts.first, minlength=len(known))
    page = np.where(expected > 0, 1.0, np.nan)
    judged = np.where(np.isnan(known), page, known)
    with_holes = np.unique(counts.symbol[counts.absent > 0])
    if len(with_holes):
        ratios = _newest_ratios(counts, with_holes, size)
        page[with_holes] = _row_medians(ratios)
        fallback = np.broadcast_to(known[with_holes, None], ratios.shape)
        judged[with_holes] = _judged(np.where(np.isnan(ratios), fallback, ratios))
    weight = np.minimum(expected / (size * BLOCKS_MAX), 1)
    # A few rows with holes between them say nothing about how often a symbol trades: nothing is learned from them.
    rows = np.bincount(counts.symbol, weights=counts.key_end - counts.key_first, minlength=len(known))
    is_telling = rows >= np.minimum(expected, ROWS_TO_LEARN)
    first = np.where(is_telling, page, np.nan)
    moved = np.where(np.isnan(known), first, known + weight * (page - known))
    return Densities(judged, np.where(np.isnan(page), known, moved))


def share_stored(expected: NDArray[np.int64], stored: NDArray[np.int64]) -> float:
    """The share of the *expected* starts that are among the *stored* ones; NaN where too few of them are to tell."""
    count = int(np.isin(expected, stored).sum())
    return count / len(expected) if count >= ROWS_TO_LEARN else float("nan")


def spread(first: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """All integers of the half-open intervals one after the other, with the number of the interval of each."""
    lengths = end - first
    owner = np.repeat(np.arange(len(first)), lengths)
    before = np.cumsum(lengths) - lengths
    values: NDArray[np.int64] = np.arange(int(lengths.sum())) - before[owner] + first[owner]
    return owner, values


def _newest_ratios(counts: RangeCounts, symbols: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Shape (symbols, 20): the share of bars in each symbol's newest blocks with any; NaN where there are fewer."""
    chosen = np.flatnonzero(np.isin(counts.symbol, symbols))
    owner, rows = spread(counts.key_first[chosen], counts.key_end[chosen])
    block = counts.position[rows] // size
    ratios = np.full((len(symbols), BLOCKS_MAX), np.nan)
    if len(block) == 0:
        return ratios
    starts = np.concatenate(([0], np.flatnonzero((np.diff(owner) != 0) | (np.diff(block) != 0)) + 1))
    bars = np.diff(starts, append=len(block))
    block, owner = block[starts], chosen[owner[starts]]
    first, end = _believed_bounds(counts)
    expected = np.minimum(end[owner], (block + 1) * size) - np.maximum(first[owner], block * size)
    symbol = np.searchsorted(symbols, counts.symbol[owner])
    age = np.searchsorted(symbol, symbol, side="right") - 1 - np.arange(len(symbol))
    is_new = age < BLOCKS_MAX
    ratios[symbol[is_new], age[is_new]] = (bars / expected)[is_new]
    return ratios


def _believed_bounds(counts: RangeCounts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """
    Each range from its first row to its last, where it has some: what is absent at its ends may be a cut answer, or the
    time before listing, and says nothing about how often the symbol trades.
    """
    has_rows = counts.key_end - counts.key_first >= _ROWS_MIN
    position = np.append(counts.position, 0)
    first = np.where(has_rows, position[np.minimum(counts.key_first, len(counts.position))], counts.first)
    end = np.where(has_rows, position[counts.key_end - 1] + 1, counts.end)
    return first, end


def _judged(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of each row; at most 0.99 for a symbol with holes in a quarter of its blocks, and in two."""
    medians = _row_medians(ratios)
    thin, known = np.count_nonzero(ratios < 1, axis=1), np.count_nonzero(~np.isnan(ratios), axis=1)
    is_often_thin = (thin > 1) & (thin * 4 > known)
    return np.where(is_often_thin, np.minimum(medians, DENSITY_OF_THE_THIN_MAX), medians)


def _row_medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of each row's numbers; NaN for a row without any."""
    ordered = np.sort(values, axis=1)  # NaN goes last
    count = np.count_nonzero(~np.isnan(values), axis=1)
    row = np.arange(len(values))
    medians: NDArray[np.float64] = (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, count // 2]) / 2
    return medians

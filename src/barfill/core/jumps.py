"""
Rule Q20: a price ten times away from the last accepted close is not believed at once.

A real jump (a reverse split nobody filed) stays: it is accepted once its level has lasted into a later session. A
false one goes back. While a page ends before that is known, the rows are held and asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import DAY_US, TradingCalendar
from barfill.core.timeframe import Timeframe

FARTHEST_FACTOR = 10.0
"""A price beyond this multiple, or below its inverse, of the last accepted close is a jump."""
SPLIT_TOLERANCE = 0.02
SPLIT_DATE_SLACK_US = 5 * DAY_US  # vendors date splits a day early or late, and weekends come on top
_BARS_MIN_INTRADAY = 30
_BARS_MIN_SESSIONS = 3


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """
    A split on file.

    Attributes:
        ex_ts: 00:00 UTC of the first session at the new price, microseconds.
        ratio: New shares for one old one: 4.0 for 4:1, 0.05 for 1:20.
    """

    ex_ts: int
    ratio: float

    def explains(self, factor: float) -> bool:
        """Whether a price that became *factor* times what it was is this split."""
        return abs(factor * self.ratio - 1) <= SPLIT_TOLERANCE


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """
    What is known around the rows of a page.

    Attributes:
        last_closes: The stored close before each symbol's rows, by symbol index; NaN where unknown: then the
            level that most rows on the page have stands in, so that a bad first row is judged by those after it.
        later_closes: The stored close after each symbol's rows, NaN where unknown. It tells whether a level that
            the page ends in has lasted; without it such rows are held.
        known_splits: By symbol index.
    """

    last_closes: NDArray[np.float64]
    later_closes: NDArray[np.float64]
    known_splits: Mapping[int, Sequence[KnownSplit]]


class Fate(IntEnum):
    """What Q20 makes of a row."""

    ACCEPTED = 0
    HELD = 1
    QUARANTINED = 2


@dataclass(frozen=True, slots=True, eq=False)
class Jumps:
    """
    Attributes:
        fate: uint8 (n,), a `Fate` per row.
        reference: float64 (n,), the close that a row was measured by, in the quote currency; NaN for a row that is
            accepted.
        leaps: Positions of the rows at which a new price level begins that nobody filed but that lasts (W18).
    """

    fate: NDArray[np.uint8]
    reference: NDArray[np.float64]
    leaps: NDArray[np.intp]


def reference_closes(bars: BarColumns, last_closes: NDArray[np.float64]) -> NDArray[np.float64]:
    """
    The close before each row: that of the row above, or of *last_closes* for a symbol's first row.

    Args:
        bars: Sorted by key.
        last_closes: By symbol index, NaN where unknown.
    """
    before = np.empty(len(bars))
    before[1:] = bars.close[:-1]
    first = first_rows(bars)
    before[first] = last_closes[bars.symbol[first]]
    return before


def first_rows(bars: BarColumns) -> NDArray[np.intp]:
    """The position of each symbol's first row; *bars* sorted by key."""
    if len(bars) == 0:
        return np.empty(0, np.intp)
    return np.concatenate(([0], np.flatnonzero(np.diff(bars.symbol)) + 1))


def find_jumps(
    bars: BarColumns, timeframe: Timeframe, calendar: TradingCalendar, references: References
) -> Jumps | None:
    """
    Judges every row by rule Q20; None where no price jumps, which is the usual case and costs no loop.

    Args:
        bars: Sorted by key, all other rules kept.
    """
    before = reference_closes(bars, references.last_closes)
    unknown = first_rows(bars)
    unknown = unknown[np.isnan(before[unknown])]
    has_next = unknown[unknown + 1 < len(bars)]
    has_next = has_next[bars.symbol[has_next + 1] == bars.symbol[has_next]]
    before[has_next] = bars.close[has_next + 1]
    flagged = (bars.high > FARTHEST_FACTOR * before) | (bars.low * FARTHEST_FACTOR < before)
    if not flagged.any():
        return None
    fate, reference = np.zeros(len(bars), np.uint8), np.full(len(bars), np.nan)
    leaps: list[int] = []
    for symbol in np.unique(bars.symbol[flagged]):
        start, end = np.searchsorted(bars.symbol, [symbol, symbol + 1])
        rows = bars.take(slice(int(start), int(end)))
        series = _Series(
            rows=rows,
            session=calendar.session_of(timeframe, rows.ts),
            bars_min=_BARS_MIN_INTRADAY if timeframe.is_intraday else _BARS_MIN_SESSIONS,
            last_close=float(references.last_closes[symbol]),
            later_close=float(references.later_closes[symbol]),
            splits=references.known_splits.get(int(symbol), ()),
        )
        found = _judge_series(series)
        fate[start:end], reference[start:end] = found.fate, found.reference
        leaps.extend(int(start) + leap for leap in found.leaps.tolist())
    return Jumps(fate, reference, np.array(leaps, np.intp))


def price_that_jumped(prices: tuple[float, float, float, float], reference: float) -> str | None:
    """
    Which of a row's prices rule Q20 does not believe: `close`, else whichever of `low`, `high` and `open` is farthest
    away; None where each is within ten times of *reference*, so that only the row's level is not.

    Args:
        prices: open, high, low, close.
        reference: The close that the row was measured by.
    """
    named = dict(zip(("open", "high", "low", "close"), prices, strict=True))
    beyond = [name for name, price in named.items() if bool(_is_beyond(price, reference))]
    if not beyond or "close" in beyond:
        return "close" if beyond else None
    return max(beyond, key=lambda name: max(named[name] / reference, reference / named[name]))


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """One symbol's rows with what is known around them; `bars_min` is how long a level must last to be believed."""

    rows: BarColumns
    session: NDArray[np.int64]
    bars_min: int
    last_close: float
    later_close: float
    splits: Sequence[KnownSplit]


def _judge_series(series: _Series) -> Jumps:
    """Cuts the rows where the close jumps and judges each level as a whole."""
    close = series.rows.close
    cuts = np.flatnonzero(_is_beyond(close[1:], close[:-1])) + 1
    bounds = [0, *cuts.tolist(), len(close)]
    reference = series.last_close
    if np.isnan(reference):
        longest = int(np.argmax(np.diff(bounds)))
        reference = float(np.median(close[bounds[longest] : bounds[longest + 1]]))
    fate, measured_by = np.zeros(len(close), np.uint8), np.full(len(close), np.nan)
    leaps: list[int] = []
    for start, end in pairwise(bounds):
        is_jump = bool(_is_beyond(close[start], reference))
        has_split = is_jump and _has_split(series, start, reference)
        level = _judge_level(series, start, end) if is_jump and not has_split else Fate.ACCEPTED
        fate[start:end] = level
        if level is not Fate.ACCEPTED:
            measured_by[start:end] = reference
            continue
        if is_jump:
            reference = float(close[start])
            leaps.extend([] if has_split else [start])
        before = np.concatenate(([reference], close[start : end - 1]))
        strays = start + _strays(series.rows, start, end, before)
        fate[strays], measured_by[strays] = Fate.QUARANTINED, before[strays - start]
        reference = float(close[end - 1])
    return Jumps(fate, measured_by, np.array(leaps, np.intp))


def _judge_level(series: _Series, start: int, end: int) -> Fate:
    """Whether the level of rows [start, end), which nothing on file explains, has lasted."""
    has_lasted = end - start >= series.bars_min and series.session[end - 1] > series.session[start]
    if has_lasted:
        return Fate.ACCEPTED
    if end < len(series.rows):
        return Fate.QUARANTINED
    if np.isnan(series.later_close):
        return Fate.HELD
    came_back = bool(_is_beyond(series.later_close, series.rows.close[end - 1]))
    return Fate.QUARANTINED if came_back else Fate.ACCEPTED


def _strays(rows: BarColumns, start: int, end: int, before: NDArray[np.float64]) -> NDArray[np.intp]:
    """The rows of an accepted level whose close fits the one *before* and another price does not, counted from 0."""
    high, low = rows.high[start:end], rows.low[start:end]
    return np.flatnonzero((high > FARTHEST_FACTOR * before) | (low * FARTHEST_FACTOR < before))


def _has_split(series: _Series, row: int, reference: float) -> bool:
    rows = series.rows
    earliest = int(rows.ts[row - 1]) - SPLIT_DATE_SLACK_US if row else None
    latest = int(rows.ts[row]) + SPLIT_DATE_SLACK_US
    factors = (float(rows.open[row]) / reference, float(rows.close[row]) / reference)
    return any(
        split.explains(factor)
        for split in series.splits
        if split.ex_ts <= latest and (earliest is None or split.ex_ts >= earliest)
        for factor in factors
    )


def _is_beyond(price: NDArray[np.float64] | float, reference: NDArray[np.float64] | float) -> NDArray[np.bool_]:
    return np.asarray((price > FARTHEST_FACTOR * reference) | (price * FARTHEST_FACTOR < reference), np.bool_)

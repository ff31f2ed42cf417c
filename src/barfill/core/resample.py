"""
Coarser bars from finer ones, and what of a coarser series they cover.

Intraday bars are anchored at the session's open (h4: 09:30 and 13:30 in New York, whatever the season), a d1 bar
holds its session, a w1 bar the sessions of its ISO week: SPEC 5.4. Bars outside regular sessions belong to no
coarser bar and are left out.

Prices are taken as they are; volumes are added as float64 from left to right, so that the same bars always give the
same sum. A vwap is the mean of the parts' vwaps weighted by their volume: parts without volume weigh nothing, and the
result is unknown (NaN) where any part with volume has none, or where nothing was traded at all. A trade count is
unknown where that of any part is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import DAY_US, TradingCalendar, week_starts
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput

_ORDER = tuple(Timeframe)
_CONTEXT_US = 15 * DAY_US


def resample(bars: BarColumns, source: Timeframe, target: Timeframe, calendar: TradingCalendar) -> BarColumns:
    """
    The bars of *target* that *bars* make up, sorted by key, for many symbols at once.

    A bar is made of what is there, however little: `derived_coverage` says which ones are whole.

    Args:
        bars: At *source*, no key twice.

    Raises:
        InvalidInput: *target* is not coarser than *source*.
    """
    _check_order(source, target)
    ordered = bars.sorted_by_key()
    starts, is_regular = _target_starts(ordered.ts, source, target, calendar)
    if not is_regular.all():
        ordered, starts = ordered.take(is_regular), starts[is_regular]
    return _merged(ordered, starts) if len(ordered) else ordered


def derived_coverage(covered: Ranges, source: Timeframe, target: Timeframe, calendar: TradingCalendar) -> Ranges:
    """
    Where *target* is complete once *source* is complete in *covered*: whole bars, and the closed time between them.

    Raises:
        InvalidInput: *target* is not coarser than *source*.
        OutsideCalendar: *covered* reaches beyond the calendar.
    """
    _check_order(source, target)
    hull = covered.hull
    if hull is None:
        return covered
    spans = _Spans.around(hull, source, target, calendar)
    return Ranges(one for part in covered if (one := spans.whole_part(part)) is not None)


def _check_order(source: Timeframe, target: Timeframe) -> None:
    if _ORDER.index(target) <= _ORDER.index(source):
        raise InvalidInput(
            f"Bars of {target.label} cannot be made from bars of {source.label}. Choose a finer source than "
            f"{target.label}."
        )


def _target_starts(
    ts: NDArray[np.int64], source: Timeframe, target: Timeframe, calendar: TradingCalendar
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The start of the target bar of each source bar, and whether the source bar is on a session at all."""
    session = calendar.session_of(source, ts)
    nearest = np.maximum(session, 0)
    if target is Timeframe.W1:
        return week_starts(calendar.labels[nearest]), session >= 0
    if target is Timeframe.D1:
        return calendar.labels[nearest], session >= 0
    anchor, is_trading = calendar.anchor_of(ts)
    return ts - (ts - anchor) % target.length_us, is_trading


def _merged(bars: BarColumns, starts: NDArray[np.int64]) -> BarColumns:
    is_first = np.ones(len(bars), np.bool_)
    is_first[1:] = (bars.symbol[1:] != bars.symbol[:-1]) | (starts[1:] != starts[:-1])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(bars)) - 1
    group = np.cumsum(is_first) - 1
    # bincount adds one by one, in order; np.add.reduceat would add in pairs.
    volume: NDArray[np.float64] = np.bincount(group, weights=bars.volume).astype(np.float64, copy=False)
    traded = np.where(bars.volume > 0, bars.vwap * bars.volume, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        vwap = np.bincount(group, weights=traded) / volume
    has_unknown = np.minimum.reduceat(bars.trade_count, first) == NO_TRADE_COUNT
    return BarColumns(
        symbol=bars.symbol[first],
        ts=starts[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=volume,
        vwap=vwap,
        trade_count=np.where(has_unknown, NO_TRADE_COUNT, np.add.reduceat(bars.trade_count, first)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """
    Target bars around a range: the stretch of the source that each needs, and the stretch of the target it is.

    They differ where the source is stamped by the instant and the target by the session.
    """

    needs_start: NDArray[np.int64]
    needs_end: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    @staticmethod
    def around(hull: Range, source: Timeframe, target: Timeframe, calendar: TradingCalendar) -> _Spans:
        first_known, last_known = to_us(calendar.known.start), to_us(calendar.known.end)
        start, end = to_us(hull.start), to_us(hull.end)
        wider = Range(
            from_us(min(start, max(start - _CONTEXT_US, first_known))),
            from_us(max(end, min(end + _CONTEXT_US, last_known))),
        )
        starts = calendar.expected_starts(target, wider)
        if target.is_intraday:
            ends = calendar.bar_ends(target, starts)
            return _Spans(starts, ends, starts, ends)
        ends = starts + target.length_us
        first = np.searchsorted(calendar.labels, starts)
        after = np.searchsorted(calendar.labels, ends)
        if source.is_intraday:
            return _Spans(calendar.opens[first], calendar.closes[after - 1], starts, ends)
        return _Spans(calendar.labels[first], calendar.labels[after - 1] + DAY_US, starts, ends)

    def whole_part(self, covered: Range) -> Range | None:
        """The part of the target that is complete when the source is in *covered*."""
        start, end = to_us(covered.start), to_us(covered.end)
        first = int(np.searchsorted(self.needs_start, start, side="left"))
        after = int(np.searchsorted(self.needs_end, end, side="right"))
        # Closed time beside whole bars is part of it, so that coverage does not fall to pieces every night.
        lower = max(start, int(self.end[first - 1])) if first > 0 else start
        lower = min(lower, int(self.start[first])) if first < len(self.start) else lower
        upper = max(end, int(self.end[after - 1])) if after > 0 else end
        upper = min(upper, int(self.start[after])) if after < len(self.start) else upper
        return Range(from_us(lower), from_us(upper)) if lower < upper else None

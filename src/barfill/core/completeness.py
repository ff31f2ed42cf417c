"""
How complete a series is within a window, from its ledger alone: coverage and gaps, without a look at the bars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True)
class KnownGap:
    """
    A gap as the ledger has it: *expected_bars* bars are absent within *range*.

    Attributes:
        is_settled: Whether they are accounted for; a `missing` one may be.
    """

    range: Range
    expected_bars: int
    kind: GapKind
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Completeness:
    """
    Attributes:
        expected: Bars that the calendar lets one expect, less the settled ones.
        present: Those that are stored.
        settled: Expected bars that are absent for a settled reason (no trade, before listing, ...), by kind.
        unexplained: What is neither covered nor explained by a gap: ranges never fetched, where bars are expected.
    """

    expected: int
    present: int
    settled: Mapping[GapKind, int]
    unexplained: Ranges


def completeness(
    window: Range, covered: Ranges, gaps: Sequence[KnownGap], calendar: TradingCalendar, timeframe: Timeframe
) -> Completeness:
    """How complete a series is within *window*, whose end is not beyond the final horizon."""
    total = calendar.expected_count(timeframe, window)
    uncovered = Ranges([window]) - covered
    unexplained = uncovered
    settled: Counter[GapKind] = Counter()
    absent_inside = 0
    for gap in gaps:
        part = gap.range & window
        if part is None:
            continue
        unexplained = unexplained - part
        is_whole = part == gap.range
        count = gap.expected_bars if is_whole else _share(gap, part, calendar, timeframe)
        if gap.is_settled:
            settled[gap.kind] += count
        absent_inside += count if covered.covers(part) else 0
    outside = sum(calendar.expected_count(timeframe, one) for one in uncovered)
    expected = max(0, total - settled.total())
    present = min(expected, max(0, total - outside - absent_inside))
    return Completeness(expected, present, settled, _with_bars(unexplained, calendar, timeframe))


def _share(gap: KnownGap, part: Range, calendar: TradingCalendar, timeframe: Timeframe) -> int:
    """How many bars are absent in a part of *gap*; a quiet stretch, which has bars in it, is cut evenly."""
    expected = calendar.expected_count(timeframe, part)
    if gap.kind is not GapKind.NO_TRADE:
        return min(gap.expected_bars, expected)
    return round(gap.expected_bars * expected / max(1, calendar.expected_count(timeframe, gap.range)))


def _with_bars(ranges: Ranges, calendar: TradingCalendar, timeframe: Timeframe) -> Ranges:
    return Ranges(one for one in ranges if calendar.expected_count(timeframe, one))

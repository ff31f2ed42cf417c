"""
How complete a series is within a window, from its ledger alone: coverage and gaps, without a look at the bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True)
class KnownGap:
    """A gap as the ledger has it: *expected_bars* bars are absent within *range*."""

    range: Range
    expected_bars: int
    kind: GapKind


@dataclass(frozen=True, slots=True)
class Completeness:
    """
    Attributes:
        expected: Bars that the calendar lets one expect, less the settled ones.
        present: Those that are stored.
        settled: Expected bars that are absent for a settled reason (no trade, before listing, ...).
        unexplained: What is neither covered nor explained by a gap: ranges never fetched, where bars are expected.
    """

    expected: int
    present: int
    settled: int
    unexplained: Ranges


def completeness(
    window: Range, covered: Ranges, gaps: Sequence[KnownGap], calendar: TradingCalendar, timeframe: Timeframe
) -> Completeness:
    """How complete a series is within *window*, whose end is not beyond the final horizon."""
    total = calendar.expected_count(timeframe, window)
    uncovered = Ranges([window]) - covered
    unexplained = uncovered
    settled = absent_inside = 0
    for gap in gaps:
        part = gap.range & window
        if part is None:
            continue
        unexplained = unexplained - part
        is_whole = part == gap.range
        count = gap.expected_bars if is_whole else min(gap.expected_bars, calendar.expected_count(timeframe, part))
        settled += count if gap.kind.is_settled else 0
        absent_inside += count if covered.covers(part) else 0
    outside = sum(calendar.expected_count(timeframe, one) for one in uncovered)
    expected = max(0, total - settled)
    present = min(expected, max(0, total - outside - absent_inside))
    return Completeness(expected, present, settled, _with_bars(unexplained, calendar, timeframe))


def _with_bars(ranges: Ranges, calendar: TradingCalendar, timeframe: Timeframe) -> Ranges:
    return Ranges(one for one in ranges if calendar.expected_count(timeframe, one))

"""
Warnings that only two timeframes together, or a whole session, can tell: W12, W17 and W20.

They are told of sessions that are covered whole in both, of one feed and one adjustment basis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from barfill.core.timeframe import Timeframe

VOLUME_APART = 0.25
CLOSE_APART = 0.005
LIQUID = 0.95
"""From this share of expected bars on, a symbol trades all day."""
THIN_FROM, THIN_BELOW = 0.50, 0.90
"""Shares of a session's bars between which it is thin; below, its gaps say so already."""
_ROUNDING = 2e-7
ACROSS_RULES = ("W12", "W17", "W20")


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """
    A session by its day's bar and by the bars within it.

    Attributes:
        label: 00:00 UTC of its date.
        finer: The timeframe of the bars within it.
        density: Share of expected bars of that timeframe that the symbol usually has; None where unknown.
        day_high, day_low, day_close, day_volume: None where there is no bar of the day that could be compared.
        bars: How many of the finer bars are stored; high to volume are None where that is 0.
    """

    symbol_id: int
    label: datetime
    opens_at: datetime
    closes_at: datetime
    finer: Timeframe
    density: float | None
    day_high: float | None
    day_low: float | None
    day_close: float | None
    day_volume: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    bars: int


@dataclass(frozen=True, slots=True)
class AcrossWarning:
    """A warning about the bar of *timeframe* that starts at *ts*; of a thin session, about its first bar."""

    symbol_id: int
    timeframe: Timeframe
    ts: datetime
    rule: str
    detail: str


def warnings_across(one: SessionTotals, expected: int) -> Iterator[AcrossWarning]:
    """What looks wrong about a session of which the calendar has so many of the finer bars, at least one."""
    share = one.bars / expected
    if one.density is not None and one.density >= LIQUID and THIN_FROM <= share < THIN_BELOW:
        detail = f"{one.bars:,} of {expected:,} bars; the symbol usually has {100 * one.density:.1f} %"
        yield AcrossWarning(one.symbol_id, one.finer, one.opens_at, "W20", detail)
    for rule, detail in (("W12", _volumes(one)), ("W17", _prices(one))):
        if detail:
            yield AcrossWarning(one.symbol_id, Timeframe.D1, one.label, rule, detail)


def _volumes(one: SessionTotals) -> str:
    if one.day_volume is None or one.volume is None:
        return ""
    if abs(one.volume - one.day_volume) <= VOLUME_APART * one.day_volume:
        return ""
    return f"the volumes of its {one.finer.label} bars come to {one.volume:.10g}, the day's is {one.day_volume:.10g}"


def _prices(one: SessionTotals) -> str:
    if one.day_high is None or one.day_low is None or one.day_close is None:
        return ""
    if one.high is None or one.low is None or one.close is None:
        return ""
    said = []
    if one.day_high < one.high * (1 - _ROUNDING):
        said.append(f"the day's high {one.day_high:.10g} is below {one.high:.10g}")
    if one.day_low > one.low * (1 + _ROUNDING):
        said.append(f"the day's low {one.day_low:.10g} is above {one.low:.10g}")
    if abs(one.close - one.day_close) > CLOSE_APART * abs(one.day_close):
        said.append(f"the day's close {one.day_close:.10g} is not near {one.close:.10g}")
    return f"{', '.join(said)} of its {one.finer.label} bars" if said else ""

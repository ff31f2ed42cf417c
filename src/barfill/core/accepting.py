"""Whether a quarantined row can stand in its series after all, when a person says that it is right."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.placing import slots_of
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe

ANOTHER_COMPANY = "S04"


@dataclass(frozen=True, slots=True, eq=False)
class Acceptable:
    """
    Attributes:
        slot: The bar that the row is, from its start to its end; a day or week as a whole.
        bar: One row; `symbol` is 0.
    """

    slot: Range
    bar: BarColumns


def acceptable(
    rule: str, raw: str, ts: datetime | None, timeframe: Timeframe, calendar: TradingCalendar, now: datetime
) -> Acceptable | str:
    """
    The row as a bar, or why it cannot be one; its values are left to the constraints of the table.

    Args:
        rule: Which it broke.
        raw: Its JSON as kept.
        ts: Its stamp, None where it has none that can be read.
    """
    if rule == ANOTHER_COMPANY:
        return "it is another company's bar by the ticker changes on file; see barfill events --kind changes"
    if ts is None:
        return "nobody can tell which bar it is: its stamp could not be read"
    slot = slot_of(ts, timeframe, calendar)
    if slot is None or slot.start != ts:
        where = (
            "lies outside of the regular hours" if slot is None else f"is not where a bar of {timeframe.label} starts"
        )
        return f"{_shown(ts)} {where} by the calendar {calendar.name}"
    if from_us(int(calendar.bar_ends(timeframe, np.array([to_us(slot.start)], np.int64))[0])) > now:
        return f"the bar of {_shown(ts)} is not over yet"
    bar = _bar(raw, to_us(ts))
    if bar is None:
        return "its values could not be read as numbers"
    return Acceptable(slot, bar)


def slot_of(ts: datetime, timeframe: Timeframe, calendar: TradingCalendar) -> Range | None:
    """The expected bar that an instant lies in, from its start to its end; None where none is expected."""
    stamp = np.array([to_us(ts)], np.int64)
    starts, found = slots_of(calendar, timeframe, stamp)
    if not found[0]:
        return None
    ends = calendar.bar_ends(timeframe, starts) if timeframe.is_intraday else starts + timeframe.length_us
    return Range(from_us(int(starts[0])), from_us(int(ends[0])))


def _bar(raw: str, ts: int) -> BarColumns | None:
    """A row that is kept under barfill's names; None for what a provider's own words could not be read from."""
    try:
        values = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(values, Mapping):
        return None
    numbers = [_number(values.get(name)) for name in ("open", "high", "low", "close", "volume")]
    vwap = math.nan if values.get("vwap") is None else _number(values["vwap"])
    trades = NO_TRADE_COUNT if values.get("trade_count") is None else values["trade_count"]
    is_count = isinstance(trades, int) and not isinstance(trades, bool) and abs(trades) < 2**63
    if vwap is None or not is_count or None in numbers:
        return None
    o, h, low, c, v = (np.array([number], np.float64) for number in numbers)
    return BarColumns(
        symbol=np.zeros(1, np.int32),
        ts=np.array([ts], np.int64),
        open=o,
        high=h,
        low=low,
        close=c,
        volume=v,
        vwap=np.array([vwap], np.float64),
        trade_count=np.array([trades], np.int64),
    )


def _number(value: object) -> float | None:
    """A number, or the text that stands for one that JSON does not know (`NaN`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _shown(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"

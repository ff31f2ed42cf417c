"""
Which bar an instant falls into where the market never closes: everything is counted in UTC.

Minutes, hours and days are counted from 1970-01-01T00:00Z, so that seven days are a week from Thursday on; the unit
Week begins on Monday, SundayWeek on Sunday, Month on the first. An anchor moves the beginning of days and weeks.
"""

import numpy as np

from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, Nanos
from barfill.simulate.market.timeframes import Timeframe

DAY_NS = 24 * HOUR_NS
_UNITS_NS = {
    "Min": MINUTE_NS, "Hour": HOUR_NS, "Day": DAY_NS, "Week": 7 * DAY_NS, "SundayWeek": 7 * DAY_NS,
    "Month": 31 * DAY_NS,
}  # fmt: skip
#: The first Monday and the first Sunday: 1970-01-01 was a Thursday.
_WEEKS_FROM_NS = {"Week": 4 * DAY_NS, "SundayWeek": 3 * DAY_NS}


def width_ns(timeframe: Timeframe) -> int:
    """The width of a bar; of months, that of the longest."""
    return timeframe.amount * _UNITS_NS[timeframe.unit]


def utc_starts_ns(ts_ns: Nanos, timeframe: Timeframe, anchor_ns: int = 0) -> Nanos:
    """The start of the bar of *timeframe* that each instant falls into; days begin at *anchor_ns* after midnight."""
    if timeframe.unit == "Month":
        months = (ts_ns - anchor_ns).astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
        first = (months // timeframe.amount * timeframe.amount).astype("datetime64[M]")
        return first.astype("datetime64[ns]").astype(np.int64) + anchor_ns
    offset_ns = _WEEKS_FROM_NS.get(timeframe.unit, 0)
    if not timeframe.is_intraday:
        offset_ns += anchor_ns
    width = width_ns(timeframe)
    return (ts_ns - offset_ns) // width * width + offset_ns


def utc_after_ns(start_ns: int, timeframe: Timeframe) -> int:
    """The start of the bar after the one that starts at *start_ns*."""
    return utc_start_ns(start_ns + width_ns(timeframe), timeframe)


def utc_start_ns(at_ns: int, timeframe: Timeframe, anchor_ns: int = 0) -> int:
    """The start of the bar that holds one instant."""
    return int(utc_starts_ns(np.array([at_ns], np.int64), timeframe, anchor_ns)[0])

"""
The vendor's windows: multiplier and timespan, and how the bounds of a range snap outward to whole ones.

Days, weeks (from Sunday), months, quarters and years begin at New York midnight, minutes and hours are counted from
it (providers.md 4.1); those of crypto in UTC. What several days or weeks are counted from is not documented: here
from 1970. Seconds are another product: here no plan includes them.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import numpy as np

from barfill.simulate.market.sessions import Nanos, midnight_ns
from barfill.simulate.market.timeframes import Timeframe, bucket_end_ns, bucket_starts_ns
from barfill.simulate.market.utc_buckets import DAY_NS, utc_after_ns, utc_starts_ns
from barfill.simulate.massive.refusals import PLAN_LACKS_DATA, bad, beyond_plan

MILLISECOND_NS = 1_000_000
_UNITS = {
    "minute": ("Min", 1), "hour": ("Hour", 1), "day": ("Day", 1), "week": ("SundayWeek", 1), "month": ("Month", 1),
    "quarter": ("Month", 3), "year": ("Month", 12),
}  # fmt: skip
_MULTIPLIER_MAX = 10_000
#: Years 1971 to 2037, in milliseconds: what New York midnights are known for.
_INSTANTS_MS = range(31_536_000_000, 2_145_916_800_000)


class Windows(Protocol):
    """Where the windows of a market begin."""

    def midnight_ns(self, day: date) -> int: ...

    def starts_ns(self, ts_ns: Nanos, timeframe: Timeframe) -> Nanos:
        """The start of the window that holds each instant."""

    def after_ns(self, start_ns: int, timeframe: Timeframe) -> int:
        """The start of the window after the one that starts at *start_ns*."""


@dataclass(frozen=True, slots=True)
class NewYorkWindows:
    """Those of stocks."""

    def midnight_ns(self, day: date) -> int:
        return midnight_ns(day)

    def starts_ns(self, ts_ns: Nanos, timeframe: Timeframe) -> Nanos:
        return bucket_starts_ns(ts_ns, timeframe)

    def after_ns(self, start_ns: int, timeframe: Timeframe) -> int:
        return bucket_end_ns(start_ns, timeframe)


@dataclass(frozen=True, slots=True)
class UtcWindows:
    """Those of crypto."""

    def midnight_ns(self, day: date) -> int:
        return (day - date(1970, 1, 1)).days * DAY_NS

    def starts_ns(self, ts_ns: Nanos, timeframe: Timeframe) -> Nanos:
        return utc_starts_ns(ts_ns, timeframe)

    def after_ns(self, start_ns: int, timeframe: Timeframe) -> int:
        return utc_after_ns(start_ns, timeframe)


NEW_YORK_WINDOWS, UTC_WINDOWS = NewYorkWindows(), UtcWindows()


def timeframe_of(multiplier: str, timespan: str) -> Timeframe:
    """
    The timeframe of a path, for instance 15 ``minute``.

    Raises:
        Refusal: 400, it is none; 403, it is of seconds.
    """
    if not (multiplier.isascii() and multiplier.isdigit() and 1 <= int(multiplier) <= _MULTIPLIER_MAX):
        raise bad("Could not parse the multiplier parameter: use a whole number from 1")
    if timespan == "second":
        raise beyond_plan(PLAN_LACKS_DATA)
    if timespan not in _UNITS:
        raise bad(f"Could not parse the timespan parameter: use one of second, {', '.join(_UNITS)}")
    unit, times = _UNITS[timespan]
    return Timeframe(int(multiplier) * times, unit)


def bound_ns(text: str, name: str, windows: Windows) -> tuple[int, int]:
    """
    The first and the last instant that a bound covers: a day, or one millisecond.

    Raises:
        Refusal: 400, neither a date nor milliseconds.
    """
    try:
        if text.isascii() and text.isdigit() and int(text) in _INSTANTS_MS:
            return int(text) * MILLISECOND_NS, (int(text) + 1) * MILLISECOND_NS - 1
        day = parse_day(text)
        return windows.midnight_ns(day), windows.midnight_ns(day + timedelta(days=1)) - 1
    except ValueError:
        raise bad(f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD or Unix MS Timestamps") from None


def parse_day(text: str) -> date:
    """A date; ValueError for anything else, and for years outside 1971 to 2037."""
    day = date.fromisoformat(text)
    if len(text) != len("YYYY-MM-DD") or day.year not in range(1971, 2038):
        raise ValueError(text)
    return day


def window_start_ns(at_ns: int, timeframe: Timeframe, windows: Windows) -> int:
    """The start of the window that holds an instant."""
    return int(windows.starts_ns(np.array([at_ns], np.int64), timeframe)[0])


def window_end_ns(at_ns: int, timeframe: Timeframe, windows: Windows) -> int:
    """The start of the window after the one that holds an instant."""
    return windows.after_ns(window_start_ns(at_ns, timeframe, windows), timeframe)

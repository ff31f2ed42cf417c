"""
The vendor's timeframes: how they are written, and which bucket an instant falls into.

Widths up to 23 hours are counted from New York midnight (so 4Hour bars start at 00, 04, 08 ... New York), days, weeks
and months are keyed by the New York midnight of their first day, weeks by Monday (a recorded reply of 2021-01-18, a
holiday Monday, is keyed by that Monday). Vendors that count weeks from Sunday have the unit SundayWeek; several days or
weeks are counted from 1970.
"""

import re
from dataclasses import dataclass

import numpy as np

from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, Nanos, midnight_of_days_ns, new_york_days

_FORM = re.compile(r"([1-9][0-9]?)(Min|T|Hour|H|Day|D|Week|W|Month|M)")
_UNITS = {
    "Min": "Min", "T": "Min", "Hour": "Hour", "H": "Hour", "Day": "Day", "D": "Day",
    "Week": "Week", "W": "Week", "Month": "Month", "M": "Month",
}  # fmt: skip
_ALLOWED = {
    "Min": range(1, 60),
    "Hour": range(1, 24),
    "Day": range(1, 2),
    "Week": range(1, 2),
    "Month": (1, 2, 3, 4, 6, 12),
}
_STORED_NAMES = {
    "m1": "1Min", "m5": "5Min", "m15": "15Min", "m30": "30Min", "h1": "1Hour", "h4": "4Hour",
    "d1": "1Day", "w1": "1Week",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timeframe:
    """The length of a bar, for instance 15 ``Min``; *unit* is Min, Hour, Day, Week, SundayWeek or Month."""

    amount: int
    unit: str

    @property
    def name(self) -> str:
        """As the vendor writes it: ``15Min``."""
        return f"{self.amount}{self.unit}"

    @property
    def is_intraday(self) -> bool:
        return self.unit in {"Min", "Hour"}

    @property
    def width_ns(self) -> int:
        """The width of an intraday bar."""
        return self.amount * (MINUTE_NS if self.unit == "Min" else HOUR_NS)

    @property
    def token_letter(self) -> str:
        """What stands for it in a page token."""
        return {"Min": "M", "Hour": "H", "Day": "D", "Week": "W", "Month": "O"}[self.unit]


def parse_timeframe(text: str) -> Timeframe | None:
    """What the vendor understands (1Min, 5T, 1Hour, 4H, 1Day, 1W, 3Month ...), or None."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    amount, unit = int(match[1]), _UNITS[match[2]]
    return Timeframe(amount, unit) if amount in _ALLOWED[unit] else None


def named_timeframe(text: str) -> Timeframe | None:
    """As *parse_timeframe*, and the names used in file names: m1, m15, h1, d1, w1 ..."""
    return parse_timeframe(_STORED_NAMES.get(text, text))


def bucket_starts_ns(ts_ns: Nanos, timeframe: Timeframe) -> Nanos:
    """The start of the bar of *timeframe* that each instant falls into."""
    days = new_york_days(ts_ns)
    if timeframe.is_intraday:
        midnights = midnight_of_days_ns(days)
        return midnights + (ts_ns - midnights) // timeframe.width_ns * timeframe.width_ns
    return midnight_of_days_ns(_first_days(days, timeframe))


def bucket_end_ns(start_ns: int, timeframe: Timeframe) -> int:
    """The start of the bar after the one that starts at *start_ns*."""
    day = int(new_york_days(np.array([start_ns], np.int64))[0])
    if timeframe.is_intraday:
        # The last bar of a day ends with it, whole or not.
        return min(start_ns + timeframe.width_ns, _midnight_ns(day + 1))
    if timeframe.unit == "Month":
        month = np.datetime64(day, "D").astype("datetime64[M]") + timeframe.amount
        return _midnight_ns(int(month.astype("datetime64[D]").astype(np.int64)))
    return _midnight_ns(day + timeframe.amount * (1 if timeframe.unit == "Day" else 7))


def _midnight_ns(day: int) -> int:
    return int(midnight_of_days_ns(np.array([day], np.int64))[0])


def _first_days(days: Nanos, timeframe: Timeframe) -> Nanos:
    if timeframe.unit == "Day":
        return days // timeframe.amount * timeframe.amount
    if timeframe.unit == "Week":
        # 1970-01-01 was a Thursday.
        return days - (days + 3) % 7
    if timeframe.unit == "SundayWeek":
        return (days + 4) // 7 // timeframe.amount * timeframe.amount * 7 - 4
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    first_months = months // timeframe.amount * timeframe.amount
    return first_months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)

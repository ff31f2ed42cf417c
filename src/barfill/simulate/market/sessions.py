"""
The trading sessions of XNYS as columns, and midnights of New York.

Read straight from exchange_calendars and zoneinfo, on purpose not through the rest of barfill: the exchange and its
clients must not share a reading of the calendar. Everything is int64 nanoseconds since 1970 in UTC.
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
from numpy.typing import NDArray

NEW_YORK = ZoneInfo("America/New_York")
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
#: The vendor's calendar endpoint answers for these years.
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2029, 12, 31)

Nanos = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sessions:
    """
    One row per session, oldest first. Extended hours run from 04:00 New York to four hours after the close.
    """

    days: NDArray[np.datetime64]
    midnight_ns: Nanos
    open_ns: Nanos
    close_ns: Nanos
    extended_open_ns: Nanos
    extended_close_ns: Nanos

    def __len__(self) -> int:
        return int(self.open_ns.size)

    def first_on_or_after(self, day: date) -> int:
        """The index of the first session that is not before *day*."""
        return int(np.searchsorted(self.days, np.datetime64(day, "D")))

    def holding(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """The half-open index range of the sessions whose New York day meets ``[start_ns, end_ns]``."""
        first = int(np.searchsorted(self.extended_close_ns, start_ns, side="right"))
        stop = int(np.searchsorted(self.midnight_ns, end_ns, side="right"))
        return first, max(first, stop)


@cache
def xnys() -> Sessions:
    """All sessions from 1970 to 2029; built once per process (0.2 s)."""
    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values, which pandas 3.1 announces to change.
        warnings.simplefilter("ignore")
        calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
    days = calendar.sessions.to_numpy().astype("datetime64[D]")
    open_ns = calendar.opens_nanos.astype(np.int64)
    close_ns = calendar.closes_nanos.astype(np.int64)
    midnight_ns = midnights_ns()[days.astype(np.int64) - _FIRST_MIDNIGHT_DAY]
    return Sessions(
        days=days,
        midnight_ns=midnight_ns,
        open_ns=open_ns,
        close_ns=close_ns,
        # Sessions lie on weekdays and the clocks change on Sundays, so 04:00 is always 4 h after midnight.
        extended_open_ns=midnight_ns + 4 * HOUR_NS,
        extended_close_ns=close_ns + 4 * HOUR_NS,
    )


_FIRST_MIDNIGHT_DAY = -40
_LAST_MIDNIGHT_DAY = 25_000


@cache
def midnights_ns() -> Nanos:
    """The instant of each New York midnight, from 40 days before 1970-01-01 until 2038."""
    epoch = datetime(1970, 1, 1)
    return np.array(
        [
            int((epoch + timedelta(days=day)).replace(tzinfo=NEW_YORK).timestamp()) * SECOND_NS
            for day in range(_FIRST_MIDNIGHT_DAY, _LAST_MIDNIGHT_DAY)
        ],
        dtype=np.int64,
    )


def new_york_days(ts_ns: Nanos) -> Nanos:
    """The New York date of each instant, as days since 1970-01-01."""
    return np.searchsorted(midnights_ns(), ts_ns, side="right").astype(np.int64) - 1 + _FIRST_MIDNIGHT_DAY


def midnight_of_days_ns(days: Nanos) -> Nanos:
    """The New York midnights of *days* (days since 1970-01-01)."""
    return midnights_ns()[days - _FIRST_MIDNIGHT_DAY]


def midnight_ns(day: date) -> int:
    """The instant of New York midnight of *day*."""
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).timestamp()) * SECOND_NS


def to_ns(instant: datetime) -> int:
    """An aware datetime as nanoseconds."""
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_NS + delta.microseconds * 1000


def from_ns(instant_ns: int) -> datetime:
    """Nanoseconds as a datetime in UTC; what is finer than a microsecond is cut."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_ns // 1000)

"""
Which ranges are read again, since providers correct bars after they have given them as final.

Pure. The last sessions are read again after each close (rule S6), and of what is older a share each week, so that a
correction that comes late is found sooner or later, whichever bar it is of.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from hashlib import blake2b

import numpy as np

from barfill.core.calendar import AROUND_THE_CLOCK, DAY_US, TradingCalendar, week_starts
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe

DRAWN_SHARE = 0.01
"""So much of what is older is read again each week (SPEC 5.4)."""
SETTLES_INTRADAY, SETTLES_DAILY = timedelta(hours=1), timedelta(days=1)
"""When a venue that never closes has corrected its bars (S6); the youngest of them are not read again before that."""
LOOKED_BACK_FOR = timedelta(days=3)


def last_sessions(
    calendar: TradingCalendar, timeframe: Timeframe, now: datetime, delay: timedelta, sessions: int
) -> Range | None:
    """
    The sessions before the newest one that is final, so many of them; None where there are none.

    The newest one itself has just been fetched, and is among them after the next close. Around the clock it is what
    has settled lately: what is older than an hour, or of days, older than a day.

    Raises:
        OutsideCalendar: *now* lies beyond the calendar.
    """
    if calendar.name == AROUND_THE_CLOCK:
        return _settled(timeframe, now - delay)
    around = Range(now - timedelta(days=30 + 2 * sessions), now)
    closed = calendar.sessions(around, by_label=False)
    final = np.flatnonzero(calendar.closes[closed] <= to_us(now - delay)) + closed.start
    if len(final) < sessions + 1:
        return None
    starts = _session_starts(calendar, timeframe)
    start, end = int(starts[final[-1] - sessions]), int(starts[final[-1]])
    return Range(from_us(start), from_us(end)) if start < end else None


def drawn(
    calendar: TradingCalendar, timeframe: Timeframe, older: Range, week: date, *, share: float = DRAWN_SHARE
) -> Range | None:
    """
    The part of *older* whose turn it is in the *week* of a Monday: sessions in a row, drawn at random.

    The same for all who ask in that week. Every session (of w1 bars: every week) has the same chance; None where none
    begins in *older*.
    """
    starts = np.unique(_session_starts(calendar, timeframe))
    held, stop = (int(place) for place in np.searchsorted(starts, [to_us(older.start), to_us(older.end)]))
    count = stop - held
    if count == 0:
        return None
    taken = max(1, round(count * share))
    # From before the first session on, so that those at the ends come as often as all others.
    first = _lot(f"{week} {calendar.name} {timeframe.value}") % (count + taken - 1) + 1 - taken
    begin, end = held + max(first, 0), held + min(first + taken, count)
    until = from_us(int(starts[end])) if end < len(starts) else older.end
    return Range(from_us(int(starts[begin])), min(until, older.end))


def monday_of(now: datetime) -> date:
    """The Monday of the ISO week of an instant, in UTC."""
    return now.date() - timedelta(days=now.weekday())


def _settled(timeframe: Timeframe, horizon: datetime) -> Range:
    step = 3_600_000_000 if timeframe.is_intraday else DAY_US
    settles = SETTLES_INTRADAY if timeframe.is_intraday else SETTLES_DAILY
    end = from_us(to_us(horizon - settles) // step * step)
    return Range(end - LOOKED_BACK_FOR, end)


def _lot(text: str) -> int:
    """A number that is drawn at random, and always the same for a text."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def _session_starts(calendar: TradingCalendar, timeframe: Timeframe) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where the bars of each session begin, ascending; of weeks, those of the session's week."""
    if timeframe.is_intraday:
        return calendar.opens
    return calendar.labels if timeframe is Timeframe.D1 else week_starts(calendar.labels)

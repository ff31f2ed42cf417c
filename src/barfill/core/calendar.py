"""
Trading calendars: which sessions there are, and which bars a complete series has.

Sessions come from the `exchange_calendars` library; a known closure that the installed version may lack stands
in `_CLOSURES`. Everything returned is UTC. Crypto trades around the clock: each UTC day is a session.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, OutsideCalendar

DAY_US = 86_400_000_000
AROUND_THE_CLOCK = "24/7"
FIRST_YEAR = 1990
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# Full-day closures announced at short notice, for library versions older than the announcement.
_CLOSURES = {"XNYS": (date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5), date(2025, 1, 9))}


@dataclass(frozen=True, slots=True, eq=False)
class TradingCalendar:
    """
    The sessions of one exchange between two dates.

    Attributes:
        name: The exchange's code, such as `XNYS`, or `24/7`.
        labels: int64 (n,), 00:00 UTC of each session's date, microseconds, strictly increasing.
        opens, closes: int64 (n,), the first instant of the session and the first one after it.
        last_year: The last year that the sessions reach.
        version: Library and version that the sessions come from, kept as evidence with gaps.
    """

    name: str
    labels: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    last_year: int
    version: str

    def sessions(self, wanted: Range, *, by_label: bool) -> slice:
        """
        Which sessions have their label (or, with *by_label* false, any trading minute) in *wanted*.

        Raises:
            OutsideCalendar: *wanted* reaches beyond the years that the calendar was built for.
        """
        self._check(wanted)
        start, end = to_us(wanted.start), to_us(wanted.end)
        if by_label:
            first, last = np.searchsorted(self.labels, [start, end], side="left")
        else:
            first = np.searchsorted(self.closes, start, side="right")
            last = np.searchsorted(self.opens, end, side="left")
        return slice(int(first), int(max(first, last)))

    def expected_starts(self, timeframe: Timeframe, wanted: Range) -> NDArray[np.int64]:
        """
        The starts of the bars that a complete series has in *wanted*.

        Args:
            wanted: Its bounds need not lie on a bar; a bar counts when it starts inside.

        Returns:
            Shape (n,), int64 microseconds UTC, strictly increasing. n is 0 on a closed day.

        Raises:
            OutsideCalendar: *wanted* reaches beyond the sessions that the calendar knows.

        Source:
            Intraday bars are anchored at the session's open (at 00:00 UTC around the clock), d1 at 00:00 UTC of
            the session's date, w1 at 00:00 UTC of the Monday of its ISO week: SPEC 5.4.
        """
        start, end = to_us(wanted.start), to_us(wanted.end)
        if timeframe is Timeframe.D1:
            return self.labels[self.sessions(wanted, by_label=True)]
        if timeframe is Timeframe.W1:
            self._check(wanted)
            first, last = np.searchsorted(self.labels, [start - 7 * DAY_US, end + 7 * DAY_US])
            mondays = np.unique(week_starts(self.labels[first:last]))
            return mondays[(mondays >= start) & (mondays < end)]
        chosen = self.sessions(wanted, by_label=False)
        starts = _intraday_starts(self.opens[chosen], self.closes[chosen], timeframe.length_us)
        return starts[(starts >= start) & (starts < end)]

    def bar_ends(self, timeframe: Timeframe, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """
        When each bar is over, shape (n,): its nominal end, cut at the session's close.

        A d1 bar is over at its session's close, a w1 bar at the close of its week's last session.
        """
        if timeframe is Timeframe.D1 or timeframe is Timeframe.W1:
            last_label = starts if timeframe is Timeframe.D1 else starts + 7 * DAY_US - 1
            index = np.searchsorted(self.labels, last_label, side="right") - 1
            return self.closes[np.maximum(index, 0)]
        ends = starts + timeframe.length_us
        index = np.searchsorted(self.opens, starts, side="right") - 1
        inside = (index >= 0) & (starts < self.closes[np.maximum(index, 0)])
        return np.where(inside, np.minimum(ends, self.closes[np.maximum(index, 0)]), ends)

    def session_of(self, timeframe: Timeframe, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of the session of each bar, shape (n,); -1 where a bar lies on none."""
        if timeframe is Timeframe.D1:
            index = np.searchsorted(self.labels, starts, side="left")
            found = (index < len(self.labels)) & (self.labels[np.minimum(index, len(self.labels) - 1)] == starts)
            return np.where(found, index, -1)
        if timeframe is Timeframe.W1:
            index = np.searchsorted(self.labels, starts, side="left")
            label = self.labels[np.minimum(index, len(self.labels) - 1)]
            found = (index < len(self.labels)) & (label < starts + 7 * DAY_US)
            return np.where(found, index, -1)
        index = np.searchsorted(self.opens, starts, side="right") - 1
        inside = (index >= 0) & (starts < self.closes[np.maximum(index, 0)])
        return np.where(inside, index, -1)

    def closed_until(self, timeframe: Timeframe, now: datetime, delay: timedelta) -> datetime:
        """
        The final horizon: the end of the newest range of *timeframe* whose bars are all over by *now* - *delay*.

        For intraday bars this is the start of the bar that is still forming, or *now* - *delay* outside of
        sessions; for d1 and w1 it is the label of the first session or week that is not over.
        """
        horizon = to_us(now - delay)
        window = Range(now - timedelta(days=15), now + timedelta(days=15))
        starts = self.expected_starts(timeframe, window)
        forming = starts[self.bar_ends(timeframe, starts) > horizon]
        if len(forming) == 0 or (timeframe.is_intraday and forming[0] > horizon):
            return from_us(horizon)
        return from_us(int(forming[0]))

    def expected_count(self, timeframe: Timeframe, wanted: Range) -> int:
        """How many bars a complete series has in *wanted*."""
        return len(self.expected_starts(timeframe, wanted))

    def regular_bars_per_session(self, timeframe: Timeframe) -> int:
        """How many bars of an intraday *timeframe* a full session has."""
        longest = int(np.max(self.closes - self.opens))
        return -(-longest // timeframe.length_us)

    def _check(self, wanted: Range) -> None:
        last_instant = wanted.end - timedelta(microseconds=1)
        if wanted.start.year < FIRST_YEAR or last_instant.year > self.last_year:
            raise OutsideCalendar(
                f"The range {wanted} reaches beyond the sessions of {self.name} that are known "
                f"({FIRST_YEAR} to {self.last_year}). Choose a range inside."
            )


def week_starts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """00:00 UTC of the Monday of the ISO week of each instant, shape (n,), microseconds."""
    days = labels // DAY_US
    return (days - (days + 3) % 7) * DAY_US  # 1970-01-01 was a Thursday


@lru_cache(maxsize=32)
def trading_calendar(name: str, last_year: int) -> TradingCalendar:
    """
    The calendar *name* (`XNYS`, ... or `24/7`) from 1990 to the end of *last_year*.

    Raises:
        InvalidInput: No such calendar.
    """
    if name == AROUND_THE_CLOCK:
        return _around_the_clock(last_year)
    import exchange_calendars  # noqa: PLC0415  slow to load, and not needed for most commands

    try:
        source = exchange_calendars.get_calendar(name, start=f"{FIRST_YEAR}-01-01", end=f"{last_year}-12-31")
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise InvalidInput(f"Calendar {name!r} is unknown. Use an exchange's code such as XNYS, or 24/7.") from error
    labels = source.sessions.to_numpy().astype("datetime64[us]").astype(np.int64)
    opens = source.opens.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    closes = source.closes.dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    closed = [(day.toordinal() - _EPOCH_ORDINAL) * DAY_US for day in _CLOSURES.get(name, ())]
    kept = ~np.isin(labels, closed)
    version = f"exchange_calendars {exchange_calendars.__version__}"
    return TradingCalendar(name, labels[kept], opens[kept], closes[kept], last_year, version)


def _around_the_clock(last_year: int) -> TradingCalendar:
    first = (date(FIRST_YEAR, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_US
    end = (date(last_year + 1, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_US
    labels = np.arange(first, end, DAY_US, dtype=np.int64)
    return TradingCalendar(AROUND_THE_CLOCK, labels, labels, labels + DAY_US, last_year, "UTC days")


def _intraday_starts(opens: NDArray[np.int64], closes: NDArray[np.int64], length_us: int) -> NDArray[np.int64]:
    counts = -((opens - closes) // length_us)  # rounded up: the last bar may be cut short by the close
    first_row = np.cumsum(counts) - counts
    position = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(first_row, counts)
    starts: NDArray[np.int64] = np.repeat(opens, counts) + position * length_us
    return starts

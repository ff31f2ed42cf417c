"""
Trading calendars: which sessions there are, and which bars a complete series has.

Sessions come from the `exchange_calendars` library, and what is known better than by the installed version from
`core.own_sessions`. Everything returned is UTC. Crypto trades around the clock: each UTC day is a session.

A session with a lunch break has two parts. Intraday bars are anchored at the open of their part and none reaches over
the break: h1 in Hong Kong is 09:30, 10:30, 11:30 (half an hour), 13:00, 14:00, 15:00, and h4 the morning and the
afternoon.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barfill.core.library_sessions import (
    FIRST_YEAR,
    days_from,
    library_sessions,
    library_version,
    midnight,
    unknown_calendar,
)
from barfill.core.own_sessions import BARFILLS, OwnSession
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import OutsideCalendar

DAY_US = 86_400_000_000
AROUND_THE_CLOCK = "24/7"


@dataclass(frozen=True, slots=True, eq=False)
class TradingCalendar:
    """
    The sessions of one exchange between two dates.

    Attributes:
        name: The exchange's code, such as `XNYS`, or `24/7`.
        known: The days of which it is known whether there is a session; nothing can be said of any other.
        labels: int64 (n,), 00:00 UTC of each session's date, microseconds, strictly increasing.
        opens, closes: int64 (n,), the first instant of the session and the first one after it.
        part_opens, part_closes: int64 (m,), the same of the parts of sessions, between which is a lunch break; most
            sessions are one part.
        part_session: int64 (m,), which session each part is of.
        version: Library and version that the sessions come from, kept as evidence with gaps.
    """

    name: str
    known: Range
    labels: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    part_opens: NDArray[np.int64]
    part_closes: NDArray[np.int64]
    part_session: NDArray[np.int64]
    version: str
    _tallies: dict[Timeframe, _Tally] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(
        name: str,
        known: Range,
        labels: NDArray[np.int64],
        opens: NDArray[np.int64],
        closes: NDArray[np.int64],
        *,
        version: str,
        breaks: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> TradingCalendar:
        """
        From its sessions, and when their lunch breaks begin and end.

        Args:
            breaks: int64 (n,) each; where a session has none, both are its close. None: no session has any.
        """
        session = np.arange(len(labels), dtype=np.int64)
        if breaks is None:
            return TradingCalendar(name, known, labels, opens, closes, opens, closes, session, version)
        starts, ends = (np.stack(pair, 1).ravel() for pair in ((opens, breaks[1]), (breaks[0], closes)))
        is_part = starts < ends
        parts = (starts[is_part], ends[is_part], np.repeat(session, 2)[is_part])
        return TradingCalendar(name, known, labels, opens, closes, *parts, version)

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
        self._check(wanted)
        first = np.searchsorted(self.part_closes, start, side="right")
        last = np.searchsorted(self.part_opens, end, side="left")
        starts = _intraday_starts(self.part_opens[first:last], self.part_closes[first:last], timeframe.length_us)
        return starts[(starts >= start) & (starts < end)]

    def bar_ends(self, timeframe: Timeframe, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """
        When each bar is over, shape (n,): its nominal end, cut at the close of its part of the session.

        A d1 bar is over at its session's close, a w1 bar at the close of its week's last session.
        """
        if timeframe is Timeframe.D1 or timeframe is Timeframe.W1:
            last_label = starts if timeframe is Timeframe.D1 else starts + 7 * DAY_US - 1
            index = np.searchsorted(self.labels, last_label, side="right") - 1
            return self.closes[np.maximum(index, 0)]
        ends = starts + timeframe.length_us
        part = self._part_of(starts)
        return np.where(part >= 0, np.minimum(ends, self.part_closes[part]), ends)

    def session_of(self, timeframe: Timeframe, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of the session of each bar, shape (n,); -1 where a bar lies on none, or in its lunch break."""
        if timeframe is Timeframe.D1:
            index = np.searchsorted(self.labels, starts, side="left")
            found = (index < len(self.labels)) & (self.labels[np.minimum(index, len(self.labels) - 1)] == starts)
            return np.where(found, index, -1)
        if timeframe is Timeframe.W1:
            index = np.searchsorted(self.labels, starts, side="left")
            label = self.labels[np.minimum(index, len(self.labels) - 1)]
            found = (index < len(self.labels)) & (label < starts + 7 * DAY_US)
            return np.where(found, index, -1)
        part = self._part_of(starts)
        return np.where(part >= 0, self.part_session[part], -1)

    def anchor_of(self, instants: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The open from which the intraday bar around each instant is counted, and whether there is trading then."""
        part = self._part_of(instants)
        return self.part_opens[np.maximum(part, 0)], part >= 0

    def is_outside(self, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which intraday bars, by their starts in microseconds UTC, lie outside of regular hours: (n,)."""
        return self._part_of(starts) < 0

    def _part_of(self, instants: NDArray[np.int64]) -> NDArray[np.int64]:
        part = np.searchsorted(self.part_opens, instants, side="right") - 1
        return np.where((part >= 0) & (instants < self.part_closes[np.maximum(part, 0)]), part, -1)

    def closed_until(self, timeframe: Timeframe, now: datetime, delay: timedelta) -> datetime:
        """
        The final horizon: the end of the newest range of *timeframe* whose bars are all over by *now* - *delay*.

        For intraday bars this is the start of the bar that is still forming, or *now* - *delay* outside of
        sessions; for d1 and w1 it is the label of the first session or week that is not over.
        """
        horizon = to_us(now - delay)
        self._check(Range(now - timedelta(days=15), now))
        window = Range(now - timedelta(days=15), min(now + timedelta(days=15), self.known.end))
        starts = self.expected_starts(timeframe, window)
        ends = self.bar_ends(timeframe, starts)
        if timeframe is Timeframe.W1:  # a week may have sessions behind the last one that is known
            ends[starts + 7 * DAY_US > to_us(self.known.end)] = np.iinfo(np.int64).max
        forming = starts[ends > horizon]
        if len(forming) == 0 or (timeframe.is_intraday and forming[0] > horizon):
            return from_us(horizon)
        return from_us(int(forming[0]))

    def expected_count(self, timeframe: Timeframe, wanted: Range) -> int:
        """
        How many bars a complete series has in *wanted*: as many as `expected_starts` gives.

        Raises:
            OutsideCalendar: As there.
        """
        self._check(wanted)
        bounds = np.array([to_us(wanted.start), to_us(wanted.end)])
        first, end = self._tally(timeframe).before(bounds).tolist()
        return int(end - first)

    def expected_counts(
        self, timeframe: Timeframe, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """
        How many bars a complete series has in each of many ranges, without a look at single bars.

        Args:
            starts, ends: int64 (n,), microseconds UTC, end excluded, none before its start.

        Returns:
            int64 (n,).

        Raises:
            OutsideCalendar: Some range reaches beyond the sessions that the calendar knows.
        """
        if len(starts) == 0:
            return np.empty(0, np.int64)
        self._check(Range(from_us(int(starts.min())), from_us(max(int(ends.max()), int(starts.min()) + 1))))
        tally = self._tally(timeframe)
        return tally.before(ends) - tally.before(starts)

    def _tally(self, timeframe: Timeframe) -> _Tally:
        if timeframe not in self._tallies:
            if timeframe is Timeframe.D1:
                tally = _Tally.of_instants(self.labels)
            elif timeframe is Timeframe.W1:
                tally = _Tally.of_instants(np.unique(week_starts(self.labels)))
            else:
                tally = _Tally.of_parts(self.part_opens, self.part_closes, timeframe.length_us)
            self._tallies[timeframe] = tally
        return self._tallies[timeframe]

    def regular_bars_per_session(self, timeframe: Timeframe) -> int:
        """How many bars of an intraday *timeframe* a full session has."""
        counts = -((self.part_opens - self.part_closes) // timeframe.length_us)
        return int(np.bincount(self.part_session, weights=counts).max())

    def _check(self, wanted: Range) -> None:
        if wanted.start < self.known.start or wanted.end > self.known.end:
            last = (self.known.end - timedelta(microseconds=1)).date()
            raise OutsideCalendar(
                f"The range {wanted} reaches beyond the sessions of {self.name} that are known "
                f"({self.known.start.date()} to {last}). Choose a range inside."
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Tally:
    """
    How many bars of one timeframe start before an instant.

    Attributes:
        opens: int64 (m,), ascending: where stretches of bars begin.
        length_us: How far apart the bars of a stretch are.
        counts: int64 (m,), how many each has.
        before_each: int64 (m,), how many all those before it have.
    """

    opens: NDArray[np.int64]
    length_us: int
    counts: NDArray[np.int64]
    before_each: NDArray[np.int64]

    @staticmethod
    def of_instants(starts: NDArray[np.int64]) -> _Tally:
        return _Tally(starts, DAY_US, np.ones(len(starts), np.int64), np.arange(len(starts), dtype=np.int64))

    @staticmethod
    def of_parts(opens: NDArray[np.int64], closes: NDArray[np.int64], length_us: int) -> _Tally:
        counts = -((opens - closes) // length_us)
        return _Tally(opens, length_us, counts, np.cumsum(counts) - counts)

    def before(self, instants: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 (n,), how many bars start before each of the instants."""
        part = np.searchsorted(self.opens, instants, side="left") - 1
        inside = np.maximum(part, 0)
        begun = -((self.opens[inside] - instants) // self.length_us)
        found = self.before_each[inside] + np.minimum(begun, self.counts[inside])
        return np.where(part >= 0, found, 0)


def week_starts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """00:00 UTC of the Monday of the ISO week of each instant, shape (n,), microseconds."""
    days = labels // DAY_US
    return (days - (days + 3) % 7) * DAY_US  # 1970-01-01 was a Thursday


_YOURS: dict[str, tuple[OwnSession, ...]] = {}


def use_own_sessions(sessions: Iterable[OwnSession]) -> None:
    """
    Makes all calendars of this process go by *sessions* from now on, before what the library and barfill know.

    A process calls it once, when it has read its settings; calendars that are in use stay as they are.
    """
    by_calendar: dict[str, list[OwnSession]] = {}
    for one in sessions:
        by_calendar.setdefault(one.calendar, []).append(one)
    wanted = {name: tuple(sorted(of_it, key=lambda one: one.on)) for name, of_it in by_calendar.items()}
    if wanted != _YOURS:
        _YOURS.clear()
        _YOURS.update(wanted)
        trading_calendar.cache_clear()


def calendar_name(text: str) -> str:
    """
    The code under which a calendar is kept: `NYSE` and `XNAS` are `XNYS`.

    Raises:
        InvalidInput: No such calendar.
    """
    if text == AROUND_THE_CLOCK:
        return text
    import exchange_calendars  # noqa: PLC0415  slow to load, and not needed for most commands

    try:
        return str(exchange_calendars.resolve_alias(text.upper()))
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise unknown_calendar(text) from error


@lru_cache(maxsize=32)
def trading_calendar(name: str, last_year: int) -> TradingCalendar:
    """
    The calendar *name* (`XNYS`, ... or `24/7`) from 1990 to the end of *last_year*, or as much of it as is known.

    Raises:
        InvalidInput: No such calendar, or one that the library fails to build.
    """
    if name == AROUND_THE_CLOCK:
        return _around_the_clock(last_year)
    source = library_sessions(name, last_year)
    known = source.known_days
    days = _Days(source.labels, source.opens, source.closes, source.break_starts, source.break_ends)
    has_none = (source.break_starts == source.closes).all()
    version = f"exchange_calendars {library_version()}"
    for whose, own in (("barfill", BARFILLS.get(name, ())), ("CALENDAR_FILE", _YOURS.get(name, ()))):
        changed = days.change([one for one in own if midnight(one.on) in known])
        version += f" + {changed} of {whose}" if changed else ""
    return TradingCalendar.of(
        name,
        known,
        days.labels,
        days.opens,
        days.closes,
        version=version,
        breaks=None if has_none else (days.break_starts, days.break_ends),
    )


@dataclass(slots=True)
class _Days:
    """Sessions on their way into a calendar, as columns by label; a session without a break has one at its close."""

    labels: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    break_starts: NDArray[np.int64]
    break_ends: NDArray[np.int64]

    def change(self, own: Iterable[OwnSession]) -> int:
        """Makes the days what *own* says; how many of them were not so before."""
        changed = 0
        for one in own:
            label = to_us(midnight(one.on))
            at = int(np.searchsorted(self.labels, label))
            is_session = at < len(self.labels) and self.labels[at] == label
            before = (int(self.opens[at]), int(self.closes[at])) if is_session else None
            hours = None if one.hours is None else (to_us(one.hours.start), to_us(one.hours.end))
            if hours == before:
                continue
            changed += 1
            lunch = (int(self.break_starts[at]), int(self.break_ends[at])) if is_session else (0, 0)
            if is_session:
                self._each(lambda column, at=at: np.delete(column, at))
            if hours is not None:
                if not hours[0] < lunch[0] < lunch[1] < hours[1]:
                    lunch = (hours[1], hours[1])
                row = iter((label, *hours, *lunch))
                self._each(lambda column, at=at, row=row: np.insert(column, at, next(row)))
        return changed

    def _each(self, change: Any) -> None:
        self.labels, self.opens, self.closes, self.break_starts, self.break_ends = (
            change(column) for column in (self.labels, self.opens, self.closes, self.break_starts, self.break_ends)
        )


def _around_the_clock(last_year: int) -> TradingCalendar:
    known = days_from(date(FIRST_YEAR, 1, 1), date(last_year, 12, 31))
    labels = np.arange(to_us(known.start), to_us(known.end), DAY_US, dtype=np.int64)
    return TradingCalendar.of(AROUND_THE_CLOCK, known, labels, labels, labels + DAY_US, version="UTC days")


def _intraday_starts(opens: NDArray[np.int64], closes: NDArray[np.int64], length_us: int) -> NDArray[np.int64]:
    counts = -((opens - closes) // length_us)  # rounded up: the last bar may be cut short by the close
    first_row = np.cumsum(counts) - counts
    position = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(first_row, counts)
    starts: NDArray[np.int64] = np.repeat(opens, counts) + position * length_us
    return starts

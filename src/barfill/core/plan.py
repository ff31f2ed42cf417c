"""
What to ask for: from windows and coverage to slices.

Pure: it decides and does nothing. Three steps, each usable alone: `sources` says which timeframes are fetched and
which derived, `missing_ranges` what of a window is still to be asked for, `cut_slices` groups and cuts it into
slices that are sized in pages, newest first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities, PageCounts
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe

PAGES_PER_SLICE = 25
"""A last page is half empty on average, so a slice of 25 wastes 2 % of its calls; SPEC 5.1 allows 20 to 50."""
NEWEST_SHARE = 0.2
"""The part of a long window that is fetched first for all symbols, so that charts are usable early."""
FITTING_SHARE_MIN = 0.8
"""A batch gives up at most a fifth of its symbols to end with a full page."""

_FINEST_FIRST = tuple(Timeframe)


@dataclass(frozen=True, slots=True)
class Sources:
    """
    Attributes:
        fetch: What is asked of the provider, by timeframe.
        derive: What is resampled: target, its window, and the timeframes it may come from, best first.
    """

    fetch: Mapping[Timeframe, Ranges]
    derive: tuple[Derivation, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A window of *target* that is made from the first of *candidates* that covers it."""

    target: Timeframe
    window: Range
    candidates: tuple[Timeframe, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """Ranges of one series that are to be fetched."""

    symbol_id: int
    ticker: str
    timeframe: Timeframe
    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Slice:
    """
    One run's work: a range of a batch of symbols at one timeframe.

    Attributes:
        symbols: (id, ticker) pairs in the byte order of their tickers.
        expected_rows: How many rows the pages will hold, extended hours included.
    """

    symbols: tuple[tuple[int, str], ...]
    timeframe: Timeframe
    range: Range
    expected_rows: float

    def pages(self, page_size: int) -> int:
        """How many pages it is expected to take, at least one."""
        return max(1, int(-(-self.expected_rows // page_size)))


def sources(
    windows: Mapping[Timeframe, Range], capabilities: Capabilities, *, h1_from_m15: bool, h4_from_m15: bool
) -> Sources:
    """
    Which timeframes are fetched and which are derived, for symbols that want *windows*.

    A coarser intraday timeframe is derived wherever a finer one is wanted anyway; the rest of its window is fetched
    where the provider offers it, else it is derived from a finer one fetched for the purpose: minutes where a page
    is counted in base minutes (they cost the same), else m15. Weeks are made of days.
    """
    fetch: dict[Timeframe, Ranges] = defaultdict(Ranges)
    derive: list[Derivation] = []
    refused = {Timeframe.H1: not h1_from_m15, Timeframe.H4: not h4_from_m15}
    for timeframe in _FINEST_FIRST:
        if timeframe not in windows:
            continue
        window = windows[timeframe]
        finer = _finer_candidates(timeframe, capabilities) if not refused.get(timeframe, False) else ()
        left = Ranges([window])
        for candidate in finer:
            left = left - fetch[candidate]
        is_offered = timeframe in capabilities.timeframes
        if is_offered:
            fetch[timeframe] = fetch[timeframe] | left
        elif left and finer:
            purpose = _purpose_source(timeframe, capabilities)
            fetch[purpose] = fetch[purpose] | (left if purpose is not Timeframe.D1 else _whole_weeks(left))
        if finer and (not is_offered or left != Ranges([window])):
            derive.append(Derivation(timeframe, window, finer))
    return Sources({timeframe: ranges for timeframe, ranges in fetch.items() if ranges}, tuple(derive))


def missing_ranges(
    window: Ranges, covered: Ranges, calendar: TradingCalendar, timeframe: Timeframe, horizon: datetime
) -> Ranges:
    """
    What of *window* is to be fetched: not covered, before *horizon*, and trimmed to where bars are expected.

    A range without any expected bar (nights, weekends, holidays) is no work and is left out.
    """
    hull = window.hull
    if hull is None or hull.start >= horizon:
        return Ranges()
    left = (window & Range(hull.start, horizon)) - covered
    return Ranges(trimmed for one in left if (trimmed := _trimmed(one, calendar, timeframe)) is not None)


def cut_slices(
    needs: Iterable[Need], capabilities: Capabilities, calendar: TradingCalendar, *, page_size: int | None = None
) -> tuple[Slice, ...]:
    """
    The slices that fetch *needs*: every range of every series exactly once, newest first.

    Symbols that lack the same range share a slice, so that pages are full whatever the density of the bars.
    """
    size = page_size or capabilities.page_size
    groups: dict[tuple[Timeframe, Range], list[tuple[int, str]]] = defaultdict(list)
    for need in needs:
        for one in need.ranges:
            groups[need.timeframe, one].append((need.symbol_id, need.ticker))
    slices: list[Slice] = []
    for (timeframe, wanted), symbols in groups.items():
        ordered = sorted(symbols, key=lambda pair: pair[1].encode())
        group = _Group(ordered, timeframe, wanted, capabilities, calendar, PAGES_PER_SLICE * size)
        slices.extend(group.cut())
    return tuple(sorted(slices, key=_urgency))


def expected_rows(calendar: TradingCalendar, timeframe: Timeframe, wanted: Range, capabilities: Capabilities) -> float:
    """How many rows one liquid symbol takes on the pages for *wanted*, extended hours included."""
    expected = calendar.expected_count(timeframe, wanted)
    if not timeframe.is_intraday:
        return float(expected)
    regular = calendar.regular_bars_per_session(timeframe)
    return expected * capabilities.bars_per_session.get(timeframe, regular) / regular


def _finer_candidates(timeframe: Timeframe, capabilities: Capabilities) -> tuple[Timeframe, ...]:
    if timeframe is Timeframe.W1:
        return (Timeframe.D1,)
    if timeframe is Timeframe.D1:
        return ()  # the daily bar follows the tape's own rules and is not the sum of its minutes
    finer = _FINEST_FIRST[: _FINEST_FIRST.index(timeframe)]
    return tuple(one for one in finer if one in capabilities.timeframes)


def _purpose_source(timeframe: Timeframe, capabilities: Capabilities) -> Timeframe:
    if timeframe is Timeframe.W1:
        return Timeframe.D1
    return Timeframe.M1 if capabilities.page_counts is PageCounts.BASE_MINUTES else Timeframe.M15


def _whole_weeks(ranges: Ranges) -> Ranges:
    """*ranges* widened to whole ISO weeks, so that each week can be made of all of its days."""
    return Ranges(
        Range(_monday(one.start), _monday(one.end + timedelta(days=7) - timedelta(microseconds=1))) for one in ranges
    )


def _monday(instant: datetime) -> datetime:
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def _trimmed(wanted: Range, calendar: TradingCalendar, timeframe: Timeframe) -> Range | None:
    starts = calendar.expected_starts(timeframe, wanted)
    if len(starts) == 0:
        return None
    end = from_us(int(starts[-1])) + timeframe.length
    return Range(from_us(int(starts[0])), min(end, wanted.end))


@dataclass(frozen=True, slots=True)
class _Group:
    """Symbols that all lack the same range of the same timeframe."""

    symbols: Sequence[tuple[int, str]]
    timeframe: Timeframe
    wanted: Range
    capabilities: Capabilities
    calendar: TradingCalendar
    rows_max: int

    def cut(self) -> Iterable[Slice]:
        """The slices that fetch the group: every symbol and every instant once."""
        for part in self._time_parts():
            rows = max(expected_rows(self.calendar, self.timeframe, part, self.capabilities), 1.0)
            for batch in self._batches(rows):
                yield Slice(tuple(batch), self.timeframe, part, rows * len(batch))

    def _time_parts(self) -> list[Range]:
        """
        The range cut at session bounds: its newest part apart where both parts fill slices, and no part larger
        than a slice holds for one symbol.
        """
        rows = expected_rows(self.calendar, self.timeframe, self.wanted, self.capabilities)
        is_long = rows * len(self.symbols) * NEWEST_SHARE >= self.rows_max
        session_starts = self._session_starts()
        count = len(session_starts)
        older = round(count * (1 - NEWEST_SHARE)) if is_long else 0
        cuts: list[int] = []
        for begin, end in ((0, older), (older, count)):
            pieces = max(1, int(-(-(rows * (end - begin) / count) // self.rows_max)))
            cuts.extend(begin + (end - begin) * piece // pieces for piece in range(pieces))
        bounds = [from_us(int(session_starts[cut])) for cut in sorted(set(cuts) - {0, count})]
        edges = [self.wanted.start, *bounds, self.wanted.end]
        return [Range(low, high) for low, high in pairwise(edges)][::-1]

    def _session_starts(self) -> NDArray[np.int64]:
        starts = self.calendar.expected_starts(self.timeframe, self.wanted)
        sessions = self.calendar.session_of(self.timeframe, starts)
        return starts[np.flatnonzero(np.diff(sessions, prepend=-1))]

    def _batches(self, rows: float) -> Iterable[Sequence[tuple[int, str]]]:
        """The symbols in runs that fit the slice, the provider's count of symbols and its length of URL."""
        left = self.symbols
        while left:
            count = min(len(left), self.capabilities.symbols_per_call_max, max(1, int(self.rows_max // rows)))
            lengths = accumulate(_encoded_length(ticker) for _, ticker in left[:count])
            count = max(1, sum(length <= self.capabilities.symbols_length_max for length in lengths))
            if count < len(left):
                count = self._filling_pages(count, rows)
            yield left[:count]
            left = left[count:]

    def _filling_pages(self, count: int, rows: float) -> int:
        """
        At most *count* symbols, so that the last page is nearly full.

        Not quite full: a full last page carries a token to an empty one, which is a call for nothing.
        """
        page_size = self.rows_max // PAGES_PER_SLICE
        whole_pages = count * rows // page_size
        fitting = int((whole_pages * page_size - 1) // rows)
        return fitting if fitting >= FITTING_SHARE_MIN * count else count


def _encoded_length(ticker: str) -> int:
    """Characters that a ticker and its comma take in a URL: each of `/`, `:`, `^` and the comma takes three."""
    return len(ticker) + 2 * sum(character in "/:^" for character in ticker) + 3


def _urgency(one: Slice) -> tuple[float, int]:
    """Newest end first; among equals the coarser timeframe, which has fewer bars and answers sooner."""
    return (-one.range.end.timestamp(), -_FINEST_FIRST.index(one.timeframe))

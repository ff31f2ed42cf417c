"""
What to ask for: from windows and coverage to slices.

Pure: it decides and does nothing. Three steps, each usable alone: `sources` says which timeframes are fetched and
which derived, `missing_ranges` what of a window is still to be asked for, `cut_slices` groups and cuts it into
slices that are sized in pages, newest first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities, PageCounts
from barfill.core.ranges import Range, Ranges, from_us, to_us
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
        derive: What is resampled where finer bars are there: target, its window, and the timeframes it may come from,
            best first. A target may be fetched in a part of its window, and derived in the other.
    """

    fetch: Mapping[Timeframe, Ranges]
    derive: tuple[Derivation, ...]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A window of *target* that is made from the first of *candidates* that covers it."""

    target: Timeframe
    window: Range
    candidates: tuple[Timeframe, ...]


_MINUTES = frozenset({Timeframe.M5, Timeframe.M15, Timeframe.M30})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """
    What may be derived though the provider offers it; what it does not offer is derived whatever stands here.

    Attributes:
        from_m1: Whether m1 is a source: of m5, m15 and m30, and of hours; else hours are made of those.
        h1, h4, w1: Whether these are derived from finer bars.
    """

    from_m1: bool = True
    h1: bool = True
    h4: bool = True
    w1: bool = True

    def allows(self, timeframe: Timeframe) -> bool:
        """Whether *timeframe* is derived where it could be fetched."""
        if timeframe in _MINUTES:
            return self.from_m1
        return {Timeframe.H1: self.h1, Timeframe.H4: self.h4, Timeframe.W1: self.w1}.get(timeframe, False)

    def candidates(self, timeframe: Timeframe, capabilities: Capabilities) -> tuple[Timeframe, ...]:
        """What bars of *timeframe* are made of, best first; empty where they are fetched."""
        if timeframe in capabilities.timeframes and not self.allows(timeframe):
            return ()
        return self._unless_minutes_are_refused(derivable_from(timeframe, capabilities))

    def sources_of(self, timeframe: Timeframe) -> tuple[Timeframe, ...]:
        """The same of what is stored, whoever has sent it."""
        return self._unless_minutes_are_refused(made_of(timeframe))

    def _unless_minutes_are_refused(self, finer: tuple[Timeframe, ...]) -> tuple[Timeframe, ...]:
        others = tuple(one for one in finer if one is not Timeframe.M1)
        return finer if self.from_m1 or not others else others


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
        expected_rows: What it takes of the pages, in what the provider counts (mostly rows), extended hours included.
        capabilities: Of the provider that is asked.
        is_live: Whether its bars may still change: they are kept as live.
        is_reread: Whether it is covered, and read again as bars may have been corrected.
        calendar_version: Of the calendar that says which bars it is to bring.
    """

    symbols: tuple[tuple[int, str], ...]
    timeframe: Timeframe
    range: Range
    expected_rows: float
    capabilities: Capabilities = field(compare=False, repr=False)
    is_live: bool = False
    is_reread: bool = False
    calendar_version: str | None = field(default=None, compare=False)

    @property
    def calls(self) -> int:
        """How many pages it is expected to take, at least one."""
        return max(1, int(-(-self.expected_rows // self.capabilities.page_size)))


def sources(windows: Mapping[Timeframe, Range], capabilities: Capabilities, resampling: Resampling) -> Sources:
    """
    Which timeframes are fetched and which are derived, for symbols that want *windows*.

    A coarser intraday timeframe is derived wherever a finer one is wanted anyway; the rest of its window is fetched
    where the provider offers it, else it is derived from a finer one fetched for the purpose: minutes where a page
    is counted in base minutes (they cost the same), else m15. Weeks are made of days. What *resampling* refuses is
    fetched, and derived only where the provider does not offer it.
    """
    fetch: dict[Timeframe, Ranges] = defaultdict(Ranges)
    derive: list[Derivation] = []
    for timeframe in _FINEST_FIRST:
        if timeframe not in windows:
            continue
        window = windows[timeframe]
        finer = resampling.candidates(timeframe, capabilities)
        left = Ranges([window])
        for candidate in finer:
            left = left - fetch[candidate]
        is_offered = timeframe in capabilities.timeframes
        if is_offered:
            fetch[timeframe] = fetch[timeframe] | left
        elif left and finer:
            purpose = _purpose_source(finer, capabilities)
            fetch[purpose] = fetch[purpose] | (left if purpose is not Timeframe.D1 else whole_weeks(left))
        if finer:
            derive.append(Derivation(timeframe, window, finer))
    return Sources({timeframe: ranges for timeframe, ranges in fetch.items() if ranges}, tuple(derive))


def missing_ranges(
    window: Ranges,
    covered: Ranges,
    calendar: TradingCalendar,
    timeframe: Timeframe,
    horizon: datetime,
    *,
    extended_hours: bool = False,
) -> Ranges:
    """
    What of *window* is to be fetched: not covered, before *horizon*, and trimmed to where bars are expected.

    A range without any expected bar (nights, weekends, holidays) is no work and is left out. With *extended_hours* the
    others begin where they begin and end with a whole bar: an evening comes with the next session, in the same call.
    """
    hull = window.hull
    if hull is None or hull.start >= horizon:
        return Ranges()
    left = (window & Range(hull.start, horizon)) - covered
    trimmed = ((one, _trimmed(one, calendar, timeframe)) for one in left)
    if not (extended_hours and timeframe.is_intraday):
        return Ranges(part for _, part in trimmed if part is not None)
    return Ranges(_with_extended(one, part, calendar, timeframe) for one, part in trimmed if part is not None)


def cut_slices(needs: Iterable[Need], capabilities: Capabilities, calendar: TradingCalendar) -> tuple[Slice, ...]:
    """
    The slices that fetch *needs*: every range of every series exactly once, newest first.

    Symbols that lack the same range share a slice, so that pages are full whatever the density of the bars.
    """
    groups: dict[tuple[Timeframe, Range], list[tuple[int, str]]] = defaultdict(list)
    for need in needs:
        for one in need.ranges:
            groups[need.timeframe, one].append((need.symbol_id, need.ticker))
    slices: list[Slice] = []
    for (timeframe, wanted), symbols in groups.items():
        ordered = sorted(symbols, key=lambda pair: pair[1].encode())
        group = _Group(ordered, timeframe, wanted, capabilities, calendar, PAGES_PER_SLICE * capabilities.page_size)
        slices.extend(group.cut())
    return tuple(sorted(slices, key=_urgency))


def expected_rows(calendar: TradingCalendar, timeframe: Timeframe, wanted: Range, capabilities: Capabilities) -> float:
    """What one liquid symbol takes of the pages for *wanted*, in what they count, extended hours included."""
    expected = calendar.expected_count(timeframe, wanted)
    if not timeframe.is_intraday:
        return float(expected)
    regular = calendar.regular_bars_per_session(timeframe)
    return expected * capabilities.bars_per_session.get(timeframe, regular) / regular


def page_share(timeframe: Timeframe, expected_bars: int, symbols: int, capabilities: Capabilities) -> float:
    """What a slice of daily bars takes of the pages: a page for each day, where one brings a day of all symbols."""
    is_by_days = symbols > 1 and timeframe is Timeframe.D1 and capabilities.has_market_days
    return float(expected_bars * (capabilities.page_size if is_by_days else symbols))


def derivable_from(timeframe: Timeframe, capabilities: Capabilities) -> tuple[Timeframe, ...]:
    """The timeframes that the provider sends and of which bars of *timeframe* can be made, finest first."""
    finer = made_of(timeframe)
    return finer if timeframe is Timeframe.W1 else tuple(one for one in finer if one in capabilities.timeframes)


def made_of(timeframe: Timeframe) -> tuple[Timeframe, ...]:
    """The timeframes of which bars of *timeframe* can be made, finest first."""
    if timeframe is Timeframe.W1:
        return (Timeframe.D1,)
    if timeframe is Timeframe.D1:
        return ()  # the daily bar follows the tape's own rules and is not the sum of its minutes
    return _FINEST_FIRST[: _FINEST_FIRST.index(timeframe)]


def _purpose_source(finer: Sequence[Timeframe], capabilities: Capabilities) -> Timeframe:
    """Which of *finer* is fetched only to derive from it."""
    if capabilities.page_counts is PageCounts.BASE_MINUTES and Timeframe.M1 in finer:
        return Timeframe.M1
    return Timeframe.M15 if Timeframe.M15 in finer else finer[-1]


def whole_weeks(ranges: Ranges) -> Ranges:
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


def _with_extended(wanted: Range, trimmed: Range, calendar: TradingCalendar, timeframe: Timeframe) -> Range:
    """*wanted* without the part of a bar at its end; bars after a close are counted from the session's open."""
    last = np.searchsorted(calendar.opens, to_us(trimmed.end), side="left") - 1
    opens, end = int(calendar.opens[last]), to_us(wanted.end)
    whole = from_us(end - (end - opens) % timeframe.length_us)
    return Range(wanted.start, max(trimmed.end, whole))


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
        if self._is_cheaper_by_days():
            yield from self._market_days()
            return
        for part in self._time_parts():
            rows = max(expected_rows(self.calendar, self.timeframe, part, self.capabilities), 1.0)
            for batch in self._batches(rows):
                yield self._slice(batch, part, rows * len(batch))

    def _slice(self, symbols: Sequence[tuple[int, str]], part: Range, rows: float) -> Slice:
        version = self.calendar.version
        return Slice(tuple(symbols), self.timeframe, part, rows, self.capabilities, calendar_version=version)

    def _is_cheaper_by_days(self) -> bool:
        if self.timeframe is not Timeframe.D1 or not self.capabilities.has_market_days:
            return False
        return len(self._session_starts()) < len(self.symbols)

    def _market_days(self) -> Iterable[Slice]:
        """All symbols together, so many sessions in a slice as it may have calls; the newest first."""
        starts = self._session_starts()
        cuts = list(range(len(starts), 0, -PAGES_PER_SLICE))
        end = self.wanted.end
        for cut in cuts:
            first = max(0, cut - PAGES_PER_SLICE)
            start = from_us(int(starts[first])) if first else self.wanted.start
            taken = page_share(self.timeframe, cut - first, len(self.symbols), self.capabilities)
            yield self._slice(self.symbols, Range(start, end), taken)
            end = start

    def _time_parts(self) -> list[Range]:
        """
        The range cut at session bounds: its newest part apart where both parts fill slices, and no part larger
        than a slice holds for one symbol. Where one call may only ask for so much, each part is one call.
        """
        session_starts = self._session_starts()
        longest = self.capabilities.range_per_call_max.get(self.timeframe)
        if longest is not None:
            return list(_cut(self.wanted, session_starts, longest))
        rows = expected_rows(self.calendar, self.timeframe, self.wanted, self.capabilities)
        is_long = rows * len(self.symbols) * NEWEST_SHARE >= self.rows_max
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


def _cut(wanted: Range, session_starts: NDArray[np.int64], longest: timedelta) -> Iterable[Range]:
    """
    *wanted* in pieces of at most *longest*, the newest first, and each but the oldest as long as sessions allow.

    They end where sessions begin; where the market was closed for longer than a piece, wherever they must.
    """
    end = wanted.end
    while end - wanted.start > longest:
        start = end - longest
        first = int(np.searchsorted(session_starts, to_us(start)))
        if first < len(session_starts) and session_starts[first] < to_us(end):
            start = from_us(int(session_starts[first]))
        yield Range(start, end)
        end = start
    yield Range(wanted.start, end)


def _encoded_length(ticker: str) -> int:
    """Characters that a ticker and its comma take in a URL: each of `/`, `:`, `^` and the comma takes three."""
    return len(ticker) + 2 * sum(character in "/:^" for character in ticker) + 3


def _urgency(one: Slice) -> tuple[float, int]:
    """Newest end first; among equals the coarser timeframe, which has fewer bars and answers sooner."""
    return (-one.range.end.timestamp(), -_FINEST_FIRST.index(one.timeframe))

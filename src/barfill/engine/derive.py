"""
Coarser bars resampled from what is stored and covered, instead of fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import GapKind
from barfill.core.plan import Derivation
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.resample import derived_coverage, resample
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey
from barfill.store.database import Connection, Database
from barfill.store.derived import read_derived
from barfill.store.gaps import KnownGap, ListedGap, list_gaps
from barfill.store.pages import derive_bars, write_derived
from barfill.store.series import SeriesRow, read_series
from barfill.store.symbols import Symbol
from barfill.store.writes import OUT_OF_REACH, GapRecord, PageOutcome, SeriesWrite, SourceBars

CHUNK = timedelta(days=366)
"""A year of minutes is 100,000 bars: memory stays flat however long the history is."""


_UNKNOWN = frozenset({GapKind.MISSING.value, GapKind.FAILED.value, GapKind.QUARANTINED.value})
"""Kinds of gaps behind which there may be bars: nothing is made of what is known around them."""
_SETTLED = frozenset({GapKind.NO_TRADE.value, GapKind.HALTED.value})
"""Kinds of gaps behind which there is no bar."""


@dataclass(slots=True)
class Derived:
    """
    Attributes:
        bars: How many bars were derived.
        written: How many of them were new, or had changed.
        changed: How many had changed.
        removed: Stored bars that are no longer made, as nothing of their source is left.
    """

    bars: int = 0
    written: int = 0
    changed: int = 0
    removed: int = 0

    def count(self, outcome: PageOutcome) -> None:
        """Counts what one write came to."""
        self.bars += outcome.inserted + outcome.changed + outcome.unchanged
        self.written += outcome.inserted + outcome.changed
        self.changed += outcome.changed
        self.removed += outcome.removed

    def add(self, other: Derived) -> None:
        """Counts these, too."""
        self.bars += other.bars
        self.written += other.written
        self.changed += other.changed
        self.removed += other.removed


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What is to be derived of symbols that share a calendar.

    Attributes:
        fetched: What is fetched all the same, by timeframe.
        policy_of: Feed and basis that are wanted of a timeframe; None where any will do.
    """

    calendar: TradingCalendar
    symbols: tuple[Symbol, ...]
    derive: tuple[Derivation, ...]
    fetched: Mapping[Timeframe, Ranges] = field(default_factory=dict)
    policy_of: Callable[[Timeframe], tuple[str, str]] | None = None

    @staticmethod
    def of(market: Market) -> Wish:
        """What *market* derives."""
        asked, planned = market.capabilities, market.sources
        return Wish(
            market.calendar, market.symbols, planned.derive, planned.fetch, lambda one: (asked.feed, asked.basis(one))
        )

    @property
    def timeframes(self) -> tuple[Timeframe, ...]:
        """All targets and what they may be made of, finest first."""
        named = {one.target for one in self.derive} | {one for step in self.derive for one in step.candidates}
        return tuple(timeframe for timeframe in Timeframe if timeframe in named)

    def fits(self, source: SeriesRow, target: SeriesRow | None) -> bool:
        """Whether bars of *source* may stand in the target: it holds the same feed and basis, or what is wanted."""
        if target is not None and (target.bar_count or target.covered):
            return (source.feed, source.basis) == (target.feed, target.basis)
        return self.policy_of is None or (source.feed, source.basis) == self.policy_of(source.timeframe)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be made of one series: for each target, where."""

    symbol: Symbol
    source: SeriesRow
    known: Known
    targets: Mapping[Timeframe, Ranges]


@dataclass(frozen=True, slots=True)
class Known:
    """
    Where a series is known.

    Attributes:
        covered: What is completely fetched, whatever is on record as an open gap.
        unknown: Where there may be bars that are not stored, all the same.
        settled: Where there is none for a settled reason, though it may not be covered.
    """

    covered: Ranges
    unknown: Ranges
    settled: Ranges

    @property
    def all(self) -> Ranges:
        """Where every bar that there is is stored."""
        return (self.covered | self.settled) - self.unknown


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    What is on record of the series that a wish is about.

    Attributes:
        derived: By series and source, what was made of it.
    """

    rows: Mapping[SeriesKey, SeriesRow]
    gaps: Mapping[SeriesKey, Sequence[ListedGap]]
    derived: Mapping[SeriesKey, Mapping[Timeframe, Ranges]]

    def known(self, key: SeriesKey) -> Known:
        """
        Where the series is known.

        Before the first bar and after the last one nothing was traded where that is settled as unavailable: the symbol
        was not listed. Between its bars, and before a provider's history, it only says that this provider has none.
        """
        row = self.rows.get(key)
        if row is None or row.oldest_ts is None or row.newest_ts is None:
            return Known(row.covered if row is not None else Ranges(), Ranges(), Ranges())
        gaps = [one.gap for one in self.gaps.get(key, ())]
        return Known(
            row.covered,
            Ranges(one.range for one in gaps if one.kind in _UNKNOWN),
            Ranges(
                one.range
                for one in gaps
                if one.kind in _SETTLED
                or (
                    one.kind == GapKind.UNAVAILABLE.value
                    and not one.reason.startswith(OUT_OF_REACH)
                    and (one.range.end <= row.oldest_ts or one.range.start > row.newest_ts)
                )
            ),
        )


def read_ledger(conn: Connection, symbols: Sequence[Symbol], timeframes: Sequence[Timeframe]) -> Ledger:
    """What is on record of these series."""
    ids = [symbol.id for symbol in symbols]
    gaps: dict[SeriesKey, list[ListedGap]] = {}
    for one in list_gaps(conn, symbol_ids=ids, timeframes=timeframes):
        gaps.setdefault((one.gap.symbol_id, one.timeframe), []).append(one)
    return Ledger(read_series(conn, ids, timeframes), gaps, read_derived(conn, ids, timeframes))


def derive_market(database: Database, market: Market, now: datetime, *, is_full: bool) -> Derived:
    """Makes what can be made of everything that *market* derives; with *is_full* what was derived is made anew."""
    return derive(database, Wish.of(market), now, is_full=is_full)


def derive(
    database: Database,
    wish: Wish,
    now: datetime,
    *,
    is_full: bool,
    on_outcome: Callable[[SeriesKey, Timeframe, PageOutcome], None] = lambda _key, _source, _outcome: None,
) -> Derived:
    """
    Makes what can be made and is not there yet. What was fetched stays.

    Args:
        is_full: Also what was derived before, each stretch of the source that it was made of.
        on_outcome: Called after each write with its series, with what that was made of, and with what became of it.

    Raises:
        SeriesConflict: A series has got bars of another feed or basis meanwhile.
    """
    done = Derived()
    if not wish.derive:
        return done
    ledger = database.run(read_ledger, wish.symbols, wish.timeframes)
    reach = Reach(wish, is_full=is_full)
    for symbol in wish.symbols:
        for task in _tasks(symbol, ledger, reach):
            for target, outcome in _carry_out(database, task, wish.calendar, reach, now):
                done.count(outcome)
                on_outcome((symbol.id, target), task.source.timeframe, outcome)
        for write in _gaps_to_pass_on(symbol, wish, ledger, now):
            database.run(write_derived, write)
    return done


def to_derive(wish: Wish, ledger: Ledger, *, is_full: bool) -> dict[tuple[int, Timeframe], dict[Timeframe, Ranges]]:
    """What `derive` would make: by symbol id and target, what of it from which source. Nothing is written."""
    reach = Reach(wish, is_full=is_full)
    found: dict[tuple[int, Timeframe], dict[Timeframe, Ranges]] = {}
    for symbol in wish.symbols:
        for task in _tasks(symbol, ledger, reach):
            for target, ranges in task.targets.items():
                found.setdefault((symbol.id, target), {})[task.source.timeframe] = ranges
    return found


class Reach:
    """
    What can be made of a source and is not there yet.

    Most series of a watchlist have the same coverage, so the answers are remembered.
    """

    def __init__(self, wish: Wish, *, is_full: bool) -> None:
        self.wish = wish
        self._calendar = wish.calendar
        self._is_full = is_full
        self._todo: dict[tuple[Timeframe, Derivation, Known, Ranges], Ranges] = {}

    def todo(
        self, derivation: Derivation, source: Timeframe, known: Known, target: SeriesRow | None, made: Ranges
    ) -> Ranges:
        """
        The ranges of the target in the window that the source covers whole and the target lacks.

        Args:
            made: What the target has of this source already.
        """
        done = target.covered if target is not None else Ranges()
        done = done - made if self._is_full else done
        key = (source, derivation, known, done)
        if key not in self._todo:
            left = (self.whole(known, source, derivation.target) & derivation.window) - done
            self._todo[key] = Ranges(one for one in left if self._calendar.expected_count(derivation.target, one))
        return self._todo[key]

    def whole(self, known: Known, source: Timeframe, target: Timeframe) -> Ranges:
        """As `whole_part`."""
        return whole_part(known, source, target, self._calendar)


def whole_part(known: Known, source: Timeframe, target: Timeframe, calendar: TradingCalendar) -> Ranges:
    """
    Where bars of *target* can be made of a source that is known so far.

    A bar that lies altogether in what is settled and not covered is not made: it is settled likewise.
    """
    whole = derived_coverage(_over_closed_time(known.all, source, calendar), source, target, calendar)
    bare = known.settled - known.covered
    return whole - derived_coverage(bare, source, target, calendar) if bare else whole


def _over_closed_time(covered: Ranges, timeframe: Timeframe, calendar: TradingCalendar) -> Ranges:
    """*covered*, and what lies between two parts of it where no bar is expected: nobody asks for a closed day."""
    between = (Range(one.end, other.start) for one, other in pairwise(covered))
    return covered | Ranges(hole for hole in between if not calendar.expected_count(timeframe, hole))


def _tasks(symbol: Symbol, ledger: Ledger, reach: Reach) -> Iterable[_Task]:
    """One task per source, finest first; a stretch is made from the first source that covers it."""
    made: dict[Timeframe, Ranges] = {}
    for timeframe in Timeframe:
        key = (symbol.id, timeframe)
        source = ledger.rows.get(key)
        if source is None or not source.covered:
            continue
        known = ledger.known(key)
        targets: dict[Timeframe, Ranges] = {}
        for derivation in reach.wish.derive:
            target = ledger.rows.get((symbol.id, derivation.target))
            if timeframe not in derivation.candidates or not reach.wish.fits(source, target):
                continue
            before = ledger.derived.get((symbol.id, derivation.target), {}).get(timeframe, Ranges())
            todo = reach.todo(derivation, timeframe, known, target, before)
            todo = todo - made[derivation.target] if derivation.target in made else todo
            if todo:
                targets[derivation.target] = todo
                made[derivation.target] = made.get(derivation.target, Ranges()) | todo
        if targets:
            yield _Task(symbol, source, known, targets)


def _carry_out(
    database: Database, task: _Task, calendar: TradingCalendar, reach: Reach, now: datetime
) -> Iterable[tuple[Timeframe, PageOutcome]]:
    source = task.source.timeframe
    everything = Ranges(one for ranges in task.targets.values() for one in ranges)
    for chunk in weeks_of_years(everything):

        def make(of: SourceBars, chunk: Range = chunk) -> list[SeriesWrite]:
            origins = of.origins or [(chunk.start, task.source.last_provider or "")]
            writes = []
            for target in sorted(task.targets, key=lambda one: one.length):
                # What has been taken out of the source's coverage since it was looked at is left for another time.
                ranges = task.targets[target] & reach.whole(replace(task.known, covered=of.covered), source, target)
                resampled = resample(of.bars, source, target, calendar)
                for provider, stretch in _stretches(origins, target, chunk):
                    part = ranges & stretch
                    if part and any(calendar.expected_count(target, one) for one in part):
                        writes.append(_write(task, target, part, resampled, calendar, provider, now))
            return writes

        yield from database.run(derive_bars, task.symbol.id, source, _source_range(chunk, task), make)


def _stretches(origins: Sequence[tuple[datetime, str]], target: Timeframe, chunk: Range) -> Iterable[tuple[str, Range]]:
    """By provider, the part of *chunk* whose bars of *target* are made of its bars; a shared bar is the later one's."""
    later = (min(max(_label(start, target), chunk.start), chunk.end) for start, _ in origins[1:])
    bounds = pairwise([chunk.start, *later, chunk.end])
    for (_, provider), (start, end) in zip(origins, bounds, strict=True):
        if start < end:
            yield provider, Range(start, end)


def _label(instant: datetime, target: Timeframe) -> datetime:
    """The stamp of the day or week that *instant* lies in; of a session, the instant itself."""
    if target.is_intraday:
        return instant
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday()) if target is Timeframe.W1 else midnight


def _source_range(chunk: Range, task: _Task) -> Range:
    """What the bars hold that start in *chunk*: the last one reaches beyond its end."""
    return Range(chunk.start, chunk.end + max(target.length for target in task.targets))


def _write(
    task: _Task,
    target: Timeframe,
    part: Ranges,
    bars: BarColumns,
    calendar: TradingCalendar,
    provider: str,
    now: datetime,
) -> SeriesWrite:
    expected = np.concatenate([calendar.expected_starts(target, one) for one in part])
    rows = bars.take(np.isin(bars.ts, expected))
    absent = expected[~np.isin(expected, rows.ts)]
    gaps = []
    if len(absent):
        gaps.append(
            GapRecord(
                symbol_id=task.symbol.id,
                range=Range(from_us(int(absent[0])), from_us(int(absent[-1]) + target.length_us)),
                expected_bars=len(absent),
                kind="no_trade",
                reason=f"no bar in {task.source.timeframe.label}, from which it is derived",
                calendar_version=calendar.version,
            )
        )
    return SeriesWrite(
        timeframe=target,
        provider=provider,
        feed=task.source.feed,
        basis=task.source.basis,
        symbol_ids=np.array([task.symbol.id], np.int32),
        rows=rows,
        proved={task.symbol.id: part},
        gaps=gaps,
        fetched_at=now,
        expected=lambda _symbol_id, one: calendar.expected_starts(target, one),
        made_from=task.source.timeframe,
    )


def _gaps_to_pass_on(symbol: Symbol, wish: Wish, ledger: Ledger, now: datetime) -> Iterable[SeriesWrite]:
    """What a source lacks for a known reason, its derived series lack for the same."""
    for derivation in wish.derive:
        target = ledger.rows.get((symbol.id, derivation.target))
        sources = (ledger.rows.get((symbol.id, one)) for one in derivation.candidates)
        source = next((one for one in sources if one is not None and wish.fits(one, target)), None)
        if source is None:
            continue
        lacking = [one for one in ledger.gaps.get((symbol.id, source.timeframe), ()) if one.gap.kind != "no_trade"]
        records = _passed_on(lacking, source, ledger.known((symbol.id, source.timeframe)), derivation, wish.calendar)
        elsewhere = _not_made(wish, ledger, symbol, derivation.target)
        records = [one for one in records if not elsewhere & one.range]
        if records and not _are_known(records, ledger.gaps.get((symbol.id, derivation.target), ())):
            yield _empty_write(source, derivation.target, records, wish.calendar, now)


def _not_made(wish: Wish, ledger: Ledger, symbol: Symbol, target: Timeframe) -> Ranges:
    """Where *target* was fetched, or is to be: what a finer series lacks says nothing of it."""
    row = ledger.rows.get((symbol.id, target))
    fetched = row.covered if row is not None else Ranges()
    for ranges in ledger.derived.get((symbol.id, target), {}).values():
        fetched = fetched - ranges
    return fetched | wish.fetched.get(target, Ranges())


def _are_known(records: Sequence[GapRecord], listed: Sequence[ListedGap]) -> bool:
    """Whether all of *records* are on record as they are, so that nothing needs to be written."""
    known = {(one.gap.range, one.gap.kind, one.gap.expected_bars, *_terms(one.gap)) for one in listed}
    return known >= {(one.range, one.kind, one.expected_bars, *_terms(one)) for one in records}


def _terms(gap: KnownGap | GapRecord) -> tuple[datetime | None, datetime | None]:
    """When it is due, and since when it is settled."""
    return gap.next_check_at, gap.settled_at


def _passed_on(
    lacking: Sequence[ListedGap],
    source: SeriesRow,
    known: Known,
    derivation: Derivation,
    calendar: TradingCalendar,
) -> list[GapRecord]:
    """One record per stretch of target bars that are not made, of the kind of the first gap behind it."""
    records: list[GapRecord] = []
    told = Ranges()
    for listed in lacking:
        wide = _not_makeable(listed, source.timeframe, known, derivation.target, calendar) & derivation.window
        for part in wide - told:
            count = calendar.expected_count(derivation.target, part)
            if count == 0:
                continue
            records.append(
                GapRecord(
                    symbol_id=listed.gap.symbol_id,
                    range=part,
                    expected_bars=count,
                    kind=listed.gap.kind,
                    reason=f"{source.timeframe.label}: {listed.gap.reason}",
                    next_check_at=listed.gap.next_check_at,
                    settled_at=listed.gap.settled_at,
                    calendar_version=calendar.version,
                )
            )
            told = told | part
    return records


def _not_makeable(
    listed: ListedGap, source: Timeframe, known: Known, target: Timeframe, calendar: TradingCalendar
) -> Ranges:
    """
    The target bars that a gap of the source leaves without a bar.

    No bar is made that touches what is not known. What is settled, such as a halt or the days before a listing, only
    leaves those out that lie in it altogether: of the others there is something.
    """
    gap = Ranges([listed.gap.range])
    outside = gap - known.all
    found = Ranges(_rounded_out(one, target, calendar) for one in outside)
    inside = gap - outside
    is_whole = calendar.expected_count(source, listed.gap.range) == listed.gap.expected_bars
    return found | derived_coverage(inside, source, target, calendar) if is_whole else found


def _rounded_out(lacking: Range, target: Timeframe, calendar: TradingCalendar) -> Range:
    """*lacking* widened to the whole target bars that it touches."""
    around = Range(lacking.start - timedelta(days=8), lacking.end)
    starts = calendar.expected_starts(target, around)
    ends = calendar.bar_ends(target, starts) if target.is_intraday else starts + target.length_us
    touching = starts[ends > _us(lacking.start)]
    if len(touching) == 0:
        return lacking
    end = max(from_us(int(touching[-1]) + target.length_us), lacking.end)
    return Range(min(lacking.start, from_us(int(touching[0]))), end)


def _empty_write(
    source: SeriesRow, target: Timeframe, records: Sequence[GapRecord], calendar: TradingCalendar, now: datetime
) -> SeriesWrite:
    return SeriesWrite(
        timeframe=target,
        provider=source.last_provider or "",
        feed=source.feed,
        basis=source.basis,
        symbol_ids=np.array([source.symbol_id], np.int32),
        rows=BarColumns.empty(),
        proved={},
        gaps=records,
        fetched_at=now,
        expected=lambda _symbol_id, one: calendar.expected_starts(target, one),
        made_from=source.timeframe,
    )


def _us(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000


def weeks_of_years(ranges: Ranges) -> Iterable[Range]:
    """The hull of *ranges* in parts of a year at most, cut on Mondays."""
    hull = ranges.hull
    start = hull.start if hull is not None else None
    while hull is not None and start is not None and start < hull.end:
        end = min(hull.end, _day_start(start + CHUNK))
        yield Range(start, end)
        start = end


def _day_start(instant: datetime) -> datetime:
    """A Monday's midnight: no session, and no week, is cut."""
    midnight = instant.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())

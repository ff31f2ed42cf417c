"""
Coarser bars resampled from what is stored and covered, instead of fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.plan import Derivation
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.resample import derived_coverage, resample
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey, read_gaps, read_rows
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.gaps import ListedGap
from barfill.store.pages import write_derived
from barfill.store.series import SeriesRow
from barfill.store.symbols import Symbol
from barfill.store.writes import GapRecord, SeriesWrite

CHUNK = timedelta(days=366)
"""A year of minutes is 100,000 bars: memory stays flat however long the history is."""


@dataclass(slots=True)
class Derived:
    """How many bars were derived, and how many of them were new or had changed."""

    bars: int = 0
    written: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Who the source bars are from, and when they were resampled."""

    provider: str
    now: datetime


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be made of one series: for each target, where."""

    symbol: Symbol
    source: SeriesRow
    targets: Mapping[Timeframe, Ranges]


def derive_market(database: Database, market: Market, origin: Origin, *, is_full: bool) -> Derived:
    """Makes what can be made of everything that *market* derives; with *is_full* also what is there already."""
    done = Derived()
    if not market.sources.derive:
        return done
    rows = database.run(read_rows, market)
    gaps = database.run(read_gaps, market)
    reach = _Reach(market, is_full=is_full)
    for symbol in market.symbols:
        for task in _tasks(symbol, rows, market, reach):
            _carry_out(database, task, market.calendar, origin, done)
        for write in _gaps_to_pass_on(symbol, market, rows, gaps, origin):
            database.run(write_derived, write)
    return done


class _Reach:
    """
    What can be made of a source and is not there yet.

    Most series of a watchlist have the same coverage, so the answers are remembered.
    """

    def __init__(self, market: Market, *, is_full: bool) -> None:
        self._calendar = market.calendar
        self._is_full = is_full
        self._known: dict[tuple[Timeframe, Timeframe, Range, Ranges, Ranges], Ranges] = {}

    def todo(self, derivation: Derivation, source: SeriesRow, target: SeriesRow | None) -> Ranges:
        """The ranges of the target in the window that the source covers whole and the target lacks."""
        done = target.covered if target is not None and not self._is_full else Ranges()
        key = (source.timeframe, derivation.target, derivation.window, source.covered, done)
        if key not in self._known:
            covered = derived_coverage(source.covered, source.timeframe, derivation.target, self._calendar)
            left = (covered & derivation.window) - done
            self._known[key] = Ranges(one for one in left if self._calendar.expected_count(derivation.target, one))
        return self._known[key]


def _tasks(symbol: Symbol, rows: Mapping[SeriesKey, SeriesRow], market: Market, reach: _Reach) -> Iterable[_Task]:
    """One task per source, finest first; a stretch is made from the first source that covers it."""
    made: dict[Timeframe, Ranges] = {}
    for timeframe in Timeframe:
        source = rows.get((symbol.id, timeframe))
        if source is None or not source.covered:
            continue
        targets: dict[Timeframe, Ranges] = {}
        for derivation in market.sources.derive:
            if timeframe not in derivation.candidates:
                continue
            todo = reach.todo(derivation, source, rows.get((symbol.id, derivation.target)))
            todo = todo - made[derivation.target] if derivation.target in made else todo
            if todo:
                targets[derivation.target] = todo
                made[derivation.target] = made.get(derivation.target, Ranges()) | todo
        if targets:
            yield _Task(symbol, source, targets)


def _carry_out(database: Database, task: _Task, calendar: TradingCalendar, origin: Origin, done: Derived) -> None:
    everything = Ranges(one for ranges in task.targets.values() for one in ranges)
    for chunk in _chunks(everything):
        bars = database.run(read_bars, task.symbol.id, task.source.timeframe, _source_range(chunk, task))
        for target, ranges in task.targets.items():
            part = ranges & chunk
            if not part:
                continue
            resampled = resample(bars, task.source.timeframe, target, calendar)
            write = _write(task, target, part, resampled, calendar, origin)
            outcome = database.run(write_derived, write)
            done.bars += len(write.rows)
            done.written += outcome.inserted + outcome.changed


def _source_range(chunk: Range, task: _Task) -> Range:
    """A week's days lie up to seven days behind its label."""
    is_weekly = Timeframe.W1 in task.targets
    return Range(chunk.start, chunk.end + timedelta(days=7)) if is_weekly else chunk


def _write(
    task: _Task, target: Timeframe, part: Ranges, bars: BarColumns, calendar: TradingCalendar, origin: Origin
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
        provider=origin.provider,
        feed=task.source.feed,
        basis=task.source.basis,
        symbol_ids=np.array([task.symbol.id], np.int32),
        rows=rows,
        proved={task.symbol.id: part},
        gaps=gaps,
        fetched_at=origin.now,
        expected=lambda _symbol_id, one: calendar.expected_count(target, one),
    )


def _gaps_to_pass_on(
    symbol: Symbol,
    market: Market,
    rows: Mapping[SeriesKey, SeriesRow],
    gaps: Mapping[SeriesKey, Sequence[ListedGap]],
    origin: Origin,
) -> Iterable[SeriesWrite]:
    """What a source lacks for a known reason, its derived series lack for the same."""
    for derivation in market.sources.derive:
        source = next((one for one in derivation.candidates if (symbol.id, one) in rows), None)
        if source is None:
            continue
        lacking = [one for one in gaps.get((symbol.id, source), ()) if one.gap.kind != "no_trade"]
        records = _passed_on(lacking, source, derivation, market.calendar)
        if records and not _are_known(records, gaps.get((symbol.id, derivation.target), ())):
            yield _empty_write(rows[symbol.id, source], derivation.target, records, origin)


def _are_known(records: Sequence[GapRecord], listed: Sequence[ListedGap]) -> bool:
    """Whether all of *records* are on record as they are, so that nothing needs to be written."""
    known = {(one.gap.range, one.gap.kind, one.gap.expected_bars, one.gap.next_check_at) for one in listed}
    return known >= {(one.range, one.kind, one.expected_bars, one.next_check_at) for one in records}


def _passed_on(
    lacking: Sequence[ListedGap], source: Timeframe, derivation: Derivation, calendar: TradingCalendar
) -> list[GapRecord]:
    """One record per stretch of target bars that cannot be made, of the kind of the first gap behind it."""
    records: list[GapRecord] = []
    told = Ranges()
    for known in lacking:
        wide = _rounded_out(known.gap.range, derivation.target, calendar) & derivation.window
        for part in Ranges([wide] if wide is not None else ()) - told:
            count = calendar.expected_count(derivation.target, part)
            if count == 0:
                continue
            records.append(
                GapRecord(
                    symbol_id=known.gap.symbol_id,
                    range=part,
                    expected_bars=count,
                    kind=known.gap.kind,
                    reason=f"{source.label}: {known.gap.reason}",
                    next_check_at=known.gap.next_check_at,
                    calendar_version=calendar.version,
                )
            )
            told = told | part
    return records


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


def _empty_write(source: SeriesRow, target: Timeframe, records: Sequence[GapRecord], origin: Origin) -> SeriesWrite:
    return SeriesWrite(
        timeframe=target,
        provider=origin.provider,
        feed=source.feed,
        basis=source.basis,
        symbol_ids=np.array([source.symbol_id], np.int32),
        rows=BarColumns.empty(),
        proved={},
        gaps=records,
        fetched_at=origin.now,
    )


def _us(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000


def _chunks(ranges: Ranges) -> Iterable[Range]:
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

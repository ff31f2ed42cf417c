"""
What becomes of the gaps that a page leaves: which are none, which are settled, when the others are asked for again.

`core.gaps` gives candidates from one answer; a second answer, or a row beyond the gap, settles them here (rule S1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import cast

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.gaps import Gap, GapKind
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.settlement import INCIDENT_CHECK, verdict
from barfill.core.timeframe import Timeframe
from barfill.engine.evidence import Answered, is_repeated
from barfill.engine.run import RunInHand, SilentGap
from barfill.engine.surroundings import surroundings_of
from barfill.store import writes
from barfill.store.bars import stored_starts
from barfill.store.database import Database
from barfill.store.writes import GapRecord

NEXT_CHECKS = (timedelta(minutes=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
"""When a gap is due again, by how often it was asked for already: twice at once (rule S1: after 60 s), then growing."""
UNAVAILABLE_CHECK = timedelta(days=7)
SETTLED_CHECKS = (timedelta(days=7), timedelta(days=7), timedelta(days=7), timedelta(days=7), timedelta(days=30))
"""When what is settled is read again, by how often that was done: weekly for a month (S1), then monthly."""
ACCOUNTED = frozenset({"no_trade", "halted"})
"""Nothing was traded: such a run is as good as fetched, and what is made of finer bars is whole without it."""
ASKED_BEFORE_SETTLED = 3
"""Answers that lack a run for good: the first and two more, the last of which comes an hour later or after that."""
LONG_GONE = timedelta(days=7)
"""A symbol that no longer trades, as the provider says, is not waited for when its last bar is older than this."""


def without_stored(database: Database, run: RunInHand, gaps: Sequence[Gap], rows: Answered) -> Sequence[Gap]:
    """*gaps* less the bars that are stored and covered since an earlier answer: those are kept, not missing."""
    known = [gap for gap in gaps if run.facts[gap.symbol].covered & gap.range]
    if not known:
        return gaps
    hull = Range(min(gap.range.start for gap in known), max(gap.range.end for gap in known))
    ids = [int(run.symbol_ids[gap.symbol]) for gap in known]
    starts = database.run(stored_starts, ids, run.query.timeframe, hull)
    none = np.empty(0, np.int64)
    by_gap = [(gap, starts.get(int(run.symbol_ids[gap.symbol]), none)) for gap in gaps]
    return [one for gap, stored in by_gap for one in _less_stored(run, gap, rows, stored)]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a gap is, when it is due, and since when it is settled."""

    kind: GapKind
    reason: str
    due: datetime | None = None
    settled_at: datetime | None = None


class Settler:
    """
    Turns gaps into records; remembers, over all runs of one backfill, where symbols were seen to begin and end.

    Args:
        is_exhaustive: Whether the provider has nothing that its answers lack: a gap is settled by the first. It is due
            all the same, as another provider may have what this one has not, if its bars can stand in the series.
    """

    def __init__(self, database: Database, *, is_exhaustive: bool = False) -> None:
        self._database = database
        self._is_exhaustive = is_exhaustive
        self._first_bars: dict[tuple[int, Timeframe], datetime] = {}
        self._last_bars: dict[tuple[int, Timeframe], datetime] = {}

    def record(self, run: RunInHand, gap: Gap, rows: BarColumns, now: datetime) -> GapRecord:
        """The gap as it goes on record: a candidate becomes settled only by a second answer."""
        is_candidate = gap.kind is GapKind.UNAVAILABLE or gap.kind is GapKind.MISSING
        if gap.is_on_file:
            found = _Found(gap.kind, gap.reason)
        elif is_candidate and self._is_exhaustive:
            found = _Found(GapKind.UNAVAILABLE, f"{run.provider} had none: {gap.reason}")
        elif is_candidate:
            found = self._judged(run, gap, rows, now)
        elif gap.kind is GapKind.NO_TRADE or self._is_exhaustive:
            found = _Found(gap.kind, gap.reason)
        else:
            found = _Found(gap.kind, gap.reason, _next_check(run, gap, now))
        return GapRecord(
            symbol_id=int(run.symbol_ids[gap.symbol]),
            range=gap.range,
            expected_bars=gap.expected_bars,
            kind=cast(writes.GapKind, found.kind.value),
            reason=found.reason,
            next_check_at=found.due,
            settled_at=found.settled_at,
            calendar_version=run.calendar.version,
            is_first_so=is_candidate and not self._is_exhaustive and not _is_repeated(run, gap, rows),
        )

    def _judged(self, run: RunInHand, gap: Gap, rows: BarColumns, now: datetime) -> _Found:
        """What a candidate is, by the answers before this one and by what surrounds it."""
        facts = run.facts[gap.symbol]
        known = _known(run, gap)
        asked = max((one.answers for one in known), default=0)
        is_old = any(one.has_lasted(now) for one in known)
        is_before, is_after = self._beyond_bars(run, gap, rows)
        has_later = _has_later(run, gap, rows)
        is_long_gone = not facts.is_active and facts.newest is not None and facts.newest < gap.range.start - LONG_GONE
        if asked and gap.is_leading and has_later and (is_old or is_before):
            reason = f"{run.provider} sent nothing before the first bar, asked {asked + 1} times"
            return _Found(GapKind.UNAVAILABLE, reason, now + UNAVAILABLE_CHECK)
        if not facts.is_active and not has_later and (is_long_gone or (asked and (is_old or is_after))):
            reason = f"no longer traded, says {run.provider}; nothing after the last bar"
            return _Found(GapKind.UNAVAILABLE, reason, now + UNAVAILABLE_CHECK)
        is_delisted = facts.delisted_on is not None and facts.delisted_on < gap.range.start.date()
        if not facts.is_active and not has_later and is_delisted:
            reason = f"delisted on {facts.delisted_on}; nothing after the last bar"
            return _Found(GapKind.UNAVAILABLE, reason, now + UNAVAILABLE_CHECK)
        lasting = _lasting(known, gap, now) if _is_repeated(run, gap, rows) else None
        if lasting is None:
            due = now + INCIDENT_CHECK if gap.is_shared else _next_check(run, gap, now)
            return _Found(GapKind.MISSING, gap.reason, due)
        around = surroundings_of(self._database, run, gap, rows, first_seen_at=lasting.first_seen_at, now=now)
        told = verdict(around)
        if told.is_settled:
            readings = min(max(0, asked - ASKED_BEFORE_SETTLED), len(SETTLED_CHECKS) - 1)
            return _Found(told.kind, told.reason, now + SETTLED_CHECKS[readings], now)
        due = now + told.check_after if told.check_after is not None else _next_check(run, gap, now)
        return _Found(told.kind, told.reason, due)

    def _beyond_bars(self, run: RunInHand, gap: Gap, rows: BarColumns) -> tuple[bool, bool]:
        """
        Whether an answer has shown the symbol's first bar behind the gap, and its last bar before the gap.

        An answer that begins or ends with rows was no empty answer by mistake, so what lies beyond them was not traded.
        That does not hold where one of its pages was empty and led on: rows may have been on it.
        """
        key = (int(run.symbol_ids[gap.symbol]), run.query.timeframe)
        ts = rows.ts[rows.symbol == gap.symbol]
        is_older, is_newer = ts < to_us(gap.range.start), ts >= to_us(gap.range.end)
        is_whole = not run.may_lack_rows
        if is_whole and gap.is_leading and is_newer.any():
            self._first_bars[key] = gap.range.end
        if is_whole and is_older.any() and not is_newer.any():
            self._last_bars[key] = gap.range.start
        first, last = self._first_bars.get(key), self._last_bars.get(key)
        return first is not None and gap.range.end <= first, last is not None and gap.range.start >= last


def _known(run: RunInHand, gap: Gap) -> Sequence[SilentGap]:
    """The gaps on record that it overlaps."""
    return [one for one in run.facts[gap.symbol].gaps if one.range & gap.range]


def _is_repeated(run: RunInHand, gap: Gap, rows: BarColumns) -> bool:
    """Whether the answer brings nothing of what earlier ones lacked around *gap*, see `is_repeated`."""
    ts = rows.ts[rows.symbol == gap.symbol]
    return all(is_repeated(one, ts) for one in _known(run, gap))


def _next_check(run: RunInHand, gap: Gap, now: datetime) -> datetime:
    """When it is asked for again, by how often it was already."""
    asked = max((one.answers for one in _known(run, gap)), default=0)
    return now + NEXT_CHECKS[min(asked, len(NEXT_CHECKS) - 1)]


def _lasting(known: Sequence[SilentGap], gap: Gap, now: datetime) -> SilentGap | None:
    """The gap on record that holds all of *gap*, and that an answer lacked an hour ago or before."""
    holding = (one for one in known if one.range.start <= gap.range.start and gap.range.end <= one.range.end)
    return next((one for one in holding if one.has_lasted(now)), None)


def _less_stored(run: RunInHand, gap: Gap, rows: Answered, stored: NDArray[np.int64]) -> Sequence[Gap]:
    """*gap* without the covered bars among *stored*: its parts between them, or nothing."""
    expected = run.calendar.expected_starts(run.query.timeframe, gap.range)
    is_absent = ~np.isin(expected, rows.ts[rows.symbol == gap.symbol])
    is_covered = np.zeros(len(expected), np.bool_)
    for one in run.facts[gap.symbol].covered & gap.range:
        is_covered |= (expected >= to_us(one.start)) & (expected < to_us(one.end))
    is_kept = is_absent & is_covered & np.isin(expected, stored)
    if not is_kept.any():
        return [gap]
    absent = np.flatnonzero(is_absent & ~is_kept)
    if len(absent) == 0:
        return []
    # Quiet bars are one record however many bars lie between them; all others are runs.
    is_run = gap.kind is not GapKind.NO_TRADE
    parts = np.split(absent, np.flatnonzero(np.diff(absent) > 1) + 1) if is_run else [absent]
    return [_part(run, gap, expected[part]) for part in parts]


def _part(run: RunInHand, gap: Gap, starts: NDArray[np.int64]) -> Gap:
    end = min(gap.range.end, from_us(int(starts[-1])) + run.query.timeframe.length)
    return replace(gap, range=Range(from_us(int(starts[0])), end), expected_bars=len(starts))


def _has_later(run: RunInHand, gap: Gap, rows: BarColumns) -> bool:
    """Whether a bar behind the gap is stored or being stored: then the symbol traded on."""
    newest = run.facts[gap.symbol].newest
    is_newer = (rows.symbol == gap.symbol) & (rows.ts >= to_us(gap.range.end))
    return (newest is not None and newest >= gap.range.end) or bool(is_newer.any())

"""
Gaps on record: expected bars that are not there, and what is known about why.

What a page says about a range replaces what was on record for it: filled gaps go, gaps seen again count one more
attempt and keep when they were first seen, gaps that reach beyond the answered range are trimmed or split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import TupleRow

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.bars import stored_starts
from barfill.store.queries import load_queries
from barfill.store.writes import OPEN_KINDS, Asked, Expected, GapKind, GapRecord

SQL = load_queries("gaps")

LIST_MAX = 1_000_000
FIRST_ANSWERS, LAST_ANSWERS = 2, 8
"""
How many answers are kept of each gap: how it began, and how it stands; `attempts` counts all that providers gave.
The last settlement by a person is kept among them, since it says what was there before.
"""

Stored = Callable[[int, Range], NDArray[np.int64]]
SettledBy = Literal["rule", "person"]
Answer = Mapping[str, Any]
"""`provider`, `feed`, `asked_at`, `run_id`, `request_id` and `outcome`; or `by` and what a person has decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGap:
    """
    A gap on record, or about to be.

    Attributes:
        id: None where it is not stored yet.
        attempts: How often a provider was asked for it, and did not have it; what people say about it is not counted.
        first_seen_at, last_checked_at: None means now, by the database's clock.
        settled_at, settled_by: Since when and by what an open kind is accounted for; None where it is not.
        asked_of: Of a `missing` one, whose answers lacked it; empty where it was not read.
        answers: The evidence, oldest first; empty where it was not read.
    """

    id: int | None
    symbol_id: int
    range: Range
    expected_bars: int
    kind: GapKind
    attempts: int
    first_seen_at: datetime | None
    last_checked_at: datetime | None
    next_check_at: datetime | None
    reason: str
    calendar_version: str
    settled_at: datetime | None = None
    settled_by: SettledBy | None = None
    asked_of: Sequence[str] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether its bars are accounted for."""
        return self.kind not in OPEN_KINDS or self.settled_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedGap:
    """A gap on record with the names that people know."""

    ticker: str
    timeframe: Timeframe
    gap: KnownGap


@dataclass(frozen=True, slots=True)
class GapChanges:
    """How the record changes: gaps by id to remove, gaps to see again in place, gaps to add."""

    removed: Sequence[int]
    seen_again: Sequence[KnownGap]
    added: Sequence[KnownGap]


def replace_gaps(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    judged: Mapping[int, Ranges],
    gaps: Sequence[GapRecord],
    expected: Expected | None = None,
    asked: Asked | None = None,
) -> None:
    """
    Puts *gaps* on record in place of all that was on record for *judged*; callers hold the locks of the series.

    Args:
        judged: By symbol id, the ranges that were answered; the ranges of *gaps* lie inside.
        expected: Tells the bars of what is left of a trimmed gap; without it the count is cut in proportion.
        asked: Who has not had the bars: the evidence. None where nobody was asked.
    """
    known = _overlapping(conn, timeframe, judged)
    if not known and not gaps:
        return

    def stored(symbol_id: int, part: Range) -> NDArray[np.int64]:
        return stored_starts(conn, [symbol_id], timeframe, part)[symbol_id]

    changes = gap_changes(known, judged, gaps, expected, stored, asked)
    if changes.removed:
        conn.execute(SQL["remove"], {"ids": list(changes.removed)})
    if changes.seen_again:
        parameters = _columns(changes.seen_again) | {"ids": [gap.id for gap in changes.seen_again]}
        conn.execute(SQL["see_again"], parameters)
    if changes.added:
        conn.execute(SQL["add"], _columns(changes.added) | {"timeframe": timeframe.value})


def record_failed(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    gaps: Sequence[GapRecord],
    expected: Expected | None = None,
    asked: Asked | None = None,
) -> None:
    """
    Puts *gaps* on record in a transaction of their own: ranges that were asked for and never answered.

    Args:
        expected, asked: As for `replace_gaps`.
    """
    judged: dict[int, Ranges] = {}
    for gap in gaps:
        judged[gap.symbol_id] = judged.get(gap.symbol_id, Ranges()) | gap.range
    with conn.transaction():
        lock_series(conn, timeframe, sorted(judged))
        replace_gaps(conn, timeframe, judged, gaps, expected, asked)


def lock_series(conn: psycopg.Connection[TupleRow], timeframe: Timeframe, symbol_ids: Sequence[int]) -> None:
    """Keeps all others from writing the series, until the transaction ends."""
    conn.execute(SQL["lock_series"], {"timeframe": timeframe.value, "symbol_ids": list(symbol_ids)})


def list_gaps(
    conn: psycopg.Connection[TupleRow],
    *,
    symbol_ids: Sequence[int] | None = None,
    timeframes: Iterable[Timeframe] | None = None,
    kinds: Sequence[GapKind] | None = None,
    due_by: datetime | None = None,
    within: Range | None = None,
    is_settled: bool | None = None,
    ids: Sequence[int] | None = None,
    limit: int = LIST_MAX,
) -> list[ListedGap]:
    """
    Gaps on record by ticker, timeframe and time, without their evidence.

    Args:
        due_by: Only those that are to be asked for again by then.
        within: Only those that touch it.
        is_settled: Only those that are accounted for, or only those that are not.
    """
    parameters = {
        "symbol_ids": None if symbol_ids is None else list(symbol_ids),
        "timeframes": None if timeframes is None else [timeframe.value for timeframe in timeframes],
        "kinds": None if kinds is None else list(kinds),
        "due_by": due_by,
        "starts_before": within.end if within else None,
        "ends_after": within.start if within else None,
        "is_settled": is_settled,
        "open_kinds": list(OPEN_KINDS),
        "ids": None if ids is None else list(ids),
        "limit": limit,
    }
    found = conn.execute(SQL["list_gaps"], parameters, binary=True)
    return [ListedGap(ticker=row[3], timeframe=Timeframe(row[2]), gap=_known((*row[:2], *row[4:]))) for row in found]


def read_answers(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> dict[int, tuple[Answer, ...]]:
    """The evidence of gaps by their ids: who was asked when, with what answer, oldest first."""
    found = conn.execute(SQL["read_answers"], {"ids": list(ids)})
    return {row[0]: tuple(row[1]) for row in found}


def gap_changes(
    known: Sequence[KnownGap],
    judged: Mapping[int, Ranges],
    gaps: Sequence[GapRecord],
    expected: Expected | None = None,
    stored: Stored | None = None,
    asked: Asked | None = None,
) -> GapChanges:
    """
    What *gaps* do to the *known* ones, which all touch *judged*: pure, so that it can be tested alone.

    Args:
        expected, asked: As for `replace_gaps`.
        stored: The starts of the bars stored in a range, by which what is left of quiet stretches is counted.
    """
    by_symbol: dict[int, list[KnownGap]] = {}
    for gap in known:
        by_symbol.setdefault(gap.symbol_id, []).append(gap)
    seen_again: list[KnownGap] = []
    added: list[KnownGap] = []
    for record in gaps:
        of_symbol = by_symbol.get(record.symbol_id, ())
        for part in _by_decisions(record, of_symbol, expected):
            new = _with_history(part, of_symbol, asked)
            (added if new.id is None else seen_again).append(new)
    kept_ids = {gap.id for gap in seen_again}
    removed = [gap.id for gap in known if gap.id is not None and gap.id not in kept_ids]
    for gap in known:
        added += _left_of(gap, judged[gap.symbol_id], expected, stored)
    return GapChanges(removed, seen_again, added)


def _by_decisions(record: GapRecord, known: Sequence[KnownGap], expected: Expected | None) -> Sequence[GapRecord]:
    """*record* cut where gaps begin and end that a person has settled: his word holds for those, and for no other."""
    decided = [gap.range for gap in known if gap.settled_by == "person" and gap.range & record.range is not None]
    if record.kind not in OPEN_KINDS or all(_holds(one, record.range) for one in decided):
        return [record]
    whole = Ranges([record.range])
    pieces = sorted([*(part for one in decided for part in whole & Ranges([one])), *(whole - Ranges(decided))])
    counted = [(one, _count(record, one, expected)) for one in pieces]
    return [replace(record, range=one, expected_bars=count) for one, count in counted if count > 0]


def _with_history(record: GapRecord, known: Sequence[KnownGap], asked: Asked | None) -> KnownGap:
    """*record* with the attempts, the first sighting and the evidence of the known gaps that it overlaps."""
    earlier = [gap for gap in known if gap.range & record.range is not None]
    same = next((gap for gap in earlier if gap.range == record.range), None)
    decided = next((gap for gap in earlier if gap.settled_by == "person" and _holds(gap.range, record.range)), None)
    if record.kind not in OPEN_KINDS:  # what is known for sure needs no word of a person
        decided = None
    # A decision is taken back by what its own entry says was there before: no other history may stand in for it.
    oldest = decided or max(earlier, key=lambda gap: len(gap.answers), default=None)
    answers = (*(oldest.answers if oldest else ()), *([_answer(record, asked)] if asked else ()))
    if decided is not None:  # what a person has said stands, until he takes it back
        record = replace(record, kind=decided.kind, reason=decided.reason, next_check_at=None)
        record = replace(record, settled_at=decided.settled_at)
    return KnownGap(
        id=same.id if same else None,
        symbol_id=record.symbol_id,
        range=record.range,
        expected_bars=record.expected_bars,
        kind=record.kind,
        attempts=max((gap.attempts for gap in earlier), default=0) + (0 if asked is None else 1),
        first_seen_at=None if record.is_first_so and same is None else _first_seen(earlier),
        last_checked_at=None,
        next_check_at=record.next_check_at,
        reason=record.reason,
        calendar_version=record.calendar_version,
        settled_at=_since(record, same),
        settled_by=None if record.settled_at is None else "person" if decided else "rule",
        answers=_bounded(answers),
    )


def _first_seen(earlier: Sequence[KnownGap]) -> datetime | None:
    return min((gap.first_seen_at for gap in earlier if gap.first_seen_at), default=None)


def _since(record: GapRecord, same: KnownGap | None) -> datetime | None:
    """Since when it is settled: what is so again, has been since before."""
    if record.settled_at is None or same is None or same.settled_at is None or same.kind != record.kind:
        return record.settled_at
    return same.settled_at


def _holds(outer: Range, inner: Range) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _answer(record: GapRecord, asked: Asked) -> Answer:
    """What *asked* came to, as it is kept."""
    outcomes = {"failed": record.reason[:200], "not_entitled": record.reason[:200], "quarantined": "a row broke a rule"}
    return {
        "provider": asked.provider,
        "feed": asked.feed,
        "asked_at": asked.asked_at.isoformat(timespec="seconds"),
        "run_id": asked.run_id,
        "request_id": asked.request_id or None,
        "outcome": outcomes.get(record.kind, "answered, without these bars"),
    }


def _bounded(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    if len(answers) <= FIRST_ANSWERS + LAST_ANSWERS:
        return answers
    first, middle, last = answers[:FIRST_ANSWERS], answers[FIRST_ANSWERS:-LAST_ANSWERS], answers[-LAST_ANSWERS:]
    settlement = [one for one in middle if "kind_before" in one][-1:]
    if settlement and not any("kind_before" in one for one in last):
        last = (*settlement, *last[1:])
    return (*first, *last)


def _left_of(gap: KnownGap, judged: Ranges, expected: Expected | None, stored: Stored | None) -> list[KnownGap]:
    """The parts of *gap* that the answer did not speak of, with its history."""
    parts = []
    for part in Ranges([gap.range]) - judged:
        count = _count(gap, part, expected)
        if gap.kind == "no_trade" and expected is not None and stored is not None:  # bars lie between the absent ones
            starts = expected(gap.symbol_id, part)
            count = len(np.setdiff1d(starts, stored(gap.symbol_id, part), assume_unique=True))
        if count > 0:
            parts.append(replace(gap, id=None, range=part, expected_bars=count))
    return parts


def _count(gap: GapRecord | KnownGap, part: Range, expected: Expected | None) -> int:
    """How many bars are expected in a *part* of the gap; by its length where no calendar is at hand."""
    if expected is not None:
        return len(expected(gap.symbol_id, part))
    return max(1, round(gap.expected_bars * (part.length / gap.range.length)))


def _overlapping(
    conn: psycopg.Connection[TupleRow], timeframe: Timeframe, judged: Mapping[int, Ranges]
) -> list[KnownGap]:
    hulls = {symbol_id: ranges.hull for symbol_id, ranges in sorted(judged.items())}
    parameters = {
        "timeframe": timeframe.value,
        "symbol_ids": [symbol_id for symbol_id, hull in hulls.items() if hull],
        "starts": [hull.start for hull in hulls.values() if hull],
        "ends": [hull.end for hull in hulls.values() if hull],
    }
    # As text: evidence is read here alone, and few pages touch any.
    found = [_known(row) for row in conn.execute(SQL["overlapping"], parameters, binary=True)]
    return [
        replace(gap, answers=tuple(json.loads(str(gap.answers)))) for gap in found if judged[gap.symbol_id] & gap.range
    ]


def _known(row: Sequence[object]) -> KnownGap:
    names = tuple(KnownGap.__dataclass_fields__)
    gap_id, symbol_id, start, end, *rest = row
    return KnownGap(**dict(zip(names, (gap_id, symbol_id, Range(start, end), *rest), strict=False)))  # type: ignore[arg-type]  # columns in the order of the fields


def _columns(gaps: Sequence[KnownGap]) -> dict[str, list[object]]:
    return {
        "symbol_ids": [gap.symbol_id for gap in gaps],
        "starts": [gap.range.start for gap in gaps],
        "ends": [gap.range.end for gap in gaps],
        "expected": [gap.expected_bars for gap in gaps],
        "kinds": [gap.kind for gap in gaps],
        "attempts": [gap.attempts for gap in gaps],
        "first_seen": [gap.first_seen_at for gap in gaps],
        "last_checked": [gap.last_checked_at for gap in gaps],
        "next_checks": [gap.next_check_at for gap in gaps],
        "reasons": [gap.reason for gap in gaps],
        "calendars": [gap.calendar_version for gap in gaps],
        "settled": [gap.settled_at for gap in gaps],
        "settled_by": [gap.settled_by for gap in gaps],
        "answers": [json.dumps(gap.answers) for gap in gaps],
    }

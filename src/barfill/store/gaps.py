"""
Gaps on record: expected bars that are not there, and what is known about why.

What a page says about a range replaces what was on record for it: filled gaps go, gaps seen again count one more
attempt and keep when they were first seen, gaps that reach beyond the answered range are trimmed or split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries
from barfill.store.writes import Expected, GapKind, GapRecord

SQL = load_queries("gaps")

LIST_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownGap:
    """
    A gap on record, or about to be.

    Attributes:
        id: None where it is not stored yet.
        attempts: How often it was asked for, and not there.
        first_seen_at, last_checked_at: None means now, by the database's clock.
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
) -> None:
    """
    Puts *gaps* on record in place of all that was on record for *judged*; callers hold the locks of the series.

    Args:
        judged: By symbol id, the ranges that were answered; the ranges of *gaps* lie inside.
        expected: Counts the bars of what is left of a trimmed gap; without it the count is cut in proportion.
    """
    known = _overlapping(conn, timeframe, judged)
    if not known and not gaps:
        return
    changes = gap_changes(known, judged, gaps, expected)
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
) -> None:
    """
    Puts *gaps* on record in a transaction of their own: ranges that were asked for and never answered.

    Args:
        expected: As for `replace_gaps`.
    """
    judged: dict[int, Ranges] = {}
    for gap in gaps:
        judged[gap.symbol_id] = judged.get(gap.symbol_id, Ranges()) | gap.range
    with conn.transaction():
        conn.execute(SQL["lock_series"], {"timeframe": timeframe.value, "symbol_ids": sorted(judged)})
        replace_gaps(conn, timeframe, judged, gaps, expected)


def list_gaps(
    conn: psycopg.Connection[TupleRow],
    *,
    symbol_ids: Sequence[int] | None = None,
    timeframes: Iterable[Timeframe] | None = None,
    kinds: Sequence[GapKind] | None = None,
    due_by: datetime | None = None,
    within: Range | None = None,
    limit: int = LIST_MAX,
) -> list[ListedGap]:
    """Gaps on record by ticker, timeframe and time; `due_by` keeps those that are to be asked for again by then."""
    parameters = {
        "symbol_ids": None if symbol_ids is None else list(symbol_ids),
        "timeframes": None if timeframes is None else [timeframe.value for timeframe in timeframes],
        "kinds": None if kinds is None else list(kinds),
        "due_by": due_by,
        "starts_before": within.end if within else None,
        "ends_after": within.start if within else None,
        "limit": limit,
    }
    found = conn.execute(SQL["list_gaps"], parameters, binary=True)
    return [ListedGap(ticker=row[3], timeframe=Timeframe(row[2]), gap=_known((*row[:2], *row[4:]))) for row in found]


def gap_changes(
    known: Sequence[KnownGap],
    judged: Mapping[int, Ranges],
    gaps: Sequence[GapRecord],
    expected: Expected | None = None,
) -> GapChanges:
    """What *gaps* do to the *known* ones, which all touch *judged*: pure, so that it can be tested alone."""
    by_symbol: dict[int, list[KnownGap]] = {}
    for gap in known:
        by_symbol.setdefault(gap.symbol_id, []).append(gap)
    seen_again: list[KnownGap] = []
    added: list[KnownGap] = []
    for record in gaps:
        new = _with_history(record, by_symbol.get(record.symbol_id, ()))
        (added if new.id is None else seen_again).append(new)
    kept_ids = {gap.id for gap in seen_again}
    removed = [gap.id for gap in known if gap.id is not None and gap.id not in kept_ids]
    for gap in known:
        added += _left_of(gap, judged[gap.symbol_id], expected)
    return GapChanges(removed, seen_again, added)


def _with_history(record: GapRecord, known: Sequence[KnownGap]) -> KnownGap:
    """*record* with the attempts and the first sighting of the known gaps that it overlaps."""
    earlier = [gap for gap in known if gap.range & record.range is not None]
    same = next((gap for gap in earlier if gap.range == record.range), None)
    return KnownGap(
        id=same.id if same else None,
        symbol_id=record.symbol_id,
        range=record.range,
        expected_bars=record.expected_bars,
        kind=record.kind,
        attempts=1 + max((gap.attempts for gap in earlier), default=0),
        first_seen_at=min((gap.first_seen_at for gap in earlier if gap.first_seen_at), default=None),
        last_checked_at=None,
        next_check_at=record.next_check_at,
        reason=record.reason,
        calendar_version=record.calendar_version,
    )


def _left_of(gap: KnownGap, judged: Ranges, expected: Expected | None) -> list[KnownGap]:
    """The parts of *gap* that the answer did not speak of, with its history."""
    parts = []
    for part in Ranges([gap.range]) - judged:
        if expected is not None:
            count = expected(gap.symbol_id, part)
        else:
            count = max(1, round(gap.expected_bars * (part.length / gap.range.length)))
        if count > 0:
            parts.append(replace(gap, id=None, range=part, expected_bars=count))
    return parts


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
    found = map(_known, conn.execute(SQL["overlapping"], parameters, binary=True))
    return [gap for gap in found if judged[gap.symbol_id] & gap.range]


def _known(row: Sequence[object]) -> KnownGap:
    names = tuple(KnownGap.__dataclass_fields__)
    gap_id, symbol_id, start, end, *rest = row
    return KnownGap(**dict(zip(names, (gap_id, symbol_id, Range(start, end), *rest), strict=True)))  # type: ignore[arg-type]  # columns in the order of the fields


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
    }

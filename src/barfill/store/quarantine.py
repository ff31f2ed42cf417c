"""
Quarantined rows, and what people decide about them: each decision with its bar, coverage and gap in one transaction.

An accepted row goes into the table, its bar into coverage, its gap off the record. A rejected one stays out, and its
gap is not asked for again. Both can be undone; decisions stay on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from psycopg.types.json import Jsonb

from barfill.core.accepting import Acceptable
from barfill.core.bars import COLUMN_NAMES, BarColumns
from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point
from barfill.store.bars import begin_change, read_bars, write_bars
from barfill.store.database import Connection, clock, transaction
from barfill.store.gaps import replace_gaps
from barfill.store.marks import forget_marks
from barfill.store.pages import count_series, retract_coverage, unmake
from barfill.store.queries import load_queries
from barfill.store.rejections import REJECTED_REASON
from barfill.store.writes import NEVER, Expected, GapRecord, SeriesWrite

SQL = load_queries("quarantine")

State = Literal["open", "superseded", "accepted", "rejected"]
Decision = Literal["accepted", "rejected"]
LIST_MAX = 1_000_000
_INSTANT = timedelta(microseconds=1)
OPEN_REASON = "the rows that came for these bars broke a rule; they are in quarantined_bars"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """
    A row that is kept out.

    Attributes:
        symbol_id, ts: None where nobody can tell.
        state: `superseded`: nothing was decided, and a final bar has come in its place.
        decided_by, decided_at, note: Of the decision that stands.
    """

    id: int
    symbol_id: int | None
    symbol: str
    timeframe: Timeframe
    ts: datetime | None
    rule: str
    reason: str
    raw: str
    provider: str
    feed: str
    run_id: int | None
    request_id: str | None
    quarantined_at: datetime
    state: State
    decided_by: str | None
    decided_at: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFilter:
    """Which rows; None lets everything pass. *start* and *end* are of the row's stamp, the end excluded."""

    ids: tuple[int, ...] | None = None
    symbol_ids: tuple[int, ...] | None = None
    timeframes: tuple[Timeframe, ...] | None = None
    rules: tuple[str, ...] | None = None
    states: tuple[State, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """For the statements."""
        return {
            "ids": None if self.ids is None else list(self.ids),
            "symbol_ids": None if self.symbol_ids is None else list(self.symbol_ids),
            "timeframes": None if self.timeframes is None else [one.value for one in self.timeframes],
            "rules": None if self.rules is None else list(self.rules),
            "states": None if self.states is None else list(self.states),
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class PastDecision:
    """What somebody decided about a row, and who has undone it."""

    decision: Decision
    decided_by: str
    decided_at: datetime
    note: str
    undone_by: str | None
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredBar:
    """A bar beside a quarantined row."""

    ts: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    provider: str
    data_status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """
    A person's word about rows of one series.

    Attributes:
        expected: Tells the expected bars of a range.
        calendar_version: Where the expectation comes from.
    """

    symbol_id: int
    timeframe: Timeframe
    who: str
    note: str
    expected: Expected
    calendar_version: str


@dataclass(frozen=True, slots=True)
class Ruled:
    """Ids of the rows that were decided on, and why the others were not."""

    done: tuple[int, ...]
    left: Mapping[int, str]


def list_quarantined(conn: Connection, wanted: QuarantineFilter, *, limit: int = LIST_MAX) -> list[Quarantined]:
    """Rows by symbol, timeframe, stamp and id."""
    found = conn.execute(SQL["list_rows"], wanted.parameters() | {"limit": limit})
    return [_quarantined(row) for row in found]


def count_quarantined(conn: Connection, wanted: QuarantineFilter) -> dict[tuple[str, State], int]:
    """How many rows, by rule and state; ids and states of *wanted* are left aside."""
    found = conn.execute(SQL["count_rows"], wanted.parameters())
    return {(rule, state): count for rule, state, count in found}


def decisions_on(conn: Connection, quarantined_id: int) -> list[PastDecision]:
    """All that was ever decided about a row, the oldest first."""
    return [PastDecision(*row) for row in conn.execute(SQL["history"], {"id": quarantined_id})]


def accepted_starts(conn: Connection, symbol_id: int, timeframe: Timeframe) -> set[int]:
    """The starts of the bars of a series that people have accepted, microseconds UTC."""
    wanted = QuarantineFilter(symbol_ids=(symbol_id,), timeframes=(timeframe,), states=("accepted",))
    return {to_us(row.ts) for row in list_quarantined(conn, wanted) if row.ts is not None}


def bars_around(
    conn: Connection, symbol_id: int, timeframe: Timeframe, ts: datetime, *, each: int = 3
) -> list[StoredBar]:
    """Up to *each* stored bars before and after an instant, and the one that starts there, in time order."""
    named = {"symbol_id": symbol_id, "timeframe": timeframe.value, "ts": ts, "each": each}
    with transaction(conn):
        return [StoredBar(*row) for row in conn.execute(SQL["neighbours"], named)]


def accept_rows(conn: Connection, ruling: Ruling, rows: Sequence[tuple[Quarantined, Acceptable]]) -> Ruled:
    """
    Puts *rows* into their series: final bars, covered, no longer gaps. What they replace is a revision.

    Args:
        rows: Of the ruling's series, no two of one bar, ascending by stamp.
    """
    with transaction(conn):
        series = _lock(conn, ruling)
        if series is None:
            return Ruled((), {row.id: "its series is not on record" for row, _ in rows})
        left = {row.id: _feed_text(row, series) for row, _ in rows if row.feed != series.feed}
        rows = [pair for pair in rows if pair[0].id not in left]
        decided = {
            quarantined_id for (quarantined_id,) in conn.execute(SQL["decided"], {"ids": [row.id for row, _ in rows]})
        }
        left |= {row.id: "somebody else has decided on it meanwhile" for row, _ in rows if row.id in decided}
        rows = [pair for pair in rows if pair[0].id not in left]
        if not rows:
            return Ruled((), left)
        starts = [one.slot.start for _, one in rows]
        before: dict[datetime, object] = dict(conn.execute(SQL["stored"], _of(ruling) | {"starts": starts}).fetchall())
        write = _write(ruling, rows, series, clock(conn))
        written = write_bars(conn, write, series.bounds(ruling.symbol_id), why="accepted")
        # Rows of one write keep their order, so a position in it is one in ours.
        left |= {rows[position][0].id: f"the table refuses it: {why}" for position, why in written.refused.items()}
        rows = [pair for pair in rows if pair[0].id not in left]
        if rows:
            ranges = Ranges(one.slot for _, one in rows)
            replaced = [before.get(one.slot.start) for _, one in rows]
            _decide(conn, "accepted", ruling.who, ruling.note, [row.id for row, _ in rows], replaced)
            replace_gaps(conn, ruling.timeframe, {ruling.symbol_id: ranges}, (), ruling.expected)
            unmake(conn, ruling.timeframe, {ruling.symbol_id: ranges}, with_bars=False)
            conn.execute(SQL["cover"], _of(ruling) | {"ranges": ranges})
            count_series(conn, ruling.timeframe, [ruling.symbol_id])
        crash_point("k9")
    return Ruled(tuple(row.id for row, _ in rows), left)


def reject_rows(conn: Connection, ruling: Ruling, rows: Sequence[tuple[Quarantined, Range | None]]) -> Ruled:
    """
    Keeps *rows* out for good: where all rows of a bar are rejected, its gap is not asked for again.

    Args:
        rows: Each with the bar that it lies in, None where none is expected.
    """
    with transaction(conn):
        series = _lock(conn, ruling)
        done = _decide(conn, "rejected", ruling.who, ruling.note, [row.id for row, _ in rows], [None] * len(rows))
        if series is not None:
            slots = {slot for row, slot in rows if slot is not None and row.id in done}
            _settle(conn, ruling, [slot for slot in slots if slot.start not in series.covered])
        crash_point("k9")
    left = {row.id: "somebody else has decided on it meanwhile" for row, _ in rows if row.id not in done}
    return Ruled(tuple(row.id for row, _ in rows if row.id in done), left)


def reject_unplaced(conn: Connection, ids: Sequence[int], *, who: str, note: str) -> Ruled:
    """The same for rows of no series, of which no gap is on record."""
    with transaction(conn):
        done = _decide(conn, "rejected", who, note, ids, [None] * len(ids))
    left = {one: "somebody else has decided on it meanwhile" for one in ids if one not in done}
    return Ruled(tuple(one for one in ids if one in done), left)


def undo_decision(
    conn: Connection,
    quarantined_id: int,
    *,
    who: str,
    ruling: Ruling | None,
    slot: Range | None,
    bar: BarColumns | None,
) -> str:
    """
    Takes back the decision that stands about a row, and what it has done; a sentence about what follows.

    Args:
        ruling: Of its series; None where it is of none.
        slot: The bar that it lies in, None where none is expected.
        bar: Its values, None where they cannot be read.
    """
    with transaction(conn):
        series = _lock(conn, ruling) if ruling is not None else None
        standing = conn.execute(SQL["standing"], {"quarantined_id": quarantined_id}).fetchone()
        if standing is None:
            return "somebody else has undone it meanwhile"
        decision_id, decision, replaced = standing
        conn.execute(SQL["undo"], {"id": decision_id, "who": who})
        if ruling is None or series is None or slot is None:
            told = "nothing else changes"
        elif decision == "accepted" and bar is not None:
            told = _take_back(conn, ruling, slot, bar, replaced)
        elif slot.start in series.covered:
            told = "a bar has come in its place meanwhile, and stays"
        else:
            _record(conn, ruling, Ranges([slot]), OPEN_REASON, None)
            told = "its gap is open again, and will be asked for"
        crash_point("k9")
    return told


@dataclass(frozen=True, slots=True)
class _Series:
    """What is known of a locked series; the bounds of its bars in microseconds."""

    feed: str
    basis: str
    covered: Ranges
    oldest_us: int | None
    newest_us: int | None

    def bounds(self, symbol_id: int) -> dict[int, tuple[int, int]]:
        """As `write_bars` wants them."""
        if self.oldest_us is None or self.newest_us is None:
            return {}
        return {symbol_id: (self.oldest_us, self.newest_us)}


def _quarantined(row: Sequence[Any]) -> Quarantined:
    return Quarantined(row[0], row[1], row[2], Timeframe(row[3]), *row[4:])


def _lock(conn: Connection, ruling: Ruling) -> _Series | None:
    row = conn.execute(SQL["lock"], _of(ruling), binary=True).fetchone()
    return None if row is None else _Series(*row)


def _of(ruling: Ruling) -> dict[str, Any]:
    return {"symbol_id": ruling.symbol_id, "timeframe": ruling.timeframe.value}


def _feed_text(row: Quarantined, series: _Series) -> str:
    return f"its series holds bars of feed {series.feed!r}, and it is of feed {row.feed!r}: they are not mixed"


def _write(
    ruling: Ruling, rows: Sequence[tuple[Quarantined, Acceptable]], series: _Series, now: datetime
) -> SeriesWrite:
    """The rows as a page would bring them; whose they were is kept with each decision."""
    return SeriesWrite(
        timeframe=ruling.timeframe,
        provider=rows[0][0].provider,
        feed=series.feed,
        basis=series.basis,
        symbol_ids=np.array([ruling.symbol_id], np.int32),
        rows=BarColumns.concat([one.bar for _, one in rows]),
        proved={},
        fetched_at=now,
    )


def _decide(
    conn: Connection, decision: Decision, who: str, note: str, ids: Sequence[int], replaced: Sequence[object]
) -> set[int]:
    """Keeps the decisions; ids of the rows about which none stood."""
    given = {
        "decision": decision,
        "who": who,
        "note": note,
        "ids": list(ids),
        "replaced": [None if one is None else Jsonb(one) for one in replaced],
    }
    return {row[0] for row in conn.execute(SQL["decide"], given)}


def _take_back(conn: Connection, ruling: Ruling, slot: Range, bar: BarColumns, replaced: object) -> str:
    """An accepted bar out of its series again; what it had replaced is back, or its gap is open."""
    stored = read_bars(conn, ruling.symbol_id, ruling.timeframe, Range(slot.start, slot.start + _INSTANT))
    if len(stored) == 0 or not _are_equal(stored, bar):
        return "the bar that was accepted has been replaced meanwhile; what is stored stays"
    named, touched = _of(ruling) | {"ts": slot.start}, {ruling.symbol_id: Ranges([slot])}
    begin_change(conn, "undone")
    unmake(conn, ruling.timeframe, touched, with_bars=replaced is None)
    if replaced is not None:
        conn.execute(SQL["put_back"], named | {"replaced": Jsonb(replaced)})
        return "the bar that it had replaced is back"
    conn.execute(SQL["take_out"], named)
    forget_marks(conn, ruling.timeframe, touched)
    retract_coverage(conn, ruling.timeframe, touched, with_derived=False)
    _record(conn, ruling, Ranges([slot]), OPEN_REASON, None)
    count_series(conn, ruling.timeframe, [ruling.symbol_id])
    return "the bar is out of the series, and its gap is open again"


def _are_equal(one: BarColumns, other: BarColumns) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=getattr(one, name).dtype.kind == "f")
        for name in COLUMN_NAMES[2:]
    )


def _settle(conn: Connection, ruling: Ruling, slots: Iterable[Range]) -> None:
    """The gaps of bars of which all rows are rejected are not asked for again."""
    slots = list(slots)
    stretches = {
        "timeframe": ruling.timeframe.value,
        "symbol_ids": [ruling.symbol_id] * len(slots),
        "starts": [slot.start for slot in slots],
        "ends": [slot.end for slot in slots],
    }
    rejected = {position for position, is_rejected in conn.execute(SQL["are_rejected"], stretches) if is_rejected}
    _record(conn, ruling, Ranges(slots[position - 1] for position in rejected), REJECTED_REASON, NEVER)


def _record(conn: Connection, ruling: Ruling, ranges: Ranges, reason: str, due: datetime | None) -> None:
    gaps = [
        GapRecord(
            symbol_id=ruling.symbol_id,
            range=one,
            expected_bars=len(ruling.expected(ruling.symbol_id, one)),
            kind="quarantined",
            reason=reason,
            next_check_at=due,
            settled_at=None if due is None else clock(conn),
            calendar_version=ruling.calendar_version,
        )
        for one in ranges
    ]
    if gaps:
        replace_gaps(conn, ruling.timeframe, {ruling.symbol_id: ranges}, gaps, ruling.expected)

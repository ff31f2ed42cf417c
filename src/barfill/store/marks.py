"""Warnings about stored bars: a row for each bar that looks wrong, and how many a run has met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from barfill.core.ranges import Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection
from barfill.store.queries import load_queries
from barfill.store.writes import BarMark, PageWrite

SQL = load_queries("marks")


@dataclass(frozen=True, slots=True)
class ListedMark:
    """A warning about a stored bar with the names that people know."""

    ticker: str
    timeframe: Timeframe
    ts: datetime
    rule: str
    detail: str
    run_id: int | None
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFilter:
    """Which warnings; None lets everything pass. *start* and *end* are of the bar's start, the end excluded."""

    symbol_ids: tuple[int, ...] | None = None
    timeframes: tuple[Timeframe, ...] | None = None
    rules: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None

    def parameters(self) -> dict[str, object]:
        """For the statements."""
        return {
            "symbol_ids": None if self.symbol_ids is None else list(self.symbol_ids),
            "timeframes": None if self.timeframes is None else [one.value for one in self.timeframes],
            "rules": None if self.rules is None else list(self.rules),
            "start": self.start,
            "end": self.end,
        }


def list_marks(conn: Connection, wanted: MarkFilter, *, limit: int) -> list[ListedMark]:
    """Warnings about stored bars, the newest bars first."""
    found = conn.execute(SQL["list_marks"], wanted.parameters() | {"limit": limit})
    return [ListedMark(row[0], Timeframe(row[1]), *row[2:]) for row in found]


def count_marks(conn: Connection, wanted: MarkFilter) -> dict[str, int]:
    """How many, by rule."""
    return dict(conn.execute(SQL["count_marks"], wanted.parameters()).fetchall())


def mark_page(conn: Connection, page: PageWrite, *, has_corrected: bool) -> None:
    """
    Keeps the warnings of a page, within its transaction; what is the same already is not written again.

    Args:
        has_corrected: Whether stored bars have new values, so that what was said of the old ones goes first.
    """
    if has_corrected:
        conn.execute(SQL["forget_page"], _spans(page))
    if page.marks:
        _mark(conn, page.timeframe, page.marks, page.run_id)
    if page.warned:
        counts = {"rules": list(page.warned), "counts": list(page.warned.values())}
        conn.execute(SQL["count_warnings"], counts | {"run_id": page.run_id})


def forget_marks(conn: Connection, timeframe: Timeframe, parts: Mapping[int, Ranges]) -> None:
    """Removes all that was said of bars that are taken out of the table, by symbol id."""
    ranges = [(symbol_id, one) for symbol_id, of_symbol in sorted(parts.items()) for one in of_symbol]
    given = {
        "timeframe": timeframe.value,
        "symbol_ids": [symbol_id for symbol_id, _ in ranges],
        "starts": [one.start for _, one in ranges],
        "ends": [one.end for _, one in ranges],
    }
    conn.execute(SQL["forget_ranges"], given)


def _mark(conn: Connection, timeframe: Timeframe, marks: Sequence[BarMark], run_id: int | None) -> None:
    ordered = sorted(marks, key=lambda mark: (mark.symbol_id, mark.ts, mark.rule))
    conn.execute(
        SQL["mark_bars"],
        {
            "timeframe": timeframe.value,
            "run_id": run_id,
            "symbol_ids": [mark.symbol_id for mark in ordered],
            "starts": [from_us(mark.ts) for mark in ordered],
            "rules": [mark.rule for mark in ordered],
            "details": [mark.detail for mark in ordered],
        },
    )


def _spans(page: PageWrite) -> dict[str, object]:
    """By symbol of the page, the first and the last start of its rows."""
    spans: dict[int, tuple[int, int]] = {}
    for symbol_id, ts in zip(page.symbol_ids[page.rows.symbol].tolist(), page.rows.ts.tolist(), strict=True):
        spans[symbol_id] = (spans[symbol_id][0] if symbol_id in spans else ts, ts)
    return {
        "timeframe": page.timeframe.value,
        "symbol_ids": list(spans),
        "firsts": [from_us(first) for first, _ in spans.values()],
        "lasts": [from_us(last) for _, last in spans.values()],
    }

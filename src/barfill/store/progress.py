"""How far what one definition wants has come, by its runs."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("progress")


@dataclass(frozen=True, slots=True)
class Slices:
    """
    Runs for a definition.

    Attributes:
        timeframes: What they fetch: the definition's own timeframe, or finer ones that it is made of.
    """

    completed: int = 0
    running: int = 0
    queued: int = 0
    failed: int = 0
    bars_written: int = 0
    timeframes: frozenset[Timeframe] = frozenset()

    @property
    def total(self) -> int:
        """All of them."""
        return self.completed + self.running + self.queued + self.failed


def count_slices(conn: psycopg.Connection[TupleRow], definition: int) -> Slices:
    """The runs on record for a definition; neither those that were cancelled nor those that only read again."""
    counts: dict[str, int] = {}
    bars = 0
    names: set[str] = set()
    for status, count, written, timeframes in conn.execute(SQL["count_slices"], {"definition": definition}):
        counts[status] = count
        bars += written
        names.update(timeframes)
    return Slices(
        completed=counts.get("success", 0),
        running=counts.get("running", 0),
        queued=counts.get("queued", 0),
        failed=counts.get("failed", 0),
        bars_written=bars,
        timeframes=frozenset(map(Timeframe, names)),
    )

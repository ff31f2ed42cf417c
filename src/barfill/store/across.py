"""Sessions by several timeframes: read as sums, and what is found in them kept as warnings."""

from __future__ import annotations

from collections.abc import Sequence

from barfill.core.across import AcrossWarning, SessionTotals
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection, transaction
from barfill.store.queries import load_queries

SQL = load_queries("across")


def symbols_with_sessions(conn: Connection, symbol_ids: Sequence[int] | None) -> list[int]:
    """Those that have bars within sessions, of *symbol_ids* or of all."""
    given = None if symbol_ids is None else list(symbol_ids)
    return [row[0] for row in conn.execute(SQL["with_days"], {"symbol_ids": given})]


def read_totals(conn: Connection, symbol_ids: Sequence[int], window: Range) -> list[SessionTotals]:
    """The sessions of the symbols that lie in *window* whole and that finer bars cover whole."""
    given = {"symbol_ids": list(symbol_ids), "start": window.start, "end": window.end}
    with transaction(conn):
        found = conn.execute(SQL["session_totals"], given).fetchall()
    return [SessionTotals(row[0], row[1], row[2], row[3], Timeframe(row[4]), *row[5:]) for row in found]


def keep_warnings(conn: Connection, judged: Sequence[SessionTotals], found: Sequence[AcrossWarning]) -> None:
    """Puts what was *found* in the place of what was known of the *judged* sessions, in one transaction."""
    if not judged:
        return
    with transaction(conn):
        conn.execute(
            SQL["forget"],
            {
                "symbol_ids": sorted({one.symbol_id for one in judged}),
                "labels": sorted({one.label for one in judged}),
                "opens": sorted({one.opens_at for one in judged}),
            },
        )
        if found:
            conn.execute(
                SQL["keep"],
                {
                    "ids": [one.symbol_id for one in found],
                    "timeframes": [one.timeframe.value for one in found],
                    "starts": [one.ts for one in found],
                    "rules": [one.rule for one in found],
                    "details": [one.detail for one in found],
                },
            )

"""What on file contradicts itself: the conflicts of splits and dividends, as sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

from barfill.core.corporate import EventKind
from barfill.core.event_conflicts import (
    Conflict,
    FiledDividend,
    FiledSplit,
    dividend_conflicts,
    odd_dividends,
    split_conflicts,
)
from barfill.core.event_plan import AskedDays
from barfill.store.database import Connection
from barfill.store.events import Row, closes_before, read_asked, read_askers, read_bearers, read_events


def find_conflicts(conn: Connection, symbol_ids: Sequence[int] | None, first: date, end: date) -> list[Conflict]:
    """
    What holds on file and does not fit together, by ticker and day; withdrawn events count no more.

    Args:
        symbol_ids: None for all on record.
        end: Excluded.
    """
    added_at = {one.id: one.created_at for one in read_bearers(conn)}
    asked = {name: read_asked(conn, name, EventKind.SPLITS) for name in read_askers(conn, EventKind.SPLITS)}

    def lists(provider: str, symbol_id: int, on: date) -> bool:
        return any(_holds(one, symbol_id, on) and one.asked_at >= added_at[symbol_id] for one in asked[provider])

    splits = [
        FiledSplit(
            row["symbol_id"],
            row["ticker"],
            row["ex_on"],
            Fraction(row["numerator"], row["denominator"]),
            row["provider"],
        )
        for row in _holding(conn, EventKind.SPLITS, symbol_ids, first, end)
    ]
    dividends = [
        FiledDividend(row["symbol_id"], row["ticker"], row["ex_on"], row["amount"], row["currency"], row["provider"])
        for row in _holding(conn, EventKind.DIVIDENDS, symbol_ids, first, end)
    ]
    closes = closes_before(conn, [(one.symbol_id, one.on) for one in dividends])
    odd = odd_dividends(dividends, closes)
    return sorted([*split_conflicts(splits, lists, list(asked)), *dividend_conflicts(dividends), *odd])


def _holding(conn: Connection, kind: EventKind, symbol_ids: Sequence[int] | None, first: date, end: date) -> list[Row]:
    rows = read_events(conn, kind, first=first, end=end, symbol_ids=symbol_ids)
    return [row for row in rows if row["withdrawn_at"] is None]


def _holds(one: AskedDays, symbol_id: int, on: date) -> bool:
    return one.symbol_id in (None, symbol_id) and one.first <= on < one.end

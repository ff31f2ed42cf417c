"""Up to where series were read again for corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("rereads")


@dataclass(frozen=True, slots=True)
class Rereading:
    """
    Attributes:
        covered: What is completely fetched.
        until: Where the last reading again of the newest sessions ended; None before the first look.
        drawn_on: The Monday of the week in which a part of what is older was drawn last; None before the first look.
    """

    symbol_id: int
    covered: Ranges
    until: datetime | None
    drawn_on: date | None


def due_rereads(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    symbol_ids: Sequence[int],
    *,
    feed: str,
    basis: str,
    until: datetime | None,
    week: date,
) -> list[Rereading]:
    """
    The series of *feed* and *basis* that hold something and are due, by symbol id.

    Args:
        until: Where the sessions end that are to be read again by now; None where there are none.
        week: The Monday of the running week.
    """
    parameters = {
        "timeframe": timeframe.value,
        "symbol_ids": list(symbol_ids),
        "feed": feed,
        "basis": basis,
        "until": until,
        "week": week,
    }
    return [Rereading(*row) for row in conn.execute(SQL["due"], parameters, binary=True)]


def mark_reread(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    symbol_ids: Sequence[int],
    *,
    until: datetime | None = None,
    week: date | None = None,
) -> None:
    """Notes that series are read again up to an instant, or were drawn in a week; None leaves that as it is."""
    parameters = {"timeframe": timeframe.value, "symbol_ids": list(symbol_ids), "until": until, "week": week}
    conn.execute(SQL["mark"], parameters)

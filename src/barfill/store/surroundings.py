"""What else is stored around a run of absent bars: of other symbols, and of other timeframes."""

from __future__ import annotations

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection
from barfill.store.queries import load_queries

SQL = load_queries("surroundings")

PEERS_MAX = 50


def read_peers(
    conn: Connection, symbol_id: int, timeframe: Timeframe, stretch: Range, *, calendar: str, density_min: float
) -> list[int]:
    """How many bars of *stretch* each other liquid symbol of the calendar has that was asked for all of it."""
    parameters = {
        "symbol_id": symbol_id,
        "timeframe": timeframe.value,
        "start": stretch.start,
        "end": stretch.end,
        "calendar": calendar,
        "density_min": density_min,
        "limit": PEERS_MAX,
    }
    return [bars for _, bars in conn.execute(SQL["read_peers"], parameters)]


def read_others(conn: Connection, symbol_id: int, timeframe: Timeframe, stretch: Range) -> dict[Timeframe, bool]:
    """The symbol's other timeframes that hold bars, and whether each was asked for all of *stretch*."""
    parameters = {
        "symbol_id": symbol_id,
        "timeframe": timeframe.value,
        "start": stretch.start,
        "end": stretch.end,
    }
    return {Timeframe(name): is_asked for name, is_asked in conn.execute(SQL["read_others"], parameters)}

"""The stored closes around a stretch of rows."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import from_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import transaction
from barfill.store.queries import load_queries

SQL = load_queries("closes")


def neighbour_closes(
    conn: psycopg.Connection[TupleRow], timeframe: Timeframe, stretches: Mapping[int, tuple[int, int]]
) -> dict[int, tuple[float | None, float | None]]:
    """
    By symbol id, the newest stored close before and the oldest after the stretch from its first to its last start.

    Args:
        stretches: By symbol id, the first and the last start, microseconds UTC.
    """
    if not stretches:
        return {}
    parameters: dict[str, object] = {
        "timeframe": timeframe.value,
        "symbol_ids": list(stretches),
        "firsts": [from_us(first) for first, _ in stretches.values()],
        "lasts": [from_us(last) for _, last in stretches.values()],
    }
    with transaction(conn):
        bounds = conn.execute(SQL["stored_bounds"], parameters).fetchone()
        if bounds is None or bounds[0] is None:
            return {}
        parameters |= {"oldest": bounds[0], "newest": bounds[1]}
        found = conn.execute(SQL["neighbour_closes"], parameters).fetchall()
    return {symbol_id: (earlier, later) for symbol_id, earlier, later in found}

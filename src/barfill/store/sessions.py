"""Sees to it that the sessions of all calendars in use are on record, so that SQL counts open hours from the start."""

from __future__ import annotations

from contextlib import suppress

import psycopg
from psycopg.rows import TupleRow

from barfill.errors import InvalidInput
from barfill.store.queries import load_queries

SQL = load_queries("sessions")


def fill_sessions(conn: psycopg.Connection[TupleRow]) -> tuple[str, ...]:
    """
    Writes the sessions of calendars that symbols name and that have none on record; their names.

    Those of the usual calendar are written before the first symbol. A name that is no calendar is passed over: whoever
    plans for its symbols says so. Years that come later are added when bars are planned.
    """
    missing = [row[0] for row in conn.execute(SQL["list_missing"])]
    if not missing:
        return ()
    from barfill.core.calendar import trading_calendar  # noqa: PLC0415  slow to load, and hardly ever needed
    from barfill.store.database import clock  # noqa: PLC0415
    from barfill.store.symbols import sync_sessions  # noqa: PLC0415

    last_year = clock(conn).year + 1
    filled = []
    for name in missing:
        with suppress(InvalidInput):
            sync_sessions(conn, trading_calendar(name, last_year))
            filled.append(name)
    return tuple(filled)

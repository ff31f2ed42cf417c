"""The database's clock, moved."""

from __future__ import annotations

from datetime import datetime

from barfill.store.database import Database


def set_clock(database: Database, instant: datetime) -> None:
    """From now on the database's clock stands where it would have been had it been *instant* now."""
    with database.connection() as conn:
        name = conn.info.dbname
        row = conn.execute("select pg_catalog.clock_timestamp()").fetchone()
        assert row is not None
        shift = int((instant - row[0]).total_seconds())
        conn.execute(
            "create or replace function public.clock_timestamp() returns timestamptz language sql volatile as "
            f"$$ select pg_catalog.clock_timestamp() + interval '{shift} seconds' $$"
        )
        conn.execute(f"alter database {name} set search_path = public, pg_catalog")
    database.close()

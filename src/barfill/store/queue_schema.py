"""
The queue's tables, made and kept up to date from the SQL files that procrastinate brings.

Its files are found without importing it, since every command looks whether there is anything to do.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow

from barfill.errors import SchemaOutdated
from barfill.store.migrate import migrate
from barfill.store.queries import load_queries
from barfill.store.sessions import fill_sessions

SQL = load_queries("queue_schema")
WAIT_ALONE = load_queries("migrate")["wait_alone"]


def bring_up_to_date(conn: psycopg.Connection[TupleRow]) -> None:
    """
    The whole schema, barfill's own tables and the queue's, and the sessions that its SQL counts.

    Raises:
        SchemaOutdated: The database was made by something newer.
        StoreError: An applied file has been changed since.
    """
    migrate(conn)
    install_queue(conn)
    fill_sessions(conn)


def install_queue(conn: psycopg.Connection[TupleRow]) -> bool:
    """
    Applies what is missing and says whether that was anything; processes that start together wait for each other.

    Raises:
        SchemaOutdated: The queue's tables were made by a newer procrastinate.
    """
    folder = _library_sql()
    files = sorted(path for path in (folder / "migrations").glob("*.sql"))
    if _newest(conn) == files[-1].name:
        return False
    with conn.transaction():
        conn.execute(WAIT_ALONE)
        newest = _newest(conn)
        if newest is None:
            conn.execute((folder / "schema.sql").read_bytes())
        elif newest > files[-1].name:
            raise SchemaOutdated(
                f"The queue's tables are at {newest}, the installed procrastinate knows them up to {files[-1].name}. "
                "Update barfill and what it needs (pip install --upgrade barfill), or use another database."
            )
        else:
            for path in files:
                if path.name > newest:
                    conn.execute(path.read_bytes())
        if newest != files[-1].name:
            conn.execute(SQL["record"], {"migration": files[-1].name})
    return True


def _newest(conn: psycopg.Connection[TupleRow]) -> str | None:
    row = conn.execute(SQL["read_newest"]).fetchone()
    return None if row is None else row[0]


def _library_sql() -> Path:
    spec = find_spec("procrastinate")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "sql"

"""
A real PostgreSQL for tests: one private server per session, one database per test, cloned from a migrated template.

Any folder's conftest can use them: `from tests.store.fixtures import database, server_url`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from barfill.store.database import Database
from barfill.store.embedded import embedded_server
from barfill.store.queue_schema import bring_up_to_date

TEMPLATE = "migrated"
_MEMORY = Path("/dev/shm")  # as a disk it is many times as fast, where there is enough of it
_MEMORY_BYTES_MIN = 4 << 30
_numbers = count(1)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The private server of this test session, without fsync; its database is empty."""
    with short_directory() as home, embedded_server(home / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as conn:
            conn.execute("alter system set fsync = off")
            conn.execute("select pg_reload_conf()")
        yield server.url


@pytest.fixture
def database(server_url: str) -> Iterator[Database]:
    """A database of its own, empty and migrated, on the private server."""
    with cloned_database(server_url) as clone:
        yield clone


@contextmanager
def cloned_database(url: str) -> Iterator[Database]:
    """A fresh clone of the migrated template on the server at *url*, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as conn:
        _ensure_template(conn, url)
        clone = sql.SQL("create database {} template {} strategy file_copy")
        conn.execute(clone.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        with Database(make_conninfo(url, dbname=name)) as database:
            yield database
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def empty_database(url: str) -> Iterator[Database]:
    """A fresh database without any schema on the server at *url*, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        with Database(make_conninfo(url, dbname=name)) as database:
            yield database
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory with a short path, outside of pytest's own, which other sessions make private again."""
    path = Path(tempfile.mkdtemp(prefix="bf-", dir=_fast_parent()))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _fast_parent() -> Path | None:
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN:
        return _MEMORY
    return None


def _ensure_template(conn: psycopg.Connection[tuple[object, ...]], url: str) -> None:
    if conn.execute("select 1 from pg_database where datname = %s", [TEMPLATE]).fetchone() is None:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
        with Database(make_conninfo(url, dbname=TEMPLATE)) as template:
            template.run(bring_up_to_date)

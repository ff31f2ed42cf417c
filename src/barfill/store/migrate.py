"""The schema, brought up to date by numbered SQL files: each applied exactly once, whole or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg

from barfill.errors import SchemaOutdated, StoreError
from barfill.store.queries import load_queries

SQL = load_queries("migrate")
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file, such as `0001_spine.sql`."""

    number: int
    name: str
    checksum: str
    sql: bytes


def migrate(conn: psycopg.Connection[tuple[object, ...]], directory: Path = MIGRATIONS) -> int:
    """
    Applies what is missing and returns how many files that were; processes that start together wait for each other.

    Raises:
        SchemaOutdated: The database was made by a newer barfill.
        StoreError: An applied file has been changed since.
    """
    known = migrations(directory)
    applied = _applied(conn)
    _check(known, applied)
    return sum(_apply(conn, known, migration) for migration in known[len(applied) :])


def check_known(conn: psycopg.Connection[tuple[object, ...]]) -> None:
    """
    Nothing, as long as this barfill knows the schema that the database has by now.

    Raises:
        SchemaOutdated: A newer barfill has brought it further.
    """
    _check(list(ours()), _applied(conn))


@cache
def ours() -> tuple[Migration, ...]:
    """The migrations that this barfill knows."""
    return tuple(migrations())


def migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The files of *directory* in order, numbered from 1 without a hole."""
    found = []
    for number, path in enumerate(sorted(directory.glob("[0-9]*.sql")), start=1):
        if int(path.name.split("_", 1)[0]) != number:
            raise StoreError(f"Migration {path.name} is out of order: number {number:04} was expected.")
        sql = path.read_bytes()
        found.append(Migration(number, path.name, hashlib.sha256(sql).hexdigest(), sql))
    return found


def _applied(conn: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    try:
        return conn.execute(SQL["list_applied"]).fetchall()
    except psycopg.errors.UndefinedTable:
        return []


def _check(known: list[Migration], applied: list[tuple[object, ...]]) -> None:
    if len(applied) > len(known):
        raise SchemaOutdated(
            f"The database's schema is at {len(applied)}, this barfill knows it up to {len(known)}. "
            "Update barfill (pip install --upgrade barfill), or use another database."
        )
    for migration, (number, name, checksum) in zip(known, applied, strict=False):
        if (migration.number, migration.checksum) != (number, checksum):
            raise StoreError(
                f"Migration {migration.name} differs from {name}, which was applied to this database. "
                "Install an unchanged barfill; migrations only go forward."
            )


def _apply(conn: psycopg.Connection[tuple[object, ...]], known: list[Migration], migration: Migration) -> bool:
    """Whether this process was the one that applied it."""
    with conn.transaction():
        conn.execute(SQL["wait_alone"])
        conn.execute(SQL["create_ledger"])
        applied = conn.execute(SQL["list_applied"]).fetchall()
        _check(known, applied)
        if len(applied) >= migration.number:
            return False
        conn.execute(migration.sql)
        conn.execute(
            SQL["record"], {"number": migration.number, "name": migration.name, "checksum": migration.checksum}
        )
    return True

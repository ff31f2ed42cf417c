"""PostgreSQL in virtual time, and the calls to it that fail: a database for each seed, cloned from a template."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, LiteralString, ParamSpec, Protocol, TypeVar

import procrastinate.connector
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from barfill.core.ranges import to_us
from barfill.errors import StoreUnavailable
from barfill.store.database import Connection, Database
from barfill.store.queue_schema import bring_up_to_date
from torture.simulation.actors import ACTING, Actor

P = ParamSpec("P")
T = TypeVar("T")

TEMPLATE = "simulation_template"
YEAR = 2026
"""In which simulations take place: its calendar is written once, into the template."""
_FUNCTIONS = """
create schema virtual;
create function virtual.clock_timestamp() returns timestamptz language sql volatile as $$
    select timestamptz 'epoch'
        + pg_read_file(current_setting('simulation.clock'))::bigint * interval '1 microsecond'
$$;
create function virtual.now() returns timestamptz language sql stable as 'select virtual.clock_timestamp()';
create function virtual.transaction_timestamp() returns timestamptz language sql stable as 'select virtual.now()';
create function virtual.statement_timestamp() returns timestamptz language sql stable as 'select virtual.now()';
"""


class Dangers(Protocol):
    """What may happen at a call to the store."""

    def before_call(self, actor: Actor, name: str) -> None:
        """May raise: the call never reaches the database."""

    def after_call(self, actor: Actor, name: str) -> None:
        """May raise: what was done is committed, and the caller never knows."""


class SimulatedDatabase(Database):
    """
    Args:
        dangers: Decides which calls fail.

    Attributes:
        is_away: Whether nobody reaches it.
        on_call: Told of each call that was carried out.
    """

    def __init__(self, url: str, dangers: Dangers) -> None:
        super().__init__(url)
        self.is_away = False
        self.on_call: Callable[[Actor | None, str], None] = lambda _actor, _name: None
        self._dangers = dangers
        self._made: dict[Connection, Actor | None] = {}

    def connect(self) -> Connection:
        """As `Database.connect`; closing the connection lets go of its locks before it returns, not some time later."""
        actor = ACTING.get()
        if actor is not None and self.is_away:
            raise StoreUnavailable("The database is away.")
        conn = super().connect()
        self._made[conn] = actor
        conn.close = partial(_let_go_and_close, conn)  # type: ignore[method-assign]
        return conn

    def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `Database.run`, unless it fails."""
        actor, name = ACTING.get(), getattr(work, "__name__", "work")
        if actor is not None:
            if self.is_away:
                raise StoreUnavailable("The database is away.")
            self._dangers.before_call(actor, name)
        result = super().run(work, *args, **kwargs)
        self.on_call(actor, name)
        if actor is not None:
            self._dangers.after_call(actor, name)
        return result

    def hang_up(self, actor: Actor | None = None) -> None:
        """Ends the connections that *actor* made, or all, as the server sees it when a process or itself dies."""
        for conn, maker in list(self._made.items()):
            if actor is None or maker is actor:
                conn.close()
                del self._made[conn]


class QueueConnector(procrastinate.connector.BaseAsyncConnector):
    """The way from procrastinate's own statements to the simulated database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """One statement without rows."""
        await self._all(query, arguments)

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        """The one row of a statement."""
        return (await self._all(query, arguments))[0]

    async def execute_query_all_async(self, query: LiteralString, **arguments: Any) -> list[dict[str, Any]]:
        """The rows of a statement."""
        return await self._all(query, arguments)

    async def _all(self, query: LiteralString, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        def queue(conn: Connection) -> list[dict[str, Any]]:
            cursor = conn.cursor(row_factory=dict_row).execute(query, arguments)
            return cursor.fetchall() if cursor.description is not None else []

        return await asyncio.to_thread(self._database.run, queue)


def make_template(url: str, clock_file: Path) -> None:
    """The migrated database from which each seed's is cloned; all its defaults and functions tell the virtual time."""
    with psycopg.connect(url, autocommit=True) as conn:
        for name, value in (("fsync", "off"), ("autovacuum", "off"), ("full_page_writes", "off")):
            conn.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        conn.execute("select pg_reload_conf()")
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
        clock_file.write_text(str(to_us(datetime(YEAR, 1, 1, tzinfo=UTC))))
        _rule(conn, TEMPLATE, clock_file)
    with Database(make_conninfo(url, dbname=TEMPLATE)) as template:
        with template.connection() as conn:
            conn.execute(_FUNCTIONS.encode())
        template.run(bring_up_to_date)


@contextmanager
def cloned(url: str, name: str, clock_file: Path) -> Iterator[str]:
    """The URL of a fresh database whose clock is *clock_file*, dropped afterwards."""
    with psycopg.connect(url, autocommit=True) as conn:
        clone = sql.SQL("create database {} template {} strategy file_copy")
        conn.execute(clone.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        _rule(conn, name, clock_file)
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _rule(conn: psycopg.Connection[Any], database: str, clock_file: Path) -> None:
    """Ours are found before PostgreSQL's own functions, since pg_catalog stands behind them in the path."""
    name = sql.Identifier(database)
    conn.execute(sql.SQL("alter database {} set search_path = public, virtual, pg_catalog").format(name))
    conn.execute(sql.SQL("alter database {} set simulation.clock = {}").format(name, sql.Literal(str(clock_file))))


def _let_go_and_close(conn: Connection) -> None:
    if not conn.closed:
        conn.execute("select pg_advisory_unlock_all()")
    type(conn).close(conn)

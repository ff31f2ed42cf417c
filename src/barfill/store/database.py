"""
Connections to the one PostgreSQL, embedded or given, and transactions that are tried again.

Nothing here leaves state in a session, so that a transaction pooler may stand between: no prepared statements, no
startup options, no `set` outside of a transaction. Instants come back in UTC whatever the session's time zone is.
"""

from __future__ import annotations

import select
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg import pq
from psycopg.rows import TupleRow

from barfill.core.ranges import from_us
from barfill.errors import SettingsError, StoreError, StoreFull, StoreUnavailable
from barfill.store.embedded import embedded_server
from barfill.store.failures import PASSING_SQLSTATES, from_driver, translated
from barfill.store.queue_schema import bring_up_to_date
from barfill.store.ranges import register_ranges

Connection = psycopg.Connection[TupleRow]
P = ParamSpec("P")
T = TypeVar("T")

CONNECTIONS_MAX = 8
ATTEMPTS_MAX = 3
FULL_BELOW_BYTES = 32 << 20
"""Two segments of PostgreSQL's log: with less than this it cannot go on."""
VERSIONS = range(14, 19)
"""The major versions of PostgreSQL that barfill is made for; newer ones are tried."""

_CONNECTION: dict[str, str | int] = {
    "application_name": "barfill",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Database:
    """
    A PostgreSQL server and a bounded set of connections to it; threads may share one.

    Args:
        url: A connection URL or conninfo text.
        revive: Called once when no connection can be made, to start a private server again.
        connections_max: How many connections `connection` and `run` hold at most.
        is_pooled: Whether a transaction pooler stands before it: no lock outlives a transaction, nobody is notified.
    """

    def __init__(
        self,
        url: str,
        *,
        revive: Callable[[], None] | None = None,
        connections_max: int = CONNECTIONS_MAX,
        is_pooled: bool = False,
    ) -> None:
        self.url = url
        self.is_pooled = is_pooled
        self._revive = revive
        self._free = threading.BoundedSemaphore(connections_max)
        self._idle: deque[Connection] = deque()

    def connect(self) -> Connection:
        """
        A connection of the caller's own, to be closed by it; autocommit.

        Raises:
            StoreUnavailable: There is no connection to be had.
        """
        try:
            return _connect(self.url)
        except StoreUnavailable:
            if self._revive is None:
                raise
            self._revive()
            return _connect(self.url)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for the length of the block, kept for the next one; driver errors leave translated."""
        with self._free, translated():
            conn = self._take()
            try:
                yield conn
            finally:
                self._give_back(conn)

    def run(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        What *work* returns when called with a connection; *work* is one transaction, or may be repeated.

        It is tried three times where PostgreSQL undid it for reasons that pass: deadlock, lock or statement
        timeout, serialisation failure.
        """
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                with self.connection() as conn:
                    return work(conn, *args, **kwargs)
            except StoreError as error:
                if _sqlstate(error) not in PASSING_SQLSTATES or attempt == ATTEMPTS_MAX:
                    raise
        raise AssertionError("unreachable")

    def now(self) -> datetime:
        """The database's clock, UTC: the one clock by which all processes judge."""
        return self.run(clock)

    def close(self) -> None:
        """Closes the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> Connection:
        while True:
            try:
                conn = self._idle.pop()
            except IndexError:
                return self.connect()
            if _is_usable(conn):
                return conn
            conn.close()

    def _give_back(self, conn: Connection) -> None:
        if not conn.closed and conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                conn.rollback()
        if conn.closed or conn.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            conn.close()
        else:
            self._idle.append(conn)


@contextmanager
def open_database(database_url: str | None, home: Path, *, is_pooled: bool = False) -> Iterator[Database]:
    """
    The database to use, its schema up to date: the one at *database_url*, or the private one below *home*.

    Raises:
        StoreUnavailable, StoreFull, StoreReadOnly, SchemaOutdated: It cannot be used; the text says why.
    """
    with ExitStack() as stack:
        if database_url:
            database = Database(database_url, is_pooled=is_pooled)
        else:
            server = stack.enter_context(embedded_server(home / "postgres"))
            database = Database(server.url, revive=server.revive)
        stack.enter_context(database)
        database.run(check_version)
        database.run(bring_up_to_date)
        try:
            yield database
        except StoreUnavailable as error:
            # PostgreSQL stops when it cannot write its log: the connection breaks, and the disk is the reason.
            if not database_url and shutil.disk_usage(home).free < FULL_BELOW_BYTES:
                raise StoreFull(
                    f"The disk that holds {home} is full, and the database stopped. What was committed is kept. Free "
                    "some space, or set BARFILL_HOME to another disk; then run the same command again."
                ) from error
            raise


@contextmanager
def transaction(conn: Connection) -> Iterator[None]:
    """One transaction, with the settings that the hot path's point lookups need."""
    with conn.transaction():
        # Tables grow under us: a plan that reads a whole table once per row must never look cheap.
        conn.execute(b"select set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true)")
        yield


def clock(conn: Connection) -> datetime:
    """The database's clock now, not frozen at the start of the transaction, UTC."""
    row = conn.execute(b"select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    assert row is not None
    return from_us(row[0])


def check_version(conn: Connection) -> None:
    """
    Refuses servers that are too old.

    Raises:
        StoreUnavailable: The server is older than PostgreSQL 14.
    """
    found = conn.info.server_version // 10_000
    if found < VERSIONS.start:
        raise StoreUnavailable(
            f"The server is PostgreSQL {found}; barfill needs {VERSIONS.start} to {VERSIONS.stop - 1}. "
            "Point DATABASE_URL at a newer one, or leave it out to use the private server."
        )


def _connect(url: str) -> Connection:
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
        conninfo = psycopg.conninfo.make_conninfo(url, **{k: v for k, v in _CONNECTION.items() if k not in given})
    except psycopg.ProgrammingError:
        # The driver's text would show parts of the URL, and with them the password.
        raise SettingsError(
            "DATABASE_URL cannot be read. Write postgresql://user:password@host:5432/name; "
            "characters such as @ : / % in the password as %40 %3A %2F %25."
        ) from None
    try:
        conn = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
    except psycopg.Error as error:
        raise from_driver(error) from error
    register_ranges(conn.adapters)
    return conn


def _is_usable(conn: Connection) -> bool:
    """Whether the server has not hung up meanwhile; costs no round trip."""
    if conn.closed:
        return False
    # On an idle connection the server speaks only to say goodbye.
    poll = select.poll()
    poll.register(conn.pgconn.socket, select.POLLIN)
    return not poll.poll(0)


def _sqlstate(error: StoreError) -> str | None:
    return error.__cause__.sqlstate if isinstance(error.__cause__, psycopg.Error) else None

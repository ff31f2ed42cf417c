"""
Whether a worker lives, known to all processes through the database.

A worker holds a session-level advisory lock on a connection of its own: the server lets go of it the moment the
process dies, also by SIGKILL. Besides, its heartbeat must be younger than `HEARTBEAT_PATIENCE_S`: a process that
stands still keeps its lock. Behind a transaction pooler such a lock means nothing, and is not kept.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import TupleRow

from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.queries import load_queries

SQL = load_queries("runs")

HEARTBEAT_PATIENCE_S = 60.0
PLANNING_WAIT_S = (0.02, 0.1)


@contextmanager
def planning_turn(database: Database) -> Iterator[None]:
    """
    One process at a time plans and creates runs: two that plan at once would ask for the same ranges.

    Whoever waits holds no transaction: behind a small pooler the one who plans would get no connection.
    """
    while True:
        with database.connection() as conn, conn.transaction():
            if conn.execute(SQL["try_planning"]).fetchone() == (True,):
                yield
                return
        time.sleep(random.uniform(*PLANNING_WAIT_S))


@dataclass(frozen=True, slots=True)
class Worker:
    """Who claims runs; `has_lock` says that its lock, not its heartbeat, shows that it lives."""

    id: str
    has_lock: bool


class Presence:
    """
    This process's sign of life. Call `worker` for every claim, since the lock may be lost with its connection.

    Behind a transaction pooler it takes no lock.

    Attributes:
        id: Under which it claims.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._conn: psycopg.Connection[TupleRow] | None = None
        self._is_closed = False
        self._turn = threading.Lock()  # several threads claim at once

    @property
    def worker(self) -> Worker:
        """Who we are, after taking the lock again if it was lost."""
        return Worker(self.id, not self._database.is_pooled and self._has_lock())

    def close(self) -> None:
        """Lets go of the lock, for good: from now on the worker is gone."""
        with self._turn:
            self._is_closed = True
            self._hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _has_lock(self) -> bool:
        with self._turn:
            if self._is_closed:
                return False
            with suppress(psycopg.Error):
                if self._conn is not None and self._holds(self._conn):
                    return True
            self._hang_up()
            with suppress(StoreError, psycopg.Error):
                self._conn = self._database.connect()
                self._conn.execute(SQL["take_worker_lock"], {"worker": self.id})
                return self._holds(self._conn)
            return False

    def _hang_up(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _holds(self, conn: psycopg.Connection[TupleRow]) -> bool:
        row = conn.execute(SQL["holds_worker_lock"], {"worker": self.id}).fetchone()
        return row is not None and bool(row[0])

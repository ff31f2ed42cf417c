"""The torture's own PostgreSQL: stopped without warning and started again."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from barfill.store.embedded import EmbeddedServer

_numbers = count(1)
_GONE_S = 30.0


class Server:
    """The server below *home*, everything as it is shipped, fsync included."""

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedServer(home / "postgres")
        self._data = home / "postgres" / "data"

    @property
    def socket(self) -> Path:
        """Of the running server."""
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        return Path(lines[4]) / ".s.PGSQL.5432"

    def fresh_database(self) -> str:
        """The name of a new, empty database."""
        name = f"torture_{next(_numbers)}"
        with psycopg.connect(self._server.url, autocommit=True) as conn:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return name

    def kill(self) -> None:
        """An immediate stop: as if the power had failed, for all that PostgreSQL knows."""
        number = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(number, signal.SIGQUIT)
        deadline = time.monotonic() + _GONE_S
        while psutil.pid_exists(number):
            if time.monotonic() > deadline:
                raise RuntimeError("The server does not stop.")
            time.sleep(0.02)

    def start(self) -> None:
        """Starts it again; it recovers what was committed."""
        self._server.revive()

    def close(self) -> None:
        """Stops it for good."""
        self._server.release()


@contextmanager
def own_server() -> Iterator[Server]:
    """A server in a directory of its own, as long as the block."""
    with tempfile.TemporaryDirectory(prefix="bf-torture-") as home:
        server = Server(Path(home))
        try:
            yield server
        finally:
            server.close()

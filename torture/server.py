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
from typing import Any

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

    def log_length(self) -> int:
        """How long what the server has logged is by now, in bytes."""
        return len(self._logged())

    def log_since(self, length: int) -> str:
        """What the server has logged since it was so long."""
        return self._logged()[length:].decode(errors="replace")

    def fresh_database(self, tablespace: str | None = None) -> str:
        """The name of a new, empty database."""
        name = f"torture_{next(_numbers)}"
        self._execute(
            sql.SQL("create database {} tablespace {}").format(
                sql.Identifier(name), sql.Identifier(tablespace or "pg_default")
            )
        )
        return name

    def ordinary_role(self, name: str) -> str:
        """The name of a role that owns what barfill made, and is no superuser."""
        self._execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))
        self._execute(sql.SQL("create role {} login in role barfill").format(sql.Identifier(name)))
        return name

    @contextmanager
    def tablespace(self, place: Path) -> Iterator[str]:
        """The name of a tablespace in *place*, gone at the end of the block with the databases in it."""
        files = place / "space"
        files.mkdir()
        owner = self._data.stat()
        os.chown(files, owner.st_uid, owner.st_gid)
        self._execute(sql.SQL("create tablespace small location {}").format(str(files)))
        try:
            yield "small"
        finally:
            within = "select datname from pg_database join pg_tablespace on pg_tablespace.oid = dattablespace "
            for (name,) in self._execute(sql.SQL(within + "where spcname = 'small'")):
                self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
            self._execute(sql.SQL("drop tablespace small"))

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

    def _execute(self, statement: sql.SQL | sql.Composed) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._server.url, autocommit=True) as conn:
            done = conn.execute(statement)
            return done.fetchall() if done.description else []

    def _logged(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self._data.parent / "log").glob("*.log")))


@contextmanager
def own_server() -> Iterator[Server]:
    """A server in a directory of its own, as long as the block."""
    with tempfile.TemporaryDirectory(prefix="bf-torture-") as home:
        server = Server(Path(home))
        try:
            yield server
        finally:
            server.close()

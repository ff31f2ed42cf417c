"""What a measurement needs around it: an exchange in a process of its own, databases, children that report."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from barfill.store.database import Database
from barfill.store.embedded import embedded_server
from barfill.store.queue_schema import bring_up_to_date

_EXPORT = "export ALPACA_BASE_URL="
_SIMULATE = ["simulate", "--port", "0", "--plan", "paid", "--requests-per-minute"]
_NO_LIMIT = 1_000_000
_numbers = count(1)


@contextmanager
def simulated_exchange(*, requests_per_minute: int = _NO_LIMIT) -> Iterator[str]:
    """The base URL of an exchange that runs in a process of its own as long as the block."""
    command = [sys.executable, "-m", "barfill.cli.main", *_SIMULATE, str(requests_per_minute)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(_EXPORT):
                break
        else:
            raise RuntimeError("The simulated exchange does not start.")
        yield line.removeprefix(_EXPORT).strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@contextmanager
def private_server() -> Iterator[str]:
    """The URL of an embedded PostgreSQL on this machine's disk, with everything as it is shipped, fsync included."""
    with tempfile.TemporaryDirectory(prefix="bf-bench-") as home, embedded_server(Path(home) / "postgres") as server:
        yield server.url


@contextmanager
def fresh_database(server_url: str) -> Iterator[Database]:
    """An empty, migrated database, after a checkpoint, so that none falls due to its predecessor."""
    name = sql.Identifier(f"bench_{next(_numbers)}")
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(name))
        try:
            with Database(make_conninfo(server_url, dbname=name.as_string().strip('"'))) as database:
                database.run(bring_up_to_date)
                conn.execute("checkpoint")
                yield database
        finally:
            conn.execute(sql.SQL("drop database {} with (force)").format(name))


def reported(module: str, *arguments: str) -> dict[str, Any]:
    """What `python -m module` reports: the JSON in the last line that it prints."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def peak_mb() -> float:
    """The most memory that this process has held so far, MB."""
    import resource  # noqa: PLC0415  not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)

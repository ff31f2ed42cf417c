"""The store's tests run on the private server, and again on the machine's own PostgreSQL 15 where it has one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from barfill.store.database import Database
from tests.store.fixtures import cloned_database, server_url, short_directory

__all__ = ["server_url"]

_OLD_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_OLD_USER = "postgres"


@pytest.fixture(scope="session")
def old_server_url() -> Iterator[str]:
    """A PostgreSQL 15 of the machine, started as its own user in a directory of its own."""
    if not (_OLD_PROGRAMS / "initdb").exists():
        pytest.skip("PostgreSQL 15 is not installed here")
    user = _OLD_USER if os.geteuid() == 0 else None
    with short_directory() as home:
        (home / "data").mkdir(mode=0o700)
        if user:
            subprocess.run(["chown", "-R", user, str(home)], check=True)

        def run(program: str, *arguments: str) -> None:
            command = [str(_OLD_PROGRAMS / program), "-D", "data", *arguments]
            subprocess.run(command, cwd=home, user=user, check=True, stdout=subprocess.DEVNULL)

        settings = f"-k {home} -c listen_addresses= -c fsync=off -c timezone=Asia/Kolkata"
        run("initdb", "-U", "barfill", "-A", "trust", "-E", "UTF8")
        run("pg_ctl", "-w", "-l", "log", "-o", settings, "start")
        try:
            yield f"postgresql://barfill@/postgres?host={home}"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture(scope="session", params=["private", "postgresql-15"])
def any_server_url(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn; the second one has another time zone, which must not show anywhere."""
    name = "server_url" if request.param == "private" else "old_server_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def database(any_server_url: str) -> Iterator[Database]:
    """A database of its own, empty and migrated, on each kind of server in turn."""
    with cloned_database(any_server_url) as clone:
        yield clone

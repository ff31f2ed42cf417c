"""Commands as real processes, against the simulated exchange over real HTTP and a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from barfill.settings import SETTINGS
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.store.fixtures import database, server_url

__all__ = ["database", "server_url"]

BARFILL = Path(sys.executable).with_name("barfill")
KEY, SECRET = "PKCANARY0123456789", "CANARYSECRET9876543210"
COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True)
class Shell:
    """Runs barfill in an environment of its own."""

    environment: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str, stdin: str = "", **changes: str | None) -> subprocess.CompletedProcess[str]:
        """One command to its end; a variable changed to None is left out."""
        return subprocess.run(
            [BARFILL, *arguments],
            env=self.changed(changes),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def begin(self, *arguments: str, **changes: str | None) -> subprocess.Popen[str]:
        """A command that goes on while the test does; its stderr can be read as it comes."""
        pipe = subprocess.PIPE
        environment = self.changed(changes)
        return subprocess.Popen([BARFILL, *arguments], env=environment, stdout=pipe, stderr=pipe, text=True)

    def changed(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """The environment with some variables set, and those with None left out."""
        together = {**self.environment, **changes}
        return {name: value for name, value in together.items() if value is not None}


@pytest.fixture(scope="session")
def session_exchange() -> Iterator[SimulatedExchange]:
    """One exchange for the session, without a limit that a test could run into."""
    with running_exchange(ExchangeConfig(port=0, plan="paid")) as exchange:
        yield exchange


@pytest.fixture
def exchange(session_exchange: SimulatedExchange) -> Iterator[SimulatedExchange]:
    """The exchange without faults and with an empty request log."""
    session_exchange.set_faults([])
    session_exchange.forget_requests()
    yield session_exchange
    session_exchange.set_faults([])


@pytest.fixture
def shell(exchange: SimulatedExchange, database: Database, tmp_path: Path) -> Shell:
    """Commands that find the exchange, valid keys and an empty database."""
    return Shell(
        clean_environment()
        | {
            "ALPACA_API_KEY": KEY,
            "ALPACA_API_SECRET": SECRET,
            "ALPACA_BASE_URL": exchange.alpaca_url,
            "ALPACA_PLAN": "paid",
            "BARFILL_HOME": str(tmp_path / "home"),
            "DATABASE_URL": url_of(database),
        }
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without barfill's own variables and the width of a terminal."""
    ours = {info.name for info in SETTINGS} | {"BARFILL_DEBUG", "BARFILL_CRASH_AT", "COLUMNS"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def url_of(database: Database) -> str:
    """The connection URL of a test's database."""
    parts = conninfo_to_dict(database.url)
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={quote(str(parts['host']), safe='')}"

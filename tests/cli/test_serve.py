"""`barfill serve` as a process: it answers, keeps complete what is defined, and ends in order."""

from __future__ import annotations

import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Shell
from tests.cli.test_schedule import ENOUGH_S, eventually

FEW = {"DEFAULT_TIMEFRAMES": "15m,1h,1d", "DEFAULT_WINDOW_DAYS": "20"}


@contextmanager
def served(shell: Shell, *arguments: str, **changes: str | None) -> Iterator[tuple[httpx.Client, Any]]:
    """A client of a served API, and the process; it is stopped by SIGTERM if it still runs."""
    with shell.begin("serve", "--port", "0", *arguments, **FEW, **changes) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            told = next((line for line in lines if "Serving at " in line), None)
            assert told is not None, process.wait(ENOUGH_S)
            with httpx.Client(base_url=told.split("Serving at ")[1].strip(), trust_env=False, timeout=20) as client:
                yield client, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=ENOUGH_S)


def chart(client: httpx.Client, timeframe: str) -> Any:
    """Of AAPL."""
    return client.get("/api/v1/chart", params={"symbol": "AAPL", "timeframe": timeframe}).json()


def test_it_fills_what_is_defined_and_answers_meanwhile(shell: Shell) -> None:
    """The API, the scheduler and the worker in one process; SIGTERM ends it with 0, and the next one goes on."""
    shell("watchlist", "add", "tech", "AAPL", **FEW)

    with served(shell) as (client, process):
        assert client.get("/readyz").json() == {"status": "ok"}
        assert eventually(lambda: bool(chart(client, "1h")["bars"]) and not chart(client, "1h")["warming_cache"])
        assert [bool(chart(client, timeframe)["bars"]) for timeframe in ("15m", "1d")] == [True, True]
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENOUGH_S) == 0
    with served(shell, "--no-schedule", "--no-worker") as (client, _):
        assert chart(client, "1d")["bars"]


def test_the_key_of_an_installation_is_its_users_alone(shell: Shell) -> None:
    """X05: made once, readable by nobody else; a file that others can read is refused."""
    home = Path(shell.environment["BARFILL_HOME"])
    with served(shell, "--no-schedule", "--no-worker"):
        made = (home / "api-key").read_text(encoding="ascii")
    with served(shell, "--no-schedule", "--no-worker"):
        assert (home / "api-key").read_text(encoding="ascii") == made
    assert len(made) >= 32
    assert stat.S_IMODE((home / "api-key").stat().st_mode) == 0o600
    (home / "api-key").chmod(0o644)

    refused = shell("serve", "--port", "0")

    assert refused.returncode == 2
    assert "chmod 600" in refused.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_it_is_not_reached_from_elsewhere_without_a_key(shell: Shell, host: str) -> None:
    """And says what to set."""
    refused = shell("serve", "--host", host, "--port", "0")

    assert refused.returncode == 2
    assert "BARFILL_API_KEY is not set" in refused.stderr


def test_a_port_that_is_taken_is_told(shell: Shell) -> None:
    """With what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = shell("serve", "--port", str(taken.getsockname()[1]))

    assert refused.returncode == 2
    assert "Give another --port" in refused.stderr


def test_it_listens_on_this_machine_only(shell: Shell) -> None:
    """By default."""
    with served(shell, "--no-schedule", "--no-worker") as (client, process):
        port = client.base_url.port
        listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True, check=True).stdout
        assert process.poll() is None
    own = [line.split()[1] for line in listening.splitlines() if line.split()[1].endswith(f":{port:04X}")]
    assert own == [f"0100007F:{port:04X}"]

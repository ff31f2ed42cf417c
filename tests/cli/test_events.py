"""`barfill events` as a process: what is on file, asked anew, found under former tickers, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from barfill.cli.main import run_command
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

Here = Callable[..., tuple[int, str, str]]
SINCE = ("--start", "2021-01-01")


@pytest.fixture
def here(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Commands within this process, which is quicker for many: exit code, stdout and stderr."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def as_json(shell: Shell, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell("events", *arguments, "--json").stdout)
    return found


def test_events_are_asked_for_and_listed(shell: Shell, exchange: SimulatedExchange) -> None:
    """A symbol that is new is added; tables, then the same as JSON; without --refresh nothing is asked."""
    before = shell("events")
    done = shell("events", "ge", "SPLT", "--refresh", *SINCE)
    exchange.forget_requests()
    listed = as_json(shell, "GE", *SINCE, "--kind", "splits")

    assert "No provider was asked for events yet" in before.stdout
    assert done.returncode == 0
    assert "added 2 symbols: GE, SPLT" in done.stderr
    assert "GE      2024-04-02  1253:1000  split  alpaca" in done.stdout
    assert "SPLT    2026-03-16        4:1  split  alpaca" in done.stdout
    assert "events of symbols on record" in done.stderr
    assert [(row["symbol"], row["ex_on"], row["numerator"]) for row in listed["splits"]] == [
        ("GE", "2024-04-02", 1253),
        ("GE", "2021-08-02", 1),
    ]
    assert listed["conflicts"] == []
    assert exchange.requests == []


def test_a_series_is_found_under_its_former_ticker(here: Here, exchange: SimulatedExchange) -> None:
    """D28: by every command that names symbols; nothing is asked for under the old one."""
    here("events", "META", "METV", "--refresh", "--kind", "changes", *SINCE)
    commands = (
        ("events", "FB", *SINCE),
        ("status", "FB"),
        ("gaps", "FB"),
        ("jobs", "list", "--symbol", "FB"),
        ("jobs", "definitions", "add", "FB", "--timeframe", "1d"),
        ("jobs", "definitions", "list", "--symbol", "FB"),
        ("backfill", "FB", "--timeframe", "1d", "--days", "10"),
        ("watchlist", "add", "social", "FB"),
        ("watchlist", "remove", "social", "FB"),
        ("symbols", "remove", "FB"),
    )

    for command in commands:
        code, out, err = here(*command)
        assert (command, code, "FB is META now." in err) == (command, 0, True)
        if command[0] in ("events", "status"):
            assert "META" in out
    assert not any("FB" in one.query.get("symbols", "").split(",") for one in exchange.requests if "bars" in one.path)


def test_conflicts_and_refusals_are_told(here: Here, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What contradicts itself is a line; what cannot be asked for is said, with its exit code."""
    here("events", "SPLT", "--refresh", "--kind", "splits", *SINCE)
    with database.connection() as conn:
        conn.execute(
            "insert into splits (symbol_id, ex_on, form, numerator, denominator, ticker, provider, filed_on, "
            "last_seen_at) select symbol_id, ex_on, form, 5, 1, ticker, 'massive', filed_on, last_seen_at from splits"
        )

    _, told, _ = here("events", "SPLT", *SINCE)
    days, ends = ("--days", "3", "--start", "2024-01-01"), ("--end", "1990-01-01", *SINCE)
    wrong = [here("events", *arguments) for arguments in (("--kind", "gifts"), ("NOSUCH",), days, ends)]
    monkeypatch.setenv("ALPACA_API_KEY", "wrong")
    refused, _, why = here("events", "--refresh")

    assert "To look at: SPLT: Splits on 2026-03-16 differ: 4:1 by alpaca, 5:1 by massive." in told
    assert [code for code, _, _ in wrong] == [2, 1, 2, 2]
    assert "Use splits, dividends, earnings, changes, delistings." in wrong[0][2]
    assert refused == 1
    assert "The events of alpaca are not up to date" in why


def test_nothing_found_is_said_of_the_days_that_are_shown(here: Here) -> None:
    """The providers may have told of other days: what is said of both does not contradict itself."""
    _, _, told = here("events", "SPLT", "--refresh", "--kind", "splits", *SINCE)

    _, out, _ = here("events", "SPLT", "--kind", "splits", "--start", "2020-01-01", "--end", "2020-02-01")

    assert "1 event of symbols on record" in told
    assert out.startswith("No such events on file from 2020-01-01 up to 2020-02-01. Of other days: ")


def test_h01_a_refresh_waits_as_long_as_it_is_told(here: Here, exchange: SimulatedExchange) -> None:
    """A 429 that tells how long costs one request more, and no event."""
    limited = {"endpoint": "corporate_actions", "nth": 1}
    exchange.set_faults([{"match": limited, "fault": "H01", "args": {"header": "retry_after", "seconds": 1}}])

    code, out, err = here("events", "SPLT", "--refresh", "--kind", "splits", *SINCE)

    assert [one.fault for one in exchange.requests if one.fault] == ["H01"]
    assert (code, "SPLT    2026-03-16" in out) == (0, True)
    assert "not up to date" not in err


def test_h02_a_refresh_told_to_wait_for_hours_ends_and_says_so(here: Here, exchange: SimulatedExchange) -> None:
    """After that one answer nothing more is sent, what is on file stays and is shown, and the exit code is 1."""
    here("events", "SPLT", "--refresh", "--kind", "splits", *SINCE)
    exchange.set_faults([{"match": {"endpoint": "corporate_actions"}, "fault": "H02", "args": {"retry_after": "7200"}}])
    exchange.forget_requests()

    code, out, err = here("events", "SPLT", "--refresh", "--kind", "splits", *SINCE)

    assert [one.fault for one in exchange.requests] == ["H02"]
    assert (code, "SPLT" in out) == (1, True)
    assert "The events of alpaca are not up to date" in err

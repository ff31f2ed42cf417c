"""`barfill verify`: what is told of differences and breaches, estimates, exit codes, and usage."""

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
WEEK = ("--start", "2026-08-03", "--end", "2026-08-08")
WITH_MASSIVE = ("--provider", "massive", *WEEK)


@pytest.fixture
def here(
    shell: Shell, exchange: SimulatedExchange, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """Commands within this process, with keys of two vendors and a week of AAPL's days and hours from Alpaca."""
    more = {"MASSIVE_API_KEY": "key", "MASSIVE_BASE_URL": exchange.massive_url, "MASSIVE_PLAN": "paid"}
    for name, value in (dict(shell.environment) | more).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    assert run("backfill", "AAPL", "--timeframes", "15m,1h,1d", *WEEK)[0] == 0
    return run


def change(database: Database, statement: str) -> None:
    with database.connection() as conn:
        conn.execute(statement)


def contents(database: Database) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    with database.connection() as conn:
        names = conn.execute("select tablename from pg_tables where schemaname = current_schema()").fetchall()
        return {name: sorted(row[0] for row in conn.execute(f"select t::text from {name} as t")) for (name,) in names}


def squeezed(text: str) -> list[str]:
    """Lines without the blanks between columns."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_equal_bars_are_told_with_the_calls(here: Here, exchange: SimulatedExchange) -> None:
    """The estimate comes before, a dry run asks nothing, and all equal is exit code 0."""
    exchange.forget_requests()
    planned, plan, _ = here("verify", "AAPL", *WITH_MASSIVE, "--dry-run")
    as_json = json.loads(here("verify", "AAPL", *WITH_MASSIVE, "--dry-run", "--json")[1])
    asked = len(exchange.requests)
    code, out, err = here("verify", "AAPL", *WITH_MASSIVE)

    assert (planned, asked) == (0, 0)
    assert "Calls     2 (" in plan
    assert (as_json["calls"], as_json["by_timeframe"]) == (2, {"15m": 1, "1d": 1})
    assert code == 0
    assert "3 series to compare with massive: about 2 calls" in err
    assert "AAPL 1h 15m 35 35 0 0 0 0" in squeezed(out)
    assert "170 bars compared with massive, 170 equal within tolerance; 2 calls made. Nothing was changed." in out


def test_nothing_is_written_but_the_count_of_requests(here: Here, database: Database) -> None:
    """Every row of every table is as it was, the quota's own apart."""
    before = contents(database)
    code, _, _ = here("verify", "AAPL", *WITH_MASSIVE)
    after = contents(database)

    changed = {name for name in after if after[name] != before[name]}
    assert code == 0
    assert changed
    assert all(name.startswith("quota") for name in changed)


def test_differences_are_told_with_both_values(here: Here, database: Database) -> None:
    """The worst first, whoever has them; exit code 3. The same as JSON."""
    at = "where timeframe = 'd1' and ts ="
    change(database, f"update ohlc_bars set low = 10 {at} '2026-08-04'")
    change(database, f"update ohlc_bars set volume = volume * 2 {at} '2026-08-05'")
    change(database, f"delete from ohlc_bars {at} '2026-08-06'")

    code, out, _ = here("verify", "AAPL", *WITH_MASSIVE, "--timeframe", "1d")
    _, text, _ = here("verify", "--all", *WITH_MASSIVE, "--timeframe", "1d", "--json")
    _, one, _ = here("verify", "AAPL", *WITH_MASSIVE, "--timeframe", "1d", "--limit", "1")

    found: dict[str, Any] = json.loads(text)
    assert code == 3
    assert "AAPL 1d 4 2 1 0 1 1" in squeezed(out)
    lines = [line.split() for line in out.splitlines() if " 2026-08-0" in line]
    assert [(line[2], line[4]) for line in lines] == [
        ("2026-08-04", "low"),
        ("2026-08-06", "missing"),
        ("2026-08-05", "volume"),
    ]
    assert lines[0][5] == "10"
    assert lines[2][7:] == ["50", "%"]
    assert {name: found["summary"][name] for name in ("price", "volume", "missing_here", "missing_there")} == {
        "price": 1,
        "volume": 1,
        "missing_here": 1,
        "missing_there": 0,
    }
    assert found["series"][0]["differences"][1]["here"] is None
    assert "... the worst of 3: --limit N shows more" in one


def test_of_many_series_only_the_differing_are_listed(
    here: Here, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is a number."""
    change(database, "delete from ohlc_bars where timeframe = 'd1' and ts = '2026-08-06'")
    monkeypatch.setattr("barfill.cli.verify_shown.SERIES_SHOWN_MAX", 2)

    _, out, _ = here("verify", "AAPL", *WITH_MASSIVE)

    assert "AAPL 1d 4 4 1 0 0 0" in squeezed(out)
    assert "2 other series are equal." in out


def test_a_provider_that_fails_is_exit_code_1(here: Here, exchange: SimulatedExchange) -> None:
    """With its code and what it concerns; bounds are told."""
    exchange.set_faults([{"match": {"provider": "massive"}, "fault": "H07", "args": {"form": "data"}}])
    failed, out, _ = here("verify", "AAPL", *WITH_MASSIVE)
    exchange.set_faults([])
    exchange.set_faults([{"match": {"provider": "massive", "timeframe": "d1"}, "fault": "H11"}])
    _, silent, _ = here("verify", "AAPL", *WITH_MASSIVE)
    exchange.set_faults([])
    bounded, told, _ = here("verify", "AAPL", *WITH_MASSIVE, "--max-calls", "1")
    strange, text, _ = here("verify", "AAPL", *WITH_MASSIVE, "--timeframe", "1w")

    assert failed == 1
    assert "FORBIDDEN_PLAN: AAPL 15m: " in out
    assert "Not compared: 170 expected bars that were not answered for." in out
    assert "Note: AAPL 1d: massive may have left rows out: ask again before you" in silent
    assert bounded == 3
    assert "Stopped. --max-calls is reached" in told
    assert strange == 1
    assert "Not compared: AAPL 1w: Nothing of it is stored in [2026-08-03, 2026-08-08)." in text


def test_the_rules_are_checked_without_a_provider(here: Here, database: Database, exchange: SimulatedExchange) -> None:
    """All that is stored, nothing asked; what breaks a rule is told with its sentence, and is exit code 3."""
    exchange.forget_requests()
    good, fine, _ = here("verify")
    change(database, "update ohlc_bars set volume = 2e15 where timeframe = 'd1' and ts = '2026-08-05'")
    bad, out, _ = here("verify", "AAPL")
    found = json.loads(here("verify", "--json", "--days", "3000")[1])

    assert (good, bad) == (0, 3)
    assert "170 bars of 3 series checked: all keep the rules." in fine
    assert "Q09  AAPL 1d 2026-08-05 00:00:00: the volume" in out
    assert "170 bars of 3 series checked: Q09: 1." in out
    assert found["summary"] == {"series": 3, "checked": 170, "live": 0, "by_rule": {"Q09": 1}}
    assert exchange.requests == []


REFUSED = (
    (("--provider", "massive"), 2, "No symbols are named."),
    (("AAPL", "--max-calls", "3"), 2, "need --provider"),
    (("AAPL", "--provider", "finnhub"), 2, "finnhub has no key"),
    (("NOSUCH", "--provider", "massive"), 1, "is not on record"),
    (("AAPL", "--provider", "massive", "--price-tolerance", "5"), 2, "0.01 is 1 %"),
    (("AAPL", "--provider", "massive", "--volume-tolerance", "-1"), 2, "0.01 is 1 %"),
    (("--watchlist", "none", "--provider", "massive"), 1, "none"),
)


def test_what_cannot_be_done_is_said(here: Here, exchange: SimulatedExchange) -> None:
    """With what to do, before anything is asked."""
    exchange.forget_requests()

    for arguments, expected, text in REFUSED:
        code, _, err = here("verify", *arguments)
        assert (arguments, code, text in err) == (arguments, expected, True)
    assert exchange.requests == []

"""`barfill resample`: what it makes of stored bars, what it says, and that it asks nobody."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from barfill.cli.main import run_command
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

Here = Callable[..., tuple[int, str, str]]
WEEK = ("--start", "2026-08-03", "--end", "2026-08-08")


@pytest.fixture
def here(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Commands within this process, and a week of AAPL's minutes and days."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    assert run("backfill", "AAPL", "--timeframes", "1m,1d", *WEEK)[0] == 0
    return run


def squeezed(text: str) -> list[str]:
    """Lines without the blanks between columns."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_all_that_can_be_made_is_made_once(here: Here, exchange: SimulatedExchange) -> None:
    """A dry run tells the same and makes nothing; a second run finds nothing to make; nobody is asked."""
    exchange.forget_requests()

    _, foretold, _ = here("resample", "--dry-run")
    code, made, _ = here("resample")
    _, again, _ = here("resample", "AAPL", "--timeframes", "1h")

    assert "AAPL 1h 1m 35" in squeezed(foretold)
    assert "631 bars of 6 series would be made. Nothing was changed." in foretold
    assert code == 0
    assert "AAPL 1w 1d 1 1 0 0" in squeezed(made)
    assert "631 bars of 6 series made: 631 new, 0 changed, 0 removed." in made
    assert "Nothing to make" in again
    assert len(exchange.requests) == 0


def test_a_rebuild_tells_what_changes(here: Here, database: Database) -> None:
    """Nothing, unless somebody has written past barfill."""
    here("resample")
    clean = json.loads(here("resample", "--rebuild", "--json")[1])
    with database.connection() as conn:
        conn.execute("update ohlc_bars set close = close + 0.01 where timeframe = 'h1' and ts = '2026-08-05T15:30Z'")
    mended = json.loads(here("resample", "AAPL", "--rebuild", "--json")[1])

    assert clean["summary"] == {"series": 6, "bars": 631, "new": 0, "changed": 0, "removed": 0}
    hours = {"symbol": "AAPL", "timeframe": "1h", "from": ["1m"], "bars": 35, "new": 0, "changed": 1, "removed": 0}
    assert hours in mended["series"]
    assert mended["summary"]["changed"] == 1


def test_what_is_never_derived_is_refused(here: Here) -> None:
    """Days and minutes are fetched; a symbol that is not on record is named."""
    assert here("resample", "--timeframes", "1d")[0] == 2
    assert "1d are fetched, never derived" in here("resample", "--timeframes", "1d,1h")[2]
    assert "NOSUCH" in here("resample", "NOSUCH")[2]


def test_switched_off_timeframes_are_made_only_by_name(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """RESAMPLE_* say what is made by default."""
    monkeypatch.setenv("RESAMPLE_H1_FROM_M15", "false")
    monkeypatch.setenv("RESAMPLE_W1_FROM_D1", "false")

    usual = json.loads(here("resample", "--dry-run", "--json")[1])
    named = json.loads(here("resample", "--dry-run", "--json", "--timeframes", "1h")[1])

    assert [one["timeframe"] for one in usual["series"]] == ["5m", "15m", "30m", "4h"]
    assert [one["timeframe"] for one in named["series"]] == ["1h"]


def test_bars_of_another_feed_are_left_alone(here: Here, database: Database) -> None:
    """A series of another feed is told, and stays as it is."""
    with database.connection() as conn:
        conn.execute(
            "insert into series (symbol_id, timeframe, feed, covered) "
            "select id, 'h1', 'iex', '{[2026-08-03,2026-08-04)}' from symbols"
        )

    code, out, _ = here("resample")

    assert code == 0
    assert "Left alone: AAPL 1h holds raw bars of feed 'iex', 1m raw bars of feed 'sip': they are not mixed." in out

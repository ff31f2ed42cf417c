"""`barfill revisions` as a process."""

from __future__ import annotations

import json

import pytest

from barfill.store.database import Database
from barfill.store.pages import write_derived
from tests.cli.conftest import Shell
from tests.store.builders import START, add, query, write


@pytest.fixture
def corrected(database: Database) -> Database:
    """Three changes: far, a little, and a bar that is gone."""
    a, b = add(database, "AAPL", "MSFT")
    database.run(write_derived, write({a: {0: 10.0, 1: 11.0}, b: {0: 20.0}}))
    database.run(write_derived, write({a: {0: 10.5}}))
    query(database, "update ohlc_bars set close = close + 0.0001 where symbol_id = %s", b)
    query(database, "delete from ohlc_bars where close = %s", 11.0)
    return database


def test_changes_are_told_field_by_field(shell: Shell, corrected: Database) -> None:
    """Old and new, how far apart, by whom and why; the newest first, and the sums below."""
    done = shell("revisions")

    assert (done.returncode, done.stderr) == (0, "")
    lines = [line[21:] if line.startswith("2") else line for line in done.stdout.splitlines()]
    assert lines[:6] == [
        "AAPL 1m 2024-03-04 14:31  alpaca: removed",
        "    taken out: close 11, volume 115.5",
        "MSFT 1m 2024-03-04 14:30  alpaca: changed",
        "    close 20 -> 20.0001 (+0.0005 %)",
        "AAPL 1m 2024-03-04 14:30  alpaca: derived  W05",
        (
            "    open 9.75 -> 10.25 (+5.13 %), high 11 -> 11.5 (+4.55 %), low 9 -> 9.5 (+5.56 %), "
            "close 10 -> 10.5 (+5 %), volume 105 -> 110.25 (+5 %), vwap 10 -> 10.5 (+5 %)"
        ),
    ]
    assert lines[6:] == ["AAPL 1m: 2 changes of 2 bars, 1 taken out, 1 W05", "MSFT 1m: 1 change of 1 bar"]


def test_a_narrow_terminal_loses_nothing(shell: Shell, corrected: Database) -> None:
    """Long changes are told on several lines."""
    wide, narrow = (shell("revisions", COLUMNS=columns).stdout for columns in ("200", "60"))

    assert max(map(len, narrow.splitlines())) <= 68
    assert narrow.split() == wide.split()


def test_json_holds_the_same(shell: Shell, corrected: Database) -> None:
    """In numbers."""
    told = json.loads(shell("revisions", "AAPL", "--json").stdout)

    gone, far = told["revisions"]
    assert (gone["is_removed"], gone["changes"], gone["new_provider"], gone["reason"]) == (True, [], None, "removed")
    assert (far["symbol"], far["timeframe"], far["ts"], far["is_alarm"]) == ("AAPL", "1m", START.isoformat(), True)
    assert far["changes"][3] == {"field": "close", "old": 10.0, "new": 10.5, "distance": 0.05}
    (series,) = told["series"]
    assert (series["changes"], series["bars"], series["removed"], series["alarms"]) == (2, 2, 1, 1)
    assert series["newest_change"] == gone["changed_at"] > far["changed_at"] > far["believed_from"]


def test_a_limit_says_what_it_leaves_out(shell: Shell, corrected: Database) -> None:
    """And how to see it."""
    done = shell("revisions", "--limit", "1")

    assert "... and 2 more: --limit 3" in done.stdout


def test_filters_choose(shell: Shell, corrected: Database) -> None:
    """Bars by their start, changes by their instant."""
    assert "No final bar was changed" in shell("revisions", "--since", "2999-01-01").stdout
    assert "No final bar was changed" in shell("revisions", "--timeframes", "1d").stdout
    assert "No final bar was changed" in shell("revisions", "--end", START.isoformat()).stdout
    assert "1 change of 1 bar" in shell("revisions", "AAPL", "--start", "2024-03-04T14:31Z").stdout
    refused = shell("revisions", "--since", "yesterday")
    assert refused.returncode == 2
    assert "--since 'yesterday'" in refused.stderr

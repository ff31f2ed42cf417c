"""`barfill quarantine`: list, show, accept, reject and undo as a person types them."""

from __future__ import annotations

import json

import pytest

from barfill.cli.quarantine import RULES
from barfill.core.rule_book import RULE_BOOK
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

DAYS = ("--start", "2026-09-14", "--end", "2026-09-16")


@pytest.fixture
def spoiled(shell: Shell, exchange: SimulatedExchange) -> Shell:
    """Two days of quarters of two symbols, of which the provider always sends one bar of each that breaks a rule."""
    exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "D02", "args": {}}])
    done = shell("backfill", "AAPL", "--timeframe", "15m", *DAYS)
    assert done.returncode == 3, done.stderr
    return shell


def only_row(shell: Shell, *options: str) -> dict[str, object]:
    listed = json.loads(shell("quarantine", "list", *options, "--json").stdout)
    (row,) = listed["rows"]
    assert isinstance(row, dict)
    return row


def test_rows_are_listed_by_filter(spoiled: Shell) -> None:
    """Open ones unless other states are named, by symbol, timeframe, rule and range, with counts."""
    listed = spoiled("quarantine", "list")

    assert listed.returncode == 0
    assert "AAPL" in listed.stdout
    assert "a price is zero or negative" in listed.stdout
    assert "open       1 row (Q05: 1)" in listed.stdout
    row = only_row(spoiled, "--symbol", "aapl", "--timeframe", "15m", "--rule", "Q05", "--start", "2026-09-14")
    assert (row["symbol"], row["timeframe"], row["rule"], row["state"]) == ("AAPL", "15m", "Q05", "open")
    for options in (["--rule", "Q06"], ["--end", "2026-09-14"], ["--timeframe", "1d"], ["--state", "accepted"]):
        assert json.loads(spoiled("quarantine", "list", *options, "--json").stdout)["rows"] == []
    assert "Nothing is quarantined like that." in spoiled("quarantine", "list", "--rule", "Q06").stdout


def test_a_row_in_quarantine_is_open_until_it_is_rejected(spoiled: Shell) -> None:
    """Matrix, status and list of gaps agree about it, before the rejection and after it, and when that is undone."""
    number = str(only_row(spoiled)["id"])

    def told() -> tuple[list[dict[str, int]], int]:
        (symbol,) = json.loads(spoiled("status", "--json").stdout)["symbols"]
        gaps = json.loads(spoiled("gaps", "--json").stdout)["gaps"]
        return [one["settled_by_kind"] for one in symbol["timeframes"].values()], len(gaps)

    again = json.loads(spoiled("backfill", "AAPL", "--timeframe", "15m", *DAYS, "--json").stdout)
    before = told()
    spoiled("quarantine", "reject", number)
    after = told()
    spoiled("quarantine", "undo", number)

    assert (again["matrix"]["AAPL"]["15m"]["settled"], again["summary"]["gaps_settled"]) == (0, 0)
    assert (before, after, told()) == (([{}], 1), ([{"quarantined": 1}], 0), ([{}], 1))


def test_the_gap_of_a_rejected_row_is_opened_by_undoing_the_rejection(spoiled: Shell) -> None:
    """`barfill gaps --unsettle` says whose gap it is and which command opens it; that command does."""
    number = str(only_row(spoiled)["id"])
    spoiled("quarantine", "reject", number)
    (gap,) = json.loads(spoiled("gaps", "--settled", "--json").stdout)["gaps"]

    told = spoiled("gaps", "--id", str(gap["id"]), "--unsettle")
    in_json = json.loads(spoiled("gaps", "AAPL", "--settled", "--unsettle", "--json").stdout)

    command = f"quarantine undo {number}"
    assert told.stdout == f"Gap {gap['id']} is of rejected rows, and stays. To open it: barfill {command}\n"
    assert in_json == {"unsettled": [], "rejected": [{"id": gap["id"], "rows": [int(number)]}]}
    assert spoiled(*command.split()).returncode == 0
    assert [one["id"] for one in json.loads(spoiled("gaps", "--json").stdout)["gaps"]] == [gap["id"]]


def test_a_row_is_shown_with_all_that_is_known(spoiled: Shell) -> None:
    """Its values, the rule in words, who sent it, the bars around it, and what can be done."""
    number = str(only_row(spoiled)["id"])

    shown = spoiled("quarantine", "show", number).stdout

    for text in ("Q05: the prices are above zero", '"close": 0.0', "alpaca, feed sip", "barfill jobs show", "Stored"):
        assert text in shown
    assert f"barfill quarantine accept {number}" in " ".join(shown.split())
    assert spoiled("quarantine", "explain", number).stdout == shown
    found = json.loads(spoiled("quarantine", "show", number, "--json").stdout)
    assert (found["rule_wants"], found["decisions"]) == (RULE_BOOK["Q05"][0], [])
    assert len(found["around"]) >= 3


def test_accept_reject_and_undo(spoiled: Shell) -> None:
    """What is decided is told, kept with name and note, and can be taken back."""
    number = str(only_row(spoiled)["id"])

    accepted = spoiled("quarantine", "accept", number, "--by", "ann", "--note", "checked twice")
    again = spoiled("quarantine", "reject", number)
    shown = spoiled("quarantine", "show", number).stdout
    undone = spoiled("quarantine", "undo", number, "--by", "bob")
    rejected = spoiled("quarantine", "reject", number, "--json", USER="eve", LOGNAME="eve")

    assert (accepted.returncode, accepted.stdout) == (0, f"Accepted: row {number}.\n")
    assert (again.returncode, again.stderr) == (
        1,
        f"Row {number} stays as it is: ann has accepted it already; undo that first.\n",
    )
    assert "accepted by ann" in shown
    assert "checked twice" in shown
    assert undone.stdout.startswith(f"Undone: row {number}.\nRow {number}: the bar is out of the series")
    assert json.loads(rejected.stdout) == {"done": [{"id": int(number), "then": ""}], "left": [], "derived": 0}
    assert only_row(spoiled, "--state", "rejected")["decided_by"] == "eve"
    assert spoiled("backfill", "AAPL", "--timeframe", "15m", *DAYS).returncode == 0


def test_what_is_derived_follows_at_once(spoiled: Shell) -> None:
    """The hour around a row is there once that is accepted, gone once that is undone, and never over a rejected one."""
    spoiled("backfill", "AAPL", "--timeframes", "15m,1h", *DAYS)
    number = str(only_row(spoiled)["id"])

    def hours() -> int:
        counted = spoiled("sql", "select count(*) from ohlc_bars where timeframe = 'h1'", "--csv").stdout
        return int(counted.split()[-1])

    before = hours()
    accepted = spoiled("quarantine", "accept", number)
    with_it = hours()
    undone = spoiled("quarantine", "undo", number)
    without_it = hours()
    rejected = spoiled("quarantine", "reject", number)

    assert (accepted.returncode, undone.returncode, rejected.returncode) == (0, 0, 0), accepted.stderr
    assert (before, with_it, without_it, hours()) == (13, 14, 13, 13)
    assert "Derived: 1 bar of 1h.\n" in accepted.stdout


def test_many_rows_are_decided_on_by_filter(spoiled: Shell) -> None:
    """With --all and a word of consent; without it nothing happens."""
    asked = spoiled("quarantine", "reject", "--rule", "Q05", "--all")
    none = spoiled("quarantine", "reject", "--rule", "Q06", "--all", "--yes")
    done = spoiled("quarantine", "reject", "--symbol", "AAPL", "--rule", "Q05", "--all", "--yes")

    assert (asked.returncode, asked.stderr) == (
        2,
        "Error: 1 row would be decided on (Q05: 1). Add --yes to do it.\n",
    )
    assert none.stdout == "No rows like that.\n"
    assert done.stdout.startswith("Rejected: row ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("accept",), "No rows are named"),
        (("accept", "1", "--all"), "Give one of them"),
        (("accept", "1", "--rule", "Q05"), "Give one of them"),
        (("undo", "x"), "is not the id of a quarantined row"),
        (("show", "77"), "There is no quarantined row 77"),
        (("list", "--symbol", "NOPE"), "not on record"),
        (("list", "--rule", "W10"), "is not one of"),
    ],
)
def test_what_cannot_be_meant_is_told(shell: Shell, arguments: tuple[str, ...], text: str) -> None:
    """With what to give instead."""
    done = shell("quarantine", *arguments)

    assert done.returncode in (1, 2)
    assert text in done.stderr


def test_x10_x11_texts_of_others_are_only_read(shell: Shell, database: Database) -> None:
    """Escape sequences, direction overrides and markup in a row are written out, in the list and when it is shown."""
    with database.connection() as conn:
        conn.execute(
            "insert into quarantined_bars (symbol, timeframe, rule, reason, raw, provider, feed) values (%s, 'm15', "
            "'Q16', %s, %s, 'alpaca', 'sip')",
            ("\x1b[2J=cmd()" + "A" * 10_000, "\x1b]0;owned\x07 [red]x[/] \u202e", "<img src=x>\x9b31m\r\n\x1b[8m"),
        )

    outputs = [shell("quarantine", "list").stdout, shell("quarantine", "show", "1").stdout]

    for output in outputs:
        assert not any(char in output for char in "\x1b\x07\x9b\r\u202e")
        assert "\\x1b" in output
        assert len(output) < 10_000


def test_every_rule_that_quarantines_can_be_named(shell: Shell) -> None:
    """The filter knows all hard rules."""
    assert {"Q01", "Q20", "Q30", "S03", "S04"} <= set(RULES)
    assert all(rule in shell("quarantine", "list", "--help").stdout for rule in RULES)


def test_warnings_are_listed(shell: Shell, exchange: SimulatedExchange) -> None:
    """By filter, with what looks wrong and counts; rules that name no bar cannot be asked for."""
    exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "D07", "args": {"by": 5}}])
    assert shell("backfill", "AAPL", "--timeframe", "15m", *DAYS).returncode == 0

    listed = shell("quarantine", "warnings", "--symbol", "AAPL", "--rule", "W10")
    found = json.loads(shell("quarantine", "warnings", "--rule", "W10", "--json").stdout)

    assert "outside of low" in listed.stdout
    assert listed.stdout.endswith("1 warning (W10: 1)\n")
    assert [(one["symbol"], one["timeframe"], one["rule"]) for one in found["warnings"]] == [("AAPL", "15m", "W10")]
    assert found["counts"] == {"W10": 1}
    assert shell("quarantine", "warnings", "--rule", "W10", "--end", "2026-09-14").stdout == "No warnings like that.\n"
    assert shell("quarantine", "warnings", "--rule", "W03").returncode == 2

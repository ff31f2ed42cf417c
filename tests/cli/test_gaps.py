"""`barfill gaps`: found, explained, filled, settled and taken back, as a user meets them."""

from __future__ import annotations

import json

import pytest

from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

DAY = ("--start", "2026-06-02", "--end", "2026-06-03")
DELETED = "delete from ohlc_bars where timeframe = 'm15' and ts between '2026-06-02 15:00+00' and '2026-06-02 16:44+00'"
HOURS = "select ts, open, high, low, close, volume from ohlc_bars where timeframe = 'h1' order by ts"


@pytest.fixture
def lacking(shell: Shell, database: Database) -> Shell:
    """A database that has lost seven quarter hours of AAPL."""
    assert shell("backfill", "AAPL", "--timeframe", "15m", *DAY).returncode == 0
    with database.connection() as conn:
        conn.execute(DELETED)
    return shell


def test_bars_that_are_gone_are_found_explained_and_filled(lacking: Shell) -> None:
    """They are missing again; an explanation says why and what is next; --fill asks for them, and nothing else."""
    listed = json.loads(lacking("gaps", "--json").stdout)
    shown = lacking("gaps", "AAPL", "--explain")
    filled = lacking("gaps", "AAPL", "--fill")
    again = lacking("gaps", "AAPL", "--fill", "--json")

    assert [(gap["kind"], gap["expected_bars"]) for gap in listed["gaps"]] == [("missing", 7)]
    assert listed["gone_from_the_table"] == 7
    for text in (
        "AAPL 15m  2026-06-02 15:00 to 2026-06-02 16:45 UTC",
        "expected  7 bars of 15m that the calendar XNYS lets one expect",
        "not yet: it was fetched before, and its bars are gone from the table",
        "the symbol usually has 100.0 % of its bars: a quiet bar is rare",
        "kind      missing: ",
        "next      asked again by the next backfill",
    ):
        assert text in shown.stdout
    assert filled.returncode == 0, filled.stderr
    assert "1 gap asked for in 1 call: 1 filled, 0 settled, 0 still open." in filled.stdout
    assert json.loads(again.stdout) == {"filled": [], "settled": [], "remaining": [], "calls_made": 0}


def test_a_gap_is_settled_by_its_id_and_taken_back(lacking: Shell) -> None:
    """It counts as accounted for, with the reason; taken back it is what it was before."""
    (gap,) = json.loads(lacking("gaps", "--json").stdout)["gaps"]

    named = ("--id", str(gap["id"]))
    settled = lacking("gaps", *named, "--settle", "T12 halt", "--as", "halted")
    done = lacking("backfill", "AAPL", "--timeframe", "15m", *DAY)
    shown = lacking("gaps", *named, "--explain")
    taken_back = lacking("gaps", *named, "--unsettle")
    (after,) = json.loads(lacking("gaps", "--json").stdout)["gaps"]

    assert settled.stdout == "1 gap settled; --unsettle takes it back.\n"
    assert (done.returncode, "Done: complete." in done.stdout) == (0, True)
    assert "halted: trading in the symbol was halted" in shown.stdout
    assert "a person: settled as halted: T12 halt" in shown.stdout
    assert "by a person" in shown.stdout
    assert taken_back.stdout == "1 gap open again and due.\n"
    assert (after["id"], after["kind"], after["settled_at"]) == (gap["id"], "missing", None)
    assert after["reason"] == gap["reason"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--settle", "why"), "Name the symbols, or the gaps with --id"),
        (("--unsettle",), "Name the symbols, or the gaps with --id"),
        (("AAPL", "--fill", "--unsettle"), "exclude each other"),
        (("AAPL", "--as", "halted"), "--as says what --settle settles them as"),
        (("AAPL", "--settle", " "), "Say why"),
    ],
)
def test_what_makes_no_sense_is_refused(lacking: Shell, arguments: tuple[str, ...], says: str) -> None:
    """Exit code 2, one sentence, nothing changed."""
    done = lacking("gaps", *arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert json.loads(lacking("gaps", "--settled", "--json").stdout)["gaps"][0]["settled_at"] is None


def test_what_was_never_asked_for_is_listed_on_request(shell: Shell, exchange: SimulatedExchange) -> None:
    """Between two days that were fetched."""
    shell("backfill", "AAPL", "--timeframe", "1d", *DAY)
    shell("backfill", "AAPL", "--timeframe", "1d", "--start", "2026-06-08", "--end", "2026-06-09")

    shown = shell("gaps", "AAPL", "--uncovered")
    listed = json.loads(shell("gaps", "AAPL", "--uncovered", "--json").stdout)["uncovered"]

    assert [(one["kind"], one["expected_bars"], one["timeframe"]) for one in listed] == [("uncovered", 3, "1d")]
    assert "uncovered  AAPL 1d" in shown.stdout


@pytest.mark.parametrize("is_settled_between", [False, True])
def test_what_was_made_of_the_bars_around_is_made_anew(
    shell: Shell, database: Database, is_settled_between: bool
) -> None:
    """
    Once the minutes are back, hours are as they were, even those that were made without them while they counted as
    halted.
    """
    assert shell("backfill", "AAPL", "--timeframes", "1m,1h", *DAY).returncode == 0
    before = shell("sql", HOURS).stdout
    with database.connection() as conn:
        conn.execute(DELETED.replace("m15", "m1"))
    (gap,) = json.loads(shell("gaps", "--json").stdout)["gaps"]
    if is_settled_between:
        shell("gaps", "--id", str(gap["id"]), "--settle", "T12 halt", "--as", "halted")
        shell("resample", "AAPL", "--timeframes", "1h")
        assert shell("sql", HOURS).stdout != before
        shell("gaps", "--id", str(gap["id"]), "--unsettle")

    filled = shell("gaps", "AAPL", "--fill")

    assert filled.returncode == 0, filled.stderr
    assert shell("sql", HOURS).stdout == before
    assert shell("verify", "AAPL").returncode == 0
    assert " 0 " in shell("resample", "--rebuild").stdout

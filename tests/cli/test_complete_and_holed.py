"""Two cases that other tools get wrong: a complete series, and a session of which nearly everything is absent."""

from __future__ import annotations

import json
from typing import Any

from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

TWO_WEEKS = ("--start", "2026-06-15", "--end", "2026-06-27")
"""Nine sessions: 19 June is a holiday, and there are weekends within and behind."""
AROUND = ("--start", "2026-07-13", "--end", "2026-07-16")
"""Three summer sessions of 26 quarters of an hour each."""
FIRST, LAST = "2026-07-14T13:45:00+00:00", "2026-07-14T19:45:00+00:00"
"""The second quarter of the session in the middle, and the one behind the 24 that are taken away: its last."""
BARS = "select ts, open, high, low, close, volume from ohlc_bars where timeframe = %s order by ts"
ABSENT = 24


def line(**match: Any) -> dict[str, Any]:
    """A line of a fault script under which 24 of the 26 quarters do not come."""
    match = {"symbol": "AAPL", "timeframe": "m15", **match}
    return {"match": match, "fault": "D20", "args": {"at": FIRST, "until": LAST}}


def bars(database: Database, timeframe: str) -> list[tuple[Any, ...]]:
    """What the table holds of a timeframe."""
    with database.connection() as conn:
        return conn.execute(BARS, (timeframe,)).fetchall()


def gaps(shell: Shell) -> list[dict[str, Any]]:
    """What `barfill gaps` lists of all kinds."""
    listed: dict[str, Any] = json.loads(shell("gaps", "AAPL", "--settled", "--json").stdout)
    return [gap for gap in listed["gaps"] if gap["timeframe"] == "15m"]


def backfill(shell: Shell, *options: str) -> tuple[int, dict[str, Any]]:
    """A backfill of the quarters around the session: exit code and report."""
    done = shell("backfill", "AAPL", "--timeframes", "15m", *AROUND, *options, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


def test_two_complete_weeks_of_days_have_no_gap_and_gain_no_rows(
    shell: Shell, exchange: SimulatedExchange, database: Database
) -> None:
    """Neither weekends nor a holiday are gaps, and no later backfill, in full or not, adds a bar."""
    first = shell("backfill", "AAPL", "--timeframes", "1d", *TWO_WEEKS)
    stored = bars(database, "d1")
    exchange.forget_requests()

    again = shell("backfill", "AAPL", "--timeframes", "1d", *TWO_WEEKS)
    asked = list(exchange.requests)
    in_full = shell("backfill", "AAPL", "--timeframes", "1d", *TWO_WEEKS, "--full")

    assert [done.returncode for done in (first, again, in_full)] == [0, 0, 0]
    assert len(stored) == 9
    assert asked == []
    assert bars(database, "d1") == stored
    listed = json.loads(shell("gaps", "AAPL", "--settled", "--json").stdout)
    assert listed == {"gaps": [], "counts": {}, "gone_from_the_table": 0}


def test_24_of_26_bars_that_do_not_come_are_reported_and_refilled(
    shell: Shell, exchange: SimulatedExchange, database: Database
) -> None:
    """One gap of 24 bars with exact edges, exit code 3; once they come, they are stored, and nothing is open."""
    exchange.set_faults([line()])

    code, report = backfill(shell)

    assert code == 3
    assert len(bars(database, "m15")) == 3 * 26 - ABSENT
    (gap,) = gaps(shell)
    assert (gap["kind"], gap["expected_bars"], gap["gap_from"], gap["gap_to"]) == ("missing", ABSENT, FIRST, LAST)
    assert [one["expected_bars"] for one in report["gaps_detected"]] == [ABSENT]

    exchange.set_faults([])
    code, report = backfill(shell, "--full")

    assert code == 0
    assert len(bars(database, "m15")) == 3 * 26
    assert gaps(shell) == []
    counted = {name: report["summary"][f"gaps_{name}"] for name in ("detected", "filled", "settled", "remaining")}
    assert counted == {"detected": 1, "filled": 1, "settled": 0, "remaining": 0}


def test_24_of_26_bars_that_come_late_are_refilled_by_the_same_command(
    shell: Shell, exchange: SimulatedExchange, database: Database
) -> None:
    """What the first answer lacks is asked for again at once, and told as detected and as filled."""
    exchange.set_faults([line(times=1)])

    code, report = backfill(shell)

    assert code == 0
    assert len(bars(database, "m15")) == 3 * 26
    assert (report["summary"]["gaps_detected"], report["summary"]["gaps_filled"]) == (1, 1)
    assert [one["expected_bars"] for one in report["gaps_filled"]] == [ABSENT]
    assert gaps(shell) == []


def test_24_of_26_bars_that_were_deleted_come_back_in_full(
    shell: Shell, exchange: SimulatedExchange, database: Database
) -> None:
    """Somebody has deleted bars from the table: `--full` asks for them again, and they are what they were."""
    backfill(shell)
    before = bars(database, "m15")
    with database.connection() as conn:
        gone = conn.execute("delete from ohlc_bars where timeframe = 'm15' and ts >= %s and ts < %s", (FIRST, LAST))
    assert gone.rowcount == ABSENT
    exchange.forget_requests()

    code, report = backfill(shell, "--full")

    assert (code, report["summary"]["bars_written"]) == (0, ABSENT)
    assert exchange.requests
    assert bars(database, "m15") == before

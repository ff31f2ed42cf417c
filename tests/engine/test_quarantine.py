"""What people decide about quarantined rows: accepted, rejected, undone, with coverage and gaps that stay true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.findings import is_open
from barfill.engine.quarantine import Decided, accept, find_rows, reject, undo
from barfill.engine.recheck import RecheckRequest, recheck
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN
from barfill.errors import QuarantinedNotFound
from barfill.store.gaps import list_gaps
from barfill.store.quarantine import Quarantined, QuarantineFilter, decisions_on, list_quarantined
from barfill.store.series import read_series
from tests.engine.honesty import TWO_DAYS, line
from tests.engine.rig import NYSE, Rig

M15, H1 = Timeframe.M15, Timeframe.H1


def spoiled(rig: Rig, fault: str = "D02", **args: Any) -> Rig:
    """Two days of quarters of one symbol, of which the provider always sends one bar that breaks a rule."""
    rig.exchange.set_faults([line(fault, {"symbol": "AAPL"}, **args)])
    rig.backfill(["AAPL"], [M15], TWO_DAYS)
    return rig


def rows_of(rig: Rig) -> list[Quarantined]:
    return rig.database.run(list_quarantined, QuarantineFilter())


def decide(rig: Rig, verb: Any, rows: Sequence[Quarantined], **more: Any) -> Decided:
    ids = [row.id for row in rows]
    decided: Decided = verb(rig.database, find_rows(rig.database, ids), who="ann", **more)
    return decided


def accounts(rig: Rig, timeframe: Timeframe = M15) -> tuple[int, int]:
    """
    How many bars are stored, and how many are gaps. Together they are what the calendar expects, each once.
    """
    ((symbol_id, _), row), *_ = rig.database.run(read_series, None, [timeframe]).items()
    gaps = [one.gap for one in rig.database.run(list_gaps, timeframes=[timeframe])]
    stored = rig.stored("AAPL", timeframe)
    expected = NYSE.expected_starts(timeframe, TWO_DAYS).tolist()
    inside = {ts for gap in gaps for ts in NYSE.expected_starts(timeframe, gap.range).tolist()}
    assert set(expected) == set(stored) | inside
    assert not set(stored) & inside
    assert row.bar_count == len(stored)
    assert all(gap.symbol_id == symbol_id and gap.expected_bars for gap in gaps)
    open_ranges = Ranges(gap.range for gap in gaps if gap.kind == "quarantined")
    assert not row.covered & (open_ranges.hull or Range(TWO_DAYS.end, TWO_DAYS.end + timedelta(1)))
    assert sum(gap.expected_bars for gap in gaps) == len(inside)
    return len(stored), len(inside)


def test_an_accepted_row_is_a_bar(rig: Rig) -> None:
    """It is stored as it was sent, final and covered; its gap is closed, and who decided is on record."""
    spoiled(rig)
    (row,) = rows_of(rig)
    whole = sum(accounts(rig))
    assert (row.rule, row.state, accounts(rig)[1]) == ("Q05", "open", 1)

    decided = decide(rig, accept, [row], note="checked")

    assert (decided.done, decided.left) == ([row.id], {})
    assert accounts(rig) == (whole, 0)
    stored = rig.query("select open, close, provider, feed, data_status from ohlc_bars where ts = %s", row.ts)
    assert stored == [(0.0, 0.0, row.provider, row.feed, "final")]
    (after,) = rows_of(rig)
    assert (after.state, after.decided_by, after.note) == ("accepted", "ann", "checked")
    rig.exchange.set_faults([])
    assert rig.backfill(["AAPL"], [M15], TWO_DAYS).exit_code == EXIT_COMPLETE


def test_an_equal_page_changes_nothing_of_an_accepted_bar(rig: Rig) -> None:
    """The provider sends the same row again and again: the bar stays, nothing is asked for or revised by it."""
    spoiled(rig)
    (row,) = rows_of(rig)
    decide(rig, accept, [row])
    before = rig.query("select ohlc_bars::text from ohlc_bars order by ts")

    report = rig.backfill(["AAPL"], [M15], TWO_DAYS, is_full=True)

    assert report.exit_code == EXIT_COMPLETE
    assert rig.query("select ohlc_bars::text from ohlc_bars order by ts") == before
    assert rig.query("select count(*) from bar_revisions") == [(0,)]
    assert [one.state for one in rows_of(rig)] == ["accepted"]


def test_another_value_of_the_provider_is_a_correction(rig: Rig) -> None:
    """What was accepted gives way to what the provider corrects, and is a revision then; undoing leaves that alone."""
    spoiled(rig)
    (row,) = rows_of(rig)
    decide(rig, accept, [row])
    rig.exchange.set_faults([])

    rig.backfill(["AAPL"], [M15], TWO_DAYS, is_full=True)

    assert rig.stored("AAPL", M15) == rig.truth("AAPL", M15, TWO_DAYS)
    assert rig.query("select close from bar_revisions") == [(0.0,)]
    decided = decide(rig, undo, rows_of(rig))
    assert "replaced meanwhile" in decided.told[row.id]
    assert rig.stored("AAPL", M15) == rig.truth("AAPL", M15, TWO_DAYS)
    assert [one.state for one in rows_of(rig)] == ["superseded"]


def test_undoing_takes_an_accepted_bar_out_again(rig: Rig) -> None:
    """Bars, coverage and gap are as they were; what was believed meanwhile is a revision, the decision stays told."""
    spoiled(rig)
    (row,) = rows_of(rig)
    before = accounts(rig), rig.stored("AAPL", M15), rig.database.run(read_series, None, [M15])
    decide(rig, accept, [row])

    decided = decide(rig, undo, [row])

    assert "gap is open again" in decided.told[row.id]
    after = accounts(rig), rig.stored("AAPL", M15), rig.database.run(read_series, None, [M15])
    assert after[:2] == before[:2]
    assert [one.covered for one in after[2].values()] == [one.covered for one in before[2].values()]
    assert rig.query("select ts, close from bar_revisions") == [(row.ts, 0.0)]
    (past,) = rig.database.run(decisions_on, row.id)
    assert (past.decision, past.decided_by, past.undone_by) == ("accepted", "ann", "ann")
    rig.exchange.set_faults([])
    rig.change("update series_gaps set next_check_at = now()")
    assert rig.backfill(["AAPL"], [M15], TWO_DAYS).exit_code == EXIT_COMPLETE


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_what_the_table_cannot_hold_is_refused(rig: Rig, value: str) -> None:
    """A high below its low, and what is no number, cannot be accepted; the reason is told, nothing is changed."""
    spoiled(rig, "D04")
    (row,) = rows_of(rig)
    before = accounts(rig)

    decided = decide(rig, accept, [row])

    assert decided.done == []
    assert "high_is_highest" in decided.left[row.id]
    rig.change(f'update quarantined_bars set raw = replace(raw, \'"close": \', \'"close": "{value}", "was": \')')
    assert "the table refuses it" in decide(rig, accept, [row]).left[row.id]
    assert (accounts(rig), [one.state for one in rows_of(rig)]) == (before, ["open"])


def test_one_that_is_refused_does_not_hold_up_the_others(rig: Rig) -> None:
    """Of two rows of one series the one that can be stored is."""
    rig.exchange.set_faults([line("D04", {"symbol": "AAPL"}, row=2), line("D02", {"symbol": "AAPL"}, row=9)])
    rig.backfill(["AAPL"], [M15], TWO_DAYS)
    rows = {row.rule: row for row in rows_of(rig)}
    decided = decide(rig, accept, list(rows.values()))

    assert (decided.done, list(decided.left)) == ([rows["Q05"].id], [rows["Q06"].id])


def test_of_two_rows_of_one_bar_one_can_be_accepted(rig: Rig) -> None:
    """Contradicting rows (Q11) are told apart by a person: one becomes the bar, the other is refused after that."""
    spoiled(rig, "D11", form="different")
    rows = rows_of(rig)
    assert [row.rule for row in rows] == ["Q11", "Q11"]

    both = decide(rig, accept, rows)
    one = decide(rig, accept, rows[:1])
    other = decide(rig, accept, rows[1:])

    assert set(both.left.values()) == {f"rows {rows[0].id}, {rows[1].id} are of one bar: accept one of them"}
    assert one.done == [rows[0].id]
    assert f"row {rows[0].id} of the same bar was accepted" in other.left[rows[1].id]
    assert accounts(rig)[1] == 0


def test_a_rejected_row_is_not_asked_for_again(rig: Rig) -> None:
    """The gap stays on record, settled: the backfill is complete, and asks for nothing however often it runs."""
    spoiled(rig)
    (row,) = rows_of(rig)
    present, absent = accounts(rig)

    decided = decide(rig, reject, [row], note="a test print")

    assert (decided.done, accounts(rig)) == ([row.id], (present, absent))
    (gap,) = rig.database.run(list_gaps)
    assert (gap.gap.kind, is_open(gap), "rejected" in gap.gap.reason) == ("quarantined", False, True)
    rig.exchange.forget_requests()
    report = rig.backfill(["AAPL"], [M15], TWO_DAYS)
    assert (report.exit_code, rig.bar_requests()) == (EXIT_COMPLETE, 0)


def test_a_rejection_holds_against_the_same_row(rig: Rig) -> None:
    """The provider sends the row again on a full read: the gap stays settled. Another bad row opens it again."""
    spoiled(rig)
    decide(rig, reject, rows_of(rig))

    report = rig.backfill(["AAPL"], [M15], TWO_DAYS, is_full=True)

    assert report.exit_code == EXIT_COMPLETE
    assert [one.state for one in rows_of(rig)] == ["rejected"]
    ts = rows_of(rig)[0].ts
    rig.exchange.set_faults([line("D03", {"symbol": "AAPL"})])
    report = rig.backfill(["AAPL"], [M15], TWO_DAYS, is_full=True)
    assert {(one.ts == ts, one.state) for one in rows_of(rig)} == {(True, "rejected"), (True, "open")}
    assert report.exit_code == EXIT_GAPS_REMAIN


def test_a_good_row_overtakes_a_rejection(rig: Rig) -> None:
    """What was rejected is the row, not the bar: a corrected one is stored."""
    spoiled(rig)
    decide(rig, reject, rows_of(rig))
    rig.exchange.set_faults([])

    rig.backfill(["AAPL"], [M15], TWO_DAYS, is_full=True)

    assert rig.stored("AAPL", M15) == rig.truth("AAPL", M15, TWO_DAYS)
    assert accounts(rig)[1] == 0


def test_one_rejected_of_two_leaves_the_gap_open(rig: Rig) -> None:
    """As long as a row of a bar is undecided its gap is asked for; only when all are rejected it is settled."""
    spoiled(rig, "D11", form="different")
    one, other = rows_of(rig)

    decide(rig, reject, [one])
    still = [is_open(gap) for gap in rig.database.run(list_gaps)]
    decide(rig, reject, [other])

    assert (still, [is_open(gap) for gap in rig.database.run(list_gaps)]) == ([True], [False])


def test_undoing_a_rejection_has_the_bar_asked_for(rig: Rig) -> None:
    """The gap is open and due again, and fills."""
    spoiled(rig)
    rows = rows_of(rig)
    before = accounts(rig)
    decide(rig, reject, rows)

    decided = decide(rig, undo, rows)

    assert decided.told == {rows[0].id: "its gap is open again, and will be asked for"}
    assert accounts(rig) == before
    rig.exchange.set_faults([])
    assert rig.backfill(["AAPL"], [M15], TWO_DAYS).exit_code == EXIT_COMPLETE
    assert rig.stored("AAPL", M15) == rig.truth("AAPL", M15, TWO_DAYS)


def test_an_accepted_row_that_replaces_a_bar_gives_it_back(rig: Rig) -> None:
    """A bar came in its place before: accepted, the row takes it over and the bar is a revision; undone, it is back."""
    spoiled(rig, "D18", value=1e16)
    rig.exchange.set_faults([])
    rig.change("update series_gaps set next_check_at = now()")
    rig.backfill(["AAPL"], [M15], TWO_DAYS)
    (row,) = rows_of(rig)
    truth = rig.stored("AAPL", M15)
    assert row.state == "superseded"

    decide(rig, accept, [row])
    accepted = rig.query("select volume from ohlc_bars where ts = %s", row.ts)
    revised = rig.query("select count(*) from bar_revisions")
    decided = decide(rig, undo, [row])

    assert (accepted, revised) == ([(1e16,)], [(1,)])
    assert decided.told == {row.id: "the bar that it had replaced is back"}
    assert rig.stored("AAPL", M15) == truth
    assert rig.query("select count(*) from bar_revisions") == [(2,)]


def test_what_is_made_of_an_accepted_bar_follows(rig: Rig) -> None:
    """The hour that lacked a quarter is made with it, and lacks it again once that is undone."""
    rig.exchange.set_faults([line("D18", {"symbol": "AAPL"}, value=1e16)])
    rig.backfill(["AAPL"], [M15, H1], TWO_DAYS)
    (row,) = (one for one in rows_of(rig) if one.timeframe is M15)
    hours = len(rig.stored("AAPL", H1))

    decide(rig, accept, [row])
    rig.backfill(["AAPL"], [M15, H1], TWO_DAYS)
    with_it = rig.stored("AAPL", H1)
    decide(rig, undo, [row])
    rig.backfill(["AAPL"], [M15, H1], TWO_DAYS)

    assert len(with_it) == hours + 1
    assert max(volume for *_, volume in with_it.values()) >= 1e16
    covered = next(iter(rig.database.run(read_series, None, [H1]).values())).covered
    assert row.ts is not None
    assert not covered & Range(row.ts, row.ts + timedelta(minutes=15))


def test_rows_without_a_place_cannot_be_accepted_and_can_be_rejected(rig: Rig) -> None:
    """Off the grid (Q03): no bar of the timeframe starts there."""
    spoiled(rig, "D13", rows=1)
    row = rows_of(rig)[0]

    accepted = decide(rig, accept, [row])
    rejected = decide(rig, reject, [row])

    assert row.rule == "Q03"
    assert "is not where a bar of 15m starts" in accepted.left[row.id]
    assert rejected.done == [row.id]
    assert decide(rig, undo, [row]).done == [row.id]


def test_decisions_are_made_once(rig: Rig) -> None:
    """What is decided stays decided until it is undone; what is not cannot be undone; unknown rows are told."""
    spoiled(rig)
    rows = rows_of(rig)
    stale = find_rows(rig.database, [rows[0].id])

    assert "nothing stands" in decide(rig, undo, rows).left[rows[0].id]
    decide(rig, reject, rows)
    assert "ann has rejected it already" in decide(rig, accept, rows).left[rows[0].id]
    assert "meanwhile" in accept(rig.database, stale, who="bob").left[rows[0].id]
    assert "meanwhile" in reject(rig.database, stale, who="bob").left[rows[0].id]
    with pytest.raises(QuarantinedNotFound, match="no quarantined row 77"):
        find_rows(rig.database, [77])


def test_verify_believes_what_a_person_accepted(rig: Rig) -> None:
    """A bar that breaks a rule by a person's word is no breach."""
    spoiled(rig)
    decide(rig, accept, rows_of(rig))

    report = recheck(rig.database, RecheckRequest(symbol_ids=None, timeframes=(M15,)))

    assert report.by_rule == {}


_DECIDE = """
import sys
from barfill.engine.quarantine import accept, find_rows, reject, undo
from barfill.store.database import Database
url, verb, row_id = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Database(url) as database:
    {"accept": accept, "reject": reject, "undo": undo}[verb](database, find_rows(database, [row_id]), who="ann")
"""


def in_a_process(rig: Rig, verb: str, row: Quarantined, crash_at: str = "") -> int:
    command = [sys.executable, "-c", _DECIDE, rig.database.url, verb, str(row.id)]
    environment = os.environ | {"BARFILL_CRASH_AT": crash_at, "PYTHONPATH": "."}
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize(("verb", "point"), [("accept", "k8"), ("accept", "k9"), ("undo", "k9"), ("reject", "k9")])
def test_a_decision_that_is_killed_is_none(rig: Rig, verb: str, point: str) -> None:
    """SIGKILL before the end of its transaction: bars, coverage, gaps and decisions are as before, then it is done."""
    spoiled(rig)
    (row,) = rows_of(rig)
    if verb == "undo":
        decide(rig, accept, [row])
    before = accounts(rig), [one.state for one in rows_of(rig)]

    assert in_a_process(rig, verb, row, point) == -signal.SIGKILL
    assert (accounts(rig), [one.state for one in rows_of(rig)]) == before
    assert in_a_process(rig, verb, row) == 0
    expected = {"accept": "accepted", "undo": "open", "reject": "rejected"}[verb]
    assert [one.state for one in rows_of(rig)] == [expected]
    accounts(rig)

"""Gaps: what a page's answer does to those on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.decisions import settle, unsettle
from barfill.store.gaps import KnownGap, gap_changes, list_gaps, read_answers, record_failed, replace_gaps
from barfill.store.pages import write_derived
from barfill.store.writes import NEVER, OPEN_KINDS, Asked, GapKind, GapRecord
from tests.store.builders import START, add, minute, minutes, write


def gap(symbol_id: int, first: int, end: int, kind: GapKind = "missing", **more: Any) -> GapRecord:
    """A gap over whole minutes, each of them expected."""
    return GapRecord(symbol_id=symbol_id, range=minutes(first, end), expected_bars=end - first, kind=kind, **more)


def shown(database: Database) -> list[tuple[Any, ...]]:
    """The gaps on record as (first, end, expected bars, kind, attempts)."""
    listed = [one.gap for one in database.run(list_gaps)]
    number = timedelta(minutes=1)
    return [
        (
            (one.range.start - START) // number,
            (one.range.end - START) // number,
            one.expected_bars,
            one.kind,
            one.attempts,
        )
        for one in listed
    ]


def test_gap_goes_on_record_with_its_evidence(database: Database) -> None:
    """
    A gap keeps its kind, reason, when it is due, and the calendar that the expectation comes from.
    """
    (a,) = add(database, "A")
    record = gap(a, 3, 5, reason="asked", next_check_at=minute(90), calendar_version="v1")

    database.run(write_derived, write({a: {0: 10}}, {a: Ranges([minutes(0, 3), minutes(5, 9)])}, gaps=[record]))

    (listed,) = database.run(list_gaps)
    assert (listed.ticker, listed.timeframe, listed.gap.range) == ("A", Timeframe.M1, minutes(3, 5))
    assert (listed.gap.reason, listed.gap.next_check_at, listed.gap.calendar_version) == ("asked", minute(90), "v1")


def test_what_is_left_of_a_gap_counts_from_the_answer_that_brought_a_part(database: Database) -> None:
    """
    R14: an answer that fills a part of a gap does not agree with the one before; what it lacks is absent from now on.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({a: {0: 10}}, {a: Ranges([minutes(0, 3)])}, gaps=[gap(a, 3, 9)]))
    (first,) = database.run(list_gaps)

    left = gap(a, 7, 9, is_first_so=True)
    database.run(write_derived, write({a: {3: 10}}, {a: Ranges([minutes(3, 7)])}, gaps=[left]))
    (second,) = database.run(list_gaps)
    database.run(write_derived, write({}, {}, gaps=[gap(a, 7, 9, is_first_so=True)]))
    (third,) = database.run(list_gaps)

    assert first.gap.first_seen_at is not None
    assert second.gap.first_seen_at is not None
    assert (second.gap.range, second.gap.attempts) == (minutes(7, 9), 2)
    assert second.gap.first_seen_at > first.gap.first_seen_at
    assert third.gap.first_seen_at == second.gap.first_seen_at


def test_gap_seen_again_counts_an_attempt(database: Database) -> None:
    """
    The same range absent in a second answer keeps its row and its first sighting, and may change its kind.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 3, 5)]))
    (first,) = database.run(list_gaps)

    database.run(write_derived, write({}, {a: minutes(3, 5)}, gaps=[gap(a, 3, 5, "no_trade")]))

    (second,) = database.run(list_gaps)
    assert shown(database) == [(3, 5, 2, "no_trade", 2)]
    assert (second.gap.id, second.gap.first_seen_at) == (first.gap.id, first.gap.first_seen_at)
    assert second.gap.last_checked_at is not None
    assert first.gap.last_checked_at is not None
    assert second.gap.last_checked_at > first.gap.last_checked_at


def test_filled_gap_is_gone(database: Database) -> None:
    """
    A gap inside a newly proved range is no gap any more.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 3, 5)]))

    database.run(write_derived, write({a: {3: 10, 4: 10}}, {a: minutes(0, 9)}))

    assert shown(database) == []


def test_gap_partly_answered_is_trimmed(database: Database) -> None:
    """
    What an answer does not speak of stays on record with its history; what it lacks again counts an attempt.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 0, 10)]))

    database.run(
        write_derived, write({}, {a: Ranges([minutes(4, 5), minutes(6, 8)])}, gaps=[gap(a, 5, 6, reason="again")])
    )

    assert shown(database) == [(0, 4, 4, "missing", 1), (5, 6, 1, "missing", 2), (8, 10, 2, "missing", 1)]


def test_rest_without_expected_bars_is_no_gap(database: Database) -> None:
    """
    What is left of a trimmed gap is counted by the calendar; a rest in which nothing trades is dropped.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 0, 10)]))

    def expected(_symbol_id: int, part: Range) -> NDArray[np.int64]:
        return np.array([to_us(minute(number)) for number in range(3)] if part.start == minute(0) else [], np.int64)

    database.run(write_derived, write({}, {a: minutes(4, 8)}, expected=expected))

    assert shown(database) == [(0, 4, 3, "missing", 1)]


def test_other_series_keep_their_gaps(database: Database) -> None:
    """
    An answer for one symbol says nothing about another.
    """
    a, b = add(database, "A", "B")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 0, 2), gap(b, 0, 2)]))
    database.run(write_derived, write({}, {b: minutes(0, 9)}))

    assert [one.ticker for one in database.run(list_gaps)] == ["A"]


def test_failed_ranges_are_recorded_and_listed_by_filter(database: Database) -> None:
    """
    Ranges that were never answered are gaps of their own kind, found by kind, symbol, time and due date.
    """
    a, b = add(database, "A", "B")
    database.run(record_failed, Timeframe.M1, [gap(a, 0, 5, "failed", next_check_at=minute(1)), gap(b, 5, 9, "failed")])

    assert len(database.run(list_gaps, kinds=["failed"])) == 2
    assert database.run(list_gaps, kinds=["missing"]) == []
    assert [one.ticker for one in database.run(list_gaps, symbol_ids=[b])] == ["B"]
    assert [one.ticker for one in database.run(list_gaps, due_by=minute(2))] == ["A"]
    assert [one.ticker for one in database.run(list_gaps, within=minutes(5, 6))] == ["B"]
    assert database.run(list_gaps, timeframes=[Timeframe.D1]) == []


pairs = st.tuples(st.integers(0, 19), st.integers(1, 20)).filter(lambda pair: pair[0] < pair[1])
sets = st.lists(pairs, max_size=4).map(lambda found: Ranges(minutes(*pair) for pair in found))


@given(known=sets, proved=sets, missing=sets)
def test_record_is_what_was_and_what_the_answer_says(known: Ranges, proved: Ranges, missing: Ranges) -> None:
    """
    Afterwards the gaps are those of before outside the answer, and those of the answer inside, none twice.
    """
    before = [
        KnownGap(
            id=number, symbol_id=1, range=part, expected_bars=1, kind="missing", attempts=1, first_seen_at=START,
            last_checked_at=START, next_check_at=None, reason="", calendar_version="",
        )
        for number, part in enumerate(known)
    ]  # fmt: skip
    judged = proved | missing
    touched = [one for one in before if judged & one.range]

    changes = gap_changes(
        touched, {1: judged}, [GapRecord(symbol_id=1, range=part, expected_bars=1, kind="missing") for part in missing]
    )

    changed_ids = set(changes.removed) | {one.id for one in changes.seen_again}
    after = [one for one in before if one.id not in changed_ids] + [*changes.seen_again, *changes.added]
    assert Ranges(one.range for one in after) == (known - judged) | missing
    assert sum((one.range.length for one in after), timedelta()) == ((known - judged) | missing).length


def test_rest_of_a_quiet_stretch_is_counted_by_the_table(database: Database) -> None:
    """
    Bars lie between those that were quiet: what an answer leaves of the stretch lacks what is not stored, no more.
    """
    (a,) = add(database, "A")
    quiet = replace(gap(a, 0, 10, "no_trade"), expected_bars=4)
    stored = dict.fromkeys((1, 2, 3, 5, 7, 8), 10.0)
    database.run(write_derived, write({a: stored}, {a: minutes(0, 10)}, gaps=[quiet]))

    def expected(_symbol_id: int, part: Range) -> NDArray[np.int64]:
        return np.arange(to_us(part.start), to_us(part.end), 60_000_000)

    database.run(write_derived, write({a: {6: 10.0}}, {a: minutes(6, 9)}, expected=expected))

    assert shown(database) == [(0, 6, 2, "no_trade", 1), (9, 10, 1, "no_trade", 1)]


def test_evidence_is_kept_through_trimming_and_bounded(database: Database) -> None:
    """
    Each answer that lacks a gap is added, with run and request; the first two and the last eight stay.
    """
    (a,) = add(database, "A")
    for number in range(15):
        database.run(write_derived, write({}, {}, gaps=[gap(a, 0, 10)], request_id=f"r{number}"))
    database.run(write_derived, write({}, {a: minutes(0, 4)}))

    (listed,) = database.run(list_gaps)
    answers = database.run(read_answers, [listed.gap.id or 0])[listed.gap.id or 0]
    assert shown(database) == [(4, 10, 6, "missing", 15)]
    assert [one["request_id"] for one in answers] == ["r0", "r1", *(f"r{number}" for number in range(7, 15))]
    assert {one["outcome"] for one in answers} == {"answered, without these bars"}


def only(database: Database) -> KnownGap:
    """The one gap on record."""
    (listed,) = database.run(list_gaps)
    return listed.gap


def read_again(database: Database, record: GapRecord, number: int = 0) -> None:
    """An answer that lacks the bars of *record*."""
    asked = Asked(provider="alpaca", feed="sip", asked_at=minute(number), request_id=f"r{number}")
    database.run(replace_gaps, Timeframe.M1, {record.symbol_id: Ranges([record.range])}, [record], None, asked)


def test_only_answers_of_providers_are_attempts(database: Database) -> None:
    """
    What nobody was asked for counts no attempt, whatever its kind; nor does what a person says of it.
    """
    (a,) = add(database, "A")
    database.run(write_derived, write({}, {}, gaps=[gap(a, 3, 5, "quarantined")]))
    ids = [only(database).id or 0]
    database.run(settle, ids, "seen it")
    database.run(unsettle, ids)

    for kind in OPEN_KINDS:
        database.run(replace_gaps, Timeframe.M1, {a: Ranges([minutes(3, 5)])}, [gap(a, 3, 5, kind)])

    assert shown(database) == [(3, 5, 2, OPEN_KINDS[-1], 1)]


def test_a_settlement_is_taken_back_after_any_number_of_readings(database: Database) -> None:
    """
    The entry that says what was there before outlasts the answers after it, also in what is left of a trimmed gap.
    """
    (a,) = add(database, "A")
    for number in range(4):
        read_again(database, gap(a, 0, 10, reason="held"), number)
    database.run(settle, [only(database).id or 0], "T12", "halted")
    for number in range(4, 24):
        read_again(database, gap(a, 0, 10, reason="held again"), number)
    database.run(write_derived, write({}, {a: minutes(0, 4)}))
    left = only(database)
    kept = (left.kind, left.reason, left.settled_by)

    assert database.run(unsettle, [left.id or 0]) == [left.id]

    opened = only(database)
    assert kept == ("halted", "T12", "person")
    assert (opened.kind, opened.reason, opened.settled_by) == ("missing", "held", None)
    assert len(database.run(read_answers, [opened.id or 0])[opened.id or 0]) <= 11


def test_a_settlement_keeps_its_own_history_beside_a_longer_one(database: Database) -> None:
    """
    An exact answer may touch a gap with more answers: what the person had said is taken back from its own entry.
    """
    (a,) = add(database, "A")
    decided = KnownGap(
        id=1, symbol_id=a, range=minutes(0, 4), expected_bars=4, kind="halted", attempts=1, first_seen_at=START,
        last_checked_at=START, next_check_at=None, reason="T12", calendar_version="", settled_at=START,
        settled_by="person", answers=({"by": "person", "kind_before": "failed", "reason_before": "HTTP 500"},),
    )  # fmt: skip
    beside = replace(decided, id=2, kind="missing", settled_at=None, settled_by=None, answers=({"provider": "x"},) * 5)

    changes = gap_changes([decided, beside], {a: Ranges([minutes(0, 4)])}, [gap(a, 0, 4)])

    assert [one.answers for one in changes.seen_again] == [decided.answers]


def test_a_person_s_word_stands_within_a_longer_hole(database: Database) -> None:
    """
    An answer that lacks more than what a person has settled opens what is new on either side, and nothing else.
    """
    (a,) = add(database, "A")
    read_again(database, gap(a, 4, 8, reason="held"))
    database.run(settle, [only(database).id or 0], "T12", "halted")

    for _ in range(2):
        read_again(database, gap(a, 1, 10, reason="long"))

    found = [(one.gap.kind, one.gap.reason, one.gap.settled_by) for one in database.run(list_gaps)]
    assert [row[:4] for row in shown(database)] == [(1, 4, 3, "missing"), (4, 8, 4, "halted"), (8, 10, 2, "missing")]
    assert found == [("missing", "long", None), ("halted", "T12", "person"), ("missing", "long", None)]
    database.run(unsettle, [database.run(list_gaps)[1].gap.id or 0])
    assert [(one.gap.kind, one.gap.reason) for one in database.run(list_gaps)][1] == ("missing", "held")


def test_the_rule_s_own_conclusion_is_not_called_a_person_s(database: Database) -> None:
    """
    What an answer accounts for by itself replaces a person's settlement; taken back, it is asked for as missing.
    """
    (a,) = add(database, "A")
    read_again(database, gap(a, 0, 4, "failed", reason="HTTP 500"))
    ids = [only(database).id or 0]
    database.run(settle, ids, "T12", "halted")
    read_again(database, gap(a, 0, 4, "no_trade", reason="quiet", settled_at=minute(9)))
    by_rule = only(database)
    database.run(settle, ids, "looked at it")
    database.run(unsettle, ids)

    opened = only(database)
    assert (by_rule.kind, by_rule.reason, by_rule.settled_by) == ("no_trade", "quiet", "rule")
    assert (opened.kind, opened.reason, opened.is_settled) == ("missing", "quiet", False)


def test_rows_that_were_rejected_are_not_taken_back_as_a_gap(database: Database) -> None:
    """
    The rows stand rejected, so the gap stays settled until that is undone.
    """
    (a,) = add(database, "A")
    read_again(database, gap(a, 0, 4, "quarantined", reason="rejected", settled_at=minute(1), next_check_at=NEVER))

    assert database.run(unsettle, [only(database).id or 0]) == []
    assert (only(database).kind, only(database).is_settled) == ("quarantined", True)


WORDS = st.lists(
    st.one_of(
        st.tuples(st.just("settle"), st.sampled_from(["halted", "unavailable", None])),
        st.tuples(st.just("unsettle"), st.none()),
        st.tuples(st.just("read"), st.sampled_from([*OPEN_KINDS, "no_trade"])),
        st.tuples(st.just("trim"), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=WORDS)
def test_whatever_is_said_taking_it_back_brings_what_was_there(database: Database, words: list[Any]) -> None:
    """
    Of any sequence of settlements, answers and trimmings: a person's word stands until it is taken back or the bars are
    accounted for by themselves, and taking it back brings the open kind and the reason of before.
    """
    with database.connection() as conn:
        conn.execute("delete from series_gaps")
    (a,) = add(database, "A")
    first = 0
    read_again(database, gap(a, first, 40, reason="r0"))
    kind, reason, before = "missing", "r0", None
    for number, (word, value) in enumerate(words, start=1):
        (one,) = [listed.gap for listed in database.run(list_gaps)]
        if word == "settle":
            if before is None:
                before, reason = (kind, reason), f"s{number}"
                kind = value or kind
            database.run(settle, [one.id or 0], f"s{number}", value)
        elif word == "unsettle":
            database.run(unsettle, [one.id or 0])
            if before is not None:
                kind, reason = before[0] if before[0] in OPEN_KINDS else "missing", before[1]
            before = None
        elif word == "read":
            read_again(database, gap(a, first, 40, value, reason=f"r{number}"), number)
            if before is None or value not in OPEN_KINDS:
                kind, reason, before = value, f"r{number}", None
        else:
            first += 1
            database.run(write_derived, write({}, {a: minutes(first - 1, first)}))
        now = only(database)
        assert (now.kind, now.reason, now.settled_by == "person") == (kind, reason, before is not None)
        assert now.range == minutes(first, 40)

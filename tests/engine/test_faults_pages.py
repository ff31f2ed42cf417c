"""Every fault of the pages and their tokens, and of what a page is about, H20 to H34."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from barfill.core.ranges import to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_FAILED
from tests.engine.honesty import (
    PAIR,
    QUARTER,
    TWO_DAYS,
    FaultyRig,
    fails_with,
    in_turn,
    is_complete,
    leaves_gaps,
    line,
    nothing_is_silently_successful,
)
from tests.engine.rig import days
from tests.engine.test_faults_http import D1, EIGHT, M15, heals, recovers, stops


@pytest.mark.parametrize("timeframe", [M15, D1])
@pytest.mark.parametrize("form", ["short", "empty", "full_last"])
def test_h20_odd_pages_are_followed_to_the_null_token(faulty: FaultyRig, timeframe: Timeframe, form: str) -> None:
    """Short and empty pages with a token, and a last page with one, are no ends."""
    faulty.inject("H20", {"every": 2} if form != "full_last" else None, form=form)

    recovers(faulty, timeframe)


@pytest.mark.parametrize("count", [3, 4])
def test_h20_empty_pages_in_a_row_are_followed_or_asked_again(faulty: FaultyRig, count: int) -> None:
    """Three empty pages in a row are followed; a fourth makes the rest be asked for once more."""
    faulty.inject("H20", {"times": count}, form="empty")

    recovers(faulty)

    assert faulty.fired() == ["H20"] * count
    assert len(faulty.query("select id from job_runs")) == (1 if count == 3 else 2)


def test_h20_empty_pages_without_end_stop(faulty: FaultyRig) -> None:
    """A chain of nothing but empty pages stops with its reason; nothing is covered."""
    faulty.inject("H20", form="empty")

    stops(faulty, "BAD_RESPONSE", "empty_pages")


@pytest.mark.parametrize(("form", "reason"), [("AA", "page_loop"), ("ABAB", "page_loop"), ("distinct", "no_progress")])
def test_h21_endless_tokens_are_stopped(faulty: FaultyRig, form: str, reason: str) -> None:
    """A loop of tokens repeats one page at most per run and is called what it is; what was proved is kept."""
    faulty.page_size = 50
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H21", form=form)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert report.exit_code == EXIT_FAILED
    assert {failure.reason for failure in report.failures} == {reason}
    assert faulty.bar_requests() <= {"AA": 3, "ABAB": 4, "distinct": 2}[form]
    heals(faulty)


def test_h21_many_distinct_empty_pages_are_capped(faulty: FaultyRig) -> None:
    """New tokens without end stay within the expected pages and ten, also where every page moves on a little."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.page_size = 100
    faulty.inject("H20", form="short", rows=1)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "page_loop", symbols={one for gap in report.failures for one in gap.symbols})
    assert faulty.bar_requests() <= 3 + 10
    heals(faulty)


def test_h22_an_equal_boundary_row_is_collapsed(faulty: FaultyRig) -> None:
    """The last row of a page, sent again on the next one, is stored once."""
    faulty.inject("H22", form="equal")

    recovers(faulty)

    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


@pytest.mark.parametrize("timeframe", [M15, D1])
def test_h22_a_different_boundary_row_is_believed_on_neither_page(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """Where two pages tell a bar differently it is asked for again, and the newcomer is kept as evidence."""
    faulty.inject("H22", {"times": 4}, form="different")

    recovers(faulty, timeframe)

    assert faulty.query("select distinct rule from quarantined_bars") == [("Q11",)]


def test_h22_with_h32_rows_that_no_page_proved_contradict_too(faulty: FaultyRig) -> None:
    """A boundary row that differs is noticed also where the page before it came in no order and proved nothing."""
    faulty.exchange.set_faults(
        [line("H32", {"times": 8}, form="unsorted"), line("H22", {"times": 8}, form="different")]
    )

    recovers(faulty)

    assert ("Q11",) in faulty.query("select distinct rule from quarantined_bars")


def test_h22_boundary_rows_that_always_differ_stay_listed(faulty: FaultyRig) -> None:
    """Bars that every reading tells in two ways are in quarantine both ways, until the provider makes up its mind."""
    faulty.inject("H22", form="different")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    leaves_gaps(report, "quarantined")
    told = "select count(*), count(distinct raw::jsonb ->> 'close') from quarantined_bars where symbol = %s and ts = %s"
    for gap in report.gaps_remaining:
        assert to_us(gap.gap_from) not in faulty.stored(gap.symbol, M15)
        assert faulty.query(told, gap.symbol, gap.gap_from) == [(2, 2)]
    heals(faulty)


def test_h23_pages_without_progress_stop(faulty: FaultyRig) -> None:
    """A page with nothing behind the page before it ends its run; the next ones fetch the rest."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H23")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "no_progress")
    assert faulty.bar_requests() == 2
    heals(faulty)


def test_h24_a_stale_token_costs_one_request(faulty: FaultyRig) -> None:
    """After a token was refused, the rest is asked for from what is proved, without asking anything twice."""
    faulty.inject("H24", {"nth": 4})

    recovers(faulty)

    refused_bars = 1
    new_chain = 1
    assert faulty.bar_requests() <= math.ceil(180 / 20) + 1 + refused_bars + new_chain


def test_h24_a_run_resumed_with_a_stale_token_goes_on(faulty: FaultyRig) -> None:
    """A token kept from an earlier backfill and refused in the next one costs that one request."""
    faulty.backfill(PAIR, [M15], TWO_DAYS, max_calls=3)
    faulty.inject("H24", {"times": 1})

    recovers(faulty)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h26_a_redirect_is_never_followed(faulty: FaultyRig, status: int) -> None:
    """The run stops; the text names the target's host and nothing else of it."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H26", status=status, location="http://elsewhere.example/v9/secret-path?x=1")

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "redirect")
    assert "elsewhere.example" in report.failures[0].message
    assert "secret-path" not in report.failures[0].message
    assert faulty.bar_requests() == 1
    heals(faulty)


@pytest.mark.parametrize("form", ["renamed", "same_rows"])
def test_h27_rows_of_another_symbol_refuse_the_page(faulty: FaultyRig, form: str) -> None:
    """Neither foreign rows nor one symbol's rows under two names are stored; the text says what is wrong."""
    faulty.page_size = 50
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H27", {"nth": 2} if form == "same_rows" else None, form=form)

    report = faulty.backfill(PAIR, [D1], QUARTER)

    nothing_is_silently_successful(faulty, report, D1, QUARTER)
    assert report.exit_code == EXIT_FAILED
    assert {failure.reason for failure in report.failures} == {"wrong_symbol"}
    heals(faulty, D1)


@pytest.mark.parametrize("timeframe", [M15, D1])
@pytest.mark.parametrize("rows", [0, 1])
def test_h28_rows_of_other_years_are_asked_once_more(faulty: FaultyRig, timeframe: Timeframe, rows: int) -> None:
    """A page with rows far outside of the range is refused as a whole, once, and right the second time."""
    faulty.inject("H28", {"nth": 2}, rows=rows)

    recovers(faulty, timeframe)


def test_h28_rows_of_other_years_for_ever_stop(faulty: FaultyRig) -> None:
    """The run stops with the reason."""
    faulty.inject("H28")

    stops(faulty, "BAD_RESPONSE", "out_of_range")


@pytest.mark.parametrize(
    ("form", "both"), [("currency", ("EUR", "USD")), ("feed", ("iex", "sip")), ("basis", ("split", "raw"))]
)
def test_h29_another_variant_is_never_stored(faulty: FaultyRig, form: str, both: tuple[str, str]) -> None:
    """Another currency, feed or basis than asked stops the run, names both, and leaves the series alone."""
    faulty.inject("H29", form=form)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "wrong_variant")
    assert all(f"'{word}'" in report.failures[0].message for word in both)
    assert faulty.query("select count(*) from ohlc_bars") == [(0,)]
    heals(faulty)


@pytest.mark.parametrize("form", ["missing", "renamed", "text", "lengths"])
@pytest.mark.parametrize("field", ["c", "t"])
def test_h30_one_row_of_another_schema_is_kept_out(faulty: FaultyRig, form: str, field: str) -> None:
    """A row that lacks a field is quarantined, its bar asked for again."""
    faulty.page_size = 100
    faulty.inject("H30", {"times": 1}, form=form, field=field)

    recovers(faulty)


@pytest.mark.parametrize("form", ["missing", "renamed", "text", "lengths"])
def test_h30_a_page_of_another_schema_stops(faulty: FaultyRig, form: str) -> None:
    """Where no row of a page keeps the schema the run stops with the reason."""
    faulty.page_size = 1
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H30", form=form)

    report = faulty.backfill(PAIR, [D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, D1, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "schema")


def test_h30_an_unknown_extra_field_is_ignored(faulty: FaultyRig) -> None:
    """More than was asked for is no fault."""
    faulty.inject("H30", form="extra")

    recovers(faulty)

    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


TOO_LARGE: list[dict[str, Any]] = [
    {"form": "gzip_bomb", "megabytes": 80},
    {"form": "endless", "seconds": 2},
    {"form": "nesting"},
    {"form": "rows", "times": 3},
]


@pytest.mark.parametrize("args", TOO_LARGE, ids=lambda args: args["form"])
def test_h31_too_much_is_refused(faulty: FaultyRig, args: dict[str, Any]) -> None:
    """A bomb, a body without end, deep nesting and far too many rows stop the run; the rest is fetched later."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.timeouts = replace(faulty.timeouts, read_s=30, total_s=100)  # 64 MB on a busy machine take their time
    faulty.inject("H31", {"nth": 3}, **args)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert report.exit_code == EXIT_FAILED
    assert {failure.reason for failure in report.failures} == {"too_large"}
    heals(faulty)


def test_h31_a_few_more_rows_than_asked_are_taken(faulty: FaultyRig) -> None:
    """Twice the rows of a page are still a page."""
    faulty.inject("H31", form="rows", times=2)

    recovers(faulty)


@pytest.mark.parametrize("form", ["descending", "unsorted"])
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_h32_any_order_of_rows_is_sorted(faulty: FaultyRig, timeframe: Timeframe, form: str) -> None:
    """Rows in another order are stored as they are; nothing is proved by where a page of them ends."""
    faulty.page_size = 50
    faulty.inject("H32", form=form)

    recovers(faulty, timeframe)


@pytest.mark.parametrize("form", ["descending", "unsorted"])
@pytest.mark.parametrize("day", [14, 15, 16])
def test_h32_with_h15_what_a_cut_answer_in_no_order_lacks_is_held(faulty: FaultyRig, form: str, day: int) -> None:
    """Cut, an answer in no order lacks rows anywhere and not at its end: no bar that it lacks was quiet."""
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    session = days(f"2026-09-{day}", f"2026-09-{day + 1}")
    faulty.exchange.set_faults([line("H32", {"times": 1}, form=form), line("H15", {"times": 1})])

    report = faulty.backfill(["AAPL"], [M15], session)

    nothing_is_silently_successful(faulty, report, M15, session, ["AAPL"])
    leaves_gaps(report, "missing")
    faulty.heal()
    is_complete(faulty.backfill(["AAPL"], [M15], session))
    assert faulty.holds_the_truth(M15, session, ["AAPL"])


def test_h33_a_wrong_first_answer_is_corrected_by_the_next_reading(faulty: FaultyRig) -> None:
    """What only a second reading can show wrong is replaced by it; the value before is kept as a revision."""
    faulty.page_size = 100
    faulty.inject("H33", field="v", factor=1.5)
    faulty.backfill(PAIR, [M15], TWO_DAYS)
    assert not faulty.holds_the_truth(M15, TWO_DAYS)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS, is_full=True)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert faulty.holds_the_truth(M15, TWO_DAYS)
    assert faulty.query("select count(*) from bar_revisions") == [(report.summary.bars_changed,)]


def test_h34_a_list_too_long_is_halved_and_its_length_remembered(faulty: FaultyRig) -> None:
    """A 414 halves the batch; a later batch as long as that is not sent again."""
    faulty.settings = replace(faulty.settings, max_concurrent_jobs=1)
    faulty.page_size = 2_000
    faulty.inject("H34", longer_than=4)

    report = faulty.backfill(EIGHT, [M15, D1], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS, EIGHT)
    nothing_is_silently_successful(faulty, report, D1, TWO_DAYS, EIGHT)
    is_complete(report)
    assert faulty.fired() == ["H34"]


def test_h34_one_symbol_too_long_fails_alone(faulty: FaultyRig) -> None:
    """A list of one that is too long cannot be halved: it fails with a text, and nothing is covered."""
    faulty.inject("H34", longer_than=0)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert report.exit_code == EXIT_FAILED
    heals(faulty)


def test_every_way_to_end_a_chain_early_in_one_backfill(faulty: FaultyRig) -> None:
    """A false empty, a short page, a stale token and a cut page, one after the other, still end complete."""
    faulty.exchange.set_faults(
        [
            *in_turn("H20", [{"form": "short"}, {"form": "empty"}]),
            {"match": {"endpoint": "bars", "nth": 7}, "fault": "H24", "args": {}},
            {"match": {"endpoint": "bars", "nth": 9}, "fault": "H11", "args": {}},
            {"match": {"endpoint": "bars", "nth": 12}, "fault": "H15", "args": {}},
        ]
    )

    recovers(faulty)

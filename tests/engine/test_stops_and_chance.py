"""Backfills stopped after each page (R35), finished ones (R06), and random faults on random page layouts (R15, R28)."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_FAILED
from barfill.simulate import random_script
from barfill.simulate.faults import catalogue
from barfill.store.series import read_series
from tests.engine.honesty import (
    PAIR,
    TWO_DAYS,
    FaultyRig,
    is_complete,
    leaves_gaps,
    line,
    nothing_is_silently_successful,
)
from tests.engine.rig import days

D1, M15 = Timeframe.D1, Timeframe.M15
WEEK = days("2026-04-13", "2026-04-18")
BATCH = ("AAPL", "AMD", "BRK.B", "JPM", "MSFT", "NEWC", "SPY", "T", "THIN", "XOM")
"""NEWC is not listed yet and THIN may lack a day: absent symbols among the others."""

Row = tuple[str, int]


def all_rows(rig: FaultyRig, tickers: Sequence[str], wanted: Range) -> list[Row]:
    """Ticker and start of every daily row that the exchange sends for *wanted*, in its order."""
    return sorted(
        ((ticker, ts) for ticker in tickers for ts in rig.truth(ticker, D1, wanted)),
        key=lambda row: (row[0].encode(), row[1]),
    )


def covered_by_ticker(rig: FaultyRig, timeframe: Timeframe) -> dict[str, Ranges]:
    """What the ledger calls covered."""
    tickers = dict(rig.query("select id, ticker from symbols"))
    rows = rig.database.run(read_series, None, [timeframe])
    return {tickers[symbol_id]: row.covered for (symbol_id, _), row in rows.items()}


@pytest.mark.parametrize("page_size", [3, 4, 7, 20, 45, 500])
def test_r35_stopped_after_any_page_nothing_is_covered_beyond_its_proof(faulty: FaultyRig, page_size: int) -> None:
    """Of rows that no page has brought yet none is covered; absent symbols only when the last page is there."""
    faulty.page_size = page_size
    faulty.add_symbols(BATCH)
    rows = all_rows(faulty, BATCH, WEEK)
    whole = len(rows) // page_size + 1

    for brought in range(1, whole + 1):
        report = faulty.backfill(BATCH, [D1], WEEK, max_calls=1)
        nothing_is_silently_successful(faulty, report, D1, WEEK, BATCH)
        covered = covered_by_ticker(faulty, D1)
        unseen = rows[brought * page_size :]
        assert not [row for row in unseen if from_us(row[1]) in covered.get(row[0], Ranges())]
        assert brought == whole or not covered.get("NEWC")

    faulty.heal()
    faulty.backfill(BATCH, [D1], WEEK)
    assert faulty.holds_the_truth(D1, WEEK, BATCH)
    assert faulty.bar_requests() <= whole + 3, "more than the gaps of the absent symbols was asked for again"


@pytest.mark.parametrize("seed", range(4))
def test_r35_stopped_at_random_pages_of_random_sizes(faulty: FaultyRig, seed: int) -> None:
    """The page size may change between two backfills: what is covered is still stored, and the end is the truth."""
    rng = random.Random(seed)
    sys.stdout.write(f"seed {seed}\n")
    faulty.add_symbols(BATCH)

    for _ in range(8):
        faulty.page_size = rng.randint(1, 30)
        report = faulty.backfill(BATCH, [D1], WEEK, max_calls=rng.randint(1, 3))
        nothing_is_silently_successful(faulty, report, D1, WEEK, BATCH)

    faulty.heal()
    faulty.backfill(BATCH, [D1], WEEK)
    assert faulty.holds_the_truth(D1, WEEK, BATCH)


def test_r06_a_finished_backfill_writes_nothing_at_all(faulty: FaultyRig) -> None:
    """Also with quiet minutes, a late listing, a delisting and a split: no request and no new row version anywhere."""
    wanted = days("2025-03-03", "2025-04-05")
    tickers = ("AAPL", "GONE", "SPLT", "THIN")
    faulty.page_size = 1_000
    first = faulty.backfill(tickers, [Timeframe.M30, D1, Timeframe.W1], wanted)
    is_complete(first)
    tables = ("ohlc_bars", "series", "series_gaps", "bar_revisions", "quarantined_bars", "job_runs")
    versions = {table: faulty.query(f"select xmin::text, ctid::text from {table} order by 1, 2") for table in tables}
    faulty.exchange.forget_requests()

    again = faulty.backfill(tickers, [Timeframe.M30, D1, Timeframe.W1], wanted)

    is_complete(again)
    assert faulty.exchange.requests == []
    assert again.summary.bars_written == again.summary.bars_derived == 0
    for table in tables:
        assert faulty.query(f"select xmin::text, ctid::text from {table} order by 1, 2") == versions[table], table


def test_a_later_success_does_not_hide_another_ranges_failure(faulty: FaultyRig) -> None:
    """Where the newest slice of a series fails and an older one succeeds, the backfill has failed."""
    faulty.page_size = 2
    faulty.attempts = 1
    faulty.settings = replace(faulty.settings, max_concurrent_jobs=1, gap_attempts=0)
    faulty.inject("H10", {"nth": 3})
    wanted = days("2026-05-01", "2026-09-16")

    report = faulty.backfill(PAIR, [D1], wanted)

    nothing_is_silently_successful(faulty, report, D1, wanted)
    assert len(faulty.query("select id from job_runs where status = 'success'")) >= 1
    assert report.exit_code == EXIT_FAILED
    assert {failure.reason for failure in report.failures} == {"body"}


def test_symbols_that_were_complete_before_their_batch_failed_did_not_fail(faulty: FaultyRig) -> None:
    """A batch that breaks off in its second symbol fails that one, and the first is complete."""
    faulty.page_size = 100
    faulty.attempts = 1
    faulty.settings = replace(faulty.settings, gap_attempts=0)
    faulty.inject("H10", {"nth": 2})

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    assert [failure.symbols for failure in report.failures] == [("MSFT",)]
    assert faulty.holds_the_truth(M15, TWO_DAYS, ["AAPL"])


ENDLESS = frozenset({"H01", "H02", "H03", "H17", "H31"})
"""They wait for real seconds; their own tests are enough."""
BEYOND_KNOWING = frozenset({"D06", "D09", "D18", "D19", "D20", "D24", "D25", "H15", "H33"})
"""What they change can be as plausible as the truth: only a second reading tells."""
MISPLACED = frozenset({"D17"})
"""On a page that ends before the close it puts a row where only a later page may have one."""
OF_CALENDARS = frozenset({"T07"})
"""No request for bars meets them."""
SERIOUS = [one for one in catalogue() if one not in ENDLESS | BEYOND_KNOWING | MISPLACED | OF_CALENDARS]


LOSSY = ["H11", "H12", "H20", "H24", "D14", "D01", "H16", "H28", "D11", "H32", "H22"]
"""They take rows away, or make it hard to tell which are there."""


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_r15_random_faults_then_none_end_in_the_truth(faulty: FaultyRig, timeframe: Timeframe, seed: int) -> None:
    """While faults rain nothing is silently successful; after they end, one backfill makes all equal to the truth."""
    _faults_rain(faulty, timeframe, seed, lambda: random_script(seed, 10, SERIOUS, rate=0.12, seconds_max=0.2))


@pytest.mark.parametrize(
    ("timeframe", "seed"),
    [*((M15, seed) for seed in (200, 201, 213, 221, 245, 261, 273)), *((D1, seed) for seed in (237, 258, 270))],
)
def test_r15_rows_lost_in_every_fourth_answer(faulty: FaultyRig, timeframe: Timeframe, seed: int) -> None:
    """Bars that lossy answers lack, one or many, are never taken for bars without a trade."""
    _faults_rain(faulty, timeframe, seed, lambda: random_script(seed, 8, LOSSY, rate=0.25, seconds_max=0.2))


def _faults_rain(
    faulty: FaultyRig, timeframe: Timeframe, seed: int, make_script: Callable[[], list[dict[str, Any]]]
) -> None:
    rng = random.Random(seed)
    tickers = tuple(sorted(rng.sample(["AAPL", "AMD", "BRK.B", "MSFT", "QQQ", "SPLT", "XOM"], 4)))
    wanted = TWO_DAYS if timeframe is M15 else days("2026-02-20", "2026-04-10")
    faulty.page_size = rng.randint(5, 60)
    faulty.attempts = 3
    faulty.settings = replace(faulty.settings, max_concurrent_jobs=1)  # one order of requests for one seed
    script = make_script()
    sys.stdout.write(f"seed {seed}, {tickers}, pages of {faulty.page_size}: {[one['fault'] for one in script]}\n")
    faulty.add_symbols(tickers)
    faulty.exchange.set_faults([on_bars(one) for one in script])

    for _ in range(2):
        report = faulty.backfill(tickers, [timeframe], wanted)
        nothing_is_silently_successful(faulty, report, timeframe, wanted, tickers)
        faulty.change("update series_gaps set next_check_at = now() - interval '1 second'")
    faulty.heal()
    last = faulty.backfill(tickers, [timeframe], wanted)

    nothing_is_silently_successful(faulty, last, timeframe, wanted, tickers)
    is_complete(last)
    assert faulty.holds_the_truth(timeframe, wanted, tickers)


@pytest.mark.parametrize("seed", range(4))
def test_r15_whatever_was_plausible_a_second_reading_corrects(faulty: FaultyRig, seed: int) -> None:
    """Also values that nobody can know to be wrong are the exchange's after --full."""
    script = random_script(seed, 8, sorted(BEYOND_KNOWING | {"H11", "H20", "D11"}), rate=0.3)
    sys.stdout.write(f"seed {seed}: {[one['fault'] for one in script]}\n")
    faulty.page_size = 40
    faulty.exchange.set_faults([on_bars(one) for one in script])
    faulty.backfill(PAIR, [M15], TWO_DAYS)
    faulty.heal()

    faulty.backfill(PAIR, [M15], TWO_DAYS, is_full=True)
    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    is_complete(report)
    assert faulty.holds_the_truth(M15, TWO_DAYS)


def test_r16_some_false_empties_among_many_answers(faulty: FaultyRig) -> None:
    """One answer in eight without its rows: nothing is missing in the end, and each costs few requests more."""
    tickers = tuple(ticker for ticker in faulty.exchange.listings if ticker not in {"NEWC", "GONE", "HLTD", "THIN"})
    wanted = days("2026-03-02", "2026-03-28")
    faulty.page_size = 40
    faulty.exchange.set_faults([line("H11", {"every": 8})])

    report = faulty.backfill(tickers, [D1], wanted)

    nothing_is_silently_successful(faulty, report, D1, wanted, tickers)
    if report.gaps_remaining:
        leaves_gaps(report, "missing")
    faulty.heal()
    is_complete(faulty.backfill(tickers, [D1], wanted))
    assert faulty.holds_the_truth(D1, wanted, tickers)


def on_bars(script_line: dict[str, Any]) -> dict[str, Any]:
    """The same fault on requests for bars only."""
    return {**script_line, "match": {**script_line["match"], "endpoint": "bars"}}

"""Two backfills of the same symbols at the same time share the work."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED
from barfill.engine.retrying import retry
from barfill.providers.http import Timeouts
from barfill.store.runs import BY_THE_USER, NewRun, cancel_runs, create_runs
from tests.engine.rig import Collector, Rig, days
from tests.engine.test_worker import slow_down_new_runs

WEEKS = days("2026-09-07", "2026-09-19")
TICKERS = ["AAPL", "MSFT", "SPY", "QQQ"]


def test_two_at_once_ask_for_nothing_twice(rig: Rig) -> None:
    """No page is asked for by both, everything is stored, and the next backfill finds nothing to do."""
    rig.page_size = 500
    rig.add_symbols(TICKERS)
    rig.exchange.forget_requests()
    slow_down_new_runs(rig)
    other = replace(rig, listener=Collector())

    with ThreadPoolExecutor(2) as both:
        for running in [both.submit(one.backfill, TICKERS, [Timeframe.M5], WEEKS) for one in (rig, other)]:
            running.result()

    asked = [tuple(sorted(one.query.items())) for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked))
    last = rig.backfill(TICKERS, [Timeframe.M5], WEEKS)
    assert last.exit_code == EXIT_COMPLETE
    assert last.summary.calls_made == 0
    for ticker in TICKERS:
        assert rig.stored(ticker, Timeframe.M5) == rig.truth(ticker, Timeframe.M5, WEEKS)


@pytest.mark.parametrize("chains", [1, 3])
def test_no_bar_is_received_twice_however_the_slices_are_cut(rig: Rig, chains: int) -> None:
    """One that begins while the other is in the middle waits for it, and asks only for what nobody brings."""
    rig.page_size = 50
    rig.add_symbols(TICKERS)
    rig.settings = replace(rig.settings, max_concurrent_jobs=chains)
    other = replace(rig, listener=Collector())

    with ThreadPoolExecutor(1) as background:
        first = background.submit(rig.backfill, TICKERS, [Timeframe.M5], WEEKS)
        while not rig.query("select 1 from job_runs where page_no > 2"):
            time.sleep(0.01)
        second = other.backfill(TICKERS, [Timeframe.M5], WEEKS)
        reports = (first.result(), second)

    assert [report.exit_code for report in reports] == [EXIT_COMPLETE] * 2
    assert sum(report.summary.bars_unchanged for report in reports) == 0
    rows = sum(report.summary.rows_received for report in reports)
    assert rows == rig.backfill(TICKERS, [Timeframe.M5], WEEKS, is_full=True).summary.rows_received


def test_what_is_queued_for_many_symbols_is_not_fetched_apart_for_one(rig: Rig) -> None:
    """A run that a scheduler has made is carried out, not doubled."""
    added = rig.add_symbols(TICKERS)
    ids = dict(rig.query("select ticker, id from symbols"))
    tickers = tuple(sorted(added.added))
    wide = NewRun(
        symbols=tickers,
        symbol_ids=tuple(ids[ticker] for ticker in tickers),
        timeframe=Timeframe.D1,
        range=WEEKS,
        provider="alpaca",
        feed="sip",
        job_type="fetch_historical",
        triggered_by="cron",
    )
    rig.database.run(create_runs, [wide])

    report = rig.backfill(["AAPL"], [Timeframe.D1], WEEKS)

    assert report.exit_code == EXIT_COMPLETE
    assert rig.query("select count(*), max(status) from job_runs") == [(1, "success")]
    assert rig.stored("MSFT", Timeframe.D1) == rig.truth("MSFT", Timeframe.D1, WEEKS)


def test_a_cancelled_run_is_not_fetched_after_all(rig: Rig) -> None:
    """What somebody cancels while it is fetched stays away, and the backfill says so."""
    rig.page_size = 10
    rig.settings = replace(rig.settings, worker_patience_s=1.0)
    rig.add_symbols(["AAPL", "MSFT"])

    with ThreadPoolExecutor(1) as background:
        running = background.submit(rig.backfill, ["AAPL", "MSFT"], [Timeframe.M5], WEEKS)
        while not rig.query("select 1 from job_runs where page_no > 0"):
            time.sleep(0.01)
        ids = [row[0] for row in rig.query("select id from job_runs")]
        rig.database.run(cancel_runs, ids, reason=BY_THE_USER)
        asked = rig.bar_requests()
        report = running.result()

    assert report.exit_code == EXIT_FAILED
    assert {(failure.error_code, failure.reason) for failure in report.failures} == {("CANCELLED", "cancelled")}
    assert rig.query("select count(*) from job_runs") == [(len(ids),)]
    assert rig.bar_requests() <= asked + rig.settings.max_concurrent_jobs


def test_a_cancelled_chain_does_not_go_on_waiting(rig: Rig) -> None:
    """It gives the answer up that it waits for at the next sign of life, long before it comes."""
    rig.settings = replace(rig.settings, worker_patience_s=1.0)
    rig.timeouts = Timeouts()
    rig.add_symbols(["AAPL"])
    rig.exchange.set_faults(
        [{"match": {"endpoint": "bars"}, "fault": "H17", "args": {"where": "headers", "seconds": 60}}]
    )
    begun = time.monotonic()

    with ThreadPoolExecutor(1) as background:
        running = background.submit(rig.backfill, ["AAPL"], [Timeframe.D1], WEEKS)
        while not (ids := [row[0] for row in rig.query("select id from job_runs where status = 'running'")]):
            time.sleep(0.01)
        rig.database.run(cancel_runs, ids, reason=BY_THE_USER)
        report = running.result()

    assert report.exit_code == EXIT_FAILED
    assert time.monotonic() - begun < Timeouts().read_s


def test_a_retried_run_brings_nothing_twice(rig: Rig) -> None:
    """Of runs that failed one goes on where nobody else brings its bars; those whose bars have come stay."""
    rig.add_symbols(["AAPL"])
    rig.backfill(["AAPL"], [Timeframe.D1], WEEKS)
    rig.change(
        "insert into job_runs (symbol, symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, "
        "feed, triggered_by) select symbol, symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, "
        "provider, feed, triggered_by from job_runs cross join generate_series(1, 2)"
    )
    older, newer = [row[0] for row in rig.query("select id from job_runs where status = 'queued' order by id")]
    rig.database.run(cancel_runs, [older, newer])

    covered = retry(rig.database, [older, newer], patience_s=60)
    rig.change("update series set covered = '{}'")
    again = retry(rig.database, [older, newer], patience_s=60)

    assert dict(covered.left) == dict.fromkeys([older, newer], "its bars have come otherwise")
    assert again.queued == (newer,)
    assert dict(again.left) == {older: "another run brings its bars"}


def test_a_living_backfills_run_is_left_to_it(rig: Rig) -> None:
    """While a first backfill waits for a page that hangs, a second one takes none of its runs."""
    rig.add_symbols(["AAPL"])
    rig.exchange.forget_requests()
    rig.exchange.set_faults([{"match": {"nth": 1}, "fault": "H17", "args": {"where": "headers", "seconds": 1.0}}])
    other = replace(rig, listener=Collector())

    with ThreadPoolExecutor(1) as first:
        running = first.submit(rig.backfill, ["AAPL"], [Timeframe.D1], WEEKS)
        while not rig.query("select 1 from job_runs where status = 'running'"):
            pass
        second = other.backfill(["AAPL"], [Timeframe.D1], WEEKS)
        first_report = running.result()

    assert second.summary.calls_made == 0
    assert first_report.exit_code == EXIT_COMPLETE
    assert rig.bar_requests() == 2  # the one that hung, and its repetition

"""Two backfills of the same symbols at the same time share the work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE
from tests.engine.rig import Collector, Rig, days

WEEKS = days("2026-09-07", "2026-09-19")
TICKERS = ["AAPL", "MSFT", "SPY", "QQQ"]


def test_two_at_once_ask_for_nothing_twice(rig: Rig) -> None:
    """No page is asked for by both, everything is stored, and the next backfill finds nothing to do."""
    rig.page_size = 500
    rig.add_symbols(TICKERS)
    rig.exchange.forget_requests()
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

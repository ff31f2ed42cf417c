"""Massive's grouped days: the days of many symbols, a session in a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.massive import Massive
from tests.engine.rig import Rig, days

D1, W1 = Timeframe.D1, Timeframe.W1
TICKERS = ("AAPL", "AMZN", "MSFT", "NVDA", "SPLT", "SPY", "THIN", "TSLA")
WEEK = days("2026-08-03", "2026-08-08")


def backfill(rig: Rig, wanted: Range = WEEK, **options: Any) -> BackfillReport:
    """Days of all symbols from Massive."""

    async def run() -> BackfillReport:
        provider = Massive("key", base_url=rig.exchange.massive_url, requests_per_minute=10_000)
        clients = Clients(rig.client_of(provider))
        try:
            await add_symbols(rig.database, clients, TICKERS)
            request = BackfillRequest(tickers=TICKERS, windows={D1: wanted}, **options)
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    return asyncio.run(run())


def grouped(rig: Rig) -> list[str]:
    """The sessions that were asked for."""
    return [one.path.rpartition("/")[2] for one in rig.exchange.requests if "/grouped/" in one.path]


def asked_one_by_one(rig: Rig) -> int:
    """How many requests were for a single symbol's bars."""
    return len([one for one in rig.exchange.requests if "/aggs/ticker/" in one.path])


def is_as_the_source(rig: Rig, wanted: Range = WEEK) -> bool:
    """Whether each symbol's days are the exchange's."""
    return all(rig.stored(ticker, D1) == rig.truth(ticker, D1, wanted) for ticker in TICKERS)


def test_a_week_of_many_symbols_costs_a_call_a_session(rig: Rig) -> None:
    """Five calls for eight symbols, under the dates of the sessions, and a second run costs none."""
    report = backfill(rig)

    assert report.exit_code == EXIT_COMPLETE
    assert grouped(rig) == ["2026-08-03", "2026-08-04", "2026-08-05", "2026-08-06", "2026-08-07"]
    assert asked_one_by_one(rig) == 0
    assert (report.summary.calls_made, report.summary.calls_least) == (5, 5)
    assert is_as_the_source(rig)
    assert backfill(rig).did_nothing


def test_half_days_are_stored_under_their_date(rig: Rig) -> None:
    """Their rows are stamped at 16:00, too."""
    wanted = days("2025-11-24", "2025-12-02")

    backfill(rig, wanted)

    assert "2025-11-28" in grouped(rig)
    assert "2025-11-27" not in grouped(rig)
    assert is_as_the_source(rig, wanted)


def test_a_long_window_is_asked_for_by_symbol(rig: Rig) -> None:
    """A year is one call for each symbol."""
    backfill(rig, days("2025-08-01", "2026-08-01"))

    assert (grouped(rig), asked_one_by_one(rig)) == ([], len(TICKERS))


def test_a_bounded_run_goes_on_at_the_session_it_had_reached(rig: Rig) -> None:
    """What a page brought is proved of all symbols, whatever becomes of the rest."""
    first = backfill(rig, max_calls=2)
    rig.exchange.forget_requests()
    second = backfill(rig)

    assert first.was_bounded
    assert second.exit_code == EXIT_COMPLETE
    assert grouped(rig) == ["2026-08-05", "2026-08-06", "2026-08-07"]
    assert is_as_the_source(rig)


def test_a_failure_in_the_middle_keeps_what_came_before(rig: Rig) -> None:
    """Only what did not come is on record as failed."""
    rig.attempts = 1
    rig.exchange.set_faults([{"match": {"endpoint": "grouped", "nth": 3}, "fault": "H04", "args": {}}])
    rig.settings = type(rig.settings)(max_concurrent_jobs=1, gap_attempts=0)

    report = backfill(rig)

    assert report.exit_code != EXIT_COMPLETE
    assert rig.query("select distinct gap_from::date::text from series_gaps where kind = 'failed'") == [("2026-08-05",)]
    assert rig.query("select count(*) from ohlc_bars") == [(2 * len(TICKERS),)]
    rig.exchange.set_faults([])
    assert backfill(rig).exit_code == EXIT_COMPLETE
    assert is_as_the_source(rig)


@pytest.mark.parametrize("symbol", ["AAPL"])
def test_h11_a_symbol_that_is_missing_on_a_day_is_asked_for_again(rig: Rig, symbol: str) -> None:
    """Silence about a symbol that always trades is not believed."""
    backfill(rig, days("2026-07-01", "2026-08-01"))
    rig.exchange.set_faults([{"match": {"endpoint": "grouped", "symbol": symbol, "times": 1}, "fault": "H11"}])

    report = backfill(rig, days("2026-07-01", "2026-08-08"))

    assert report.exit_code in {EXIT_COMPLETE, EXIT_GAPS_REMAIN}
    assert report.gaps_detected
    assert is_as_the_source(rig, days("2026-07-01", "2026-08-08")) == (report.exit_code == EXIT_COMPLETE)

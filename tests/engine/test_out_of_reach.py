"""What is wanted and older than a provider's history is on record, never silently left out of what is wanted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from barfill.core.ranges import Range
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.tick import tick
from barfill.providers.massive import Massive
from barfill.simulate import ExchangeConfig, running_exchange
from barfill.store.definitions import keep_series
from tests.engine.rig import NYSE, Rig

D1, W1 = Timeframe.D1, Timeframe.W1
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
WINDOW = Range(TODAY - timedelta(days=1000), TODAY)
GAPS = "select timeframe, kind, gap_from, gap_to, expected_bars, reason, next_check_at from series_gaps order by 1, 3"


def massive(rig: Rig, plan: str = "free") -> Massive:
    """The exchange's Massive; its free plan reaches back two years."""
    return Massive("key", base_url=rig.exchange.massive_url, plan=plan, requests_per_minute=10_000)


def backfill(rig: Rig, provider: Massive, window: Range = WINDOW) -> BackfillReport:
    """One backfill of the days of AAPL, and of its weeks."""

    async def run() -> BackfillReport:
        clients = Clients(rig.client_of(provider))
        try:
            await add_symbols(rig.database, clients, ["AAPL"])
            request = BackfillRequest(tickers=("AAPL",), windows={D1: window, W1: window})
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    return asyncio.run(run())


def test_what_a_plan_does_not_reach_is_unavailable(rig: Rig) -> None:
    """Counted in bars, with who has it from when on; accounted for, so the rest is complete. Told once, asked never."""
    report = backfill(rig, massive(rig))

    assert report.exit_code == EXIT_COMPLETE
    day, week = rig.query(GAPS)
    oldest = min(one for (one,) in rig.query("select oldest_ts from series where timeframe = 'd1'"))
    assert (day[0], day[1], day[6], week[0], week[1]) == ("d1", "unavailable", None, "w1", "unavailable")
    absent = NYSE.expected_starts(D1, Range(WINDOW.start, oldest))
    assert day[4] == len(absent) == NYSE.expected_count(D1, Range(day[2], day[3]))
    assert day[5].startswith("OUT_OF_REACH: massive has 1d bars from ")
    states = {state.timeframe: state for state in report.matrix}
    assert (states[D1].settled, states[D1].present) == (day[4], states[D1].expected)
    told = [text for text in rig.listener.notes if "none before" in text]
    assert len(told) == 2
    rig.exchange.forget_requests()

    assert backfill(rig, massive(rig)).exit_code == EXIT_COMPLETE

    assert [row[:5] for row in rig.query(GAPS)] == [day[:5], week[:5]]
    assert rig.bar_requests() == 0
    assert [text for text in rig.listener.notes if "none before" in text] == told


def test_a_window_that_no_bar_of_is_in_reach_is_no_success(rig: Rig) -> None:
    """All of it is on record."""
    backfill(rig, massive(rig), Range(TODAY - timedelta(days=1000), TODAY - timedelta(days=900)))

    kinds = rig.query("select timeframe, kind, count(*) from gaps group by 1, 2 order by 1")
    assert kinds == [("d1", "unavailable", 1), ("w1", "unavailable", 1)]
    assert rig.query("select count(*) from ohlc_bars") == [(0,)]


def test_a_plan_that_reaches_farther_fills_it(rig: Rig) -> None:
    """It is asked for at once, and nothing is left of the gap."""
    backfill(rig, massive(rig))
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as larger:
        rig.exchange = larger

        report = backfill(rig, massive(rig, "developer"))

        truth = rig.truth("AAPL", D1, Range(WINDOW.start, TODAY - timedelta(days=1)))
    assert report.exit_code == EXIT_COMPLETE
    assert rig.query(GAPS) == []
    assert rig.stored("AAPL", D1) == truth


def test_what_the_schedule_keeps_is_on_record_as_well(rig: Rig) -> None:
    """By the first look; the next ones add nothing."""
    rig.add_symbols(["AAPL"])
    rig.database.run(keep_series, ["AAPL"], [D1], window_days=1000)
    roster = Roster((massive(rig).capabilities,))

    for _ in range(2):
        tick(rig.database, roster, rig.settings, now=rig.database.now())

    assert [row[:2] for row in rig.query(GAPS)] == [("d1", "unavailable")]

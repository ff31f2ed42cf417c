"""Each provider stamps a day in its own way: all land on the date of the session, whatever the season."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import Provider
from barfill.providers.finnhub import Finnhub
from barfill.providers.massive import Massive
from barfill.providers.tradier import Tradier
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.clocks import set_clock
from tests.engine.rig import NYSE, Bars, Rig, days

D1, M15, W1 = Timeframe.D1, Timeframe.M15, Timeframe.W1
WINDOWS = {
    "thanksgiving and its half day": days("2024-11-25", "2024-12-07"),
    "clocks go forward": days("2025-03-03", "2025-03-22"),
    "clocks go back": days("2025-10-27", "2025-11-15"),
    "christmas and new year": days("2025-12-22", "2026-01-10"),
}
MAKERS: dict[str, Callable[[Rig], Provider]] = {
    "alpaca": lambda rig: Alpaca("k", "s", base_url=rig.exchange.alpaca_url, requests_per_minute=10_000),
    "massive": lambda rig: Massive("k", base_url=rig.exchange.massive_url, plan="paid", requests_per_minute=10_000),
    "tradier": lambda rig: Tradier("k", base_url=rig.exchange.tradier_url, plan="paid", requests_per_minute=10_000),
    "finnhub": lambda rig: Finnhub("k", base_url=rig.exchange.finnhub_url, plan="paid", requests_per_minute=10_000),
}


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def rig(paid: SimulatedExchange, database: Database) -> Rig:
    """A backfill from it."""
    return Rig(paid, database)


def within(bars: Bars, wanted: Range) -> Bars:
    """Those of *wanted*."""
    return {ts: bar for ts, bar in bars.items() if to_us(wanted.start) <= ts < to_us(wanted.end)}


def backfill(rig: Rig, name: str, timeframes: list[Timeframe], wanted: Range, ticker: str = "MSFT") -> BackfillReport:
    """A symbol from one provider."""

    async def run() -> BackfillReport:
        clients = Clients(rig.client_of(MAKERS[name](rig)))
        try:
            await add_symbols(rig.database, clients, [ticker])
            request = BackfillRequest(tickers=(ticker,), windows=dict.fromkeys(timeframes, wanted))
            return await Backfill(rig.database, clients, rig.settings, rig.listener).run(request)
        finally:
            await clients.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("name", MAKERS)
def test_days_and_weeks_of_each_provider_are_the_sessions(rig: Rig, name: str) -> None:
    """00:00 UTC of the session's date, the week's Monday; values and stamps are those of the exchange."""
    for label, wanted in WINDOWS.items():
        report = backfill(rig, name, [D1, W1], wanted)

        assert report.exit_code == EXIT_COMPLETE, label
        stored = within(rig.stored("MSFT", D1), wanted)
        truth = rig.truth("MSFT", D1, wanted)
        assert list(stored) == list(truth) == NYSE.expected_starts(D1, wanted).tolist(), label
        assert np.array(list(stored.values())) == pytest.approx(np.array(list(truth.values())), rel=1e-9), label
        assert set(NYSE.expected_starts(W1, wanted).tolist()) <= set(rig.stored("MSFT", W1)), label


@pytest.mark.parametrize("name", ["alpaca", "massive", "finnhub"])
def test_quarters_of_each_provider_are_the_same_over_half_days_and_dst(rig: Rig, name: str) -> None:
    """Anchored at the open in New York, and a half day ends at 13:00 there."""
    for label, wanted in WINDOWS.items():
        report = backfill(rig, name, [M15], wanted)

        assert report.exit_code == EXIT_COMPLETE, label
        assert within(rig.stored("MSFT", M15), wanted) == rig.truth("MSFT", M15, wanted), label


@pytest.mark.parametrize("name", ["tradier", "finnhub"])
def test_a_split_moves_the_whole_adjusted_history(rig: Rig, name: str) -> None:
    """Days from before a split and after it are on one basis: all are adjusted then, so all are fetched again."""
    before, after = datetime(2026, 3, 13, 12, tzinfo=UTC), datetime(2026, 3, 20, 12, tzinfo=UTC)
    for now in (before, after):
        rig.exchange.set_clock(now)
        set_clock(rig.database, now)
        report = backfill(rig, name, [D1, W1], Range(days("2026-01-05", "2026-01-06").start, now), ticker="SPLT")

    closes = [bar[3] for bar in rig.stored("SPLT", D1).values()]
    steps = [abs(later / earlier - 1) for earlier, later in pairwise(closes)]
    assert len(closes) > 40
    assert max(steps) < 0.2
    assert rig.query("select distinct basis from series") == [("split",)]
    assert report.exit_code == EXIT_COMPLETE
    weeks = [bar[3] for bar in rig.stored("SPLT", W1).values()]
    assert max(abs(later / earlier - 1) for earlier, later in pairwise(weeks)) < 0.3

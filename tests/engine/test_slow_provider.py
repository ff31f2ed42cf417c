"""H35: a provider that takes minutes for each answer holds up nothing of the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine import catalog
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.corporate import EventsReport
from barfill.engine.report import EXIT_COMPLETE
from barfill.engine.request import BackfillRequest
from barfill.engine.schedule import Schedule
from barfill.engine.worker import QueueWorker
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from tests.engine.rig import QUICK, Rig, days

D1, H1 = Timeframe.D1, Timeframe.H1
VENUE = "coinbaseexchange"
STOCKS = ("AAPL", "MSFT", "NVDA")
COIN = "BTC/USD"
WEEKS = days("2026-08-03", "2026-08-29")
PATIENCE_S = 60.0
"""No measure of anything: after it a test fails instead of standing still."""


class Gated(HttpClient):
    """Sends what holds a word in its address, such as a request for bars, only once the test opens the gate."""

    def __init__(self, base_urls: Any, *, holds: str = "bars") -> None:
        super().__init__(base_urls)
        self.gate = asyncio.Event()
        self.holds = holds
        self.held = 0

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Sent late."""
        if self.holds in request.url and not self.gate.is_set():
            self.held += 1
            await self.gate.wait()
        return await super().get(request)


class SlowRig:
    """Alpaca, that does not answer before it is let, and a venue that does."""

    def __init__(self, exchange: SimulatedExchange, database: Database) -> None:
        self.rig = Rig(exchange, database, settings=replace(QUICK, max_concurrent_jobs=1), page_size=40)
        alpaca = self.rig.client().provider
        self.sender = Gated(alpaca.base_urls)
        venue = make_venue(VENUE, exchange.venue_url(VENUE), requests_per_minute=100_000)
        self.clients = Clients(ProviderClient(alpaca, self.sender, SlidingQuota(10_000)), self.rig.client_of(venue))

    def states(self, provider: str) -> list[str]:
        """Of its runs, in their order."""
        rows = self.rig.query("select status from job_runs where provider = %s order by id", provider)
        return [status for (status,) in rows]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Waits; a test whose condition never comes true fails."""
        give_up_at = time.monotonic() + PATIENCE_S
        while not await asyncio.to_thread(is_so):
            assert time.monotonic() < give_up_at, [self.states("alpaca"), self.states(VENUE), self.rig.listener.notes]
            await asyncio.sleep(0.05)

    def is_venue_done(self) -> bool:
        """Whether all that the venue is asked for is there."""
        states = self.states(VENUE)
        return bool(states) and set(states) == {"success"}


@pytest.fixture
async def slow(exchange: SimulatedExchange, database: Database) -> Any:
    """The two, their symbols in the table."""
    rig = SlowRig(exchange, database)
    await add_symbols(database, rig.clients, [*STOCKS, COIN])
    yield rig
    await rig.clients.aclose()


def wanted_by_both(slow: SlowRig) -> None:
    """More runs of the slow one than it has places, and before all of the other's."""
    keep = slow.rig.database.run
    for priority, ticker in zip(chain((300, 200, 200), repeat(1)), (*STOCKS, COIN), strict=False):
        keep(keep_series, [ticker], [H1 if ticker == COIN else D1], window_days=20, priority=priority)


async def test_a_worker_serves_the_others_while_one_does_not_answer(slow: SlowRig) -> None:
    """With one place for each: the venue's runs are all done while the first of Alpaca's waits for its answer."""
    wanted_by_both(slow)
    looking = Schedule(slow.rig.database, slow.clients, slow.rig.settings, slow.rig.listener, every=timedelta(hours=1))
    await looking.look()
    await looking.close()
    worker = QueueWorker(slow.rig.database, slow.clients, slow.rig.settings, slow.rig.listener)
    working = asyncio.create_task(worker.run())
    try:
        await slow.until(lambda: slow.sender.held == 1 and slow.is_venue_done())
        assert "success" not in slow.states("alpaca")
        assert slow.states("alpaca").count("running") == 1
        slow.sender.gate.set()
        await slow.until(lambda: set(slow.states("alpaca")) == {"success"})
    finally:
        slow.sender.gate.set()
        worker.stop()
        await working


async def test_a_backfill_serves_the_others_while_one_does_not_answer(slow: SlowRig) -> None:
    """The same in one process without a queue between."""
    request = BackfillRequest(tickers=(*STOCKS, COIN), windows={D1: WEEKS, H1: WEEKS})
    filling = asyncio.create_task(
        Backfill(slow.rig.database, slow.clients, slow.rig.settings, slow.rig.listener).run(request)
    )
    try:
        await slow.until(lambda: slow.sender.held == 1 and slow.is_venue_done())
        assert "success" not in slow.states("alpaca")
        assert not filling.done()
    finally:
        slow.sender.gate.set()
    assert (await filling).exit_code == EXIT_COMPLETE


async def test_derived_bars_of_the_others_are_not_waited_for(slow: SlowRig) -> None:
    """A backfill makes what can be made of a provider's bars once it has brought them all."""
    request = BackfillRequest(tickers=(*STOCKS, COIN), windows={D1: WEEKS, Timeframe.W1: WEEKS})
    filling = asyncio.create_task(
        Backfill(slow.rig.database, slow.clients, slow.rig.settings, slow.rig.listener).run(request)
    )
    weeks = "select bar_count from backfill_status where ticker = %s and timeframe = 'w1' and bar_count > 0"
    try:
        await slow.until(lambda: bool(slow.rig.query(weeks, COIN)))
        assert not filling.done()
    finally:
        slow.sender.gate.set()
    assert (await filling).exit_code == EXIT_COMPLETE
    assert slow.rig.query(weeks, "AAPL")


async def test_a_slow_look_up_holds_up_no_other(
    exchange: SimulatedExchange, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows pairs does not answer: the stocks are added; the pair is told as not looked up, never as unknown."""
    monkeypatch.setattr(catalog, "LATE_S", 0.2)
    rig = Rig(exchange, database)
    slow_venue = make_venue(VENUE, exchange.venue_url(VENUE), requests_per_minute=100_000)
    sender = Gated(slow_venue.base_urls, holds="")
    clients = Clients(rig.client(), ProviderClient(slow_venue, sender, SlidingQuota(10_000)))
    try:
        late = await asyncio.wait_for(add_symbols(database, clients, ["KO", "ETH/USD"]), PATIENCE_S)
    finally:
        sender.gate.set()
        await clients.aclose()
    assert (late.added, late.refused) == (("KO",), {})
    assert set(late.unasked) == {"ETH/USD"}
    assert "no answer came within 0.2 s" in str(late.unasked["ETH/USD"])


async def test_a_look_plans_while_corporate_actions_are_still_asked_for(slow: SlowRig) -> None:
    """They are told by a later look, and never asked for twice at once."""
    wanted_by_both(slow)
    answered = asyncio.Event()
    asked = 0

    async def keep_events() -> EventsReport:
        nonlocal asked
        asked += 1
        await answered.wait()
        return EventsReport(delisted=["GONE is traded no more."])

    looking = Schedule(
        slow.rig.database,
        slow.clients,
        slow.rig.settings,
        slow.rig.listener,
        every=timedelta(hours=1),
        keep_events=keep_events,
        patience_s=0.01,
    )
    planned = await looking.look()
    await looking.look()
    assert len(planned.runs) > 1
    assert "Corporate actions are still being asked for; this look plans without them" in slow.rig.listener.notes
    answered.set()
    await looking.look()
    await looking.close()

    assert asked == 1
    assert "GONE is traded no more." in slow.rig.listener.notes

"""Answers that are cut or empty in silence, at random (R14, R16): nothing is lost, and little is asked for twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest

from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.massive import Massive
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.series import read_series
from tests.engine.rig import QUICK, Rig, days

M15 = Timeframe.M15
TICKERS = ("AAPL", "AMD", "AMZN", "JPM", "MSFT", "NVDA", "QQQ", "SPY", "TSLA", "XOM")
QUARTER = days("2026-05-04", "2026-08-01")
HALF_YEAR = days("2026-02-02", "2026-08-01")
CAPS = 200
LEAST_CALLS = 514
"""Of a quarter, where nothing is wrong."""


@dataclass
class CappedRig(Rig):
    """Backfills from Massive, one symbol and a few days a call."""

    def fill(self, wanted: Range) -> BackfillReport:
        """One backfill of all symbols."""

        async def run() -> BackfillReport:
            provider = Massive("key", base_url=self.exchange.massive_url, plan="paid", page_size=1_000)
            clients = Clients(self.client_of(provider))
            try:
                await add_symbols(self.database, clients, TICKERS)
                request = BackfillRequest(tickers=TICKERS, windows={M15: wanted})
                return await Backfill(self.database, clients, self.settings, self.listener).run(request)
            finally:
                await clients.aclose()

        return asyncio.run(run())

    def lost(self, wanted: Range) -> list[str]:
        """Bars of the exchange that are covered, neither stored nor on a gap."""
        ids = dict(self.query("select id, ticker from symbols"))
        rows = {ids[symbol_id]: row for (symbol_id, _), row in self.database.run(read_series, None, [M15]).items()}
        gaps: dict[str, Ranges] = {}
        for ticker, start, end in self.query("select symbol, gap_from, gap_to from gaps where kind <> 'no_trade'"):
            gaps[ticker] = gaps.get(ticker, Ranges()) | Range(start, end)
        return [
            f"{ticker} {from_us(ts)}"
            for ticker in TICKERS
            for ts in self.truth(ticker, M15, wanted).keys() - self.stored(ticker, M15).keys()
            if ticker in rows and from_us(ts) in rows[ticker].covered - gaps.get(ticker, Ranges())
        ]

    def fired(self, fault: str) -> list[str]:
        """The paths of the requests on which a fault fired."""
        return [one.path for one in self.exchange.requests if one.fault == fault]

    def holds_all(self, wanted: Range) -> bool:
        """Whether what is stored is what the exchange has."""
        return all(self.stored(one, M15) == self.truth(one, M15, wanted) for one in TICKERS)

    def an_hour_passes(self) -> None:
        """All gaps are due, and older than an hour."""
        self.change(
            "update series_gaps set first_seen_at = first_seen_at - interval '61 minutes', "
            "next_check_at = now() - interval '1 second'"
        )


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def capped(paid: SimulatedExchange, database: Database) -> Iterator[CappedRig]:
    """Without faults at first."""
    paid.set_faults([])
    paid.forget_requests()
    yield CappedRig(paid, database, settings=replace(QUICK, gap_attempts=2, max_concurrent_jobs=3))
    paid.set_faults([])


def test_r14_silent_caps_lose_nothing(capped: CappedRig) -> None:
    """
    However hundreds of answers are cut, what was cut off is asked for again or on record as missing.

    Three calls at a time, so that other answers are cut each time; a thousand of them in memory: `test_cuts`.
    """
    random = Random(14)
    match = {"provider": "massive", "endpoint": "aggs", "rate": 0.004}
    capped.exchange.set_faults(
        [
            {
                "match": match,
                "fault": "H19",
                "args": {"form": random.choice(["first", "last"]), "rows": random.randint(1, 400)},
            }
            for _ in range(500)
        ]
    )

    capped.fill(HALF_YEAR)
    for _ in range(2):
        assert capped.lost(HALF_YEAR) == []
        capped.an_hour_passes()
        capped.fill(HALF_YEAR)
    assert capped.lost(HALF_YEAR) == []
    assert len(capped.fired("H19")) >= CAPS
    capped.exchange.set_faults([])
    for _ in range(3):
        capped.an_hour_passes()
        capped.fill(HALF_YEAR)

    assert capped.holds_all(HALF_YEAR)


def test_r16_false_empties_lose_nothing_and_cost_little(capped: CappedRig) -> None:
    """One answer in a hundred is empty by mistake: all is there in the end, for at most 3 % more requests."""
    match = {"provider": "massive", "endpoint": "aggs", "rate": 0.01}
    capped.exchange.set_faults([{"match": match, "fault": "H11"}])

    capped.fill(QUARTER)
    lost = capped.lost(QUARTER)
    for _ in range(3):
        capped.an_hour_passes()
        capped.fill(QUARTER)
    calls = len([one for one in capped.exchange.requests if "aggs" in one.path])

    assert lost == []
    assert capped.fired("H11")
    assert capped.holds_all(QUARTER)
    assert calls <= 1.03 * LEAST_CALLS

"""A provider that knows tickers and not companies: each stretch is asked for under the ticker of its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from barfill.core.page import BarsQuery
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.clients import Clients
from barfill.engine.corporate import EventsReport, EventsRequest, EventsSource, keep_events, learn_former_tickers
from barfill.engine.report import BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.engine.tick import tick
from barfill.errors import BadResponse
from barfill.providers.base import HttpResponse
from barfill.providers.finnhub import Finnhub
from barfill.providers.finnhub_events import FinnhubEvents
from barfill.providers.massive import Massive
from barfill.providers.massive_days import read_day
from barfill.providers.massive_events import MassiveEvents
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from tests.engine.events_rig import EventsRig
from tests.engine.rig import Rig, days

VENDORS = ("finnhub", "massive")


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def rig(paid: SimulatedExchange, database: Database) -> EventsRig:
    """Corporate actions from it."""
    return EventsRig(paid, database)


@pytest.mark.parametrize("timeframe", [Timeframe.D1, Timeframe.M15])
@pytest.mark.parametrize("tickers", [("META", "METV"), ("META",), ("AAPL", "META", "METV", "MSFT", "SPY")])
def test_d28_by_ticker_each_series_has_its_own_bars(
    database: Database, rig: EventsRig, timeframe: Timeframe, tickers: tuple[str, ...]
) -> None:
    """D28, R22: at a provider that knows tickers only, META's days of 2022 are asked for as FB, METV's as META."""
    rig.add(*tickers)
    rig.keep("massive", kinds=["changes"])
    wanted = days("2022-06-07", "2022-06-11") if len(tickers) > 2 else days("2022-01-24", "2022-06-15")
    provider = Massive("key", base_url=rig.exchange.massive_url, plan="advanced", requests_per_minute=10_000)
    bars = Rig(rig.exchange, database)

    async def run() -> BackfillReport:
        clients = Clients(bars.client_of(provider))
        try:
            request = BackfillRequest(tickers=tickers, windows={timeframe: wanted})
            return await Backfill(database, clients, bars.settings, bars.listener).run(request)
        finally:
            await clients.aclose()

    report = asyncio.run(run())

    for ticker in tickers:
        assert bars.stored(ticker, timeframe) == bars.truth(ticker, timeframe, wanted)
    assert report.failures == ()


def test_former_tickers_of_new_symbols_are_learned_once(rig: EventsRig, database: Database) -> None:
    """A call for each symbol at the provider that needs to know, and none the next time."""
    rig.add("META", "MSFT")

    async def learn() -> int:
        client = Rig(rig.exchange, database).client_of(Massive("key", base_url=rig.exchange.massive_url))
        source = EventsSource(MassiveEvents("key", base_url=rig.exchange.massive_url), client)
        try:
            await learn_former_tickers(database, [source])
            return client.requests_made.all
        finally:
            await client.aclose()

    assert (asyncio.run(learn()), asyncio.run(learn())) == (2, 0)
    assert [(row["old_ticker"], row["new_ticker"]) for row in rig.rows("changes")] == [("FB", "META")]


def test_learning_tells_twins_and_asks_about_who_is_delisted(rig: EventsRig, database: Database) -> None:
    """FB and META may be one company, which a backfill says; a symbol that is switched off had former tickers too."""
    rig.add("FB", "META", "METV")
    rig.change("update symbols set is_active = false where ticker = 'METV'")

    async def learn() -> EventsReport:
        client = Rig(rig.exchange, database).client_of(Massive("key", base_url=rig.exchange.massive_url))
        source = EventsSource(MassiveEvents("key", base_url=rig.exchange.massive_url), client)
        try:
            return await learn_former_tickers(database, [source])
        finally:
            await client.aclose()

    report = asyncio.run(learn())

    assert [note for note in report.notes if note.startswith("FB became META on 2022-06-09, and both are on record")]
    assert ("META", "METV") in {(row["old_ticker"], row["new_ticker"]) for row in rig.rows("changes")}
    assert asyncio.run(learn()).notes == []


def test_finnhubs_events_are_those_of_the_market(rig: EventsRig, database: Database) -> None:
    """Splits, dividends, earnings and changes from the simulated Finnhub, equal to what the others list."""
    rig.add("SPLT", "AAPL", "META")

    async def keep() -> list[str]:
        provider = Finnhub("key", base_url=rig.exchange.finnhub_url, plan="paid")
        client = Rig(rig.exchange, database).client_of(provider)
        source = EventsSource(FinnhubEvents("key", base_url=rig.exchange.finnhub_url), client)
        try:
            report = await keep_events(database, [source], EventsRequest(days=(date(2026, 1, 1), date(2026, 6, 1))))
            return report.failures + report.notes
        finally:
            await client.aclose()

    assert asyncio.run(keep()) == []
    rig.keep("massive", days=(date(2026, 1, 1), date(2026, 6, 1)), kinds=["splits", "dividends"])

    listed = {(row["provider"], str(row["ex_on"]), row["numerator"], row["denominator"]) for row in rig.rows("splits")}
    assert listed == {("finnhub", "2026-03-16", 4, 1), ("massive", "2026-03-16", 4, 1)}
    paid = [
        {(row["ex_on"], row["amount"]) for row in rig.rows("dividends") if row["provider"] == one} for one in VENDORS
    ]
    assert paid[0] == paid[1] != set()
    assert len(rig.rows("earnings")) >= 3


def test_a_look_waits_for_former_tickers_that_are_not_learned_yet(rig: EventsRig, database: Database) -> None:
    """Bounded in calls, it learns some and plans those; no symbol gets bars of whoever had its ticker before."""
    rig.add("AAPL", "META")
    order = Roster((Massive("key", base_url=rig.exchange.massive_url).capabilities,))
    ids = dict(Rig(rig.exchange, database).query("select ticker, id from symbols"))
    database.run(keep_series, ["AAPL", "META"], [Timeframe.D1], window_days=20)
    unknown = {"massive": frozenset([ids["META"]])}

    found = tick(database, order, EngineSettings(), now=database.now(), unlearned=unknown)

    assert Rig(rig.exchange, database).query("select symbols_array from job_runs") == [(["AAPL"],)]
    assert len(found.runs) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"adjusted": True}, "wrong_variant"),
        ({"status": "ERROR"}, "body"),
        ({"resultsCount": 7}, "count"),
        ({"results": [{"T": "AAPL", "t": 1784404800000, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}]}, "out_of_range"),
        ({"results": 7}, "schema"),
    ],
)
def test_a_day_of_the_market_that_is_none_is_refused(change: dict[str, object], reason: str) -> None:
    """Adjusted prices, an error, another count, another day, another shape."""
    wanted = days("2026-08-03", "2026-08-08")
    query = BarsQuery(("AAPL", "MSFT"), Timeframe.D1, wanted, "sip")
    row = {"T": "AAPL", "t": 1785787200000, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}
    page = {"adjusted": False, "status": "OK", "results": [row]} | change
    body = json.dumps(page).encode()
    response = HttpResponse(200, {"content-type": "application/json"}, body, datetime(2026, 9, 1, tzinfo=UTC))

    with pytest.raises(BadResponse) as caught:
        read_day(query, None, response, page_size=50_000)

    assert caught.value.reason == reason

"""Faults at the edge of now, H06 and D23: the database's clock and the exchange's stand in the middle of a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.plan import Slice
from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.clock import EngineClock
from barfill.engine.dispatch import Dispatch
from barfill.engine.ledger import read_markets
from barfill.engine.planning import Plan
from barfill.engine.request import BackfillRequest
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.series import read_series
from barfill.store.workers import Presence
from tests.engine.clocks import set_clock
from tests.engine.honesty import PAIR, FaultyRig
from tests.engine.rig import NYSE, days

M1, D1 = Timeframe.M1, Timeframe.D1
NOON = datetime(2026, 9, 16, 16, 0, 2, tzinfo=UTC)
SLOWEST = timedelta(minutes=2)
TODAY = days("2026-09-16", "2026-09-17")
TWO_DAYS = days("2026-09-15", "2026-09-17")


@pytest.fixture(scope="module", params=["free", "paid"])
def plan(request: pytest.FixtureRequest) -> str:
    """What the exchange lets its key see."""
    return str(request.param)


@pytest.fixture(scope="module")
def today(plan: str) -> Iterator[SimulatedExchange]:
    """An exchange at noon of a session."""
    config = ExchangeConfig(port=0, plan=plan, requests_per_minute=1_000_000, start_clock=NOON)
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def noon(today: SimulatedExchange, database: Database, plan: str) -> FaultyRig:
    """A rig whose clocks agree that it is noon of a session, with two symbols."""
    today.set_faults([])
    today.set_clock(NOON)
    set_clock(database, NOON)
    rig = FaultyRig(today, database, plan=plan, page_size=1_000)
    rig.add_symbols(PAIR)
    today.forget_requests()
    return rig


def covered(rig: FaultyRig, timeframe: Timeframe) -> list[Ranges]:
    """What is covered, by symbol."""
    return [row.covered for row in rig.database.run(read_series, None, [timeframe]).values()]


def test_the_clocks_agree(noon: FaultyRig) -> None:
    """The moved clock is the one that the engine reads."""
    assert abs(noon.database.now() - NOON) < timedelta(minutes=1)


@pytest.mark.parametrize("plan", ["free"], indirect=True)
@pytest.mark.parametrize("form", ["new", "old"])
def test_h06_a_range_too_recent_is_cut_and_goes_on(noon: FaultyRig, form: str) -> None:
    """A key that is taken for a paid one gets all but the barred minutes; the rest is listed as not fetched yet."""
    noon.plan = "paid"
    noon.inject("H06", {"nth": 1}, form=form)

    report = noon.backfill(PAIR, [M1], TODAY)

    closed = Range(TODAY.start, NOON - timedelta(minutes=17))
    assert not report.failures
    for ticker in PAIR:
        assert noon.stored(ticker, M1).keys() >= noon.truth(ticker, M1, closed).keys()
    assert all(max(noon.stored(ticker, M1)) < to_us(NOON - timedelta(minutes=15)) for ticker in PAIR)
    assert all(one.hull is not None and one.hull.end <= NOON - timedelta(minutes=15) for one in covered(noon, M1))
    assert {gap.kind for gap in report.gaps_remaining} == {"uncovered"}
    assert noon.bar_requests() <= 2 + 2 * 2


@pytest.mark.parametrize("timeframe", [M1, Timeframe.M15, D1])
def test_d23_the_forming_bar_is_not_asked_for(noon: FaultyRig, timeframe: Timeframe) -> None:
    """In the middle of a session nothing that still changes is stored or covered, and the run is complete."""
    noon.inject("D23")

    report = noon.backfill(PAIR, [timeframe], TWO_DAYS)

    delay = timedelta(minutes=16 if noon.plan == "free" else 1)
    closed, latest = (NYSE.closed_until(timeframe, NOON + slack, delay) for slack in (timedelta(), SLOWEST))
    wanted = Range(TWO_DAYS.start, closed)
    assert not report.failures
    for ticker in PAIR:
        assert noon.stored(ticker, timeframe).items() >= noon.truth(ticker, timeframe, wanted).items()
        assert max(noon.stored(ticker, timeframe)) < to_us(latest)
    assert all(one.hull is not None and one.hull.end <= latest for one in covered(noon, timeframe))


@pytest.mark.parametrize("plan", ["paid"], indirect=True)
def test_d23_a_forming_bar_that_comes_is_held(noon: FaultyRig) -> None:
    """A run that reaches to now gets the forming bar: it is counted as held, neither stored nor covered."""
    noon.inject("D23")
    forming = NOON.replace(second=0)
    until_now = Range(TODAY.start.replace(hour=13, minute=30), forming + timedelta(minutes=1))

    asyncio.run(_carry_out(noon, until_now))

    assert "D23" in noon.fired()
    for ticker in PAIR:
        assert max(noon.stored(ticker, M1)) < to_us(forming - timedelta(minutes=1))
    assert all(forming not in one for one in covered(noon, M1))
    assert noon.query("select sum(rows_received) - sum(rows_written) > 0 from job_runs") == [(True,)]


@pytest.mark.parametrize("plan", ["paid"], indirect=True)
def test_silence_about_what_is_not_over_is_no_quiet_minute(noon: FaultyRig) -> None:
    """A run that reaches to now proves nothing about the minutes for which the provider has no bar yet."""
    until_now = Range(TODAY.start.replace(hour=13, minute=30), NOON + timedelta(minutes=5))

    asyncio.run(_carry_out(noon, until_now))

    latest = NYSE.closed_until(M1, NOON + SLOWEST, timedelta(minutes=1))
    assert all(one.hull is not None and one.hull.end <= latest for one in covered(noon, M1))
    assert noon.query("select kind from series_gaps where gap_to > %s", latest) == []


async def _carry_out(rig: FaultyRig, wanted: Range) -> None:
    """One slice of minutes, past the planner that would cut it at the final horizon."""
    client, database = rig.client(), rig.database
    request = BackfillRequest(tickers=PAIR, windows={M1: wanted})
    clock = EngineClock(database.now())
    presence = Presence(database)
    try:
        markets = database.run(
            read_markets, request, Roster((client.provider.capabilities,)), rig.settings, clock.now()
        )
        dispatch = Dispatch(
            database,
            Clients(client),
            rig.settings,
            rig.listener,
            clock=clock,
            worker=presence.worker,
            request=request,
        )
        symbols = tuple((symbol.id, symbol.ticker) for symbol in markets[0].symbols)
        dispatch.enlist(Plan((Slice(symbols, M1, wanted, 1_000.0, client.provider.capabilities),)))
        await dispatch.carry_out()
    finally:
        presence.close()
        await client.aclose()

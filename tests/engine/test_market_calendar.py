"""Market calendars of all vendors, over real HTTP, against the one that barfill goes by."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from barfill.engine.market_calendar import CalendarReport, SessionsSource, compare_calendars
from barfill.errors import ProviderTimeout, ProviderUnavailable
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_sessions import AlpacaSessions
from barfill.providers.base import Provider
from barfill.providers.client import ProviderClient
from barfill.providers.finnhub import Finnhub
from barfill.providers.finnhub_sessions import FinnhubSessions
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from barfill.providers.massive_sessions import MassiveSessions
from barfill.providers.sessions import SessionsProvider
from barfill.providers.tradier import Tradier
from barfill.providers.tradier_sessions import TradierSessions
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

NOW = datetime(2026, 8, 17, 14, tzinfo=UTC)
CALLS = {"alpaca": 1, "massive": 1, "tradier": 3, "finnhub": 1}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedExchange]:
    """An exchange whose clock stands still on a Monday in summer."""
    config = ExchangeConfig(port=0, plan="paid", start_clock=NOW, clock_is_frozen=True, symbols=3)
    with running_exchange(config) as exchange:
        yield exchange


def compared(
    exchange: SimulatedExchange, vendor: str, *faults: dict[str, Any], patience_s: float = 20
) -> CalendarReport:
    """What the vendor's calendar is found to say while the faults last."""
    exchange.set_faults(list(faults))
    exchange.forget_requests()
    return asyncio.run(_compared(exchange, vendor, patience_s))


async def _compared(exchange: SimulatedExchange, vendor: str, patience_s: float) -> CalendarReport:
    url = f"{exchange.url}/{vendor}"
    pairs: dict[str, tuple[Provider, SessionsProvider]] = {
        "alpaca": (Alpaca("k", "s", base_url=url), AlpacaSessions("k", "s", base_url=url)),
        "massive": (Massive("k", base_url=url), MassiveSessions("k", base_url=url)),
        "tradier": (Tradier("k", base_url=url), TradierSessions("k", base_url=url, plan="free")),
        "finnhub": (Finnhub("k", base_url=url), FinnhubSessions("k", base_url=url)),
    }
    bars, sessions = pairs[vendor]
    client = ProviderClient(bars, HttpClient(bars.base_urls), SlidingQuota(1_000), attempts=1)
    try:
        return await compare_calendars(SessionsSource(sessions, client), NOW, patience_s=patience_s)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("vendor", "days"),
    [
        ("alpaca", ("2026-07-18", "2027-08-17")),
        ("massive", ("2026-08-18", "2027-07-05")),
        ("tradier", ("2026-08-01", "2026-09-30")),
        ("finnhub", ("2026-07-18", "2027-08-17")),
    ],
)
def test_who_knows_the_same_sessions_agrees(exchange: SimulatedExchange, vendor: str, days: tuple[str, str]) -> None:
    """As far as each vendor tells, holidays, short days and both seasons included; with no call more than needed."""
    report = compared(exchange, vendor)

    assert report.differences == ()
    assert report.days is not None
    assert tuple(map(str, report.days)) == days
    assert report.version.startswith("exchange_calendars ")
    assert len(exchange.requests) == CALLS[vendor]


@pytest.mark.parametrize("vendor", CALLS)
@pytest.mark.parametrize(("form", "told"), [("closed", None), ("short", "13:30 to 17:00")])
def test_a_closure_that_the_calendar_does_not_know_is_told(
    exchange: SimulatedExchange, vendor: str, form: str, told: str | None
) -> None:
    """Its day and both sides, of each vendor (T07); the days around it agree."""
    report = compared(exchange, vendor, {"match": {"provider": vendor}, "fault": "T07", "args": {"form": form}})

    (found,) = report.differences
    said, expected = (one and f"{one.start:%H:%M} to {one.end:%H:%M}" for one in (found.told, found.expected))
    assert (f"{found.on}", said, expected) == ("2026-08-24", told, "13:30 to 20:00")
    assert found.name in {"Day of Mourning", "National Day of Mourning", ""}


def test_tradiers_clock_is_compared(exchange: SimulatedExchange) -> None:
    """In seconds, theirs less ours; the others tell none."""
    ahead_s = (NOW - datetime.now(UTC)) / timedelta(seconds=1)

    skews = [compared(exchange, vendor).skew_s for vendor in ("tradier", "alpaca")]

    assert skews == [pytest.approx(ahead_s, abs=60), None]


def test_a_calendar_that_cannot_be_had_says_so(exchange: SimulatedExchange) -> None:
    """As an error of the provider, by its class."""
    with pytest.raises(ProviderUnavailable):
        compared(exchange, "finnhub", {"match": {"endpoint": "holidays"}, "fault": "H04"})


def test_nobody_is_held_up(exchange: SimulatedExchange) -> None:
    """What hangs, or waits for the limit of requests, is given up in time; the command that tells of it is named."""
    hang = {"match": {"endpoint": "calendar"}, "fault": "H17", "args": {"seconds": 30}}

    with pytest.raises(ProviderTimeout, match="barfill status --quota"):
        compared(exchange, "alpaca", hang, patience_s=0.2)

"""Crypto venues over real HTTP: prepared once, in step, and within their pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from barfill.core.timeframe import Timeframe
from barfill.errors import CredentialsRejected, ProviderUnavailable
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.client import ProviderClient, RequestCounts
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from tests.providers.conftest import Clock
from tests.providers.dialects import at
from tests.providers.servers import Answer
from tests.providers.test_ccxt_requests import query_of
from tests.providers.venues import WIRES, FakeVenue, running_venue

BARS = {int((at("2024-03-05") + timedelta(hours=n)).timestamp()): (10.0, 12.0, 9.0, 11.0, 1.5) for n in range(48)}


class Asking:
    """A venue on loopback and a client of it whose waits take no time."""

    def __init__(self, fake: FakeVenue, base_url: str) -> None:
        self.fake = fake
        self.clock = Clock()
        provider = make_venue(fake.venue, base_url)
        self.client = ProviderClient(
            provider,
            HttpClient(provider.base_urls),
            SlidingQuota(10_000, clock=self.clock, sleep=self.clock.sleep),
            clock=self.clock,
            sleep=self.clock.sleep,
        )


@pytest.fixture
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    """Of Kraken, or of the venue that a test names."""
    venue = getattr(request, "param", "kraken")
    fake = FakeVenue(venue, {Timeframe.H1: BARS})
    async with running_venue(fake) as base_url:
        asking = Asking(fake, base_url)
        yield asking
        await asking.client.aclose()


@pytest.mark.parametrize("asking", WIRES, indirect=True)
async def test_markets_are_asked_for_once_however_many_begin_at_once(asking: Asking) -> None:
    """Before the first page, in front of all others, and counted as a call of the page that needed it."""
    query, counts = query_of(asking.fake.venue, Timeframe.H1), [RequestCounts() for _ in range(3)]

    pages = await asyncio.gather(*(asking.client.fetch_page(query, None, counts=one) for one in counts))
    found = await asking.client.find_symbols([asking.fake.symbol, "AAPL"])

    markets_path = WIRES[asking.fake.venue].markets_path
    assert [path for path, _ in asking.fake.asked].count(markets_path) == 1
    assert asking.fake.asked[0][0] == markets_path
    assert [len(page.rows) for page in pages] == [48] * 3
    assert sum(one.all for one in counts) == asking.client.requests_made.all == 4
    assert {ticker: known is not None for ticker, known in found.items()} == {asking.fake.symbol: True, "AAPL": False}


async def test_requests_keep_their_distance(asking: Asking) -> None:
    """Kraken's are 1.2 s apart, for several at once too: its limit is one of each second, not of a minute."""
    query = query_of("kraken", Timeframe.H1)

    await asyncio.gather(*(asking.client.fetch_page(query, None) for _ in range(4)))

    assert asking.clock.now_s == pytest.approx(4 * 1.2)


async def test_a_limit_with_status_200_closes_the_quota_as_a_429_does(asking: Asking) -> None:
    """The told time is waited for, and then the same page is asked for again (8.2)."""
    refusal = Answer({"error": ["EAPI:Rate limit exceeded"]}, headers={"Retry-After": "30"})
    asking.fake.refusals = [refusal]

    page = await asking.client.fetch_page(query_of("kraken", Timeframe.H1), None)

    assert len(page.rows) == 48
    assert len(asking.fake.bar_requests) == 2
    assert asking.clock.now_s >= 30


async def test_a_blocked_country_is_asked_once(asking: Asking) -> None:
    """After a 451 nothing more is sent, whoever asks: ccxt would take it for an outage."""
    asking.fake.refusals = [Answer({"msg": "restricted location"}, status=451)]

    for _ in range(3):
        with pytest.raises(CredentialsRejected, match="another venue"):
            await asking.client.fetch_page(query_of("kraken", Timeframe.H1), None)
    with pytest.raises(CredentialsRejected):
        await asking.client.find_symbols([asking.fake.symbol])

    assert len(asking.fake.bar_requests) == 1


async def test_an_outage_is_tried_again(asking: Asking) -> None:
    """Five times in all, then it is a failure that passes."""
    asking.fake.refusals = [Answer(b"", status=503)] * 9

    with pytest.raises(ProviderUnavailable):
        await asking.client.fetch_page(query_of("kraken", Timeframe.H1), None)

    assert len(asking.fake.bar_requests) == 5

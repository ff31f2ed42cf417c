"""A scripted exchange on loopback, a clock that tests move, and a client of Alpaca's in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import ProviderError
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from tests.providers.servers import Exchange, running_exchange

KEY, SECRET = "PKCANARYCANARY000001", "canarySecretCanarySecretCanarySecret0002"


class Clock:
    """Seconds that pass only by sleeping, which takes no time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        """Time passes at once."""
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


def bars_query(
    *symbols: str, timeframe: Timeframe = Timeframe.M1, start: str = "2024-03-05", end: str = "2024-03-06"
) -> BarsQuery:
    """A query for AAPL, or for *symbols*, in UTC."""
    first, last = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end))
    return BarsQuery(tuple(sorted(symbols or ("AAPL",))), timeframe, Range(first, last), "sip")


class Bench:
    """A client and what a test wants to see of it."""

    def __init__(self, exchange: Exchange) -> None:
        self.clock = Clock()
        self.waits: list[tuple[float, str]] = []
        self.provider = Alpaca(KEY, SECRET, base_url=exchange.base_url)
        self.quota = SlidingQuota(10_000, clock=self.clock, sleep=self.clock.sleep)
        self.client = ProviderClient(
            self.provider,
            HttpClient(self.provider.base_urls),
            self.quota,
            on_wait=self._on_wait,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def _on_wait(self, seconds: float, error: ProviderError) -> None:
        self.waits.append((seconds, error.code))


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """A scripted exchange."""
    async with running_exchange() as exchange:
        yield exchange


@pytest.fixture
async def bench(exchange: Exchange) -> AsyncIterator[Bench]:
    """A client of *exchange* in its own time."""
    bench = Bench(exchange)
    yield bench
    await bench.client.aclose()

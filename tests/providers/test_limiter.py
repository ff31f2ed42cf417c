"""The limiter in virtual time, judged by what a provider would count."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.providers.limiter import SlidingQuota
from tests.providers.virtual_time import run_virtually

MINUTE_S = 60.0


@dataclass
class Provider:
    """Notes when each request arrives, somewhere between its start and the end of its answer."""

    seed: int
    latency_s_max: float
    arrivals: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    async def answer(self) -> None:
        """One request."""
        loop = asyncio.get_running_loop()
        self.starts.append(loop.time())
        there, back = (self.random.uniform(0, self.latency_s_max / 2) for _ in range(2))
        await asyncio.sleep(there)
        self.arrivals.append(loop.time())
        await asyncio.sleep(back)

    def most_in_a_minute(self) -> int:
        """The most arrivals in any window of 60 s, both ends included."""
        ordered = sorted(self.arrivals)
        most = first = 0
        for last, arrival in enumerate(ordered):
            while arrival - ordered[first] > MINUTE_S:
                first += 1
            most = max(most, last - first + 1)
        return most


def virtual_quota(limit: int) -> SlidingQuota:
    """A quota on the clock of the running loop."""
    return SlidingQuota(limit, clock=asyncio.get_running_loop().time)


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(1, 40),
    callers=st.integers(1, 30),
    latency_s=st.floats(0, 20),
    seed=st.integers(0, 2**32),
)
def test_no_window_of_the_provider_ever_holds_more_than_the_limit(
    limit: int, callers: int, latency_s: float, seed: int
) -> None:
    """Whenever requests start, fail and arrive, no 60 seconds as the provider sees them exceed the limit."""
    provider = Provider(seed, latency_s)

    async def caller(quota: SlidingQuota) -> None:
        for _ in range(6):
            await asyncio.sleep(provider.random.choice([0.0, provider.random.uniform(0, 100)]))
            with contextlib.suppress(ConnectionError):
                async with quota.slot():
                    await provider.answer()
                    if provider.random.random() < 0.2:
                        raise ConnectionError

    async def main() -> None:
        quota = virtual_quota(limit)
        await asyncio.gather(*(caller(quota) for _ in range(callers)))

    run_virtually(main())

    assert len(provider.arrivals) == 6 * callers
    assert provider.most_in_a_minute() <= limit


@pytest.mark.parametrize(("limit", "latency_s"), [(5, 1.0), (60, 0.5), (200, 2.0)])
def test_the_limit_is_used_while_work_waits(limit: int, latency_s: float) -> None:
    """Over ten minutes of queued work at least 95 % of the allowed requests start."""
    provider = Provider(1, latency_s)

    async def caller(quota: SlidingQuota) -> None:
        while True:
            async with quota.slot():
                await provider.answer()

    async def main() -> None:
        quota = virtual_quota(limit)
        tasks = [asyncio.create_task(caller(quota)) for _ in range(limit)]
        await asyncio.sleep(10 * MINUTE_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_virtually(main())

    assert provider.most_in_a_minute() <= limit
    assert len(provider.starts) >= 0.95 * 10 * limit


@pytest.mark.parametrize("under_way", [1, 3, 8])
@pytest.mark.parametrize("told_s", [None, 3.0, 60.0])
def test_five_minutes_of_429_cost_at_most_12_requests(told_s: float | None, under_way: int) -> None:
    """
    With 8 callers, of which some were under way when it began, one probe at a time goes ahead (H03).
    """
    sent_at: list[float] = []

    async def caller(quota: SlidingQuota, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await asyncio.sleep(delay_s)
        while loop.time() < start + 300:
            with contextlib.suppress(ConnectionRefusedError):
                async with quota.slot():
                    sent_at.append(loop.time() - start)
                    await asyncio.sleep(0.5)
                    if loop.time() < start + 300:
                        await quota.close_for(told_s, "429")
                        raise ConnectionRefusedError

    async def main() -> None:
        quota = virtual_quota(200)
        await asyncio.gather(*(caller(quota, 0 if number < under_way else 1) for number in range(8)))

    run_virtually(main())

    assert under_way < len([at for at in sent_at if at < 300]) <= 12


def test_only_the_success_of_one_probe_reopens() -> None:
    """After the wait one request goes first; the others follow when it has succeeded."""
    order: list[str] = []

    async def caller(quota: SlidingQuota, name: str) -> None:
        async with quota.slot():
            order.append(f"{name} starts")
            await asyncio.sleep(5)
            order.append(f"{name} ends")

    async def main() -> None:
        quota = virtual_quota(10)
        with contextlib.suppress(ConnectionRefusedError):
            async with quota.slot():
                await quota.close_for(30, "429")
                raise ConnectionRefusedError
        await asyncio.gather(*(caller(quota, name) for name in "abc"))

    run_virtually(main())

    assert order[:2] == ["a starts", "a ends"]
    assert order[2:4] == ["b starts", "c starts"]


def test_a_told_wait_is_kept_exactly() -> None:
    """The first refusal waits as long as the provider told, no longer and no shorter (H01)."""

    async def main() -> float:
        quota = virtual_quota(10)
        loop = asyncio.get_running_loop()
        start = loop.time()
        with contextlib.suppress(ConnectionRefusedError):
            async with quota.slot():
                assert await quota.close_for(17, "429") == 17
                raise ConnectionRefusedError
        async with quota.slot():
            return loop.time() - start

    assert run_virtually(main()) == pytest.approx(17)


@pytest.mark.parametrize("strike", range(1, 10))
def test_an_untold_wait_doubles_with_at_least_a_fifth_of_jitter(strike: int) -> None:
    """The n-th refusal in a row without a usable header waits min(2^n, 300) s and 20 % or more on top (H02)."""

    async def main() -> float:
        quota = virtual_quota(10)
        for _ in range(strike):
            with contextlib.suppress(ConnectionRefusedError):
                async with quota.slot():
                    wait_s = await quota.close_for(None, "429")
                    raise ConnectionRefusedError
        return wait_s

    base = min(2.0**strike, 300.0)
    assert 1.2 * base <= run_virtually(main()) <= 1.5 * base


def test_a_hold_delays_without_a_probe() -> None:
    """When the provider says that none are left, all wait until its reset and then go on together."""

    async def main() -> list[float]:
        quota = virtual_quota(10)
        loop = asyncio.get_running_loop()
        start = loop.time()
        started: list[float] = []

        async def caller() -> None:
            async with quota.slot():
                started.append(loop.time() - start)
                await asyncio.sleep(5)

        async with quota.slot():
            await quota.hold_for(20)
        await asyncio.gather(*(caller() for _ in range(3)))
        return started

    assert run_virtually(main()) == pytest.approx([20, 20, 20])


@pytest.mark.parametrize("under_way", [0, 5])
def test_a_limit_that_is_told_takes_places_away(under_way: int) -> None:
    """Three in a window instead of ten, also where more are under way when it is told."""

    async def main() -> list[float]:
        quota = virtual_quota(10)
        loop = asyncio.get_running_loop()
        start = loop.time()
        started: list[float] = []

        async def caller() -> None:
            async with quota.slot():
                started.append(loop.time() - start)
                await asyncio.sleep(1)

        before = [asyncio.create_task(caller()) for _ in range(under_way)]
        await asyncio.sleep(0)
        await quota.learn(3)
        await asyncio.gather(*before, *(caller() for _ in range(6)))
        return started[under_way:]

    started = run_virtually(main())
    window = 61.1
    first = window if under_way else 0.0
    assert started == pytest.approx([first] * 3 + [first + window] * 3)


def test_a_caller_that_gives_up_takes_no_slot() -> None:
    """A task cancelled while it waits leaves the limit to the others."""

    async def main() -> float:
        quota = virtual_quota(1)
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def caller() -> None:
            async with quota.slot():
                pass

        await caller()
        waiting = asyncio.create_task(caller())
        await asyncio.sleep(30)
        waiting.cancel()
        await caller()
        return loop.time() - start

    assert run_virtually(main()) == pytest.approx(60.1)


def test_a_limit_of_nothing_is_refused() -> None:
    """A quota that could never let anything pass is an error when it is made."""
    with pytest.raises(ValueError, match="requests_per_minute 0"):
        SlidingQuota(0)

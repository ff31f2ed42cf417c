"""
Keeps within a provider's rate limit, exactly as the provider counts: what a quota is, and one for a single process.

A request's place is free again one window after its answer was complete: it had reached the provider before that, so
no window that the provider can choose ever holds more requests than the limit. After a 429 everybody waits; then one
probe goes ahead, and only its success lets the others follow. All processes share the quota of `engine.quota`; the one
in here is for where there is no database.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from barfill.core.refusals import JITTER, Refusals
from barfill.errors import BarfillError, ProviderError

WINDOW_S = 60.0
SLACK_S = 0.1
"""Added to the window: clocks of two machines do not run exactly alike."""
HOLD_S_MAX = 60.0
"""A limit per minute is open again after a minute, whatever a header says."""


class Quota(Protocol):
    """The right to send requests with one key."""

    def slot(self) -> AbstractAsyncContextManager[None]:
        """
        Waits until one more request may be sent; wraps the request and the reading of its answer.

        Leaving it by an exception tells that the request was no success.

        Raises:
            ProviderError: `paused`, the provider has refused the key for longer than one waits.
            DailyBudgetSpent: Nothing more may be sent today.
        """

    async def close_for(self, told_s: float | None, reason: str) -> float:
        """
        Called inside a slot whose answer was 429: nobody sends for some time.

        Args:
            told_s: What the provider told; None where it told nothing usable.
            reason: For the log and the status page.

        Returns:
            Seconds until the next request may be sent.
        """

    async def hold_for(self, seconds: float) -> None:
        """The provider says that nothing is left for so long, without a refusal: wait, then go on as before."""

    async def learn(self, per_minute: int) -> None:
        """The provider tells its limit: the lower one holds, that or the one that was set."""

    async def held_by(self) -> BarfillError | None:
        """What keeps all requests with this key back for longer than one waits; None where one may be sent soon."""

    async def pause_for(self, seconds: float | None, error: ProviderError) -> None:
        """The provider refuses the key for so long, None for good: whoever else asks with it fails at once."""


class SlidingQuota:
    """
    A quota for the tasks of one event loop.

    Args:
        requests_per_minute: The limit of the key's plan.
        clock: Monotonic seconds.
        sleep: Waits for seconds on that clock.
        window_s: What the provider counts in.
    """

    def __init__(
        self,
        requests_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        window_s: float = WINDOW_S + SLACK_S,
    ) -> None:
        if requests_per_minute < 1:
            raise ValueError(f"requests_per_minute {requests_per_minute} allows nothing; give at least 1.")
        self._clock = clock
        self._sleep = sleep
        self._window_s = window_s
        self._limit = self._places = requests_per_minute
        self._free_at = deque([clock()] * requests_per_minute)  # in order: answers complete in order of the clock
        self._turnstile = asyncio.Lock()  # first come, first served; only its holder waits for time to pass
        self._changed = asyncio.Event()
        self._closed_until = clock()
        self._must_probe = False
        self._is_probing = False
        self._refusals = Refusals()
        self.closed_reason = ""

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """See `Quota.slot`."""
        async with self._turnstile:
            await self._wait()
            self._free_at.popleft()
            is_probe = self._must_probe
            self._is_probing = self._is_probing or is_probe
        is_success = False
        try:
            yield
            is_success = True
        finally:
            if self._places > self._limit:
                self._places -= 1
            else:
                self._free_at.append(self._clock() + self._window_s)
            if is_probe:
                self._end_probe(is_success=is_success)
            self._changed.set()

    async def close_for(self, told_s: float | None, reason: str) -> float:
        """See `Quota.close_for`."""
        now = self._clock()
        self._refusals = self._refusals.and_one(is_probing=self._must_probe and self._is_probing)
        self._must_probe = True
        self.closed_reason = reason
        wait_s = self._refusals.wait_s(told_s, jitter=random.uniform(*JITTER))
        self._closed_until = max(self._closed_until, now + wait_s)
        return self._closed_until - now

    async def hold_for(self, seconds: float) -> None:
        """See `Quota.hold_for`."""
        self._closed_until = max(self._closed_until, self._clock() + min(seconds, HOLD_S_MAX))

    async def learn(self, per_minute: int) -> None:
        """See `Quota.learn`; places that are free go first, those under way when they come back."""
        self._limit = min(self._limit, per_minute)
        while self._places > self._limit and self._free_at:
            self._free_at.popleft()
            self._places -= 1

    async def held_by(self) -> BarfillError | None:
        """See `Quota.held_by`: the client that was refused knows it."""
        return None

    async def pause_for(self, seconds: float | None, error: ProviderError) -> None:
        """See `Quota.pause_for`: there is nobody else, and the client that was refused knows it."""

    async def _wait(self) -> None:
        while (wait_s := self._wait_s()) != 0:
            if wait_s is None:
                self._changed.clear()
                await self._changed.wait()
            else:
                await self._sleep(wait_s)

    def _wait_s(self) -> float | None:
        """Seconds until it is worth looking again; 0 is now, None when some request has come to its end."""
        now = self._clock()
        if self._closed_until > now:
            return self._closed_until - now
        if not self._free_at or (self._must_probe and self._is_probing):
            return None
        return max(self._free_at[0] - now, 0.0)

    def _end_probe(self, *, is_success: bool) -> None:
        self._is_probing = False
        if is_success:
            self._must_probe = False
            self._refusals = Refusals()
            self.closed_reason = ""

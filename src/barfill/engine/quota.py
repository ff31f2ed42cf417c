"""
The shared quota as the provider's client sees it: `providers.limiter.Quota` on `store.quota`.

One task of a process asks the database at a time, and tasks are served in the order in which they came. If the
database is lost while they wait, the StoreError goes out to them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Concatenate, Literal, ParamSpec, TypeVar

from barfill.errors import (
    BarfillError,
    CredentialsRejected,
    DailyBudgetSpent,
    ProviderError,
    RateLimited,
    StoreError,
)
from barfill.providers.limiter import HOLD_S_MAX
from barfill.store import quota as store
from barfill.store.database import Connection, Database
from barfill.store.quota import Caller, Paused, Place, QuotaTerms, Spent

P = ParamSpec("P")
T = TypeVar("T")
Purpose = Literal["bulk", "interactive"]

FRESH_S = 20.0
"""A place is given back unused if taking it took longer: its lease is for the request, not for a process that stood."""
WAIT_S_MIN, WAIT_S_MAX = 0.01, 60.0

_KEY_ID_LENGTH = 12


def key_id_of(provider: str, key: str) -> str:
    """The fingerprint by which the database knows a key: not the key, and no way back to it."""
    return hashlib.sha256(f"{provider}:{key}".encode()).hexdigest()[:_KEY_ID_LENGTH]


class SharedQuota:
    """
    The quota of one key for the tasks of one event loop, shared with all processes on the same database.

    Args:
        terms: They hold for all processes from the first request on.
        purpose: Interactive requests go before bulk ones.
        sleep: Waits for so many seconds, told why.
        window_s: What the provider counts in.
    """

    def __init__(
        self,
        database: Database,
        terms: QuotaTerms,
        *,
        purpose: Purpose = "bulk",
        sleep: Callable[[float, str], Awaitable[None]] | None = None,
        window_s: float = store.WINDOW_S,
    ) -> None:
        self._database = database
        self._terms = terms
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._caller = Caller(holder=holder, purpose=purpose, window_s=window_s)
        self._sleep = sleep or _sleep
        self._quota: store.OpenQuota | None = None
        self._told_per_minute: int | None = None
        self._turnstile = asyncio.Lock()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """See `Quota.slot`."""
        async with self._turnstile:
            place = await self._place()
        is_success = False
        try:
            yield
            is_success = True
        finally:
            # Without the database the lease ends by itself; an error of the request is worth more than this one.
            with suppress(StoreError):
                await self._run(store.release_place, self._caller, place, is_success=is_success)

    async def close_for(self, told_s: float | None, reason: str) -> float:
        """See `Quota.close_for`."""
        return await self._run(store.close_quota, told_s, reason)

    async def hold_for(self, seconds: float) -> None:
        """See `Quota.hold_for`."""
        await self._run(store.hold_quota, min(seconds, HOLD_S_MAX))

    async def learn(self, per_minute: int) -> None:
        """See `Quota.learn`."""
        if per_minute != self._told_per_minute:
            await self._run(store.learn_limit, per_minute)
            self._told_per_minute = per_minute

    async def held_by(self) -> BarfillError | None:
        """See `Quota.held_by`; the terms hold from now on."""
        found = await self._run(store.read_hold)
        if isinstance(found, Paused):
            return self._paused(found)
        return None if found is None else self._spent(found)

    async def pause_for(self, seconds: float | None, error: ProviderError) -> None:
        """See `Quota.pause_for`."""
        await self._run(store.pause_quota, seconds, code=error.code, reason=str(error))

    async def _place(self) -> Place:
        while True:
            asked_at = time.monotonic()
            answer = await self._asked()
            if isinstance(answer, Place):
                if time.monotonic() - asked_at < FRESH_S:
                    return answer
                await self._run(store.give_back, self._caller, answer)
            elif isinstance(answer, Paused):
                raise self._paused(answer)
            elif isinstance(answer, Spent):
                raise self._spent(answer)
            else:
                await self._sleep(min(max(answer.seconds, WAIT_S_MIN), WAIT_S_MAX), answer.reason)

    async def _asked(self) -> Place | store.Wait | Paused | Spent:
        """The database's answer; a task that is cancelled meanwhile leaves the place to the others."""
        asking = asyncio.ensure_future(self._run(store.take_place, self._caller))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            with suppress(StoreError):
                answer = await asking
                if isinstance(answer, Place):
                    await self._run(store.give_back, self._caller, answer)
            raise

    async def _run(
        self, work: Callable[Concatenate[Connection, store.OpenQuota, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, self._opened(), *args, **kwargs))

    def _opened(self) -> store.OpenQuota:
        if self._quota is None:
            self._quota = self._database.run(store.open_quota, self._terms)
        return self._quota

    def _paused(self, found: Paused) -> ProviderError:
        provider = self._terms.provider
        if found.code == CredentialsRejected.code:
            return CredentialsRejected(found.reason, provider=provider)
        return RateLimited(
            f"{found.reason} Nothing is sent with this key for another {found.seconds or 0:,.0f} s, by any process. "
            "See: barfill status --quota",
            retry_after_s=found.seconds,
            provider=provider,
            reason="paused",
        )

    def _spent(self, found: Spent) -> DailyBudgetSpent:
        return DailyBudgetSpent(
            f"Today's budget of {found.day_budget:,} requests for {self._terms.provider} is used up. Run the same "
            "command again after 00:00 UTC, or raise the budget.",
            day_budget=found.day_budget,
        )


async def _sleep(seconds: float, _reason: str) -> None:
    await asyncio.sleep(seconds)

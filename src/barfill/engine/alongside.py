"""What must be asked of a provider before a look, and may take so long that the look goes on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Alongside(Generic[T]):
    """
    Has *work* done, one at a time; where it takes long it goes on while whoever asked does something else.

    Args:
        work: A new awaitable at each call.
        patience_s: How long its end is waited for, in seconds.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], patience_s: float) -> None:
        self._work = work
        self._patience_s = patience_s
        self._task: asyncio.Future[T] | None = None
        self._is_over = asyncio.Event()

    def stop(self) -> None:
        """Nobody waits any more."""
        self._is_over.set()

    async def result(self) -> T | None:
        """
        What it came to, begun now or before; None where it is not done in time.

        Raises:
            Exception: What *work* raised.
        """
        if self._task is None:
            self._task = asyncio.ensure_future(self._work())
        over: asyncio.Future[Any] = asyncio.ensure_future(self._is_over.wait())
        waited_for: list[asyncio.Future[Any]] = [self._task, over]
        await asyncio.wait(waited_for, timeout=self._patience_s, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not self._task.done():
            return None
        task, self._task = self._task, None
        return task.result()

    async def cancel(self) -> None:
        """Gives up what is not done."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._task
            self._task = None

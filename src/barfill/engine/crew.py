"""
A fixed number of tasks that work off a queue of runs, newest added first where work was split off.

It knows when to stop: on request, at a bound of calls, or when the provider has paused the key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable


class Crew:
    """
    Runs `work(item)` for every item with *size* tasks at a time; work may add further items.

    An exception out of *work* stops the crew: items in hand are cancelled, and it is raised from `run`.
    """

    def __init__(self, size: int, work: Callable[[int], Awaitable[None]]) -> None:
        self._size = size
        self._work = work
        self._waiting: deque[int] = deque()
        self._in_hand = 0
        self._changed = asyncio.Condition()
        self._is_stopping = False

    def add(self, items: Iterable[int]) -> None:
        """Adds work behind what is waiting."""
        self._waiting.extend(items)

    def add_next(self, items: Iterable[int]) -> None:
        """Adds work before what is waiting: the pieces of an item that was split."""
        self._waiting.extendleft(reversed(list(items)))

    def stop(self) -> None:
        """Takes nothing further up; what is in hand is finished."""
        self._is_stopping = True

    async def run(self) -> None:
        """Returns when nothing is waiting and nothing in hand, or when stopped and nothing in hand."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._size):
                group.create_task(self._member())

    async def _member(self) -> None:
        while (item := await self._take()) is not None:
            try:
                await self._work(item)
            finally:
                async with self._changed:
                    self._in_hand -= 1
                    self._changed.notify_all()

    async def _take(self) -> int | None:
        async with self._changed:
            while not self._is_stopping:
                if self._waiting:
                    self._in_hand += 1
                    return self._waiting.popleft()
                if self._in_hand == 0:
                    return None
                await self._changed.wait()
            return None

"""
Works off a queue of runs: a fixed number of each provider's at a time, newest added first where work was split off.

A provider that takes minutes for each answer fills its own places and nobody else's. A crew knows when to stop: on
request, at a bound of calls, or when a provider has paused the key.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable


class Crew:
    """
    Runs `work(item)` for every item; work may add further items.

    An exception out of *work* stops the crew: items in hand are cancelled, and it is raised from `run`.

    Args:
        size: How many items of each lane are in hand at the same time.
        lane_of: Whose lane an item is in; known from when it is added.
        on_idle: Called with a lane in which nothing is left for now, while others go on.
    """

    def __init__(
        self,
        size: int,
        work: Callable[[int], Awaitable[None]],
        lane_of: Callable[[int], str],
        on_idle: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._size = size
        self._work = work
        self._lane_of = lane_of
        self._on_idle = on_idle
        self._waiting: defaultdict[str, deque[int]] = defaultdict(deque)
        self._in_hand: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._is_stopping = False

    def add(self, items: Iterable[int]) -> None:
        """Adds work behind what is waiting."""
        for item in items:
            self._waiting[self._lane_of(item)].append(item)

    def add_next(self, items: Iterable[int]) -> None:
        """Adds work before what is waiting: the pieces of an item that was split."""
        for item in reversed(list(items)):
            self._waiting[self._lane_of(item)].appendleft(item)

    def stop(self) -> None:
        """Takes nothing further up; what is in hand is finished."""
        self._is_stopping = True

    async def run(self) -> None:
        """Returns when nothing is waiting and nothing in hand, or when stopped and nothing in hand."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for lane, item in self._taken():
                    group.create_task(self._carry_out(lane, item))
                if not self._in_hand.total():
                    return
                await self._changed.wait()

    def _taken(self) -> list[tuple[str, int]]:
        """What there is a place for now."""
        taken: list[tuple[str, int]] = []
        for lane, waiting in self._waiting.items():
            while waiting and self._in_hand[lane] < self._size and not self._is_stopping:
                taken.append((lane, waiting.popleft()))
                self._in_hand[lane] += 1
        return taken

    async def _carry_out(self, lane: str, item: int) -> None:
        try:
            await self._work(item)
            is_last = self._in_hand[lane] == 1 and not self._waiting[lane] and self._in_hand.total() > 1
            if is_last and self._on_idle is not None:
                await self._on_idle(lane)
        finally:
            self._in_hand[lane] -= 1
            self._changed.set()

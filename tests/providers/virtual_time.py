"""An event loop whose time passes only when everybody waits: hours take milliseconds, exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Sleeps jump ahead instead of waiting."""

    def __init__(self) -> None:
        self._virtual_s = 1000.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds."""
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        """Moves the clock."""
        self._virtual_s += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits for ever")
        self._loop.jump(max(timeout, 0.0))
        return super().select(0)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Runs *main* in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)

"""An event loop in virtual time: it jumps to the next timer when nothing is ready, and runs threads' work in turn."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from barfill.errors import StoreUnavailable
from torture.simulation.actors import ACTING, Actor, Crashed
from torture.simulation.clock import VirtualClock

T = TypeVar("T")


class Stuck(Exception):
    """Everybody waits for something that will never come."""


class Pace(Protocol):
    """How long what is given to a thread waits, and what happens before it is done."""

    def latency_s(self) -> float:
        """Seconds until a thread takes the work up."""

    def before_job(self, actor: Actor) -> None:
        """May freeze the actor."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    What is given to threads is carried out here, one after the other, each after a moment of virtual time.

    So nothing happens at the same time, and the same seed gives the same order.
    """

    def __init__(self, clock: VirtualClock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        super().__init__(_Jumping(clock))

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """A future of what *func* gives; the world's own work is done at once."""
        future: asyncio.Future[T] = self.create_future()
        actor = ACTING.get()
        if actor is None:
            _settle(future, partial(func, *args))
        else:
            self.call_later(self._pace.latency_s(), self._carry_out, actor, future, partial(func, *args))
        return future

    def _carry_out(self, actor: Actor, future: asyncio.Future[T], job: Callable[[], T]) -> None:
        if not actor.is_dead:
            self._pace.before_job(actor)
        if actor.is_dead:
            if not future.done():
                future.set_exception(StoreUnavailable("The process is gone."))
        elif actor.is_frozen:
            actor.held.append(partial(self._carry_out, actor, future, job))
        else:
            _settle(future, job)


def _settle(future: asyncio.Future[T], job: Callable[[], T]) -> None:
    """As a thread does: the work is done although nobody may be waiting for it any more."""
    try:
        result = job()
    except Crashed as error:
        if not future.done():
            future.set_exception(StoreUnavailable(str(error)))
    except Exception as error:
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():
            future.set_result(result)


class _Jumping(selectors.DefaultSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Stuck("nothing is ready and nobody waits for a time")
        if timeout > 0:
            self._clock.advance(timeout)
        return ()

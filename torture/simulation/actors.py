"""Who acts: each simulated process is an actor, and everything that is done in its name can be told by the context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(eq=False)
class Actor:
    """
    A simulated process: it lives, stands still, or is dead.

    Attributes:
        held: What it would have done since it stands still.
        worker_id: Under which it claims runs now; "" where it claims none.
        main: Its task, which ends with it.
    """

    name: str
    is_dead: bool = False
    is_frozen: bool = False
    held: list[Callable[[], None]] = field(default_factory=list)
    worker_id: str = ""
    main: asyncio.Task[None] | None = None
    _moving: asyncio.Event = field(default_factory=asyncio.Event)

    def freeze(self) -> None:
        """Stands still from now on."""
        self.is_frozen = True
        self._moving.clear()

    def thaw(self) -> None:
        """Goes on, beginning with what it would have done meanwhile."""
        self.is_frozen = False
        self._moving.set()
        held, self.held = self.held, []
        for one in held:
            asyncio.get_running_loop().call_soon(one)

    def die(self) -> None:
        """Does nothing more; whatever its tasks still want comes to nothing."""
        self.is_dead = True
        self.thaw()
        if self.main is not None:
            self.main.cancel()

    async def moving(self) -> None:
        """Returns when it does not stand still."""
        while self.is_frozen:
            await self._moving.wait()


class Crashed(BaseException):
    """The actor has died in the middle of what it was doing."""


ACTING: ContextVar[Actor | None] = ContextVar("ACTING", default=None)
"""In whose name the running code acts; None is the world itself."""
ASKING: ContextVar[Actor | None] = ContextVar("ASKING", default=None)
"""On the exchange's side: whose request is being answered."""

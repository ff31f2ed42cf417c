"""What happened in a simulation, in order, and its digest: the same seed must give the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from torture.simulation.actors import Actor
from torture.simulation.clock import VirtualClock


@dataclass
class History:
    """Lines of who did what at which virtual microsecond."""

    clock: VirtualClock
    lines: list[str] = field(default_factory=list)

    def note(self, actor: Actor | None, what: str) -> None:
        """One more thing that happened."""
        self.lines.append(f"{self.clock.epoch_us()} {actor.name if actor else 'world'} {what}")

    def digest(self, end: object) -> str:
        """Over all lines and the state at the *end*."""
        return hashlib.sha256("\n".join([*self.lines, repr(end)]).encode()).hexdigest()

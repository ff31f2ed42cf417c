"""
The exchange's clock: real time, shifted or stopped by whoever tests.
"""

import time
from datetime import datetime

from barfill.simulate.market.sessions import SECOND_NS, from_ns, to_ns


class MovableClock:
    """
    Runs as the real clock does unless it is set, moved or frozen.

    Rate limits do not follow it: they are about real seconds between real requests.
    """

    def __init__(self, start: datetime | None = None, *, frozen: bool = False) -> None:
        self._offset_ns = 0
        self._frozen_ns: int | None = None
        if start is not None:
            self.set(start)
        if frozen:
            self.freeze()

    def now_ns(self) -> int:
        if self._frozen_ns is not None:
            return self._frozen_ns
        return time.time_ns() + self._offset_ns

    def now(self) -> datetime:
        return from_ns(self.now_ns())

    def set(self, instant: datetime) -> None:
        """Go on from *instant*, which must have a zone; a frozen clock stays frozen there."""
        self._move(to_ns(instant) - self.now_ns())

    def advance(self, seconds: float) -> None:
        """Jump by *seconds*, back if negative."""
        self._move(round(seconds * SECOND_NS))

    def freeze(self) -> None:
        self._frozen_ns = self.now_ns()

    def resume(self) -> None:
        if self._frozen_ns is not None:
            self._offset_ns = self._frozen_ns - time.time_ns()
            self._frozen_ns = None

    def _move(self, delta_ns: int) -> None:
        if self._frozen_ns is not None:
            self._frozen_ns += delta_ns
        else:
            self._offset_ns += delta_ns

"""The database's clock, read once and carried on by this machine's monotonic one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class EngineClock:
    """
    All processes judge by the database's clock: a wrong or jumping clock of this machine changes nothing.

    Args:
        start: The database's clock now.
        monotonic: Seconds that only go forward.
    """

    def __init__(self, start: datetime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._monotonic = monotonic
        self._since = monotonic()

    def set(self, now: datetime) -> None:
        """Reads it once more: the monotonic clock of a machine that slept has stood still."""
        self._start, self._since = now, self._monotonic()

    def now(self) -> datetime:
        """The instant, UTC."""
        return self._start + timedelta(seconds=self._monotonic() - self._since)

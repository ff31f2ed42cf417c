"""The virtual clock: one instant for this process, for its event loop and for PostgreSQL."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

_MONOTONIC_S = 1_000.0
_DIGITS = 20


class VirtualClock:
    """
    Stands still unless it is moved on.

    Args:
        start: Where it begins.
        told: A file that holds the instant in microseconds since 1970, for PostgreSQL to read.
    """

    def __init__(self, start: datetime, told: Path) -> None:
        self._start = start
        self._start_us = round(start.timestamp() * 1_000_000)
        self._file = os.open(told, os.O_WRONLY | os.O_CREAT)
        self.seconds = 0.0
        self.advance(0.0)

    def advance(self, seconds: float) -> None:
        """Moves it on."""
        self.seconds += seconds
        os.pwrite(self._file, b"%0*d" % (_DIGITS, self.epoch_us()), 0)

    def epoch_us(self) -> int:
        """Microseconds since 1970."""
        return self._start_us + int(self.seconds * 1_000_000)

    def epoch_s(self) -> float:
        """Seconds since 1970."""
        return self.epoch_us() / 1_000_000

    def epoch_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.epoch_us() * 1_000

    def now(self) -> datetime:
        """The instant, UTC."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.epoch_us())

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return _MONOTONIC_S + self.seconds

    def close(self) -> None:
        """Lets go of the file."""
        os.close(self._file)


@contextmanager
def ruling(clock: VirtualClock) -> Iterator[None]:
    """Within the block Python's `time` tells the virtual time, for all code that asks it."""
    with (
        mock.patch("time.time", clock.epoch_s),
        mock.patch("time.time_ns", clock.epoch_ns),
        mock.patch("time.monotonic", clock.monotonic),
    ):
        yield


def real_seconds() -> float:
    """The machine's own clock, for figures."""
    return time.perf_counter()

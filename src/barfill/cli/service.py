"""What commands that run for years have in common: plain lines with the time, and an orderly end on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from barfill.cli.terminal import counted, say
from barfill.engine.events import PageWritten, SilentListener

EXIT_INTERRUPTED = 130
WAIT_TOLD_S_MIN = 5.0


class ServiceLog(SilentListener):
    """Tells sentences as lines on stderr; pages are counted, and told with the next line."""

    def __init__(self) -> None:
        self._pages = 0
        self._bars = 0
        self._told_wait = ""

    def page_written(self, page: PageWritten) -> None:
        """Counted."""
        self._pages += 1
        self._bars += page.inserted + page.changed
        self._told_wait = ""

    def waiting(self, seconds: float, reason: str) -> None:
        """Told once, unless it is short."""
        if seconds >= WAIT_TOLD_S_MIN and reason != self._told_wait:
            self._told_wait = reason
            self.note(f"waiting {seconds:.0f} s: {reason}")

    def note(self, text: str) -> None:
        """A line."""
        came = f"{counted(self._pages, 'page')}, {counted(self._bars, 'bar')}"
        since = f" ({came} since the last line)" if self._pages else ""
        self._pages = self._bars = 0
        say(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z  {text}{since}")


def quiet_libraries() -> None:
    """
    Libraries say nothing on the terminal: what matters is told by the log, in our words and without arguments.

    BARFILL_DEBUG=1 lets them speak.
    """
    if os.environ.get("BARFILL_DEBUG"):
        return
    for name in ("procrastinate", "psycopg", "psycopg.pool", "asyncio"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None], log: ServiceLog) -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM call *stop*, a second one ends the process; gives what tells whether one has come."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        log.note("stopping after the pages in hand; what is stored stays")
        for one in numbers:  # whoever asks twice does not want to wait
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        stop()

    for number in numbers:
        loop.add_signal_handler(number, ask, number)
    try:
        yield lambda: bool(asked)
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)

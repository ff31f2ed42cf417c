"""Opening the store from a command: as the wiring does, and with a word to who waits for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from barfill import wiring
from barfill.cli.terminal import say
from barfill.settings import Settings

if TYPE_CHECKING:
    from barfill.store.database import Database

NOTICED_AFTER_S = 0.5


@contextmanager
def open_store(settings: Settings) -> Iterator[Database]:
    """The database; on a terminal, a wait that one would notice is explained."""
    what = "starting the database" if settings.database_url is None else "connecting to the database"
    timer = Timer(NOTICED_AFTER_S, say, [what])
    timer.daemon = True
    if sys.stderr.isatty():
        timer.start()
    try:
        with wiring.open_store(settings) as database:
            timer.cancel()
            yield database
    finally:
        timer.cancel()

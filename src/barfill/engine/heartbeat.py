"""The sign of life of whoever carries runs out: a process that stands still for long is taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.runs import heartbeat
from barfill.store.workers import Presence

BEATS_IN_PATIENCE = 4.0
"""So many signs of life fit into the time after which a worker is taken for dead."""


@asynccontextmanager
async def beating(database: Database, presence: Presence, *, patience_s: float) -> AsyncIterator[None]:
    """Beats for *presence* while the block runs; a beat that the database does not take is left out."""
    task = asyncio.create_task(_beat(database, presence, patience_s / BEATS_IN_PATIENCE))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat(database: Database, presence: Presence, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        beat = asyncio.ensure_future(asyncio.to_thread(lambda: database.run(heartbeat, presence.worker)))
        with suppress(StoreError):
            try:
                await asyncio.shield(beat)
            except asyncio.CancelledError:
                # The thread goes on: whoever closes the presence must not be overtaken by it.
                with suppress(StoreError):
                    await beat
                raise

"""The sign of life of whoever carries runs out: a process that stands still for a minute is taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.runs import heartbeat
from barfill.store.workers import Presence

BEAT_S = 15.0


@asynccontextmanager
async def beating(database: Database, presence: Presence) -> AsyncIterator[None]:
    """Beats for *presence* while the block runs; a beat that the database does not take is left out."""
    task = asyncio.create_task(_beat(database, presence))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat(database: Database, presence: Presence) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        beat = asyncio.ensure_future(asyncio.to_thread(lambda: database.run(heartbeat, presence.worker)))
        with suppress(StoreError):
            try:
                await asyncio.shield(beat)
            except asyncio.CancelledError:
                # The thread goes on: whoever closes the presence must not be overtaken by it.
                with suppress(StoreError):
                    await beat
                raise

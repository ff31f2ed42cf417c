"""The sign of life of whoever carries runs out: a process that stands still for long is taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from barfill.engine.execution import Executor
from barfill.errors import StoreError
from barfill.store.database import Database
from barfill.store.runs import heartbeat
from barfill.store.workers import Presence

BEATS_IN_PATIENCE = 4.0
"""So many signs of life fit into the time after which a worker is taken for dead."""
LATE_S_MAX = 1.0
"""A sign of life that comes later than this is worth a word."""


@asynccontextmanager
async def beating(
    database: Database, presence: Presence, executor: Executor, note: Callable[[str], None], *, patience_s: float
) -> AsyncIterator[None]:
    """
    Beats for *presence* while the block runs; a beat that the database does not take is left out.

    The answer to a beat tells which runs are still ours: *executor* gives the others up at once. *note* is told when
    the event loop stood still, so that a living worker may look dead.
    """
    task = asyncio.create_task(_beat(database, presence, executor, note, patience_s / BEATS_IN_PATIENCE))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _beat(
    database: Database, presence: Presence, executor: Executor, note: Callable[[str], None], every_s: float
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        late_s = loop.time() - due
        if late_s > LATE_S_MAX:
            note(
                f"This process stood still for {late_s:.1f} s: the machine was suspended, or is overloaded, or "
                "something blocks it. If that goes on, run fewer chains at a time (MAX_CONCURRENT_JOBS)."
            )
        in_hand = executor.in_hand  # before the beat: what is claimed meanwhile is ours
        beat = asyncio.ensure_future(asyncio.to_thread(lambda: database.run(heartbeat, presence.worker)))
        with suppress(StoreError):
            try:
                ours = await asyncio.shield(beat)
            except asyncio.CancelledError:
                # The thread goes on: whoever closes the presence must not be overtaken by it.
                with suppress(StoreError):
                    await beat
                raise
            for run_id, epoch in in_hand.items():
                if ours.get(run_id) != epoch:
                    executor.lose(run_id, epoch)

"""
A worker as a simulated process: the engine's executor on procrastinate's own queue.

It does what `engine.worker.QueueWorker` does, with one difference: where that one polls, this one is told, so that idle
days cost nothing. It beats and looks after dead workers only while some run is in somebody's hands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

from procrastinate.jobs import Status
from procrastinate.manager import JobManager

from barfill.core.routing import Roster
from barfill.engine.chain import CallBudget
from barfill.engine.clock import EngineClock
from barfill.engine.derive import derive_market
from barfill.engine.execution import Executor, Result
from barfill.engine.heartbeat import BEATS_IN_PATIENCE, beating
from barfill.engine.patience import Patience
from barfill.engine.standing import read_standing_orders
from barfill.errors import StoreError
from barfill.providers.client import ProviderClient
from barfill.store.queue import queue_of
from barfill.store.runs import reap_runs
from barfill.store.workers import Presence
from torture.simulation.actors import Actor
from torture.simulation.mischief import PATIENCE_S
from torture.simulation.store import QueueConnector

if TYPE_CHECKING:
    from torture.simulation.world import World

RESTART_S = 2.0


class SimulatedWorker:
    """
    Args:
        client: Its own; whoever made it closes it.
    """

    def __init__(self, world: World, actor: Actor, client: ProviderClient) -> None:
        self._world = world
        self._actor = actor
        self._client = client
        self._database = world.database
        self._executor: Executor | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """Finishes the pages in hand and ends."""
        self._is_stopping = True
        if self._executor is not None:
            self._executor.stop()
        self._world.bell.ring()

    async def run(self) -> None:
        """Until it is stopped; a lost database is waited for."""
        while not (self._is_stopping or self._actor.is_dead):
            try:
                await self._session()
            except* StoreError:
                await asyncio.sleep(RESTART_S)

    async def _session(self) -> None:
        presence = await asyncio.to_thread(lambda: Presence(self._database))
        try:
            self._actor.worker_id = (await asyncio.to_thread(lambda: presence.worker)).id
            clock = EngineClock(await asyncio.to_thread(self._database.now), self._world.clock.monotonic)
            self._executor = Executor(
                self._database,
                [self._client],
                self._world.settings,
                now=clock.now,
                worker=lambda: presence.worker,
                budget=CallBudget(None),
                on_page=lambda *_: None,
            )
            manager = JobManager(QueueConnector(self._database))
            number = await manager.register_worker()
            async with asyncio.TaskGroup() as group:
                chains = [
                    group.create_task(self._chain(self._executor, manager, number, presence))
                    for _ in range(self._world.plan.chains)
                ]
                reaping = group.create_task(self._reap(clock))
                await asyncio.gather(*chains)
                reaping.cancel()
        finally:
            await asyncio.to_thread(presence.close)

    async def _chain(self, executor: Executor, manager: JobManager, number: int, presence: Presence) -> None:
        while not self._is_stopping:
            await self._world.entry_is_due(lambda: self._is_stopping)
            await manager.update_heartbeat(number)
            job = await manager.fetch_job([queue_of(self._client.provider.name)], number)
            if job is None:
                continue
            self._world.work_begins.set()
            async with (
                beating(self._database, presence, executor, lambda _: None, patience_s=PATIENCE_S),
                _beating_in_the_queue(manager, number),
            ):
                await self._carry_out(executor, **cast(dict[str, int], job.task_kwargs))
            await manager.finish_job(job, Status.SUCCEEDED, delete_job=True)

    async def _carry_out(self, executor: Executor, run_id: int, epoch: int) -> None:
        executed = await executor.execute(run_id, epoch, Patience())
        self._world.history.note(self._actor, f"run {run_id} epoch {epoch} {executed.result.value}")
        if executed.result is Result.DONE and executed.query is not None:
            await asyncio.to_thread(self._derive, executed.query.symbols)

    def _derive(self, tickers: tuple[str, ...]) -> None:
        now, provider = self._database.now(), self._client.provider
        wanted = frozenset(tickers)
        standing = self._database.run(
            read_standing_orders, Roster((provider.capabilities,)), self._world.settings, now, tickers=wanted
        )
        for order in standing.orders:
            derive_market(self._database, order.market, now, is_full=False)

    async def _reap(self, clock: EngineClock) -> None:
        while True:
            await self._world.somebody_works()
            if self._world.is_ones_turn_to_reap():
                with suppress(StoreError):
                    await asyncio.to_thread(lambda: self._database.run(reap_runs, patience_s=PATIENCE_S))
            with suppress(StoreError):
                clock.set(await asyncio.to_thread(self._database.now))
            await asyncio.sleep(PATIENCE_S / BEATS_IN_PATIENCE)


@asynccontextmanager
async def _beating_in_the_queue(manager: JobManager, number: int) -> AsyncIterator[None]:
    """The sign of life that the library's worker gives to its own tables."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(PATIENCE_S / BEATS_IN_PATIENCE)
            with suppress(StoreError):
                await manager.update_heartbeat(number)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

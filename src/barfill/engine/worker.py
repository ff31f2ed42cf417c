"""
Carries out runs from the queue until it is stopped or the queue is empty: of each provider as many as it was told.

Any number of workers may run, on any machines that share the database. procrastinate hands out the entries; what is
done is known from `job_runs` alone. The library's worker ends quietly when a task of its own fails, or the database
goes away: it is started again, under a new identity, so that what it had is free at once. Each provider's queue has a
worker of the library to itself: one that answers after minutes keeps none of the others' runs waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import procrastinate
from procrastinate.worker import Worker

from barfill.core.page import Page
from barfill.engine.chain import CallBudget
from barfill.engine.clients import Clients
from barfill.engine.clock import EngineClock
from barfill.engine.derive import derive_market
from barfill.engine.desk import Processed
from barfill.engine.events import BackfillListener
from barfill.engine.execution import Executed, Executor, Result
from barfill.engine.heartbeat import BEATS_IN_PATIENCE, beating
from barfill.engine.holding import look_at_key
from barfill.engine.live import derive_live
from barfill.engine.patience import Patience
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.engine.telling import page_written
from barfill.errors import (
    BarfillError,
    CredentialsRejected,
    DailyBudgetSpent,
    Defect,
    RateLimited,
    SchemaOutdated,
    StoreCrowded,
    StoreError,
    StoreFull,
    StoreReadOnly,
)
from barfill.store.database import Database
from barfill.store.failures import behind, translated
from barfill.store.queue import HOUSE, TASK, count_due, queue_of
from barfill.store.runs import give_back_runs, prune_runs, reap_runs
from barfill.store.workers import Presence

STOP_GRACE_S = 25.0
RESTART_S_MAX = 15.0
POLL_S = 1.0
"""How often a worker looks for work that nobody has told it of."""
_LIBRARY_CONNECTIONS = 4
"""Of the library, beside the one on which it listens for each queue."""


@dataclass(slots=True)
class WorkerTally:
    """What a worker has done so far."""

    done: int = 0
    failed: int = 0
    postponed: int = 0
    split: int = 0
    dropped: int = 0
    bars_written: int = 0
    calls: int = 0
    restarts: int = 0


class QueueWorker:
    """
    Args:
        settings: How many runs of each provider at a time, and what is derived.
        listener: Is told what happens, on the event loop's thread.
        retention_days: How long finished runs are kept.
    """

    def __init__(
        self,
        database: Database,
        clients: Clients,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        retention_days: int = 90,
    ) -> None:
        self.tally = WorkerTally()
        self._database = database
        self._clients = clients
        self._queues = (*(queue_of(name) for name in clients.names), HOUSE)
        self._settings = settings
        self._listener = listener
        self._retention_days = retention_days
        self._budget = CallBudget(None)
        self._stopping = asyncio.Event()
        self._executor: Executor | None = None
        self._told: set[str] = set()
        self._lost: StoreError | None = None
        self._library: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Finishes the pages in hand; runs go back into the queue at the page they have reached."""
        self._stopping.set()
        if self._executor is not None:
            self._executor.stop()
        if self._library is not None:
            self._library.cancel()

    async def run(self) -> None:
        """
        Carries runs out until it is stopped; a lost database is waited for.

        Raises:
            SchemaOutdated: A newer barfill has changed the schema: nothing is claimed any more.
        """
        wait_s = 1.0
        while not self._stopping.is_set():
            begun = asyncio.get_running_loop().time()
            try:
                await self._look_at_key()
                await self._session(until_empty=False)
            except SchemaOutdated:
                raise
            except (StoreError, procrastinate.exceptions.ProcrastinateException) as error:
                self._listener.note(f"The worker starts again in {wait_s:.0f} s: {_text(error)}")
            else:
                if not self._stopping.is_set():
                    self._listener.note(f"The queue's worker ended by itself; it starts again in {wait_s:.0f} s")
            if self._stopping.is_set():
                return
            self.tally.restarts += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)
            lasted = asyncio.get_running_loop().time() - begun > RESTART_S_MAX * 4
            wait_s = 1.0 if lasted else min(wait_s * 2, RESTART_S_MAX)

    async def run_until_empty(self) -> None:
        """
        Carries runs out until none is left that is due.

        Raises:
            StoreError: The database is gone.
        """
        await self._look_at_key()
        while not self._stopping.is_set():
            due = await asyncio.to_thread(lambda: self._database.run(count_due, self._queues))
            if due == 0:
                return
            await self._session(until_empty=True)

    async def _look_at_key(self) -> None:
        for client in self._clients.all:
            held = await look_at_key(self._database, client)
            if held is not None:
                self._note_once(self._nothing_fetched(client.provider.name, held))

    async def _session(self, *, until_empty: bool) -> None:
        """One life of the library's worker, under an identity of its own."""
        self._lost = None
        presence = await asyncio.to_thread(lambda: Presence(self._database))
        try:
            with translated():
                await self._serve(presence, until_empty=until_empty)
        except (StoreError, procrastinate.exceptions.ProcrastinateException) as error:
            self._lost = error if isinstance(error, StoreError) else behind(error)
            raise
        finally:
            if isinstance(self._lost, StoreFull | StoreReadOnly | StoreCrowded):
                await asyncio.to_thread(self._give_back, presence)
            await asyncio.to_thread(presence.close)
        if self._lost is not None:
            raise self._lost

    async def _serve(self, presence: Presence, *, until_empty: bool) -> None:
        # The queue's pool waits half a minute for a connection, and does not say why it gets none.
        (await asyncio.to_thread(self._database.connect)).close()
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        self._executor = executor = Executor(
            self._database,
            self._clients.all,
            self._settings,
            now=clock.now,
            worker=lambda: presence.worker,
            budget=self._budget,
            fallbacks=self._clients.fallbacks,
            on_page=self._on_page,
        )
        if self._stopping.is_set():
            self._executor.stop()
        connector = procrastinate.PsycopgConnector(
            conninfo=self._database.url,
            kwargs={"prepare_threshold": None, "application_name": "barfill queue"},
            min_size=1,
            max_size=_LIBRARY_CONNECTIONS + len(self._queues),
            timeout=10.0,
        )
        app = procrastinate.App(connector=connector)
        app.task(name=TASK, queue=self._queues[0])(self._carry_out)
        # The library watches over its own tasks only while it has something periodic to do.
        app.periodic(cron="17 * * * *")(app.task(name="keep_house", queue=HOUSE)(self._keep_house))
        patience_s = self._settings.worker_patience_s
        living = beating(self._database, presence, executor, self._listener.note, patience_s=patience_s)
        async with living, app.open_async():
            reaping = asyncio.create_task(self._reap(clock))
            self._library = asyncio.create_task(self._serve_queues(app, until_empty=until_empty))
            if self._stopping.is_set():  # asked while the queue was being opened
                self._library.cancel()
            try:
                await self._library
            except asyncio.CancelledError:
                if not (self._stopping.is_set() or self._lost is not None):
                    raise
            finally:
                self._library = None
                reaping.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reaping

    async def _serve_queues(self, app: procrastinate.App, *, until_empty: bool) -> None:
        """A worker of the library for each; where one fails, or ends by itself before its time, all of them end."""
        workers = [self._library_worker(app, queue, until_empty=until_empty) for queue in self._queues]
        tasks = [asyncio.create_task(worker.run()) for worker in workers]
        until = asyncio.FIRST_EXCEPTION if until_empty else asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait(tasks, return_when=until)
        finally:
            # A cancelled one may not notice: the pool waits with `asyncio.wait_for`, which loses what comes in between.
            for worker in workers:
                worker.stop()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def _library_worker(self, app: procrastinate.App, queue: str, *, until_empty: bool) -> Worker:
        patience_s = self._settings.worker_patience_s
        return Worker(
            app,
            queues=[queue],
            name=queue,
            concurrency=self._settings.max_concurrent_jobs,
            wait=not until_empty,
            listen_notify=not (self._database.is_pooled or until_empty),
            fetch_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=STOP_GRACE_S,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=patience_s / BEATS_IN_PATIENCE,
            stalled_worker_timeout=patience_s,
        )

    async def _carry_out(self, run_id: int, epoch: int) -> None:
        assert self._executor is not None
        try:
            executed = await self._executor.execute(run_id, epoch, Patience())
            if executed.result is Result.DONE and executed.query is not None:
                await asyncio.to_thread(self._derive, executed.query.symbols)
        except StoreError as error:
            # What this worker had is free once its identity is gone; it goes on under another.
            self._lost = error
            self._executor.stop()
            if self._library is not None:
                self._library.cancel()
        except Exception as error:
            self.tally.failed += 1
            self._listener.note(f"run {run_id} failed by a defect of barfill: {type(error).__name__}: {error}")
            await self._executor.fail(run_id, epoch, Defect(error))
        else:
            self._account(executed)

    def _give_back(self, presence: Presence) -> None:
        """
        The runs in hand are none that a worker has died of: counted so, they would fail while a disk is full for long.

        Where not even this can be written they are found, and counted, as those of the dead are.
        """
        with contextlib.suppress(StoreError):
            self._database.run(give_back_runs, presence.id)

    def _account(self, executed: Executed) -> None:
        tally = self.tally
        tally.calls = self._budget.calls
        match executed.result:
            case Result.DONE:
                tally.done += 1
            case Result.FAILED:
                tally.failed += 1
            case Result.POSTPONED:
                tally.postponed += 1
            case Result.SPLIT:
                tally.split += 1
                if executed.stand_in is not None:
                    self._note_once(f"{executed.stand_in} takes over: {executed.error}")
                    return
                tally.failed += executed.refused is not None  # in a run of its own
            case Result.DROPPED | Result.NOT_CLAIMED:
                tally.dropped += 1
            case Result.STOPPED:
                tally.postponed += executed.error is not None
        if isinstance(executed.error, CredentialsRejected | RateLimited | DailyBudgetSpent):
            self._note_once(self._nothing_fetched(getattr(executed.error, "provider", ""), executed.error))
        elif executed.error is not None and executed.result is not Result.DROPPED:
            self._listener.note(f"{executed.result.value}: {executed.query}: {executed.error}")

    def _nothing_fetched(self, provider: str, why: BarfillError) -> str:
        whom = f" from {provider}" if len(self._clients.all) > 1 and provider else ""
        return f"Nothing is fetched{whom}: {why}"

    def _note_once(self, text: str) -> None:
        """What all runs meet alike is told once, until pages come again."""
        if text not in self._told:
            self._told.add(text)
            self._listener.note(text)

    def _derive(self, tickers: Sequence[str]) -> None:
        """What definitions want made of these symbols' new bars."""
        now = self._database.now()
        roster = self._clients.roster
        standing = self._database.run(read_standing_orders, roster, self._settings, now, tickers=frozenset(tickers))
        for one in standing.orders:
            derive_market(self._database, one.market, now, is_full=False)
            derive_live(self._database, one.market, now)

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        outcome = processed.outcome
        self._told.clear()
        self.tally.bars_written += outcome.inserted + outcome.changed
        self.tally.calls = self._budget.calls
        self._listener.page_written(page_written(run, processed))

    async def _keep_house(self, timestamp: int) -> None:
        """Once an hour, by one of the workers."""
        await asyncio.to_thread(lambda: self._database.run(prune_runs, days=self._retention_days))

    async def _reap(self, clock: EngineClock) -> None:
        patience_s = self._settings.worker_patience_s
        while True:
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(lambda: self._database.run(reap_runs, patience_s=patience_s))
                clock.set(await asyncio.to_thread(self._database.now))
            await asyncio.sleep(patience_s / BEATS_IN_PATIENCE)


def _text(error: Exception) -> str:
    told = error if isinstance(error, BarfillError) else behind(error)
    return str(told) if told is not None else f"the queue does not answer ({type(error).__name__})"

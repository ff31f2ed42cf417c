"""
Carries out runs from the queue, as many at a time as it was told, until it is stopped or the queue is empty.

Any number of workers may run, on any machines that share the database. procrastinate hands out the entries; what is
done is known from `job_runs` alone. The library's worker ends quietly when a task of its own fails, or the database
goes away: it is started again, under a new identity, so that what it had is free at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import procrastinate

from barfill.core.page import Page
from barfill.engine.chain import CallBudget
from barfill.engine.clock import EngineClock
from barfill.engine.derive import Origin, derive_market
from barfill.engine.desk import Processed
from barfill.engine.events import BackfillListener
from barfill.engine.execution import Executed, Executor, Result
from barfill.engine.heartbeat import BEATS_IN_PATIENCE, beating
from barfill.engine.patience import Patience
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.engine.telling import page_written
from barfill.errors import BarfillError, StoreError, excerpt
from barfill.providers.client import ProviderClient
from barfill.store.database import Database
from barfill.store.failures import translated
from barfill.store.queue import QUEUE, TASK, count_due
from barfill.store.runs import fail_run, prune_runs, reap_runs
from barfill.store.workers import Presence

STOP_GRACE_S = 25.0
RESTART_S_MAX = 15.0
POLL_S = 1.0
"""How often a worker looks for work that nobody has told it of."""
_LIBRARY_CONNECTIONS = 4


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
        settings: How many runs at a time, and what is derived.
        listener: Is told what happens, on the event loop's thread.
        retention_days: How long finished runs are kept.
    """

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        retention_days: int = 90,
    ) -> None:
        self.tally = WorkerTally()
        self._database = database
        self._client = client
        self._settings = settings
        self._listener = listener
        self._retention_days = retention_days
        self._budget = CallBudget(None)
        self._stopping = asyncio.Event()
        self._executor: Executor | None = None
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
        """Carries runs out until it is stopped; a lost database is waited for."""
        wait_s = 1.0
        while not self._stopping.is_set():
            begun = asyncio.get_running_loop().time()
            try:
                await self._session(until_empty=False)
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
        while not self._stopping.is_set():
            due = await asyncio.to_thread(lambda: self._database.run(count_due))
            if due == 0:
                return
            await self._session(until_empty=True)

    async def _session(self, *, until_empty: bool) -> None:
        """One life of the library's worker, under an identity of its own."""
        self._lost = None
        presence = await asyncio.to_thread(lambda: Presence(self._database))
        try:
            with translated():
                async with beating(self._database, presence, patience_s=self._settings.worker_patience_s):
                    await self._serve(presence, until_empty=until_empty)
        finally:
            await asyncio.to_thread(presence.close)
        if self._lost is not None:
            raise self._lost

    async def _serve(self, presence: Presence, *, until_empty: bool) -> None:
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        self._executor = Executor(
            self._database,
            self._client,
            self._settings,
            now=clock.now,
            worker=lambda: presence.worker,
            budget=self._budget,
            patience=Patience(),
            on_page=self._on_page,
        )
        if self._stopping.is_set():
            self._executor.stop()
        connector = procrastinate.PsycopgConnector(
            conninfo=self._database.url,
            kwargs={"prepare_threshold": None, "application_name": "barfill queue"},
            min_size=1,
            max_size=_LIBRARY_CONNECTIONS,
            timeout=10.0,
        )
        app = procrastinate.App(connector=connector)
        app.task(name=TASK, queue=QUEUE)(self._carry_out)
        # The library watches over its own tasks only while it has something periodic to do.
        app.periodic(cron="17 * * * *")(app.task(name="keep_house", queue=QUEUE)(self._keep_house))
        async with app.open_async():
            reaping = asyncio.create_task(self._reap(clock))
            self._library = asyncio.create_task(
                app.run_worker_async(
                    queues=[QUEUE],
                    concurrency=self._settings.max_concurrent_jobs,
                    wait=not until_empty,
                    listen_notify=not (self._database.is_pooled or until_empty),
                    fetch_job_polling_interval=POLL_S,
                    shutdown_graceful_timeout=STOP_GRACE_S,
                    delete_jobs="always",
                    install_signal_handlers=False,
                    update_heartbeat_interval=self._settings.worker_patience_s / BEATS_IN_PATIENCE,
                    stalled_worker_timeout=self._settings.worker_patience_s,
                )
            )
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

    async def _carry_out(self, run_id: int, epoch: int) -> None:
        assert self._executor is not None
        try:
            executed = await self._executor.execute(run_id, epoch)
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
            await asyncio.to_thread(self._fail, run_id, epoch + 1, error)
        else:
            self._account(executed)

    def _fail(self, run_id: int, epoch: int, error: Exception) -> None:
        with contextlib.suppress(StoreError):
            self._database.run(
                fail_run,
                run_id,
                epoch,
                error_code=BarfillError.code,
                reason=type(error).__name__.lower(),
                message=f"{type(error).__name__}: {excerpt(str(error))}. Please report it.",
            )

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
            case Result.DROPPED | Result.NOT_CLAIMED:
                tally.dropped += 1
            case Result.STOPPED:
                pass
        if executed.error is not None and executed.result is not Result.DROPPED:
            self._listener.note(f"{executed.result.value}: {executed.query}: {executed.error}")

    def _derive(self, tickers: Sequence[str]) -> None:
        """What definitions want made of these symbols' new bars."""
        now = self._database.now()
        capabilities = self._client.provider.capabilities
        orders = self._database.run(read_standing_orders, capabilities, self._settings, now, tickers=frozenset(tickers))
        for order in orders:
            derive_market(self._database, order.market, Origin(self._client.provider.name, now), is_full=False)

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        outcome = processed.outcome
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
    return str(error) if isinstance(error, BarfillError) else f"the queue does not answer ({type(error).__name__})"

"""
Has the runs of a plan carried out, in its order, by a few chains at a time, and keeps the account of one backfill.

The runs are in the queue like all others, so workers that run elsewhere take their share. What somebody else has taken
is waited for, and taken back if its worker dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

from barfill.core.page import Page
from barfill.core.plan import Slice
from barfill.engine.chain import CallBudget
from barfill.engine.clock import EngineClock
from barfill.engine.crew import Crew
from barfill.engine.desk import Processed
from barfill.engine.events import BackfillListener
from barfill.engine.execution import Executed, Executor, Result
from barfill.engine.patience import Patience
from barfill.engine.planning import Plan, new_run
from barfill.engine.request import BackfillRequest
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.tally import Tally
from barfill.engine.telling import page_written
from barfill.errors import CredentialsRejected, ProviderUnavailable, RateLimited
from barfill.providers.client import ProviderClient
from barfill.store.database import Connection, Database
from barfill.store.queue import dequeue
from barfill.store.runs import cancel_runs, create_runs, run_states
from barfill.store.workers import Worker

P = ParamSpec("P")
T = TypeVar("T")

DEAD_AFTER = 3
"""So many runs in a row without an answer end the backfill; one does where the provider never answered at all."""
LOOK_ELSEWHERE_S = 0.5


class Dispatch:
    """Carries plans out for one backfill; keeps its tally."""

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        clock: EngineClock,
        worker: Worker,
        request: BackfillRequest,
    ) -> None:
        self.tally = Tally()
        self.is_over = False
        self._database = database
        self._capabilities = client.provider.capabilities
        self._provider = client.provider.name
        self._listener = listener
        self._triggered_by = request.triggered_by
        self._budget = CallBudget(request.max_calls)
        self._executor = Executor(
            database,
            client,
            settings,
            now=clock.now,
            worker=lambda: worker,
            budget=self._budget,
            patience=Patience(attempts_max=1),  # gaps are asked for again at the end: nobody waits in between
            on_page=self._on_page,
        )
        self._crew = Crew(settings.max_concurrent_jobs, self._work)
        self._epochs: dict[int, int] = {}
        self._elsewhere: set[int] = set()
        """Runs that other workers have taken."""
        self._is_stopping = False
        self._unanswered = 0

    @property
    def was_bounded(self) -> bool:
        """Whether the bound on calls left work undone."""
        return self._budget.was_exhausted

    @property
    def bound(self) -> str:
        """What bounded the calls, as a sentence; "" where the request itself did."""
        return str(self._budget.spent or "")

    @property
    def calls(self) -> int:
        """Requests for bars so far, failed and repeated ones included."""
        return self._budget.calls

    def stop(self) -> None:
        """Finishes the pages in hand."""
        self._is_stopping = True
        self._executor.stop()
        self._crew.stop()

    def enlist(self, plan: Plan) -> None:
        """Makes runs of *plan* for the next `carry_out`; synchronous, to be called within a planning turn."""
        if plan.superseded:
            self._database.run(cancel_runs, plan.superseded, reason="superseded: nothing of it is left to do")
        for run in plan.adopted:
            self._epochs[run.id] = run.epoch
        self._crew.add(run.id for run in plan.adopted)
        self._crew.add(self._create(plan.slices))

    async def carry_out(self) -> None:
        """
        Fetches everything that was enlisted, as far as it can be fetched.

        Raises:
            StoreError: Nothing more can be kept.
        """
        try:
            await self._crew.run()
            while self._elsewhere and not (self._is_stopping or self.is_over or self.was_bounded):
                if not await self._take_back():
                    await asyncio.sleep(LOOK_ELSEWHERE_S)
                await self._crew.run()
        except BaseExceptionGroup as group:
            _raise_first(group)

    async def _work(self, run_id: int) -> None:
        executed = await self._executor.execute(run_id, self._epochs[run_id])
        if executed.result in {Result.NOT_CLAIMED, Result.DROPPED}:
            self._elsewhere.add(run_id)
        elif executed.result is not Result.STOPPED:
            await self._store(dequeue, [run_id])  # nobody needs its entry any more
        self._account(executed)

    async def _take_back(self) -> bool:
        """Forgets what others have finished, and adds what they have given up to the work; whether that was any."""
        free: list[int] = []
        for state in await self._store(run_states, list(self._elsewhere)):
            if state.is_free:
                self._epochs[state.id] = state.epoch
                free.append(state.id)
            elif state.status == "failed" and self.tally.fail_elsewhere(state):
                self._listener.note(state.error_message or "")
            if state.is_free or state.status != "running":
                self._elsewhere.remove(state.id)
        self._crew.add(free)
        return bool(free)

    def _account(self, executed: Executed) -> None:
        query, error = executed.query, executed.error
        if query is None:
            return
        if executed.result is Result.DONE:
            self.tally.forgive(query.symbols, query.timeframe, query.range)
        elif executed.result is Result.DROPPED:
            self.tally.dropped += 1
        elif executed.result is Result.STOPPED:
            self._crew.stop()
        elif error is not None:
            self._account_failure(executed)

    def _account_failure(self, executed: Executed) -> None:
        query, error = executed.query, executed.error
        assert query is not None
        assert error is not None
        if executed.refused is not None:
            # It is not asked for again in this backfill.
            self.tally.refused.add(executed.refused)
            self.tally.fail([(executed.refused, query.range)], query.timeframe, error)
            self._listener.note(str(error))
        if executed.result is Result.SPLIT:
            self._epochs.update(dict.fromkeys(executed.pieces, 0))
            self._crew.add_next(executed.pieces)
            return
        # Where nothing is missing, as the pages only do not end or were read once more, all of it has failed.
        failed = executed.missing or [(ticker, query.range) for ticker in query.symbols]
        if self.tally.fail(failed, query.timeframe, error):
            self._listener.note(str(error))
        self._unanswered = self._unanswered + 1 if isinstance(error, ProviderUnavailable) else 0
        is_dead = self._unanswered >= (DEAD_AFTER if self.tally.pages else 1)
        if is_dead or isinstance(error, CredentialsRejected | RateLimited):
            self.is_over = True
            self._crew.stop()

    def _create(self, slices: Iterable[Slice]) -> list[int]:
        new = [new_run(one, self._provider, self._capabilities.feed, self._triggered_by) for one in slices]
        if not new:
            return []
        ids = self._database.run(create_runs, new)
        self._epochs.update(dict.fromkeys(ids, 0))
        return ids

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        self._unanswered = 0
        tally, outcome = self.tally, processed.outcome
        tally.pages += 1
        tally.rows[run.query.timeframe] += page.received
        tally.inserted += outcome.inserted
        tally.changed += outcome.changed
        tally.unchanged += outcome.unchanged
        tally.quarantined += processed.judged.counts.quarantined + outcome.refused
        self._listener.page_written(page_written(run, processed))

    async def _store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, *args, **kwargs))


def _raise_first(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """The error that ended the crew, without the group around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error

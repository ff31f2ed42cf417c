"""
Has the runs of a plan carried out, in its order, a few of each provider's at a time; keeps the account of one backfill.

The runs are in the queue like all others, so workers that run elsewhere take their share. What somebody else has taken
is waited for, and taken back if its worker dies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

from barfill.core.page import Page
from barfill.core.plan import Slice
from barfill.core.ranges import Ranges
from barfill.engine.chain import CallBudget
from barfill.engine.clients import Clients
from barfill.engine.clock import EngineClock
from barfill.engine.crew import Crew
from barfill.engine.desk import Processed
from barfill.engine.events import BackfillListener
from barfill.engine.execution import Executed, Executor, Result
from barfill.engine.ledger import SeriesKey
from barfill.engine.patience import Patience
from barfill.engine.planning import Plan, new_run
from barfill.engine.request import BackfillRequest
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.tally import Tally
from barfill.engine.telling import page_written
from barfill.errors import CredentialsRejected, DailyBudgetSpent, ProviderUnavailable, RateLimited
from barfill.store.database import Connection, Database
from barfill.store.queue import dequeue
from barfill.store.runs import BY_THE_USER, RunState, cancel_runs, create_runs, run_states
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
        clients: Clients,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        clock: EngineClock,
        worker: Worker,
        request: BackfillRequest,
        on_provider_done: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self.tally = Tally()
        self.cancelled: dict[SeriesKey, Ranges] = {}
        """What somebody has cancelled meanwhile: it is not asked for again."""
        self._database = database
        self._clients = clients
        self._listener = listener
        self._triggered_by = request.triggered_by
        self._budget = CallBudget(request.max_calls)
        self.executor = Executor(
            database,
            clients.all,
            settings,
            now=clock.now,
            worker=lambda: worker,
            budget=self._budget,
            fallbacks=clients.fallbacks,
            on_page=self._on_page,
        )
        self._patience_s = settings.worker_patience_s
        self._epochs: dict[int, int] = {}
        self._elsewhere: set[int] = set()
        """Runs that other workers have made or taken."""
        self._provider_of: dict[int, str] = {}
        self._crew = Crew(settings.max_concurrent_jobs, self._work, self._provider_of.__getitem__, on_provider_done)
        self._ended: set[str] = set()
        """Providers of which nothing more is to be had now."""
        self._own: set[int] = set()
        """Runs of this backfill, and those that they were split into."""
        self._is_stopping = False
        self._unanswered: Counter[str] = Counter()
        self._answered: set[str] = set()
        self._told: set[str] = set()

    @property
    def was_bounded(self) -> bool:
        """Whether the bound on calls left work undone."""
        return self._budget.was_exhausted

    @property
    def is_over(self) -> bool:
        """Whether a provider was given up, so that some of its runs were never carried out."""
        return bool(self._ended)

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
        self.executor.stop()
        self._crew.stop()

    def enlist(self, plan: Plan) -> None:
        """Makes runs of *plan* for the next `carry_out`; synchronous, to be called within a planning turn."""
        if plan.superseded:
            self._database.run(cancel_runs, plan.superseded, reason="superseded: nothing of it is left to do")
        for run in plan.adopted:
            self._epochs[run.id] = run.epoch
            self._provider_of[run.id] = run.provider
        self._crew.add(run.id for run in plan.adopted)
        self._elsewhere.update(plan.elsewhere)
        self._crew.add(self._create(plan.slices))

    async def carry_out(self) -> None:
        """
        Fetches everything that was enlisted, as far as it can be fetched.

        Raises:
            StoreError: Nothing more can be kept.
        """
        try:
            await self._crew.run()
            while self._elsewhere and not (self._is_stopping or self._is_all_over or self.was_bounded):
                if not await self._take_back():
                    await asyncio.sleep(LOOK_ELSEWHERE_S)
                await self._crew.run()
        except BaseExceptionGroup as group:
            _raise_first(group)

    @property
    def _is_all_over(self) -> bool:
        return self._ended >= set(self._clients.names)

    def _end(self, provider: str) -> None:
        """Takes up no further run of *provider*."""
        self._ended.add(provider)
        if self._is_all_over:
            self._crew.stop()

    async def _work(self, run_id: int) -> None:
        if self._provider_of[run_id] in self._ended:
            return  # it stays in the queue
        # Gaps are asked for again at the end: nobody waits in between. The runs of others have the time that is theirs.
        patience = Patience(attempts_max=1) if run_id in self._own else Patience()
        executed = await self.executor.execute(run_id, self._epochs[run_id], patience)
        if executed.result in {Result.NOT_CLAIMED, Result.DROPPED}:
            self._elsewhere.add(run_id)
        elif executed.result not in {Result.STOPPED, Result.POSTPONED}:
            await self._store(dequeue, [run_id])  # nobody needs its entry any more
        self._account(executed, self._provider_of[run_id])

    async def _take_back(self) -> bool:
        """Forgets what others have finished, and adds what they have given up to the work; whether that was any."""
        free: list[int] = []
        for state in await self._store(run_states, list(self._elsewhere), patience_s=self._patience_s):
            if state.is_free and state.provider not in self._clients.names:
                self._elsewhere.remove(state.id)  # it waits for a worker that has that provider's key
                continue
            if state.is_free:
                self._epochs[state.id] = state.epoch
                self._provider_of[state.id] = state.provider
                free.append(state.id)
            elif state.status == "failed" and self.tally.fail_elsewhere(state):
                self._listener.note(state.error_message or "")
            elif state.status == "cancelled" and state.reason == BY_THE_USER:
                self._account_cancelled(state)
            if state.is_free or state.status != "running":
                self._elsewhere.remove(state.id)
        self._crew.add(free)
        return bool(free)

    def _account(self, executed: Executed, provider: str) -> None:
        query, error = executed.query, executed.error
        if query is None:
            return
        if executed.result is Result.DONE:
            self.tally.forgive(query.symbols, query.timeframe, query.range)
        elif executed.result is Result.DROPPED:
            self.tally.dropped += 1
        elif isinstance(error, DailyBudgetSpent) and executed.result is Result.STOPPED:
            self._end(provider)
        elif executed.result is Result.STOPPED:
            self._crew.stop()
        elif error is not None:
            self._account_failure(executed, provider)

    def _account_cancelled(self, run: RunState) -> None:
        self.tally.cancel(run)
        self._listener.note(f"run {run.id} was cancelled")
        for symbol_id in run.symbol_ids:
            key = (symbol_id, run.timeframe)
            self.cancelled[key] = self.cancelled.get(key, Ranges()) | run.range

    def _account_failure(self, executed: Executed, provider: str) -> None:
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
            self._provider_of.update(dict.fromkeys(executed.pieces, executed.stand_in or provider))
            if executed.stand_in is not None:
                self._note_once(f"{executed.stand_in} takes over from {provider}: {error}")
            self._own.update(executed.pieces)
            self._crew.add_next(executed.pieces)
            return
        if executed.is_live:
            self._note_once(f"The current session's bars did not come from {provider}: {error}")
            return
        # Where nothing is missing, as the pages only do not end or were read once more, all of it has failed.
        failed = executed.missing or [(ticker, query.range) for ticker in query.symbols]
        if self.tally.fail(failed, query.timeframe, error):
            self._listener.note(str(error))
        is_silent = isinstance(error, ProviderUnavailable)
        self._unanswered[provider] = self._unanswered[provider] + 1 if is_silent else 0
        is_dead = self._unanswered[provider] >= (DEAD_AFTER if provider in self._answered else 1)
        if is_dead or isinstance(error, CredentialsRejected | RateLimited):
            self._end(provider)

    def _note_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._listener.note(text)

    def _create(self, slices: Iterable[Slice]) -> list[int]:
        new = [new_run(one, self._triggered_by) for one in slices]
        if not new:
            return []
        ids = self._database.run(create_runs, new)
        self._epochs.update(dict.fromkeys(ids, 0))
        self._provider_of.update((run_id, run.provider) for run_id, run in zip(ids, new, strict=True))
        self._own.update(ids)
        return ids

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        self._unanswered[run.provider] = 0
        self._answered.add(run.provider)
        tally, outcome = self.tally, processed.outcome
        tally.pages += 1
        tally.rows[run.query.timeframe] += page.received
        tally.take(page.taken, run.query, self._clients[run.provider].provider.capabilities)
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

"""
Carries one run from its claim to its end: followed, split, put off or failed. The one way in which bars get in.

Who has runs carried out, and in which order, is not decided here: a backfill goes through its plan, a worker takes
what the queue gives it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from typing import Concatenate, ParamSpec, TypeVar

from barfill.core.capabilities import Capabilities
from barfill.core.page import BarsQuery, Page
from barfill.core.plan import expected_rows, page_share
from barfill.core.ranges import Range
from barfill.core.tenures import Tenures
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point
from barfill.engine import holding
from barfill.engine.carrying_on import (
    Cut,
    changed_symbols,
    changed_tickers,
    cut_at_changes,
    former_tickers,
    query_of,
    readdressed,
)
from barfill.engine.chain import CallBudget, ChainFollower, Ending
from barfill.engine.clients import PageSource
from barfill.engine.desk import Desk, Processed
from barfill.engine.endings import Endings, missing_of, reason_of
from barfill.engine.foreign_days import ForeignDays
from barfill.engine.patience import Patience
from barfill.engine.recovery import recover, remaining
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.standing_in import PASSING, fits, is_handed_over, misfit_text, stand_ins, taken_over
from barfill.engine.taking_up import in_hand
from barfill.engine.telling import located
from barfill.errors import (
    BarfillError,
    CredentialsRejected,
    DailyBudgetSpent,
    Defect,
    PageDropped,
    RateLimited,
    RequestTooLong,
    SeriesConflict,
    StoreError,
    SymbolNotFound,
)
from barfill.store.database import Connection, Database
from barfill.store.events import read_renames
from barfill.store.runs import (
    ClaimedRun,
    NewRun,
    add_calls,
    claim_run,
    fail_whole_run,
    postpone_run,
    release_run,
)
from barfill.store.symbols import find_by_ids
from barfill.store.workers import Worker

P = ParamSpec("P")
T = TypeVar("T")

RECENT_MARGIN = timedelta(minutes=16)
"""Where a range is cut when the provider calls its end too recent (15 minutes are barred; clocks differ)."""
DOWN_FOR = timedelta(minutes=5)
"""How long a provider that did not answer is not asked, where another stands in for it."""
PAUSE_S = 300.0
"""How long a run is put off while the provider refuses the key and does not say until when."""


class Result(Enum):
    """What became of a run that was to be executed."""

    NOT_CLAIMED = "not_claimed"
    """It is finished, or somebody else has it."""
    DONE = "done"
    STOPPED = "stopped"
    """Back in the queue as it is."""
    DROPPED = "dropped"
    """Somebody else has taken it over meanwhile."""
    SPLIT = "split"
    """It goes on in other runs."""
    POSTPONED = "postponed"
    """Back in the queue for later, after a failure that passes."""
    FAILED = "failed"


_RESULTS = {Ending.DONE: Result.DONE, Ending.DROPPED: Result.DROPPED}
"""Of chains behind which nothing is left to decide."""


@dataclass(frozen=True, slots=True)
class Executed:
    """
    Attributes:
        query: What the run asks for; None where it was not claimed.
        error: Why it did not come to a good end.
        pieces: Ids of the runs in which it goes on.
        refused: The symbol that the provider refuses and that failed alone.
        missing: Of a failed run, the expected bars that it did not bring and no earlier run brought, by ticker.
        stand_in: The provider that brings the rest instead.
        is_live: Whether it was to bring bars that may still change: nothing lacks where it failed.
    """

    result: Result
    query: BarsQuery | None = None
    error: BarfillError | None = None
    pieces: tuple[int, ...] = ()
    refused: str | None = None
    missing: Sequence[tuple[str, Range]] = ()
    stand_in: str | None = None
    is_live: bool = False


@dataclass(slots=True)
class _Lane:
    """
    How the runs of one provider are carried out.

    Attributes:
        too_long: Characters of the shortest list of symbols that was refused for its length.
        is_down: Why the provider is left alone until `down_until`, as somebody stands in for it.
    """

    capabilities: Capabilities
    follower: ChainFollower
    too_long: float = math.inf
    is_down: BarfillError | None = None
    down_until: datetime | None = None


class Executor:
    """
    Args:
        sources: Of the pages of all runs that it can be given.
        settings: Whether extended hours are kept.
        now: The database's clock.
        worker: Who claims.
        budget: How many requests may still be made.
        fallbacks: Who takes over, in order, what a source cannot bring; each is among the sources.
        on_page: Called on the event loop after each committed page.
    """

    def __init__(
        self,
        database: Database,
        sources: Sequence[PageSource],
        settings: EngineSettings,
        *,
        now: Callable[[], datetime],
        worker: Callable[[], Worker],
        budget: CallBudget,
        fallbacks: Sequence[Capabilities] = (),
        on_page: Callable[[RunInHand, Page, Processed], None],
    ) -> None:
        self._database = database
        self._now = now
        self._worker = worker
        self._budget = budget
        self._endings = Endings(now=now, worker=worker)
        self._carried: dict[int, RunInHand] = {}
        self._fallbacks = fallbacks
        self._lanes: dict[str, _Lane] = {}
        for source in sources:
            capabilities = source.provider.capabilities
            desk = Desk(
                database,
                page_size=capabilities.page_size,
                grace=capabilities.delay_of,
                extended_hours=settings.extended_hours,
                now=now,
                is_exhaustive=capabilities.is_exhaustive,
            )
            follower = ChainFollower(source, desk, budget, page_size=capabilities.page_size, on_page=on_page)
            self._lanes[capabilities.provider] = _Lane(capabilities, follower)

    def stop(self) -> None:
        """Finishes the pages in hand; runs go back into the queue."""
        for lane in self._lanes.values():
            lane.follower.stop()

    @property
    def in_hand(self) -> dict[int, int]:
        """The runs whose pages are followed now, with their epochs."""
        return {run_id: epoch for lane in self._lanes.values() for run_id, epoch in lane.follower.in_hand.items()}

    def lose(self, run_id: int, epoch: int) -> None:
        """The run is no longer ours: it was cancelled, or taken over. No further page is asked for."""
        for lane in self._lanes.values():
            lane.follower.lose(run_id, epoch)

    async def execute(self, run_id: int, epoch: int, patience: Patience) -> Executed:
        """
        Carries the run on, if nobody has claimed it since it had *epoch*.

        Args:
            patience: Which failures put the run off instead of ending it.

        Raises:
            StoreError: Nothing more can be kept.
        """
        claimed = await self._store(self._claim, run_id, epoch)
        if claimed is None:
            return Executed(Result.NOT_CLAIMED)
        crash_point("k1")
        on_record = await self._store(find_by_ids, claimed.symbol_ids)
        if changed := changed_symbols(claimed, on_record):
            return await self._cut(claimed, readdressed(claimed, on_record), changed)
        former: tuple[tuple[str, str], ...] = ()
        if not self._lanes[claimed.provider].capabilities.follows_companies:
            tenures = await self._store(_tenures_of, claimed)
            if (cut := cut_at_changes(claimed, tenures)) is not None:
                why = changed_tickers(claimed, cut, tenures)
                return await self._cut(claimed, cut.pieces, why, _foreign_days(claimed, cut, tenures))
            former = former_tickers(claimed, tenures)
        known = {one.ticker: one for one in on_record.values()}
        run = await self._store(in_hand, claimed, known, self._now(), former)
        self._carried[run_id] = run
        try:
            executed = await self._carried_on(run, patience)
        finally:
            with suppress(StoreError):  # what brought us here is worth more
                await self._book(run)
        self._carried.pop(run_id, None)
        return executed

    async def _cut(
        self, claimed: ClaimedRun, pieces: Sequence[NewRun], why: SymbolNotFound, foreign: ForeignDays | None = None
    ) -> Executed:
        """The run goes on in pieces, each of which asks for its symbols under the tickers that are right for it."""
        try:
            ids = await self._store(self._endings.cut, claimed, pieces, why, foreign)
        except PageDropped as error:
            return Executed(Result.DROPPED, query_of(claimed), error)
        return Executed(Result.SPLIT, query_of(claimed), why, tuple(ids))

    async def fail(self, run_id: int, epoch: int, defect: Defect) -> None:
        """
        Ends a run that was to be executed from *epoch* and whose execution raised what nobody has thought of.

        What it has not proved is on record as failed, so that looks at the definitions do not want it again at once.
        """
        run = self._carried.pop(run_id, None)
        with suppress(StoreError):
            if run is not None:
                await self._store(self._endings.record_failure, run, missing_of(run), defect)
            else:
                why = {"error_code": defect.code, "reason": defect.reason, "message": str(defect)}
                await self._store(fail_whole_run, run_id, epoch + 1, **why)

    async def _carried_on(self, run: RunInHand, patience: Patience) -> Executed:
        lane = self._lanes[run.provider]
        if len(run.query.symbols) > 1 and _list_length(run.query) >= lane.too_long:
            refused = RequestTooLong(f"A list as long as that of {run.query} was refused before.")
            return await self._recovered(run, refused, patience)
        if lane.is_down is not None and lane.down_until is not None and self._now() < lane.down_until:
            return await self._recovered(run, copy(lane.is_down), patience)
        expected = None if lane.capabilities.is_exhaustive else _expected_rows(run, lane.capabilities)
        end = await lane.follower.follow(run, expected_rows=expected)
        await self._book(run)
        if end.ending in _RESULTS:
            return Executed(_RESULTS[end.ending], run.query)
        if end.ending is Ending.STOPPED:
            if end.error is not None and (handed_over := await self._handed_over(run, end.error)) is not None:
                return handed_over
            if isinstance(end.error, DailyBudgetSpent):
                self._budget.end(end.error)
            await self._stopped(run, end.error)
            return Executed(Result.STOPPED, run.query, end.error)
        if isinstance(end.error, StoreError) and not isinstance(end.error, SeriesConflict):
            raise end.error
        assert end.error is not None
        return await self._recovered(run, end.error, patience)

    async def _recovered(self, run: RunInHand, error: BarfillError, patience: Patience) -> Executed:
        lane = self._lanes[run.provider]
        if isinstance(error, RequestTooLong):
            lane.too_long = min(lane.too_long, _list_length(run.query))
        horizon = self._now() - max(RECENT_MARGIN, lane.capabilities.delay_of(run.query.timeframe))
        plan = recover(run.query, run.state, error, horizon=horizon, is_restart=run.claimed.is_restart)
        if not plan.is_failure:
            try:
                ids = await self._store(self._endings.split, run, plan, error)
            except PageDropped as dropped:  # taken over or cancelled meanwhile: nothing goes on in its place
                return Executed(Result.DROPPED, run.query, dropped)
            return Executed(Result.SPLIT, run.query, error, tuple(ids), plan.refused)
        return await self._handed_over(run, error) or await self._unfinished(run, error, patience, plan.refused)

    async def _unfinished(
        self, run: RunInHand, error: BarfillError, patience: Patience, refused: str | None
    ) -> Executed:
        """What cannot go on now: put off as far as *patience* goes, else failed."""
        if isinstance(error, RateLimited) and patience.waits_for_quota:
            with suppress(PageDropped):
                rest = timedelta(seconds=error.retry_after_s or PAUSE_S)
                await self._store(self._endings.put_aside, run, rest, error)
            return Executed(Result.POSTPONED, run.query, error)
        if isinstance(error, CredentialsRejected) and patience.waits_for_quota:
            return await self._rejected(run, error)
        wait = patience.wait_after(error, run.claimed.attempt)
        if wait is not None:
            with suppress(PageDropped):
                message = located(error, run.provider, run.query)
                await self._store(postpone_run, run.run_id, run.epoch, wait, reason=reason_of(error), message=message)
            return Executed(Result.POSTPONED, run.query, error)
        missing = [] if run.claimed.is_live else missing_of(run)
        with suppress(PageDropped):  # taken over meanwhile: its new owner tells how it ends
            await self._store(self._endings.record_failure, run, missing, error)
        return Executed(Result.FAILED, run.query, error, refused=refused, missing=missing, is_live=run.claimed.is_live)

    async def _handed_over(self, run: RunInHand, error: BarfillError) -> Executed | None:
        """The run that goes on at another provider; None where nobody takes it, and then the error says why."""
        if not is_handed_over(error) or run.claimed.is_live or run.claimed.is_reread:
            return None
        for stand_in in stand_ins(run.claimed, self._fallbacks):
            if not fits(run.claimed, stand_in):
                error.add_note(misfit_text(run.claimed, stand_in))
                continue
            rest = remaining(run.query, run.state)
            pieces = taken_over(run.claimed, rest, stand_in, run.calendar, self._now())
            if not pieces:
                continue
            try:
                ids = await self._store(self._endings.hand_over, run, pieces, error)
            except PageDropped as dropped:
                return Executed(Result.DROPPED, run.query, dropped)
            if isinstance(error, PASSING):
                lane = self._lanes[run.provider]
                lane.is_down, lane.down_until = error, self._now() + DOWN_FOR
            return Executed(Result.SPLIT, run.query, error, tuple(ids), stand_in=stand_in.provider)
        return None

    async def _book(self, run: RunInHand) -> None:
        """Counts the requests that brought no page: before the run goes on to a state in which others look at it."""
        if run.calls_unbooked:
            calls, run.calls_unbooked = run.calls_unbooked, 0
            await self._store(add_calls, run.run_id, calls)

    async def _rejected(self, run: RunInHand, error: BarfillError) -> Executed:
        missing = missing_of(run)
        is_told = False
        with suppress(PageDropped):
            is_told = await self._store(self._endings.put_aside_if_told, run, missing, error)
        if is_told:
            return Executed(Result.POSTPONED, run.query, error)
        return Executed(Result.FAILED, run.query, error, missing=missing)

    async def _stopped(self, run: RunInHand, error: BarfillError | None) -> None:
        """Back into the queue: at once, or until midnight UTC where the day's budget is spent."""
        with suppress(PageDropped):
            if not isinstance(error, DailyBudgetSpent):
                await self._store(release_run, run.run_id, run.epoch)
                return
            now = self._now()
            rest = datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now
            await self._store(release_run, run.run_id, run.epoch, rest, reason=holding.BUDGET_SPENT, message=str(error))

    def _claim(self, conn: Connection, run_id: int, epoch: int) -> ClaimedRun | None:
        return claim_run(conn, run_id, self._worker(), seen_epoch=epoch)

    async def _store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, *args, **kwargs))


def _tenures_of(conn: Connection, claimed: ClaimedRun) -> Tenures:
    """Of the run's symbols, and of all that ever changed their tickers: one of them may have had one of these."""
    renames = read_renames(conn)
    changed = find_by_ids(conn, sorted({one.symbol_id for one in renames}))
    tickers = {one.id: one.ticker for one in changed.values()}
    return Tenures(tickers | dict(zip(claimed.symbol_ids, claimed.symbols, strict=True)), renames)


def _foreign_days(claimed: ClaimedRun, cut: Cut, tenures: Tenures) -> ForeignDays | None:
    """What of a run is not asked for and goes on record as such, where it was to bring what is missing."""
    if claimed.is_live or claimed.is_reread or not cut.foreign:
        return None
    return ForeignDays(
        timeframe=claimed.timeframe,
        provider=claimed.provider,
        feed=claimed.feed,
        basis=claimed.basis,
        ranges=cut.foreign,
        tenures=tenures,
    )


def _expected_rows(run: RunInHand, capabilities: Capabilities) -> float:
    """What the run's pages should hold, in what the provider counts."""
    query, count = run.query, len(run.query.symbols)
    if query.timeframe is Timeframe.D1:
        return page_share(
            query.timeframe, run.calendar.expected_count(query.timeframe, query.range), count, capabilities
        )
    return count * expected_rows(run.calendar, query.timeframe, query.range, capabilities)


def _list_length(query: BarsQuery) -> int:
    return len(",".join(query.symbols))

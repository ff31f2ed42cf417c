"""
Turns a plan into runs and sees each of them to its end: claimed, followed, split or failed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

import numpy as np

from barfill.core.page import BarsQuery, Page
from barfill.core.plan import Slice, expected_rows
from barfill.core.proof import ChainState
from barfill.core.ranges import Range, Ranges, from_us
from barfill.crash import crash_point
from barfill.engine.chain import CallBudget, ChainEnd, ChainFollower, Ending
from barfill.engine.clock import EngineClock
from barfill.engine.crew import Crew
from barfill.engine.desk import Desk, Processed, RunInHand, SeriesFacts, SilentGap
from barfill.engine.events import BackfillListener, PageWritten
from barfill.engine.ledger import Market
from barfill.engine.planning import Plan
from barfill.engine.recovery import Piece, recover, remaining
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.engine.tally import Tally
from barfill.engine.telling import located
from barfill.errors import (
    BadResponse,
    BarfillError,
    CredentialsRejected,
    PageDropped,
    PlanTooSmall,
    ProviderUnavailable,
    RateLimited,
    RequestTooLong,
    SeriesConflict,
    StoreError,
    SymbolNotOffered,
)
from barfill.providers.client import ProviderClient
from barfill.store.database import Connection, Database
from barfill.store.gaps import list_gaps, record_failed
from barfill.store.pages import retract_coverage
from barfill.store.runs import ClaimedRun, NewRun, cancel_runs, claim_run, create_runs, fail_run, release_run
from barfill.store.series import note_failure, read_series
from barfill.store.workers import Worker
from barfill.store.writes import GapKind, GapRecord

P = ParamSpec("P")
T = TypeVar("T")

RECENT_MARGIN = timedelta(minutes=16)
"""Where a range is cut when the provider calls its end too recent (15 minutes are barred; clocks differ)."""
NOT_ENTITLED_CHECK = timedelta(days=7)
DEAD_AFTER = 3
"""So many runs in a row without an answer end the backfill; one does where the provider never answered at all."""


class Dispatch:
    """Carries plans out for one backfill; keeps its tally."""

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        markets: Sequence[Market],
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
        self._markets = {symbol.id: market for market in markets for symbol in market.symbols}
        self._active = {symbol.id: symbol.is_active for market in markets for symbol in market.symbols}
        self._clock = clock
        self._worker = worker
        self._triggered_by = request.triggered_by
        self._size = settings.max_concurrent_jobs
        self._budget = CallBudget(request.max_calls)
        desk = Desk(
            database,
            page_size=self._capabilities.page_size,
            grace=self._capabilities.delay,
            extended_hours=settings.extended_hours,
            now=clock.now,
        )
        self._follower = ChainFollower(
            client, desk, self._budget, page_size=self._capabilities.page_size, on_page=self._on_page
        )
        self._crew = Crew(self._size, self._work)
        self._epochs: dict[int, int] = {}
        self._restarts: set[int] = set()
        self._too_long: float = math.inf
        """Characters of the shortest list of symbols that was refused for its length."""
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
        self._follower.stop()
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
        except BaseExceptionGroup as group:
            _raise_first(group)

    async def _work(self, run_id: int) -> None:
        claimed = await self._store(claim_run, run_id, self._worker, seen_epoch=self._epochs[run_id])
        if claimed is None:
            return  # another process has it
        crash_point("k1")
        run = await self._store(self._in_hand, claimed)
        if len(run.query.symbols) > 1 and _list_length(run.query) >= self._too_long:
            await self._recover(run, RequestTooLong(f"A list as long as that of {run.query} was refused before."))
            return
        each = expected_rows(run.calendar, run.query.timeframe, run.query.range, self._capabilities)
        end = await self._follower.follow(run, expected_rows=each * len(run.query.symbols))
        await self._settle(run, end)

    async def _settle(self, run: RunInHand, end: ChainEnd) -> None:
        if end.ending is Ending.DONE:
            self.tally.forgive(run.query.symbols, run.query.timeframe, run.query.range)
        elif end.ending is Ending.DROPPED:
            self.tally.dropped += 1
        elif end.ending is Ending.STOPPED:
            await self._store(release_run, run.run_id, run.epoch)
            self._crew.stop()
        elif isinstance(end.error, StoreError) and not isinstance(end.error, SeriesConflict):
            raise end.error
        else:
            assert end.error is not None
            await self._recover(run, end.error)

    async def _recover(self, run: RunInHand, error: BarfillError) -> None:
        if isinstance(error, BadResponse) and error.reason == "page_order":
            void = dict.fromkeys((int(i) for i in run.symbol_ids), run.query.range)
            await self._store(retract_coverage, run.query.timeframe, void)
        if isinstance(error, RequestTooLong):
            self._too_long = min(self._too_long, _list_length(run.query))
        horizon = self._clock.now() - max(RECENT_MARGIN, self._capabilities.delay)
        plan = recover(run.query, run.state, error, horizon=horizon, is_restart=run.run_id in self._restarts)
        if plan.refused is not None:
            await self._refuse(run, plan.refused, error)
        if plan.is_failure:
            await self._fail(run, error)
            return
        await self._store(cancel_runs, [run.run_id], reason=f"split: {error}"[:500])
        slices = [self._slice(run, piece) for piece in plan.pieces]
        new_ids = await asyncio.to_thread(self._create, slices)
        if not isinstance(error, SymbolNotOffered):
            self._restarts.update(new_ids)
        self._crew.add_next(new_ids)

    async def _refuse(self, run: RunInHand, ticker: str, error: BarfillError) -> None:
        """One symbol fails alone: it is not asked for again in this backfill."""
        self.tally.refused.add(ticker)
        self.tally.fail([(ticker, run.query.range)], run.query.timeframe, error)
        self._listener.note(str(error))
        symbol_id = int(run.symbol_ids[run.query.symbols.index(ticker)])
        await self._store(
            note_failure,
            [symbol_id],
            run.query.timeframe,
            feed=run.query.feed,
            error_code=error.code,
            message=located(error, self._provider, run.query),
        )

    async def _fail(self, run: RunInHand, error: BarfillError) -> None:
        missing = _missing(run)
        # Where nothing is missing, as the pages only do not end or were read once more, all of it has failed.
        failed = missing or [(ticker, run.query.range) for ticker in run.query.symbols]
        if self.tally.fail(failed, run.query.timeframe, error):
            self._listener.note(str(error))
        await self._store(self._record_failure, run, missing, error)
        self._unanswered = self._unanswered + 1 if isinstance(error, ProviderUnavailable) else 0
        is_dead = self._unanswered >= (DEAD_AFTER if self.tally.pages else 1)
        if is_dead or isinstance(error, CredentialsRejected | RateLimited):
            self.is_over = True
            self._crew.stop()

    def _record_failure(
        self, conn: Connection, run: RunInHand, missing: Sequence[tuple[str, Range]], error: BarfillError
    ) -> None:
        query, message = run.query, located(error, self._provider, run.query)
        reason = getattr(error, "reason", "") or error.code.lower()
        try:
            fail_run(conn, run.run_id, run.epoch, error_code=error.code, reason=reason, message=message)
        except PageDropped:
            return  # taken over meanwhile: its new owner tells how it ends
        id_of = dict(zip(query.symbols, run.symbol_ids.tolist(), strict=True))
        ids = list(dict.fromkeys(id_of[ticker] for ticker, _ in missing)) or list(id_of.values())
        note_failure(conn, ids, query.timeframe, feed=query.feed, error_code=error.code, message=message)
        if isinstance(error, SeriesConflict):
            return
        is_final = isinstance(error, PlanTooSmall)
        kind: GapKind = "not_entitled" if is_final else "failed"
        # What was never answered may be asked at once: somebody who corrects a key types the same command again.
        due = self._clock.now() + NOT_ENTITLED_CHECK if is_final else None
        gaps = [
            GapRecord(
                symbol_id=id_of[ticker],
                range=one,
                expected_bars=run.calendar.expected_count(query.timeframe, one),
                kind=kind,
                reason=f"{error.code}: {error}"[:500],
                next_check_at=due,
                calendar_version=run.calendar.version,
            )
            for ticker, one in missing
        ]
        if gaps:
            count = run.calendar.expected_count
            record_failed(conn, query.timeframe, gaps, lambda _symbol_id, one: count(query.timeframe, one))

    def _create(self, slices: Iterable[Slice]) -> list[int]:
        new = [
            NewRun(
                symbols=tuple(ticker for _, ticker in one.symbols),
                symbol_ids=tuple(symbol_id for symbol_id, _ in one.symbols),
                timeframe=one.timeframe,
                range=one.range,
                provider=self._provider,
                feed=self._capabilities.feed,
                job_type="fetch_intraday" if one.timeframe.is_intraday else "fetch_historical",
                triggered_by=self._triggered_by,
            )
            for one in slices
        ]
        if not new:
            return []
        ids = self._database.run(create_runs, new)
        self._epochs.update(dict.fromkeys(ids, 0))
        return ids

    def _slice(self, run: RunInHand, piece: Piece) -> Slice:
        id_of = dict(zip(run.query.symbols, run.symbol_ids.tolist(), strict=True))
        symbols = tuple((id_of[ticker], ticker) for ticker in piece.symbols)
        return Slice(symbols, run.query.timeframe, piece.range, 0.0)

    def _in_hand(self, conn: Connection, claimed: ClaimedRun) -> RunInHand:
        """The claimed run with what the ledger knows of its series."""
        query = BarsQuery(claimed.symbols, claimed.timeframe, claimed.range, claimed.feed)
        ticker_of = dict(zip(claimed.symbol_ids, claimed.symbols, strict=True))
        calendar = self._markets[claimed.symbol_ids[0]].calendar
        open_symbol = ticker_of.get(claimed.open_symbol_id) if claimed.open_symbol_id is not None else None
        seen = frozenset(ticker_of[symbol_id] for symbol_id in claimed.seen_symbol_ids)
        expected = len(claimed.symbols) * calendar.expected_count(claimed.timeframe, claimed.range)
        return RunInHand(
            run_id=claimed.id,
            epoch=claimed.epoch,
            page_no=claimed.page_no,
            query=query,
            symbol_ids=np.array(claimed.symbol_ids, np.int32),
            facts=self._facts(conn, claimed),
            calendar=calendar,
            provider=self._provider,
            token=claimed.page_token,
            state=ChainState(open_symbol, claimed.open_until, seen),
            expected_bars=expected,
            proved_bars=round(expected * claimed.progress_percent / 100),
        )

    def _facts(self, conn: Connection, claimed: ClaimedRun) -> tuple[SeriesFacts, ...]:
        rows = read_series(conn, claimed.symbol_ids, [claimed.timeframe])
        gaps: dict[int, list[SilentGap]] = {}
        quarantined: dict[int, list[SilentGap]] = {}
        for listed in list_gaps(
            conn, symbol_ids=claimed.symbol_ids, timeframes=[claimed.timeframe], within=claimed.range
        ):
            known = listed.gap
            kept = {"missing": gaps, "unavailable": gaps, "quarantined": quarantined}.get(known.kind)
            if kept is not None:
                silent = SilentGap(known.range, known.attempts, known.first_seen_at)
                kept.setdefault(known.symbol_id, []).append(silent)
        facts = []
        for symbol_id in claimed.symbol_ids:
            row = rows.get((symbol_id, claimed.timeframe))
            facts.append(
                SeriesFacts(
                    oldest=row.oldest_ts if row else None,
                    newest=row.newest_ts if row else None,
                    density=row.density if row and row.density is not None else float("nan"),
                    gaps=tuple(gaps.get(symbol_id, ())),
                    quarantined=tuple(quarantined.get(symbol_id, ())),
                    covered=row.covered if row else Ranges(),
                    is_active=self._active[symbol_id],
                )
            )
        return tuple(facts)

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        self._unanswered = 0
        tally, outcome = self.tally, processed.outcome
        tally.pages += 1
        tally.rows[run.query.timeframe] += page.received
        tally.inserted += outcome.inserted
        tally.changed += outcome.changed
        tally.unchanged += outcome.unchanged
        tally.quarantined += processed.judged.counts.quarantined + outcome.refused
        self._listener.page_written(
            PageWritten(
                run_id=run.run_id,
                timeframe=run.query.timeframe,
                symbols=_shortened(run.query.symbols),
                page_no=run.page_no,
                expected_bars=processed.proved_bars,
                inserted=outcome.inserted,
                changed=outcome.changed,
                unchanged=outcome.unchanged,
            )
        )

    async def _store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, *args, **kwargs))


def _raise_first(group: BaseExceptionGroup[BaseException]) -> NoReturn:
    """The error that ended the crew, without the group around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error


def _missing(run: RunInHand) -> Sequence[tuple[str, Range]]:
    """The expected bars that the run did not bring and that no earlier run brought, by ticker."""
    covered = {ticker: facts.covered for ticker, facts in zip(run.query.symbols, run.facts, strict=True)}
    return [
        (ticker, one)
        for piece in remaining(run.query, run.state)
        for ticker in piece.symbols
        for part in Ranges([piece.range]) - covered[ticker]
        if (one := _trimmed(run, part)) is not None
    ]


def _trimmed(run: RunInHand, wanted: Range) -> Range | None:
    """From the first to the last expected bar in *wanted*, so that nobody waits for the closed time around them."""
    starts = run.calendar.expected_starts(run.query.timeframe, wanted)
    if len(starts) == 0:
        return None
    return Range(from_us(int(starts[0])), min(wanted.end, from_us(int(starts[-1])) + run.query.timeframe.length))


def _list_length(query: BarsQuery) -> int:
    return len(",".join(query.symbols))


def _shortened(tickers: Sequence[str]) -> str:
    return tickers[0] if len(tickers) == 1 else f"{tickers[0]} and {len(tickers) - 1} more"

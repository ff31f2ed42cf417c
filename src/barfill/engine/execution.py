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
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from barfill.core.calendar import trading_calendar
from barfill.core.page import BarsQuery, Page
from barfill.core.plan import expected_rows
from barfill.core.proof import ChainState
from barfill.core.ranges import Range, Ranges, from_us
from barfill.crash import crash_point
from barfill.engine.chain import CallBudget, ChainFollower, Ending
from barfill.engine.desk import Desk, Processed
from barfill.engine.patience import Patience
from barfill.engine.recovery import Piece, recover, remaining
from barfill.engine.run import RunInHand, SeriesFacts, SilentGap
from barfill.engine.settings import EngineSettings
from barfill.engine.telling import located
from barfill.errors import (
    BarfillError,
    DailyBudgetSpent,
    PageDropped,
    PlanTooSmall,
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
from barfill.store.runs import (
    ClaimedRun,
    NewRun,
    cancel_runs,
    claim_run,
    create_runs,
    fail_run,
    postpone_run,
    release_run,
)
from barfill.store.series import note_failure, read_series
from barfill.store.symbols import Symbol, find_symbols
from barfill.store.workers import Worker
from barfill.store.writes import GapKind, GapRecord

P = ParamSpec("P")
T = TypeVar("T")

RECENT_MARGIN = timedelta(minutes=16)
"""Where a range is cut when the provider calls its end too recent (15 minutes are barred; clocks differ)."""
NOT_ENTITLED_CHECK = timedelta(days=7)
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


@dataclass(frozen=True, slots=True)
class Executed:
    """
    Attributes:
        query: What the run asks for; None where it was not claimed.
        error: Why it did not come to a good end.
        pieces: Ids of the runs in which it goes on.
        refused: The symbol that the provider refuses and that failed alone.
        missing: Of a failed run, the expected bars that it did not bring and no earlier run brought, by ticker.
    """

    result: Result
    query: BarsQuery | None = None
    error: BarfillError | None = None
    pieces: tuple[int, ...] = ()
    refused: str | None = None
    missing: Sequence[tuple[str, Range]] = ()


class Executor:
    """
    Args:
        settings: Whether extended hours are kept.
        now: The database's clock.
        worker: Who claims.
        budget: How many requests may still be made.
        patience: Which failures put a run off instead of ending it.
        on_page: Called on the event loop after each committed page.
    """

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        settings: EngineSettings,
        *,
        now: Callable[[], datetime],
        worker: Callable[[], Worker],
        budget: CallBudget,
        patience: Patience,
        on_page: Callable[[RunInHand, Page, Processed], None],
    ) -> None:
        self._database = database
        self._capabilities = client.provider.capabilities
        self._provider = client.provider.name
        self._now = now
        self._worker = worker
        self._patience = patience
        desk = Desk(
            database,
            page_size=self._capabilities.page_size,
            grace=self._capabilities.delay,
            extended_hours=settings.extended_hours,
            now=now,
        )
        self._follower = ChainFollower(client, desk, budget, page_size=self._capabilities.page_size, on_page=on_page)
        self._too_long: float = math.inf
        """Characters of the shortest list of symbols that was refused for its length."""

    def stop(self) -> None:
        """Finishes the pages in hand; runs go back into the queue."""
        self._follower.stop()

    async def execute(self, run_id: int, epoch: int) -> Executed:
        """
        Carries the run on, if nobody has claimed it since it had *epoch*.

        Raises:
            StoreError: Nothing more can be kept.
        """
        claimed = await self._store(self._claim, run_id, epoch)
        if claimed is None:
            return Executed(Result.NOT_CLAIMED)
        crash_point("k1")
        run = await self._store(self._in_hand, claimed)
        if len(run.query.symbols) > 1 and _list_length(run.query) >= self._too_long:
            refused = RequestTooLong(f"A list as long as that of {run.query} was refused before.")
            return await self._recovered(run, refused)
        each = expected_rows(run.calendar, run.query.timeframe, run.query.range, self._capabilities)
        end = await self._follower.follow(run, expected_rows=each * len(run.query.symbols))
        if end.ending is Ending.DONE:
            return Executed(Result.DONE, run.query)
        if end.ending is Ending.DROPPED:
            return Executed(Result.DROPPED, run.query)
        if end.ending is Ending.STOPPED:
            with suppress(PageDropped):
                await self._store(release_run, run.run_id, run.epoch, self._rest(end.error))
            return Executed(Result.STOPPED, run.query)
        if isinstance(end.error, StoreError) and not isinstance(end.error, SeriesConflict):
            raise end.error
        assert end.error is not None
        return await self._recovered(run, end.error)

    async def _recovered(self, run: RunInHand, error: BarfillError) -> Executed:
        if isinstance(error, RequestTooLong):
            self._too_long = min(self._too_long, _list_length(run.query))
        horizon = self._now() - max(RECENT_MARGIN, self._capabilities.delay)
        plan = recover(run.query, run.state, error, horizon=horizon, is_restart=run.claimed.is_restart)
        if plan.refused is not None:
            await self._store(self._note_refused, run, plan.refused, error)
        if not plan.is_failure:
            is_restart = run.claimed.is_restart or not isinstance(error, SymbolNotOffered)
            ids = await self._store(self._split, run, plan.pieces, error, is_restart=is_restart)
            return Executed(Result.SPLIT, run.query, error, tuple(ids), plan.refused)
        if isinstance(error, RateLimited) and self._patience.waits_for_quota:
            with suppress(PageDropped):  # waiting spends no attempt
                rest = timedelta(seconds=error.retry_after_s or PAUSE_S)
                await self._store(release_run, run.run_id, run.epoch, rest)
            return Executed(Result.POSTPONED, run.query, error)
        wait = self._patience.wait_after(error, run.claimed.attempt)
        if wait is not None:
            with suppress(PageDropped):
                message = located(error, self._provider, run.query)
                await self._store(postpone_run, run.run_id, run.epoch, wait, reason=_reason(error), message=message)
            return Executed(Result.POSTPONED, run.query, error)
        missing = _missing(run)
        with suppress(PageDropped):  # taken over meanwhile: its new owner tells how it ends
            await self._store(self._record_failure, run, missing, error)
        return Executed(Result.FAILED, run.query, error, missing=missing)

    def _rest(self, error: BarfillError | None) -> timedelta:
        """How long a run that was stopped waits: until midnight UTC where the day's budget is spent."""
        if not isinstance(error, DailyBudgetSpent):
            return timedelta()
        now = self._now()
        return datetime.combine(now.date() + timedelta(days=1), time(), UTC) - now

    def _claim(self, conn: Connection, run_id: int, epoch: int) -> ClaimedRun | None:
        return claim_run(conn, run_id, self._worker(), seen_epoch=epoch)

    def _split(
        self, conn: Connection, run: RunInHand, pieces: Sequence[Piece], error: BarfillError, *, is_restart: bool
    ) -> list[int]:
        """Ends the run and makes those in which it goes on, all or nothing; their ids."""
        id_of = dict(zip(run.query.symbols, run.symbol_ids.tolist(), strict=True))
        claimed = run.claimed
        new = [
            NewRun(
                symbols=piece.symbols,
                symbol_ids=tuple(id_of[ticker] for ticker in piece.symbols),
                timeframe=claimed.timeframe,
                range=piece.range,
                provider=claimed.provider,
                feed=claimed.feed,
                job_type=claimed.job_type,
                triggered_by=claimed.triggered_by,
                job_def_id=claimed.job_def_id,
                priority=claimed.priority,
                is_restart=is_restart,
            )
            for piece in pieces
        ]
        with conn.transaction():
            cancel_runs(conn, [run.run_id], reason=f"split: {error}"[:500])
            return create_runs(conn, new)

    def _note_refused(self, conn: Connection, run: RunInHand, ticker: str, error: BarfillError) -> None:
        """One symbol fails alone; its batch goes on without it."""
        note_failure(
            conn,
            [int(run.symbol_ids[run.query.symbols.index(ticker)])],
            run.query.timeframe,
            feed=run.query.feed,
            error_code=error.code,
            message=located(error, self._provider, run.query),
        )

    def _record_failure(
        self, conn: Connection, run: RunInHand, missing: Sequence[tuple[str, Range]], error: BarfillError
    ) -> None:
        query, message = run.query, located(error, self._provider, run.query)
        with conn.transaction():
            fail_run(conn, run.run_id, run.epoch, error_code=error.code, reason=_reason(error), message=message)
            if _reason(error) == "page_order":
                void = dict.fromkeys((int(i) for i in run.symbol_ids), Ranges([query.range]))
                retract_coverage(conn, query.timeframe, void)
            id_of = dict(zip(query.symbols, run.symbol_ids.tolist(), strict=True))
            ids = list(dict.fromkeys(id_of[ticker] for ticker, _ in missing)) or list(id_of.values())
            note_failure(conn, ids, query.timeframe, feed=query.feed, error_code=error.code, message=message)
            if missing and not isinstance(error, SeriesConflict):
                count = run.calendar.expected_count
                gaps = [self._failed_gap(run, id_of[ticker], one, error) for ticker, one in missing]
                record_failed(conn, query.timeframe, gaps, lambda _symbol_id, one: count(query.timeframe, one))

    def _failed_gap(self, run: RunInHand, symbol_id: int, one: Range, error: BarfillError) -> GapRecord:
        is_final = isinstance(error, PlanTooSmall)
        kind: GapKind = "not_entitled" if is_final else "failed"
        return GapRecord(
            symbol_id=symbol_id,
            range=one,
            expected_bars=run.calendar.expected_count(run.query.timeframe, one),
            kind=kind,
            reason=f"{error.code}: {error}"[:500],
            # What was never answered may be asked at once: somebody who corrects a key types the same command again.
            next_check_at=self._now() + NOT_ENTITLED_CHECK if is_final else None,
            calendar_version=run.calendar.version,
        )

    def _in_hand(self, conn: Connection, claimed: ClaimedRun) -> RunInHand:
        """The claimed run with what the ledger knows of its series."""
        query = BarsQuery(claimed.symbols, claimed.timeframe, claimed.range, claimed.feed)
        symbols = find_symbols(conn, claimed.symbols)
        ticker_of = dict(zip(claimed.symbol_ids, claimed.symbols, strict=True))
        calendar = trading_calendar(symbols[claimed.symbols[0]].calendar, self._now().year + 1)
        open_symbol = ticker_of.get(claimed.open_symbol_id) if claimed.open_symbol_id is not None else None
        seen = frozenset(ticker_of[symbol_id] for symbol_id in claimed.seen_symbol_ids)
        expected = len(claimed.symbols) * calendar.expected_count(claimed.timeframe, claimed.range)
        return RunInHand(
            claimed=claimed,
            page_no=claimed.page_no,
            query=query,
            symbol_ids=np.array(claimed.symbol_ids, np.int32),
            facts=_facts(conn, claimed, symbols),
            calendar=calendar,
            token=claimed.page_token,
            state=ChainState(open_symbol, claimed.open_until, seen),
            expected_bars=expected,
            proved_bars=round(expected * claimed.progress_percent / 100),
            may_lack_rows=claimed.may_lack_rows,
        )

    async def _store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, *args, **kwargs))


def _facts(conn: Connection, claimed: ClaimedRun, symbols: dict[str, Symbol]) -> tuple[SeriesFacts, ...]:
    rows = read_series(conn, claimed.symbol_ids, [claimed.timeframe])
    gaps: dict[int, list[SilentGap]] = {}
    quarantined: dict[int, list[SilentGap]] = {}
    for listed in list_gaps(conn, symbol_ids=claimed.symbol_ids, timeframes=[claimed.timeframe], within=claimed.range):
        known = listed.gap
        kept = {"missing": gaps, "unavailable": gaps, "quarantined": quarantined}.get(known.kind)
        if kept is not None and known.first_seen_at is not None:
            silent = SilentGap(known.range, known.attempts, known.first_seen_at)
            kept.setdefault(known.symbol_id, []).append(silent)
    facts = []
    for ticker, symbol_id in zip(claimed.symbols, claimed.symbol_ids, strict=True):
        row = rows.get((symbol_id, claimed.timeframe))
        facts.append(
            SeriesFacts(
                oldest=row.oldest_ts if row else None,
                newest=row.newest_ts if row else None,
                density=row.density if row and row.density is not None else float("nan"),
                gaps=tuple(gaps.get(symbol_id, ())),
                quarantined=tuple(quarantined.get(symbol_id, ())),
                covered=row.covered if row else Ranges(),
                is_active=symbols[ticker].is_active,
            )
        )
    return tuple(facts)


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


def _reason(error: BarfillError) -> str:
    return getattr(error, "reason", "") or error.code.lower()


def _list_length(query: BarsQuery) -> int:
    return len(",".join(query.symbols))

"""
The backfill: plan, fetch, look for gaps, ask for them again, derive, report.

One `Backfill` is one command. Everything it decides follows from the ledger, so that it may be killed anywhere and
run again; a run that a killed process left is taken up at the page it had reached.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime

from barfill.core.ranges import Ranges
from barfill.engine.clients import Clients
from barfill.engine.clock import EngineClock
from barfill.engine.derive import Derived, derive_market
from barfill.engine.dispatch import Dispatch
from barfill.engine.estimate import estimate_plan
from barfill.engine.events import BackfillListener, PlanEstimate
from barfill.engine.findings import Findings, look_for_gaps, open_on_record
from barfill.engine.heartbeat import beating
from barfill.engine.ledger import Market, SeriesKey, read_gaps, read_markets, read_rows
from barfill.engine.live import derive_live
from barfill.engine.out_of_reach import settle_out_of_reach
from barfill.engine.planning import Plan, of_another_source, plan_backfill, plan_retry
from barfill.engine.report import BackfillReport, Summary
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.engine.sparing import spared
from barfill.store.database import Database
from barfill.store.runs import unfinished_runs
from barfill.store.workers import Presence, planning_turn


class Backfill:
    """
    Args:
        database: Migrated.
        clients: Of the providers that can be asked, the preferred first.
        settings: How many chains at a time, what is derived, how often gaps are asked again.
        listener: Is told what happens, on the event loop's thread.
    """

    def __init__(
        self, database: Database, clients: Clients, settings: EngineSettings, listener: BackfillListener
    ) -> None:
        self._database = database
        self._clients = clients
        self._settings = settings
        self._listener = listener
        self._is_stopping = False
        self._dispatch: Dispatch | None = None

    def stop(self) -> None:
        """Finishes the pages in hand, then reports what was done; the next backfill goes on from there."""
        self._is_stopping = True
        if self._dispatch is not None:
            self._dispatch.stop()

    async def estimate(self, request: BackfillRequest) -> PlanEstimate:
        """
        What `run` would do and what it would cost; nothing is asked of the provider.

        Raises:
            SymbolNotFound, NoProvider, StoreError: The plan cannot be made.
        """
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        markets = await self._markets(request, clock)
        plan = await asyncio.to_thread(self._plan, markets, request, clock)
        return estimate_plan(plan, markets)

    async def run(self, request: BackfillRequest) -> BackfillReport:
        """
        Carries *request* out; what fails is in the report.

        Raises:
            SymbolNotFound: The request names something that does not exist.
            NoProvider: None of the providers has what is wanted of some symbols, or their calendar has not.
            StoreError: The database is gone, full or read-only; nothing more can be kept.
        """
        begun = time.monotonic()
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        markets = await self._markets(request, clock)
        presence = await asyncio.to_thread(Presence, self._database)
        try:
            derived = Derived()
            dispatch = await self._new_dispatch(request, markets, clock, presence, derived)
            patience_s = self._settings.worker_patience_s
            async with beating(self._database, presence, dispatch.executor, self._listener.note, patience_s=patience_s):
                return await self._run(request, markets, clock, dispatch, derived, begun)
        finally:
            await asyncio.to_thread(presence.close)

    async def _run(
        self,
        request: BackfillRequest,
        markets: tuple[Market, ...],
        clock: EngineClock,
        dispatch: Dispatch,
        derived: Derived,
        begun: float,
    ) -> BackfillReport:
        begun_at = clock.now()
        for text in await asyncio.to_thread(self._database.run, settle_out_of_reach, markets):
            self._listener.note(text)
        earlier = await asyncio.to_thread(open_on_record, self._database, markets)
        plan = await asyncio.to_thread(self._plan_and_enlist, markets, request, clock, dispatch)
        self._listener.planned(estimate_plan(plan, markets))

        self._listener.stage(1, "fetching", plan.expected_bars(markets).total())
        await dispatch.carry_out()
        derived.add(await self._derive(markets, request, clock))
        found = await asyncio.to_thread(self._look, request, markets, clock, begun_at)
        detected = found.with_earlier(earlier)
        seen = found.of_what_was_asked() if self._ended_early(dispatch) else found
        self._listener.stage(2, "gaps detected", len(seen.open_gaps))
        for attempt in range(1, self._settings.gap_attempts + 1):
            if not found.to_ask_again or self._is_stopping or dispatch.is_over:
                break
            await self._rest(self._settings.retry_wait_s(attempt))
            plan = await asyncio.to_thread(self._enlist_retry, request, markets, clock, begun_at, dispatch)
            if not (plan.slices or plan.elsewhere):
                break
            title = f"retrying gaps, attempt {attempt} of {self._settings.gap_attempts}"
            self._listener.stage(3, title, plan.expected_bars(markets).total())
            await dispatch.carry_out()
            again = await self._derive(markets, request, clock)
            derived.add(again)
            found = await asyncio.to_thread(self._look, request, markets, clock, begun_at)
        if self._ended_early(dispatch):
            detected, found = detected.of_what_was_asked(), found.of_what_was_asked()
        return self._report(request, detected, found, dispatch, derived, begun=begun)

    def _ended_early(self, dispatch: Dispatch) -> bool:
        """Whether something of the plan may never have been asked for."""
        return self._is_stopping or dispatch.is_over or dispatch.was_bounded

    async def _markets(self, request: BackfillRequest, clock: EngineClock) -> tuple[Market, ...]:
        return await asyncio.to_thread(
            self._database.run, read_markets, request, self._clients.roster, self._settings, clock.now()
        )

    def _plan(self, markets: tuple[Market, ...], request: BackfillRequest, clock: EngineClock) -> Plan:
        return plan_backfill(
            self._database,
            markets,
            askable=self._clients.names,
            is_full=request.is_full,
            now=clock.now(),
            patience_s=self._settings.worker_patience_s,
            fallbacks=self._clients.fallbacks,
            only_gaps=request.only_gaps,
        )

    def _look(
        self, request: BackfillRequest, markets: tuple[Market, ...], clock: EngineClock, begun_at: datetime
    ) -> Findings:
        return look_for_gaps(self._database, markets, clock.now(), begun_at=begun_at, only_gaps=request.only_gaps)

    def _plan_and_enlist(
        self, markets: tuple[Market, ...], request: BackfillRequest, clock: EngineClock, dispatch: Dispatch
    ) -> Plan:
        with planning_turn(self._database):
            plan = self._plan(markets, request, clock)
            dispatch.enlist(plan)
        return plan

    def _enlist_retry(
        self,
        request: BackfillRequest,
        markets: tuple[Market, ...],
        clock: EngineClock,
        begun_at: datetime,
        dispatch: Dispatch,
    ) -> Plan:
        """What is still to be asked again, now that it is our turn: others may have brought some of it meanwhile."""
        with planning_turn(self._database):
            unfinished = self._database.run(unfinished_runs, patience_s=self._settings.worker_patience_s)
            needless: dict[SeriesKey, Ranges] = {}
            for one in markets:
                rows, gaps = self._database.run(read_rows, one), self._database.run(read_gaps, one)
                needless |= spared(self._database, one, rows, gaps).ranges
            plan = plan_retry(
                self._look(request, markets, clock, begun_at),
                markets,
                refused=dispatch.tally.refused,
                cancelled=dispatch.cancelled,
                unfinished=unfinished,
                foreign={key for one in markets for key in of_another_source(self._database.run(read_rows, one), one)},
                needless=needless,
            )
            dispatch.enlist(plan)
        return plan

    async def _new_dispatch(
        self,
        request: BackfillRequest,
        markets: tuple[Market, ...],
        clock: EngineClock,
        presence: Presence,
        derived: Derived,
    ) -> Dispatch:
        async def derive_of(provider: str) -> None:
            """The bars of a slow provider are not waited for."""
            done = [market for market in markets if market.capabilities.provider == provider]
            derived.add(await self._derive(done, request, clock))

        worker = await asyncio.to_thread(lambda: presence.worker)
        dispatch = Dispatch(
            self._database,
            self._clients,
            self._settings,
            self._listener,
            clock=clock,
            worker=worker,
            request=request,
            on_provider_done=derive_of,
        )
        self._dispatch = dispatch
        if self._is_stopping:
            dispatch.stop()
        return dispatch

    async def _derive(self, markets: Sequence[Market], request: BackfillRequest, clock: EngineClock) -> Derived:
        total = Derived()
        for market in markets:
            done = await asyncio.to_thread(derive_market, self._database, market, clock.now(), is_full=request.is_full)
            total.add(done)
            total.written += await asyncio.to_thread(derive_live, self._database, market, clock.now())
        return total

    async def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_stopping and time.monotonic() < until:
            await asyncio.sleep(min(0.1, seconds))

    def _report(
        self,
        request: BackfillRequest,
        detected: Findings,
        found: Findings,
        dispatch: Dispatch,
        derived: Derived,
        *,
        begun: float,
    ) -> BackfillReport:
        tally = dispatch.tally
        filled = detected.filled_in(found)
        failed = {ticker for failure in tally.failures for ticker in failure.symbols}
        summary = Summary(
            duration_s=round(time.monotonic() - begun, 3),
            symbols_ok=len([ticker for ticker in request.tickers if ticker not in failed]),
            symbols_failed=len([ticker for ticker in request.tickers if ticker in failed]),
            calls_made=dispatch.calls,
            calls_least=tally.least_calls,
            calls_other=self._clients.requests_made - dispatch.calls,
            rows_received=sum(tally.rows.values()),
            bars_written=tally.inserted + derived.written,
            bars_changed=tally.changed,
            bars_unchanged=tally.unchanged,
            bars_derived=derived.bars,
            rows_quarantined=tally.quarantined,
            gaps_detected=len(detected.open_gaps),
            gaps_filled=len(filled),
            gaps_settled=detected.settled_in(found),
            gaps_remaining=len(found.open_gaps),
            bars_not_come_to=sum(one.expected_bars for one in found.not_come_to),
        )
        return BackfillReport(
            summary=summary,
            matrix=found.matrix(failed_series=tally.failed_series),
            gaps_detected=detected.open_gaps,
            gaps_filled=filled,
            gaps_remaining=found.open_gaps,
            not_come_to=found.not_come_to,
            failures=tally.failures,
            was_interrupted=self._is_stopping,
            was_bounded=dispatch.was_bounded,
            bound=dispatch.bound,
        )

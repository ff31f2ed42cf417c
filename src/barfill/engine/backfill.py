"""
The backfill: plan, fetch, look for gaps, ask for them again, derive, report.

One `Backfill` is one command. Everything it decides follows from the ledger, so that it may be killed anywhere and
run again; a run that a killed process left is taken up at the page it had reached.
"""

from __future__ import annotations

import asyncio
import time

from barfill.engine.clock import EngineClock
from barfill.engine.derive import Derived, Origin, derive_market
from barfill.engine.dispatch import Dispatch
from barfill.engine.estimate import estimate_plan
from barfill.engine.events import BackfillListener, PlanEstimate
from barfill.engine.findings import Findings, look_for_gaps
from barfill.engine.heartbeat import beating
from barfill.engine.ledger import Market, read_markets
from barfill.engine.planning import Plan, plan_backfill, plan_retry, read_in_flight
from barfill.engine.report import BackfillReport, Summary
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.providers.client import ProviderClient
from barfill.store.database import Database
from barfill.store.workers import Presence, planning_turn


class Backfill:
    """
    Args:
        database: Migrated.
        client: Of the provider that is asked.
        settings: How many chains at a time, what is derived, how often gaps are asked again.
        listener: Is told what happens, on the event loop's thread.
    """

    def __init__(
        self, database: Database, client: ProviderClient, settings: EngineSettings, listener: BackfillListener
    ) -> None:
        self._database = database
        self._client = client
        self._settings = settings
        self._listener = listener
        self._capabilities = client.provider.capabilities
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
            SymbolNotFound, OutsideCalendar, StoreError: The plan cannot be made.
        """
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        markets = await self._markets(request, clock)
        plan = await asyncio.to_thread(self._plan, markets, request, clock)
        return estimate_plan(plan, markets, self._capabilities)

    async def run(self, request: BackfillRequest) -> BackfillReport:
        """
        Carries *request* out; what fails is in the report.

        Raises:
            SymbolNotFound, OutsideCalendar: The request names something that does not exist.
            StoreError: The database is gone, full or read-only; nothing more can be kept.
        """
        begun = time.monotonic()
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        markets = await self._markets(request, clock)
        presence = await asyncio.to_thread(Presence, self._database)
        try:
            async with beating(self._database, presence, patience_s=self._settings.worker_patience_s):
                return await self._run(request, markets, clock, presence, begun)
        finally:
            await asyncio.to_thread(presence.close)

    async def _run(
        self,
        request: BackfillRequest,
        markets: tuple[Market, ...],
        clock: EngineClock,
        presence: Presence,
        begun: float,
    ) -> BackfillReport:
        begun_at = clock.now()
        dispatch = await self._new_dispatch(request, markets, clock, presence)
        plan = await asyncio.to_thread(self._plan_and_enlist, markets, request, clock, dispatch)
        self._listener.planned(estimate_plan(plan, markets, self._capabilities))

        self._listener.stage(1, "fetching", plan.expected_bars(markets).total())
        await dispatch.carry_out()
        derived = await self._derive(markets, request, clock)
        found = await asyncio.to_thread(look_for_gaps, self._database, markets, clock.now(), begun_at=begun_at)
        detected = found
        seen = found.of_what_was_asked() if self._ended_early(dispatch) else found
        self._listener.stage(2, "gaps detected", len(seen.open_gaps))
        for attempt in range(1, self._settings.gap_attempts + 1):
            if not found.to_ask_again or self._is_stopping or dispatch.is_over:
                break
            await self._rest(self._settings.retry_wait_s(attempt))
            if not await asyncio.to_thread(self._enlist_retry, markets, found, dispatch):
                break
            self._listener.stage(3, f"retrying gaps, attempt {attempt} of {self._settings.gap_attempts}", 0)
            await dispatch.carry_out()
            again = await self._derive(markets, request, clock)
            derived.bars += again.bars
            derived.written += again.written
            found = await asyncio.to_thread(look_for_gaps, self._database, markets, clock.now(), begun_at=begun_at)
        if self._ended_early(dispatch):
            detected, found = detected.of_what_was_asked(), found.of_what_was_asked()
        return self._report(request, detected, found, dispatch, derived, begun=begun)

    def _ended_early(self, dispatch: Dispatch) -> bool:
        """Whether something of the plan may never have been asked for."""
        return self._is_stopping or dispatch.is_over or dispatch.was_bounded

    async def _markets(self, request: BackfillRequest, clock: EngineClock) -> tuple[Market, ...]:
        return await asyncio.to_thread(
            self._database.run, read_markets, request, self._capabilities, self._settings, clock.now()
        )

    def _plan(self, markets: tuple[Market, ...], request: BackfillRequest, clock: EngineClock) -> Plan:
        return plan_backfill(
            self._database,
            markets,
            self._capabilities,
            provider=self._client.provider.name,
            is_full=request.is_full,
            now=clock.now(),
        )

    def _plan_and_enlist(
        self, markets: tuple[Market, ...], request: BackfillRequest, clock: EngineClock, dispatch: Dispatch
    ) -> Plan:
        with planning_turn(self._database):
            plan = self._plan(markets, request, clock)
            dispatch.enlist(plan)
        return plan

    def _enlist_retry(self, markets: tuple[Market, ...], found: Findings, dispatch: Dispatch) -> bool:
        """Whether there is anything to ask again that no other process is asking for."""
        with planning_turn(self._database):
            plan = plan_retry(
                found,
                markets,
                self._capabilities,
                refused=dispatch.tally.refused,
                in_flight=read_in_flight(self._database),
            )
            dispatch.enlist(plan)
        return bool(plan.slices)

    async def _new_dispatch(
        self, request: BackfillRequest, markets: tuple[Market, ...], clock: EngineClock, presence: Presence
    ) -> Dispatch:
        worker = await asyncio.to_thread(lambda: presence.worker)
        dispatch = Dispatch(
            self._database,
            self._client,
            self._settings,
            self._listener,
            clock=clock,
            worker=worker,
            request=request,
        )
        self._dispatch = dispatch
        if self._is_stopping:
            dispatch.stop()
        return dispatch

    async def _derive(self, markets: tuple[Market, ...], request: BackfillRequest, clock: EngineClock) -> Derived:
        total = Derived()
        origin = Origin(self._client.provider.name, clock.now())
        for market in markets:
            done = await asyncio.to_thread(derive_market, self._database, market, origin, is_full=request.is_full)
            total.bars += done.bars
            total.written += done.written
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
            calls_least=tally.least_calls(self._capabilities.page_size),
            calls_other=self._client.requests_made.all - dispatch.calls,
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

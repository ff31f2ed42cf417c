"""
Compares stored bars with those of another provider, without changing anything.

Pages are read to the null token through the provider's client, under the key's shared quota, and judged by the rules
that hold on the way in. A bar counts as missing there only where the pages prove that the provider has none
(`core.proof`). Nothing is written: what the quota keeps of the requests is all that the database holds afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.comparison import Comparison, Kind, compare, expected_in
from barfill.core.judged import Judged
from barfill.core.page import BarsQuery, Page
from barfill.core.placing import slots_of
from barfill.core.plan import Slice, expected_rows
from barfill.core.proof import ChainState, Proof, pages_cap, prove
from barfill.core.ranges import Ranges
from barfill.core.resample import derived_coverage, resample
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.engine.chain import CallBudget
from barfill.engine.recovery import recover
from barfill.engine.verify_plan import Candidate, Unit, VerifyPlan, VerifyRequest, plan_verify
from barfill.engine.verify_report import SeriesCompared, VerifyFailure, VerifyReport
from barfill.errors import (
    BadResponse,
    BarfillError,
    CredentialsRejected,
    DailyBudgetSpent,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    RateLimited,
)
from barfill.providers.client import ProviderClient, RequestCounts
from barfill.store.bars import read_bars
from barfill.store.database import Connection, Database

RECENT_MARGIN = timedelta(minutes=16)
"""Where a range is cut when the provider calls its end too recent."""
MAX_CALLS_REACHED = "--max-calls is reached; the rest was not asked for."

_ENDING = (ProviderUnavailable, ProviderTimeout, CredentialsRejected, RateLimited)
"""After these nothing more is asked: the rest would fail likewise."""


class Verify:
    """
    Args:
        client: Of the provider that stored bars are compared with.
        concurrency: How many chains of pages are followed at the same time, which hides the latency.
    """

    def __init__(self, database: Database, client: ProviderClient, *, concurrency: int = 1) -> None:
        self._database = database
        self._client = client
        self._concurrency = concurrency

    async def plan(self, request: VerifyRequest) -> VerifyPlan:
        """
        What would be asked.

        Raises:
            OutsideCalendar: The window reaches beyond a calendar.
            StoreError: The ledger cannot be read.
        """
        now = await asyncio.to_thread(self._database.now)
        return await asyncio.to_thread(
            self._database.run, plan_verify, request, self._client.provider.capabilities, now
        )

    async def run(self, plan: VerifyPlan, *, on_page: Callable[[int], None] = lambda _calls: None) -> VerifyReport:
        """
        Asks for what *plan* says and compares it.

        Args:
            on_page: Called after each page with the number of requests so far.

        Raises:
            StoreError: The stored bars cannot be read.
        """
        report = VerifyReport(plan.capabilities.provider, not_compared=list(plan.not_compared))
        budget = CallBudget(plan.request.calls_max)
        asking = _Asking(self._client, plan, budget, report, on_page, asyncio.Semaphore(self._concurrency))
        for unit in plan.units:
            answers = await asking.fetch(unit)
            report.series += await asyncio.to_thread(self._database.run, _compare_unit, plan, unit, answers)
        report.calls = budget.calls
        return report


@dataclass(slots=True)
class _Answer:
    """
    What the provider's pages said of one series.

    Attributes:
        blocked: Starts of bars whose rows were kept out.
        may_lack_rows: Whether a page was of a kind that has lost rows elsewhere: empty and leading on, of an odd shape
            (H12), or in no order.
    """

    rows: list[BarColumns] = field(default_factory=list)
    blocked: list[NDArray[np.int64]] = field(default_factory=list)
    proved: Ranges = field(default_factory=Ranges)
    may_lack_rows: bool = False


_Answers = dict[tuple[str, Timeframe], _Answer]


@dataclass(frozen=True, slots=True)
class _Ask:
    """A chain of pages to follow; `is_restart` where it is a second try."""

    query: BarsQuery
    is_restart: bool = False


@dataclass(slots=True)
class _Asking:
    """Follows the chains of pages of units, a few at a time."""

    client: ProviderClient
    plan: VerifyPlan
    budget: CallBudget
    report: VerifyReport
    on_page: Callable[[int], None]
    turns: asyncio.Semaphore
    ended_by: BarfillError | None = None
    """Why nothing more is asked for."""

    async def fetch(self, unit: Unit) -> _Answers:
        """What the provider's answers say of the series of *unit*."""
        answers: _Answers = {}
        async with asyncio.TaskGroup() as tasks:
            for one in unit.slices:
                tasks.create_task(self._in_turn(unit, one, answers))
        return answers

    async def _in_turn(self, unit: Unit, one: Slice, answers: _Answers) -> None:
        async with self.turns:
            if not self.report.bound:
                await self._fetch_slice(unit, one, answers)

    async def _fetch_slice(self, unit: Unit, one: Slice, answers: _Answers) -> None:
        capabilities = self.plan.capabilities
        tickers = tuple(ticker for _, ticker in one.symbols)
        basis = capabilities.basis(one.timeframe)
        former = self.plan.former(one)
        waiting = [_Ask(BarsQuery(tickers, one.timeframe, one.range, capabilities.feed, basis, former))]
        while waiting:
            ask = waiting.pop()
            if self.ended_by is not None:
                self._fail(ask.query.symbols, one.timeframe, self.ended_by)
                continue
            chain = _Chain(ask.query, unit, self, answers)
            try:
                await chain.follow()
            except DailyBudgetSpent as error:
                self.report.bound = str(error)
            except BarfillError as error:
                waiting += self._recovered(ask, chain.state, error)
            if self.report.bound:
                return

    def _recovered(self, ask: _Ask, state: ChainState, error: BarfillError) -> list[_Ask]:
        """The chains in which the rest of one that failed goes on; what does not is a failure."""
        if not isinstance(error, ProviderError):
            raise error
        horizon = self.plan.now - max(RECENT_MARGIN, self.plan.capabilities.delay)
        found = recover(ask.query, state, error, horizon=horizon, is_restart=ask.is_restart)
        if isinstance(error, _ENDING):
            self.ended_by = error
        if found.is_failure:
            self._fail(ask.query.symbols, ask.query.timeframe, error)
        elif found.refused is not None:
            self._fail((found.refused,), ask.query.timeframe, error)
        return [
            _Ask(replace(ask.query, symbols=piece.symbols, range=piece.range), is_restart=True)
            for piece in found.pieces
        ]

    def _fail(self, symbols: tuple[str, ...], timeframe: Timeframe, error: BarfillError) -> None:
        failure = VerifyFailure(symbols, timeframe, error.code, str(error))
        if failure not in self.report.failures:
            self.report.failures.append(failure)


class _Chain:
    """One query's pages to the null token."""

    def __init__(self, query: BarsQuery, unit: Unit, asking: _Asking, answers: _Answers) -> None:
        self.state = ChainState()
        self._query = query
        self._unit = unit
        self._asking = asking
        self._answers = answers

    async def follow(self) -> None:
        """
        Reads all pages into the answers, as far as the budget goes.

        Raises:
            ProviderError: As for a page; `page_loop` where they do not end.
            DailyBudgetSpent: The key's requests of the day are used up.
        """
        query, capabilities, budget = self._query, self._asking.plan.capabilities, self._asking.budget
        each = expected_rows(self._unit.calendar, query.timeframe, query.range, capabilities)
        cap = pages_cap(each * len(query.symbols), capabilities.page_size)
        seen: set[str | None] = set()
        token: str | None = None
        while True:
            if len(seen) >= cap or token in seen:
                raise BadResponse(
                    f"The pages of {capabilities.provider} for {query} do not end: page {len(seen)} leads on to one "
                    "seen before, or beyond any sensible number.",
                    reason="page_loop",
                )
            seen.add(token)
            if not budget.reserve():
                self._asking.report.bound = MAX_CALLS_REACHED
                return
            page = await self._page(token)
            judged, proof = await asyncio.to_thread(self._judged, page)
            self._keep(page, judged, proof)
            self._asking.on_page(budget.calls)
            token = page.next_token
            if token is None:
                return

    async def _page(self, token: str | None) -> Page:
        counts = RequestCounts()
        try:
            return await self._asking.client.fetch_page(self._query, token, counts=counts)
        finally:
            self._asking.budget.spend(counts.all)

    def _judged(self, page: Page) -> tuple[Judged, Proof]:
        plan, query = self._asking.plan, self._query
        judged = judge(page, query, self._unit.calendar, now=plan.now, grace=plan.capabilities.delay)
        return judged, prove(query, page, self.state, page_size=plan.capabilities.page_size)

    def _keep(self, page: Page, judged: Judged, proof: Proof) -> None:
        """Keeps what a page says, by series; on the event loop, as chains of one series may run side by side."""
        one_series = np.zeros(len(page.symbols), np.int32)
        for position, ticker in enumerate(page.symbols):
            answer = self._answer(ticker)
            answer.rows.append(judged.accepted.take(judged.accepted.symbol == position).with_symbols(one_series))
            answer.blocked.append(judged.blocked.of(position))
        for ticker, proved in proof.proved:
            answer = self._answer(ticker)
            answer.proved = answer.proved | proved
        is_empty = page.received == 0 and page.next_token is not None and not page.is_window
        if is_empty or page.may_lack_rows or not page.is_in_order:
            for ticker in self._query.symbols:
                self._answer(ticker).may_lack_rows = True
        self.state = proof.state

    def _answer(self, ticker: str) -> _Answer:
        return self._answers.setdefault((ticker, self._query.timeframe), _Answer())


def _compare_unit(conn: Connection, plan: VerifyPlan, unit: Unit, answers: _Answers) -> list[SeriesCompared]:
    return [_compared(conn, plan, unit, one, answers) for one in unit.candidates]


def _compared(
    conn: Connection, plan: VerifyPlan, unit: Unit, one: Candidate, answers: Mapping[tuple[str, Timeframe], _Answer]
) -> SeriesCompared:
    calendar, timeframe = unit.calendar, one.timeframe
    answer = answers.get((one.symbol.ticker, one.source), _Answer())
    there, blocked, proved = _ordered(BarColumns.concat(answer.rows)), _joined(answer.blocked), answer.proved
    if one.source is not timeframe:
        there = resample(there, one.source, timeframe, calendar)
        blocked = np.unique(slots_of(calendar, timeframe, blocked)[0])
        proved = derived_coverage(proved, one.source, timeframe, calendar)
    scope = one.scope & proved
    hull = one.scope.hull
    assert hull is not None
    here = read_bars(conn, one.symbol.id, timeframe, hull)
    found = compare(
        here,
        there,
        scope,
        timeframe,
        calendar,
        tolerance=one.tolerance,
        left_out=blocked,
        worst_max=plan.request.worst_max,
    )
    answered = expected_in(scope, timeframe, calendar)
    return SeriesCompared(
        ticker=one.symbol.ticker,
        timeframe=timeframe,
        source=one.source,
        comparison=found,
        unanswered=len(expected_in(one.scope, timeframe, calendar)) - len(answered),
        kept_out=int(np.count_nonzero(np.isin(answered, blocked))),
        out_of_reach=one.out_of_reach,
        notes=(*one.notes, *_doubts(plan, found, answer)),
    )


def _doubts(plan: VerifyPlan, found: Comparison, answer: _Answer) -> tuple[str, ...]:
    """A word about bars that are missing there by an answer of a kind that vendors also give under load."""
    is_silent = not any(len(rows) for rows in answer.rows)
    if found.counts[Kind.MISSING_THERE] and (is_silent or answer.may_lack_rows):
        return (
            f"{plan.capabilities.provider} may have left rows out: ask again before you believe that they are missing",
        )
    return ()


def _ordered(rows: BarColumns) -> BarColumns:
    """By time, each bar once: pages overlap at their bounds, and of two values the first counts."""
    _, first = np.unique(rows.ts, return_index=True)
    return rows.take(first)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

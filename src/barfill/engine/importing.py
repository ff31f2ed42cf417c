"""
Bars from files into the store, by the one way in which bars get in: as runs, carried out by the executor.

What the files prove is claimed symbol by symbol: from its first row to its last, or as far as whoever imports them
says. An import that was killed leaves its runs behind, and importing the same files again goes on with them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Concatenate, ParamSpec, TypeVar

from barfill.core.calendar import AROUND_THE_CLOCK, trading_calendar
from barfill.core.capabilities import FILES
from barfill.core.judged import Judged
from barfill.core.page import BarsQuery, Page
from barfill.core.plan import Derivation, Sources
from barfill.core.ranges import Range, Ranges
from barfill.core.rules import judge
from barfill.core.ticker import usual_asset_type
from barfill.core.timeframe import Timeframe
from barfill.engine.chain import CallBudget
from barfill.engine.clients import PageSource
from barfill.engine.clock import EngineClock
from barfill.engine.derive import Derived, derive_market
from barfill.engine.desk import Processed
from barfill.engine.events import BackfillListener
from barfill.engine.execution import Executed, Executor, Result
from barfill.engine.heartbeat import beating
from barfill.engine.ledger import Market
from barfill.engine.patience import Patience
from barfill.engine.planning import PRIORITY_OF_COMMANDS
from barfill.engine.report import Failure
from barfill.engine.run import RunInHand
from barfill.engine.settings import EngineSettings
from barfill.engine.telling import advised, page_written
from barfill.errors import InvalidInput, SeriesConflict, StalePageToken, SymbolNotFound
from barfill.store import symbols as symbol_store
from barfill.store.database import Connection, Database
from barfill.store.events import current_tickers
from barfill.store.gaps import list_gaps
from barfill.store.queue import dequeue
from barfill.store.runs import NewRun, UnfinishedRun, cancel_runs, create_runs, interrupted_imports
from barfill.store.series import read_policies
from barfill.store.session_changes import follow_calendar
from barfill.store.symbols import NewSymbol, Symbol
from barfill.store.workers import Presence
from barfill.store.writes import PageOutcome

P = ParamSpec("P")
T = TypeVar("T")

SYMBOLS_PER_RUN = 1_000
"""Of a run's symbols, each page's transaction knows all."""
BAD_SHARE_MAX = 0.5
"""A file may hold garbage; where it is most of the rows, the file is read in the wrong way."""
SUPERSEDED = "superseded: imported anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """
    Attributes:
        claims: By ticker, of which range the files hold everything there is; these are the symbols.
        feed, basis: What the bars are.
        asset_type: Of symbols that are not on record; None goes by their spelling.
    """

    timeframe: Timeframe
    claims: Mapping[str, Range]
    feed: str
    basis: str
    asset_type: str | None = None


@dataclass(slots=True)
class ImportTally:
    """
    What became of the rows; the parts of `rows` add up to it (rule Q00).

    Attributes:
        inserted, changed, unchanged: Of the accepted ones, those that were new, that replaced another value and that
            were stored already.
        collapsed: Equal to another row.
        by_rule: Quarantined rows by the rule that they broke.
    """

    rows: int = 0
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    held: int = 0
    collapsed: int = 0
    out_of_range: int = 0
    out_of_session: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)

    def take(self, judged: Judged, outcome: PageOutcome) -> None:
        """Adds a page."""
        counts = judged.counts
        self.rows += counts.received
        self.inserted += outcome.inserted
        self.changed += outcome.changed
        self.unchanged += outcome.unchanged
        self.quarantined += counts.quarantined + outcome.refused
        self.held += counts.held
        self.collapsed += counts.collapsed
        self.out_of_range += counts.out_of_range
        self.out_of_session += counts.out_of_session
        self.by_rule.update(row.rule for row in judged.quarantined)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """
    Attributes:
        symbols: Those whose bars were brought.
        added: Those of them that were not on record before.
        gaps: What is expected in the claimed ranges and not there: bars by kind of gap.
        resumed: How many runs of an interrupted import were gone on with.
    """

    symbols: tuple[str, ...]
    added: tuple[str, ...]
    tally: ImportTally
    derived: Derived
    gaps: Mapping[str, int]
    failures: tuple[Failure, ...]
    resumed: int
    was_interrupted: bool
    duration_s: float


async def rehearse(
    source: PageSource, request: ImportRequest, settings: EngineSettings, now: datetime
) -> AsyncIterator[Judged]:
    """
    What the rules make of the rows, page by page; nothing is stored, and no database is asked.

    Price levels are judged within each page alone, and symbols have the calendar that is usual for their spelling.

    Raises:
        OutsideCalendar: The files reach beyond the calendar.
    """
    symbols = [
        Symbol(
            0, ticker, None, kind, AROUND_THE_CLOCK if kind == "crypto" else "XNYS", is_active=True, is_confirmed=False
        )
        for ticker in sorted(request.claims, key=str.encode)
        for kind in [request.asset_type or usual_asset_type(ticker)]
    ]
    for part in _batches(symbols):
        run = _new_run(request, part, now)
        query = BarsQuery(run.symbols, run.timeframe, run.range, run.feed, run.basis)
        calendar = trading_calendar(part[0].calendar, now.year + 1)
        page = await source.fetch_page(query, None)
        while True:
            yield judge(page, query, calendar, now=now, grace=timedelta(0), extended_hours=settings.extended_hours)
            if page.next_token is None:
                break
            page = await source.fetch_page(query, page.next_token)


async def check_reading(source: PageSource, request: ImportRequest, settings: EngineSettings, now: datetime) -> None:
    """
    Looks at the first page: rows of which most break a rule are read in the wrong way, or are none of such bars.

    Raises:
        InvalidInput: They are.
        OutsideCalendar: The files reach beyond the calendar.
    """
    async for judged in rehearse(source, request, settings, now):
        tally = ImportTally()
        tally.take(judged, PageOutcome(0, 0, 0))
        if tally.quarantined > tally.rows * BAD_SHARE_MAX:
            rule, count = tally.by_rule.most_common(1)[0]
            example = next(row for row in judged.quarantined if row.rule == rule)
            raise InvalidInput(
                f"{count:,} of the first {tally.rows:,} rows break rule {rule}, such as one of {example.symbol}: "
                f"{example.reason}. Nothing was stored. Is the timeframe another one, are bars stamped by their end "
                "(--timestamp-is end), is the time zone another one? Stock bars of 1h and 4h begin with the session: "
                "import finer ones, and they are made of these. To look at it: --dry-run"
            )
        return


class Import:
    """
    Args:
        database: Migrated.
        source: Gives the rows of the files.
        listener: Is told what happens, on the event loop's thread.
    """

    def __init__(
        self, database: Database, source: PageSource, settings: EngineSettings, listener: BackfillListener
    ) -> None:
        self._database = database
        self._source = source
        self._settings = settings
        self._listener = listener
        self._executor: Executor | None = None
        self._is_stopping = False
        self._tally = ImportTally()
        self._failures: list[Failure] = []

    def stop(self) -> None:
        """Finishes the page in hand; the same import goes on from there."""
        self._is_stopping = True
        if self._executor is not None:
            self._executor.stop()

    async def run(self, request: ImportRequest) -> ImportReport:
        """
        Brings the bars in and derives coarser ones; what fails is in the report.

        Raises:
            OutsideCalendar: The files reach beyond the calendar.
            StoreError: The database is gone, full or read-only. What is stored stays, and the same import goes on.
        """
        begun = time.monotonic()
        clock = EngineClock(await asyncio.to_thread(self._database.now))
        prepared = await self._store(self._prepare, request, clock.now())
        presence = await asyncio.to_thread(Presence, self._database)
        try:
            worker = await asyncio.to_thread(lambda: presence.worker)
            executor = Executor(
                self._database,
                [self._source],
                self._settings,
                now=clock.now,
                worker=lambda: worker,
                budget=CallBudget(None),
                on_page=self._on_page,
            )
            self._executor = executor
            if self._is_stopping:
                executor.stop()
            patience_s = self._settings.worker_patience_s
            async with beating(self._database, presence, executor, self._listener.note, patience_s=patience_s):
                queue = await self._store(self._enlist, request, prepared, clock.now())
                self._listener.stage(1, "importing", _expected_bars(request, prepared.symbols, clock.now()))
                await self._carry_out(executor, queue)
            derived = await asyncio.to_thread(self._derive, request, prepared, clock.now())
        finally:
            await asyncio.to_thread(presence.close)
        return ImportReport(
            symbols=tuple(symbol.ticker for symbol in prepared.symbols),
            added=prepared.added,
            tally=self._tally,
            derived=derived,
            gaps=await self._store(_gaps, request, prepared.symbols),
            failures=tuple(self._failures),
            resumed=prepared.resumed,
            was_interrupted=self._is_stopping,
            duration_s=round(time.monotonic() - begun, 3),
        )

    def _prepare(self, conn: Connection, request: ImportRequest, now: datetime) -> _Prepared:
        """The symbols that can be brought in, new ones added; a failure for each that cannot."""
        tickers = list(request.claims)
        known = symbol_store.find_symbols(conn, tickers)
        renamed = current_tickers(conn, [ticker for ticker in tickers if ticker not in known])
        self._failures.extend(_renamed_failure(request.timeframe, *names) for names in renamed.items())
        new = [ticker for ticker in tickers if ticker not in known and ticker not in renamed]
        kinds = [request.asset_type or usual_asset_type(ticker) for ticker in new]
        news = [NewSymbol(ticker, asset_type=kind) for ticker, kind in zip(new, kinds, strict=True)]
        known |= symbol_store.add_symbols(conn, news)
        policies = read_policies(conn, [symbol.id for symbol in known.values()])
        kept: list[Symbol] = []
        for symbol in known.values():
            held = policies.get(symbol.id, {}).get(request.timeframe)
            if held in {None, (request.feed, request.basis)}:
                kept.append(symbol)
            else:
                assert held is not None
                self._failures.append(_conflict_failure(request, symbol.ticker, held))
        for name in {symbol.calendar for symbol in kept}:
            follow_calendar(conn, trading_calendar(name, now.year + 1))
        kept.sort(key=lambda symbol: symbol.ticker.encode())
        return _Prepared(tuple(kept), tuple(new), policies)

    def _enlist(self, conn: Connection, request: ImportRequest, prepared: _Prepared, now: datetime) -> deque[_Task]:
        """The runs: those that an interrupted import of the same left, else new ones."""
        left = {_key(one): one for one in interrupted_imports(conn, patience_s=self._settings.worker_patience_s)}
        runs = [_new_run(request, part, now) for part in _batches(prepared.symbols)]
        found = [left.pop(_key(run), None) for run in runs]
        cancel_runs(conn, [one.id for one in left.values() if _is_within(one, runs)], reason=SUPERSEDED)
        new = iter(create_runs(conn, [run for run, known in zip(runs, found, strict=True) if known is None]))
        prepared.resumed = len([known for known in found if known is not None and known.page_no])
        return deque(
            _Task(known.id, known.epoch, run) if known is not None else _Task(next(new), 0, run)
            for run, known in zip(runs, found, strict=True)
        )

    async def _carry_out(self, executor: Executor, queue: deque[_Task]) -> None:
        while queue and not self._is_stopping:
            task = queue.popleft()
            run_id = task.run_id
            executed = await executor.execute(run_id, task.epoch, Patience(attempts_max=1))
            if isinstance(executed.error, StalePageToken):
                queue.appendleft(await self._store(_anew, task, executed.pieces))
                self._listener.note(str(executed.error))
            elif executed.result is Result.SPLIT:
                queue.extendleft(_Task(piece, 0, task.whole) for piece in reversed(executed.pieces))
                self._listener.note(str(executed.error))
            elif executed.result in {Result.FAILED, Result.DROPPED, Result.POSTPONED}:
                self._fail(executed)
            if executed.result not in {Result.STOPPED, Result.POSTPONED, Result.NOT_CLAIMED, Result.DROPPED}:
                await self._store(dequeue, [run_id])

    def _fail(self, executed: Executed) -> None:
        assert executed.query is not None
        assert executed.error is not None
        error = executed.error
        failed = tuple(dict.fromkeys(ticker for ticker, _ in executed.missing)) or executed.query.symbols
        reason = getattr(error, "reason", "") or error.code.lower()
        self._failures.append(Failure(failed, executed.query.timeframe, error.code, reason, advised(error)))

    def _derive(self, request: ImportRequest, prepared: _Prepared, now: datetime) -> Derived:
        """Coarser bars of all symbols, where no series of them holds bars from elsewhere."""
        total = Derived()
        for market in _markets(request, prepared, self._source, self._settings, now):
            try:
                done = derive_market(self._database, market, now, is_full=False)
            except SeriesConflict as error:  # somebody was quicker
                self._listener.note(f"Not derived: {error}")
                continue
            total.add(done)
        return total

    def _on_page(self, run: RunInHand, page: Page, processed: Processed) -> None:
        self._tally.take(processed.judged, processed.outcome)
        self._listener.page_written(page_written(run, processed))

    async def _store(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(lambda: self._database.run(work, *args, **kwargs))


@dataclass(frozen=True, slots=True)
class _Task:
    """A run that waits, and what it was made to bring in."""

    run_id: int
    epoch: int
    whole: NewRun


def _anew(conn: Connection, task: _Task, pieces: Sequence[int]) -> _Task:
    """All of a task once more, in the place of the *pieces* in which it would go on: the files are others by now."""
    with conn.transaction():
        cancel_runs(conn, pieces, reason=SUPERSEDED)
        (run_id,) = create_runs(conn, [task.whole])
    return _Task(run_id, 0, task.whole)


@dataclass(slots=True)
class _Prepared:
    """
    Attributes:
        symbols: In the byte order of their tickers.
        policies: What their series hold, by symbol id.
    """

    symbols: tuple[Symbol, ...]
    added: tuple[str, ...]
    policies: Mapping[int, Mapping[Timeframe, tuple[str, str]]]
    resumed: int = 0


def _renamed_failure(timeframe: Timeframe, old: str, new: str) -> Failure:
    message = (
        f"{old} is {new} now: its bars belong to the series of {new}. Import them with --symbol {new}; if they are "
        f"another company's, first: barfill symbols add {old}"
    )
    return Failure((old,), timeframe, SymbolNotFound.code, "renamed", message)


def _conflict_failure(request: ImportRequest, ticker: str, held: tuple[str, str]) -> Failure:
    feed, basis = held
    message = (
        f"{ticker} {request.timeframe.label} holds {basis} bars of feed {feed!r}; the files are imported as "
        f"{request.basis} bars of feed {request.feed!r}. They are not mixed: nothing was written. If the files are of "
        f"the same feed and basis, say so: --feed {feed} --basis {basis}"
    )
    return Failure((ticker,), request.timeframe, SeriesConflict.code, "series_conflict", message)


def _expected_bars(request: ImportRequest, symbols: Sequence[Symbol], now: datetime) -> int:
    """The work: what the calendars expect in the claimed ranges."""
    calendars = {symbol.calendar: trading_calendar(symbol.calendar, now.year + 1) for symbol in symbols}
    counts = (calendars[one.calendar].expected_count(request.timeframe, request.claims[one.ticker]) for one in symbols)
    return sum(counts)


def _batches(symbols: Sequence[Symbol]) -> Iterable[Sequence[Symbol]]:
    """Of one calendar each, in the order of their tickers."""
    for calendar in sorted({symbol.calendar for symbol in symbols}):
        alike = [symbol for symbol in symbols if symbol.calendar == calendar]
        yield from (alike[first : first + SYMBOLS_PER_RUN] for first in range(0, len(alike), SYMBOLS_PER_RUN))


def _new_run(request: ImportRequest, symbols: Sequence[Symbol], now: datetime) -> NewRun:
    claims = [request.claims[symbol.ticker] for symbol in symbols]
    return NewRun(
        symbols=tuple(symbol.ticker for symbol in symbols),
        symbol_ids=tuple(symbol.id for symbol in symbols),
        timeframe=request.timeframe,
        range=Range(min(one.start for one in claims), max(one.end for one in claims)),
        provider=FILES,
        feed=request.feed,
        basis=request.basis,
        job_type="fetch_intraday" if request.timeframe.is_intraday else "fetch_historical",
        priority=PRIORITY_OF_COMMANDS,
        calendar_version=trading_calendar(symbols[0].calendar, now.year + 1).version,
    )


def _key(run: NewRun | UnfinishedRun) -> tuple[object, ...]:
    return run.symbol_ids, run.timeframe, run.range, run.feed, run.basis


def _is_within(one: UnfinishedRun, runs: Sequence[NewRun]) -> bool:
    """Whether *runs* bring all that an interrupted import was to bring."""
    return any(
        (one.timeframe, one.feed, one.basis) == (run.timeframe, run.feed, run.basis)
        and set(one.symbol_ids) <= set(run.symbol_ids)
        and run.range.start <= one.range.start
        and one.range.end <= run.range.end
        for run in runs
    )


def _markets(
    request: ImportRequest, prepared: _Prepared, source: PageSource, settings: EngineSettings, now: datetime
) -> Iterable[Market]:
    """The symbols by calendar and by what can be made of their new bars."""
    alike: dict[tuple[str, tuple[Timeframe, ...]], list[Symbol]] = {}
    capabilities = source.provider.capabilities
    for symbol in prepared.symbols:
        policies = prepared.policies.get(symbol.id, {})
        targets = tuple(
            target
            for target in Timeframe
            if request.timeframe in settings.resampling.candidates(target, capabilities)
            and settings.resampling.allows(target)
            and policies.get(target) in {None, (request.feed, request.basis)}
        )
        if targets:
            alike.setdefault((symbol.calendar, targets), []).append(symbol)
    for (name, targets), symbols in alike.items():
        window = _whole_weeks([request.claims[symbol.ticker] for symbol in symbols])
        derive = tuple(Derivation(target, window, (request.timeframe,)) for target in targets)
        windows = dict.fromkeys((request.timeframe, *targets), window)
        sources = Sources({request.timeframe: Ranges([window])}, derive)
        yield Market(trading_calendar(name, now.year + 1), capabilities, tuple(symbols), windows, sources)


def _whole_weeks(claims: Sequence[Range]) -> Range:
    """All of *claims*, widened to whole weeks: no session and no week is cut."""
    start, end = min(one.start for one in claims), max(one.end for one in claims)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return Range(midnight - timedelta(days=midnight.weekday()), end + timedelta(days=7))


def _gaps(conn: Connection, request: ImportRequest, symbols: Sequence[Symbol]) -> Mapping[str, int]:
    bars: Counter[str] = Counter()
    id_of = {symbol.id: request.claims[symbol.ticker] for symbol in symbols}
    if not id_of:
        return bars
    hull = Range(min(one.start for one in id_of.values()), max(one.end for one in id_of.values()))
    for listed in list_gaps(conn, symbol_ids=list(id_of), timeframes=[request.timeframe], within=hull):
        if listed.gap.range & id_of[listed.gap.symbol_id]:
            bars[listed.gap.kind] += listed.gap.expected_bars
    return bars

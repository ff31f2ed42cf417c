"""
From the ledger to a plan: what is missing, what an interrupted run still has to do, what gaps are asked for again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities
from barfill.core.plan import Need, Slice, cut_slices, missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.findings import Findings, is_open
from barfill.engine.ledger import Market, SeriesKey, not_due, read_gaps, read_rows
from barfill.engine.standing import StandingOrder
from barfill.errors import SymbolNotOffered
from barfill.store.database import Database
from barfill.store.gaps import ListedGap
from barfill.store.runs import NewRun, UnfinishedRun, unfinished_runs
from barfill.store.series import SeriesRow

PRIORITY_OF_COMMANDS = 150
"""Somebody sits before the terminal: sooner than what a schedule wants, later than a chart."""


REFUSED_AGAIN_AFTER = timedelta(days=1)
"""A symbol that the provider does not know is asked for once a day: it may be a new one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A slice that standing orders lack; `job_def_id` names the definition where it is a single one."""

    slice: Slice
    priority: int
    job_def_id: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        slices: To be fetched in new runs, in order of urgency.
        adopted: Runs that a dead process left behind and that are gone on with.
        superseded: Ids of such runs for which nothing is left to do.
        not_due: When each open gap is due that is left alone until then.
        has_others: Whether living workers are fetching a part of what is wanted.
    """

    slices: tuple[Slice, ...]
    adopted: tuple[UnfinishedRun, ...] = ()
    superseded: tuple[int, ...] = ()
    not_due: tuple[datetime, ...] = ()
    has_others: bool = False

    def expected_bars(self, markets: Sequence[Market]) -> Counter[Timeframe]:
        """The open-market bars of all slices and adopted runs, by timeframe: the work of the first stage."""
        calendars = {symbol.id: market.calendar for market in markets for symbol in market.symbols}
        total: Counter[Timeframe] = Counter()
        for one in self.slices:
            calendar = calendars[one.symbols[0][0]]
            total[one.timeframe] += len(one.symbols) * calendar.expected_count(one.timeframe, one.range)
        for run in self.adopted:
            calendar = calendars[run.symbol_ids[0]]
            whole = len(run.symbols) * calendar.expected_count(run.timeframe, run.range)
            total[run.timeframe] += round(whole * (1 - run.progress_percent / 100))
        return total


def plan_backfill(
    database: Database,
    markets: Sequence[Market],
    capabilities: Capabilities,
    *,
    provider: str,
    is_full: bool,
    now: datetime,
) -> Plan:
    """What a backfill of *markets* has to fetch; with *is_full*, everything in the windows."""
    unfinished = database.run(unfinished_runs)
    slices: list[Slice] = []
    adopted: list[UnfinishedRun] = []
    superseded: list[int] = []
    not_due_at: list[datetime] = []
    has_others = False
    for market in markets:
        rows = database.run(read_rows, market)
        gaps = database.run(read_gaps, market)
        covered = {} if is_full else _done(rows, gaps, now)
        left, over = _left_behind(unfinished, market, covered, capabilities, provider=provider, is_full=is_full)
        adopted.extend(left)
        superseded.extend(over)
        flying = [run for run in unfinished if run.is_alive]
        has_others = has_others or any(_is_wanted(run, market) for run in flying)
        if not is_full:
            not_due_at.extend(_due_later(market, gaps, now))
        in_flight = _in_flight([*left, *flying])
        needs = _needs(market, covered, in_flight)
        slices.extend(cut_slices(needs, capabilities, market.calendar))
    urgent = sorted(slices, key=lambda one: one.range.end, reverse=True)
    return Plan(tuple(urgent), tuple(adopted), tuple(superseded), tuple(not_due_at), has_others)


def new_run(
    one: Slice,
    provider: str,
    feed: str,
    triggered_by: str,
    *,
    priority: int = PRIORITY_OF_COMMANDS,
    job_def_id: int | None = None,
) -> NewRun:
    """The run that fetches a slice."""
    return NewRun(
        symbols=tuple(ticker for _, ticker in one.symbols),
        symbol_ids=tuple(symbol_id for symbol_id, _ in one.symbols),
        timeframe=one.timeframe,
        range=one.range,
        provider=provider,
        feed=feed,
        job_type="fetch_intraday" if one.timeframe.is_intraday else "fetch_historical",
        triggered_by=triggered_by,
        priority=priority,
        job_def_id=job_def_id,
    )


def plan_standing(
    database: Database, orders: Sequence[StandingOrder], capabilities: Capabilities, now: datetime
) -> list[Wanted]:
    """What *orders* lack and nobody is fetching, the most urgent first and of equally urgent ones the newest."""
    in_flight = read_in_flight(database)
    wanted: list[Wanted] = []
    for order in orders:
        rows = database.run(read_rows, order.market)
        covered = _done(rows, database.run(read_gaps, order.market), now)
        for key in _refused_lately(rows, now):
            covered[key] = order.market.sources.fetch.get(key[1], Ranges())
        slices = cut_slices(_needs(order.market, covered, in_flight), capabilities, order.market.calendar)
        wanted.extend(Wanted(one, order.priority, order.definition_of(one)) for one in slices)
    return sorted(wanted, key=lambda one: (-one.priority, -one.slice.range.end.timestamp()))


def read_in_flight(database: Database) -> dict[SeriesKey, Ranges]:
    """What living workers are fetching, and what is queued for whoever comes first."""
    return _in_flight(database.run(unfinished_runs))


def plan_retry(
    found: Findings,
    markets: Sequence[Market],
    capabilities: Capabilities,
    *,
    refused: AbstractSet[str],
    in_flight: Mapping[SeriesKey, Ranges],
) -> Plan:
    """
    The slices that ask once more for the open gaps of fetched series.

    Gaps within a day are widened to whole days, so that the gaps of many symbols share requests.
    """
    slices: list[Slice] = []
    for market in markets:
        tickers = {symbol.id: symbol.ticker for symbol in market.symbols}
        wanted: dict[SeriesKey, list[Range]] = {}
        for symbol_id, timeframe, gap in found.to_ask_again:
            if symbol_id in tickers and tickers[symbol_id] not in refused:
                wanted.setdefault((symbol_id, timeframe), []).append(_widened(gap, timeframe))
        needs = []
        for (symbol_id, timeframe), ranges in wanted.items():
            window = market.sources.fetch.get(timeframe, Ranges())
            wished = (window & Ranges(ranges)) - in_flight.get((symbol_id, timeframe), Ranges())
            asked = missing_ranges(wished, Ranges(), market.calendar, timeframe, _end(window))
            needs.append(Need(symbol_id, tickers[symbol_id], timeframe, asked))
        slices.extend(cut_slices(needs, capabilities, market.calendar))
    return Plan(tuple(slices))


def _done(
    rows: Mapping[SeriesKey, SeriesRow], gaps: Mapping[SeriesKey, Sequence[ListedGap]], now: datetime
) -> dict[SeriesKey, Ranges]:
    """
    What is not to be asked for: covered, or a gap that is not due before later.

    Gaps that are due are asked for with the days around them: many of them share requests, and the answer tells how
    often the symbol trades.
    """
    done = {key: row.covered for key, row in rows.items()}
    for key, listed in gaps.items():
        due = Ranges(_widened(one.gap.range, key[1]) for one in listed if is_open(one) and _is_due(one, now))
        done[key] = (done.get(key, Ranges()) - due) | not_due(listed, now)
    return done


def _is_due(listed: ListedGap, now: datetime) -> bool:
    return listed.gap.next_check_at is None or listed.gap.next_check_at <= now


def _refused_lately(rows: Mapping[SeriesKey, SeriesRow], now: datetime) -> Iterable[SeriesKey]:
    """Series of which the provider said within the day that it does not know the symbol."""
    for key, row in rows.items():
        is_refused = row.last_error_code == SymbolNotOffered.code
        if is_refused and row.last_run_at is not None and row.last_run_at > now - REFUSED_AGAIN_AFTER:
            yield key


def _due_later(market: Market, gaps: Mapping[SeriesKey, Sequence[ListedGap]], now: datetime) -> Iterable[datetime]:
    """When the open gaps within what is fetched are due, of those that are not due yet."""
    for (_, timeframe), listed in gaps.items():
        window = market.sources.fetch.get(timeframe, Ranges())
        for one in listed:
            due_at = one.gap.next_check_at
            if is_open(one) and due_at is not None and due_at > now and window & one.gap.range:
                yield due_at


def _is_wanted(run: UnfinishedRun, market: Market) -> bool:
    """Whether a run fetches a part of what is wanted."""
    window = market.sources.fetch.get(run.timeframe, Ranges())
    return bool(window & run.range) and not {symbol.id for symbol in market.symbols}.isdisjoint(run.symbol_ids)


def _needs(
    market: Market, covered: Mapping[SeriesKey, Ranges], in_flight: Mapping[SeriesKey, Ranges]
) -> Iterable[Need]:
    known: dict[tuple[Timeframe, Ranges], Ranges] = {}
    nothing = Ranges()
    for timeframe, window in market.sources.fetch.items():
        horizon = _end(window)
        for symbol in market.symbols:
            key = (symbol.id, timeframe)
            taken = covered.get(key, nothing)
            if key in in_flight:
                taken = taken | in_flight[key]
            # Most series of a watchlist lack the same: what they lack is worked out once.
            if (timeframe, taken) not in known:
                known[timeframe, taken] = missing_ranges(window, taken, market.calendar, timeframe, horizon)
            missing = known[timeframe, taken]
            if missing:
                yield Need(symbol.id, symbol.ticker, timeframe, missing)


def _left_behind(
    unfinished: Sequence[UnfinishedRun],
    market: Market,
    covered: Mapping[SeriesKey, Ranges],
    capabilities: Capabilities,
    *,
    provider: str,
    is_full: bool,
) -> tuple[list[UnfinishedRun], list[int]]:
    """Runs of dead workers within what is asked for: those to go on with, and those that are done or void."""
    ids = {symbol.id for symbol in market.symbols}
    adopted: list[UnfinishedRun] = []
    superseded: list[int] = []
    taken: dict[SeriesKey, Ranges] = {}
    for run in unfinished:
        window = market.sources.fetch.get(run.timeframe)
        same_source = (run.provider, run.feed) == (provider, capabilities.feed)
        if run.is_alive or window is None or not same_source or not ids.issuperset(run.symbol_ids):
            continue
        whole = Ranges([run.range])
        is_wanted = not is_full and not (whole - window)
        is_needed = any(
            _has_bars(whole - covered.get((i, run.timeframe), Ranges()), market.calendar, run.timeframe)
            for i in run.symbol_ids
        )
        overlaps = any(taken.get((i, run.timeframe), Ranges()) & whole for i in run.symbol_ids)
        if not is_wanted or not is_needed or overlaps:
            superseded.append(run.id)
            continue
        adopted.append(run)
        for symbol_id in run.symbol_ids:
            taken[symbol_id, run.timeframe] = taken.get((symbol_id, run.timeframe), Ranges()) | run.range
    return adopted, superseded


def _has_bars(ranges: Ranges, calendar: TradingCalendar, timeframe: Timeframe) -> bool:
    return any(calendar.expected_count(timeframe, one) for one in ranges)


def _in_flight(runs: Iterable[UnfinishedRun]) -> dict[SeriesKey, Ranges]:
    flying: dict[SeriesKey, Ranges] = {}
    for run in runs:
        for symbol_id in run.symbol_ids:
            key = (symbol_id, run.timeframe)
            flying[key] = flying.get(key, Ranges()) | run.range
    return flying


def _end(window: Ranges) -> datetime:
    hull = window.hull
    assert hull is not None, "a fetched timeframe has a window"
    return hull.end


def _widened(gap: Range, timeframe: Timeframe) -> Range:
    """An intraday gap widened to the UTC days that it touches."""
    if not timeframe.is_intraday:
        return gap
    start = gap.start.replace(hour=0, minute=0, second=0, microsecond=0)
    end = gap.end.replace(hour=0, minute=0, second=0, microsecond=0)
    return Range(start, end if end == gap.end else end + timedelta(days=1))

"""
From the ledger to a plan: what is missing, what an interrupted run still has to do, what gaps are asked for again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities
from barfill.core.gaps import GapKind
from barfill.core.live import LiveWish
from barfill.core.page import RAW
from barfill.core.plan import Need, Slice, cut_slices, missing_ranges
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.findings import Findings, is_open
from barfill.engine.ledger import Market, SeriesKey, not_due, read_gaps, read_rows
from barfill.engine.patience import left_alone_for
from barfill.engine.second_opinion import second_opinions
from barfill.engine.sparing import SourcePair, spared
from barfill.engine.standing import StandingOrder
from barfill.errors import CredentialsRejected, SeriesConflict, SymbolNotOffered
from barfill.store.database import Database
from barfill.store.gaps import ListedGap
from barfill.store.runs import NewRun, UnfinishedRun, unfinished_runs
from barfill.store.series import SeriesRow

PRIORITY_OF_COMMANDS = 150
"""Somebody sits before the terminal: sooner than what a schedule wants, later than a chart."""


_LONGEST_CLOSED = timedelta(days=14)
"""Between two sessions; between two weeks it is seven."""
REFUSED_AGAIN_AFTER = timedelta(days=1)
"""A symbol that the provider does not know is asked for once a day: it may be a new one."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A slice that standing orders lack; `job_def_ids` are the definitions that want it, the most urgent first."""

    slice: Slice
    priority: int
    job_def_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        slices: To be fetched in new runs, in order of urgency.
        adopted: Runs that a dead process left behind and that are gone on with.
        superseded: Ids of such runs for which nothing is left to do.
        not_due: When each open gap is due that is left alone until then.
        elsewhere: Ids of runs that others have made or taken and that fetch a part of what is wanted.
        held_from: Who has brought what is stored already of the series.
        made: What is made of stored bars instead of fetched, and of which.
    """

    slices: tuple[Slice, ...]
    adopted: tuple[UnfinishedRun, ...] = ()
    superseded: tuple[int, ...] = ()
    not_due: tuple[datetime, ...] = ()
    elsewhere: tuple[int, ...] = ()
    held_from: tuple[str, ...] = ()
    made: frozenset[SourcePair] = frozenset()

    def expected_bars(self, markets: Sequence[Market]) -> Counter[Timeframe]:
        """The open-market bars of all slices and adopted runs, by timeframe: the work of the first stage."""
        calendars = {symbol.id: market.calendar for market in markets for symbol in market.symbols}
        total: Counter[Timeframe] = Counter()
        for one in self.slices:
            if one.is_live:
                continue  # it proves nothing
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
    *,
    askable: Collection[str],
    is_full: bool,
    now: datetime,
    patience_s: float,
    fallbacks: Sequence[Capabilities] = (),
    only_gaps: bool = False,
) -> Plan:
    """
    What a backfill of *markets* has to fetch; with *is_full*, everything in the windows.

    Args:
        askable: Names of the providers whose runs can be carried out here.
        patience_s: Whoever gives no sign of life for so long is taken for dead.
        fallbacks: Who is asked, in order, for what another lacks for good.
        only_gaps: What was never asked for is left out.
    """
    # Before the coverage: what somebody finishes in between is then known as covered.
    unfinished = database.run(unfinished_runs, patience_s=patience_s)
    slices: list[Slice] = []
    adopted: list[UnfinishedRun] = []
    superseded: list[int] = []
    not_due_at: list[datetime] = []
    elsewhere: list[int] = []
    held_from: set[str] = set()
    made: set[SourcePair] = set()
    for market in markets:
        rows = database.run(read_rows, market)
        held_from |= {row.last_provider for row in rows.values() if row.last_provider and row.bar_count}
        gaps = database.run(read_gaps, market)
        covered: dict[SeriesKey, Ranges] = {}
        if not is_full:
            found = spared(database, market, rows, gaps)
            covered = _with(_done(market, rows, gaps, now), found.ranges)
            made |= found.made
        if only_gaps:
            covered = _but_for_gaps(market, gaps, covered)
        left, over = _left_behind(unfinished, market, covered, askable, is_full=is_full)
        adopted.extend(left)
        superseded.extend(over)
        ours = {*(run.id for run in left), *over}
        others = [
            run
            for run in unfinished
            if run.id not in ours and _is_wanted(run, market) and (run.is_alive or run.provider in askable)
        ]
        elsewhere.extend(run.id for run in others)
        if not is_full:
            not_due_at.extend(_due_later(market, gaps, now))
        in_flight = in_flight_of([*left, *others])
        slices.extend(_cut(_needs(market, covered, in_flight), rows, market))
        slices.extend(live_slices(market, unfinished, rows))
        if not is_full:
            slices.extend(second_opinions(market, gaps, fallbacks, in_flight, now))
    urgent = sorted(slices, key=lambda one: one.range.end, reverse=True)
    return Plan(
        tuple(urgent),
        tuple(adopted),
        tuple(superseded),
        tuple(not_due_at),
        tuple(dict.fromkeys(elsewhere)),
        tuple(sorted(held_from)),
        frozenset(made),
    )


def new_run(
    one: Slice,
    triggered_by: str,
    *,
    priority: int = PRIORITY_OF_COMMANDS,
    job_def_ids: tuple[int, ...] = (),
) -> NewRun:
    """The run that fetches a slice."""
    return NewRun(
        symbols=tuple(ticker for _, ticker in one.symbols),
        symbol_ids=tuple(symbol_id for symbol_id, _ in one.symbols),
        timeframe=one.timeframe,
        range=one.range,
        provider=one.capabilities.provider,
        feed=one.capabilities.feed,
        basis=one.capabilities.basis(one.timeframe),
        is_live=one.is_live,
        is_reread=one.is_reread,
        job_type="fetch_intraday" if one.timeframe.is_intraday else "fetch_historical",
        triggered_by=triggered_by,
        priority=priority,
        job_def_ids=job_def_ids,
        calendar_version=one.calendar_version,
    )


def plan_standing(
    database: Database,
    orders: Sequence[StandingOrder],
    now: datetime,
    *,
    patience_s: float,
    fallbacks: Sequence[Capabilities] = (),
) -> list[Wanted]:
    """
    What *orders* lack and nobody is fetching, the most urgent first and of equally urgent ones the newest.

    Args:
        fallbacks: Who is asked, in order, for what another lacks for good.
    """
    # What living workers are fetching, and what is queued for whoever comes first; before the coverage, as above.
    unfinished = database.run(unfinished_runs, patience_s=patience_s)
    in_flight = in_flight_of(unfinished)
    wanted: list[Wanted] = []
    for order in orders:
        rows = database.run(read_rows, order.market)
        gaps = {
            key: [_left_alone(one) for one in listed] for key, listed in database.run(read_gaps, order.market).items()
        }
        covered = _with(_done(order.market, rows, gaps, now), spared(database, order.market, rows, gaps).ranges)
        for key, listed in gaps.items():
            covered[key] |= _behind_failures(listed, covered[key], order.market, now)
        for key in [*refused_lately(rows, now), *_of_another_source(rows, now)]:
            covered[key] = order.market.sources.fetch.get(key[1], Ranges())
        market = order.market
        slices = [*_cut(_needs(market, covered, in_flight), rows, market), *live_slices(market, unfinished, rows)]
        slices.extend(second_opinions(market, gaps, fallbacks, in_flight, now))
        wanted.extend(Wanted(one, order.priority, order.definitions_of(one)) for one in slices)
    return sorted(wanted, key=lambda one: (-one.priority, -one.slice.range.end.timestamp()))


def plan_retry(
    found: Findings,
    markets: Sequence[Market],
    *,
    refused: AbstractSet[str],
    cancelled: Mapping[SeriesKey, Ranges],
    unfinished: Sequence[UnfinishedRun],
    foreign: AbstractSet[SeriesKey] = frozenset(),
    needless: Mapping[SeriesKey, Ranges] = MappingProxyType({}),
) -> Plan:
    """
    The slices that ask once more for the open gaps of fetched series.

    Gaps within a day are widened to whole days, so that the gaps of many symbols share requests.

    Args:
        refused: Tickers that the provider does not know.
        cancelled: What somebody does not want fetched.
        unfinished: Runs that others have made or taken; read before *found*.
        foreign: Series that hold bars of another source: asking again changes nothing.
        needless: What can be made of stored bars, or is not needed to make any.
    """
    slices: list[Slice] = []
    elsewhere: list[int] = []
    for market in markets:
        tickers = {symbol.id: symbol.ticker for symbol in market.symbols}
        wanted: dict[SeriesKey, list[Range]] = {}
        for symbol_id, timeframe, gap in found.to_ask_again:
            is_refused = tickers.get(symbol_id) in refused or (symbol_id, timeframe) in foreign
            if symbol_id in tickers and not is_refused:
                wanted.setdefault((symbol_id, timeframe), []).append(_widened(gap, timeframe))
        needs = []
        asked_for = {key: Ranges(ranges) for key, ranges in wanted.items()}
        others = [run for run in unfinished if _is_asked_for(run, asked_for)]
        elsewhere.extend(run.id for run in others)
        in_flight = in_flight_of(others)
        for (symbol_id, timeframe), ranges in asked_for.items():
            key = (symbol_id, timeframe)
            window = market.sources.fetch.get(timeframe, Ranges())
            wished = (window & ranges) - in_flight.get(key, Ranges()) - cancelled.get(key, Ranges())
            wished = wished - needless.get(key, Ranges())
            asked = missing_ranges(wished, Ranges(), market.calendar, timeframe, _end(window))
            needs.append(Need(symbol_id, tickers[symbol_id], timeframe, asked))
        slices.extend(cut_slices(needs, market.capabilities, market.calendar))
    return Plan(tuple(slices), elsewhere=tuple(dict.fromkeys(elsewhere)))


def _done(
    market: Market,
    rows: Mapping[SeriesKey, SeriesRow],
    gaps: Mapping[SeriesKey, Sequence[ListedGap]],
    now: datetime,
) -> dict[SeriesKey, Ranges]:
    """
    What is not to be asked for: covered, or a gap that is not due before later.

    Gaps that are due are asked for with the days around them: many of them share requests, and the answer tells how
    often the symbol trades. Of a gap that the window has left behind, no bar is asked for, and none around it either:
    no answer would settle it.
    """
    done = {key: row.covered for key, row in rows.items()}
    for key, listed in gaps.items():
        window = market.sources.fetch.get(key[1], Ranges())
        due = Ranges(
            _widened(one.gap.range, key[1])
            for one in listed
            if (is_open(one) or _is_read_again(one, now))
            and _is_due(one, now)
            and has_bars(window & one.gap.range, market.calendar, key[1])
        )
        done[key] = (done.get(key, Ranges()) - due) | not_due(listed, now, market)
    return done


def _with(done: Mapping[SeriesKey, Ranges], more: Mapping[SeriesKey, Ranges]) -> dict[SeriesKey, Ranges]:
    """The ranges of both, by series."""
    return {**done, **{key: done.get(key, Ranges()) | ranges for key, ranges in more.items()}}


def _but_for_gaps(
    market: Market, gaps: Mapping[SeriesKey, Sequence[ListedGap]], done: Mapping[SeriesKey, Ranges]
) -> dict[SeriesKey, Ranges]:
    """*done*, and all of the windows that no gap is on record for."""
    wide: dict[SeriesKey, Ranges] = {}
    for timeframe, window in market.sources.fetch.items():
        for symbol in market.symbols:
            key = (symbol.id, timeframe)
            on_record = Ranges(_widened(one.gap.range, timeframe) for one in gaps.get(key, ()))
            wide[key] = done.get(key, Ranges()) | (window - on_record)
    return wide


def _left_alone(listed: ListedGap) -> ListedGap:
    """The same, and what failed is not due before some time has passed: the longer, the more often it has failed."""
    gap = listed.gap
    # While the key is refused nothing is planned at all; once it is accepted, what failed for it is due.
    is_for_the_key = gap.reason.startswith(f"{CredentialsRejected.code}:")
    is_failed = gap.kind == GapKind.FAILED.value and not is_for_the_key
    if not is_failed or gap.next_check_at is not None or gap.last_checked_at is None:
        return listed
    return replace(listed, gap=replace(gap, next_check_at=gap.last_checked_at + left_alone_for(gap.attempts)))


def _behind_failures(listed: Sequence[ListedGap], done: Ranges, market: Market, now: datetime) -> Ranges:
    """
    What is newer than a failure that is left alone, where nothing newer has come: it is asked for together with it.

    Else each look would find some new minutes behind the failed ones, and fail for them anew.
    """
    failed = not_due((one for one in listed if one.gap.kind == GapKind.FAILED.value), now, None).hull
    window = market.sources.fetch.get(listed[0].timeframe, Ranges()).hull
    if failed is None or window is None or failed.end >= window.end:
        return Ranges()
    newer = Range(failed.end, window.end)
    return Ranges() if done & newer else Ranges([newer])


def _is_read_again(listed: ListedGap, now: datetime) -> bool:
    """Whether a run that is settled and as good as fetched is to be read again, in case that it was a hole."""
    due = listed.gap.next_check_at
    return listed.gap.settled_at is not None and due is not None and due <= now


def _is_due(listed: ListedGap, now: datetime) -> bool:
    return listed.gap.next_check_at is None or listed.gap.next_check_at <= now


def refused_lately(rows: Mapping[SeriesKey, SeriesRow], now: datetime) -> Iterable[SeriesKey]:
    """Series of which the provider said within the day that it does not know the symbol."""
    for key, row in rows.items():
        is_refused = row.last_error_code == SymbolNotOffered.code
        if is_refused and row.last_run_at is not None and row.last_run_at > now - REFUSED_AGAIN_AFTER:
            yield key


def _of_another_source(rows: Mapping[SeriesKey, SeriesRow], now: datetime) -> Iterable[SeriesKey]:
    """Series that turned out within the day to hold another feed or basis than what would come: no gap records that."""
    for key, row in rows.items():
        is_conflict = row.last_error_code == SeriesConflict.code
        if is_conflict and row.last_run_at is not None and row.last_run_at > now - REFUSED_AGAIN_AFTER:
            yield key


def _due_later(market: Market, gaps: Mapping[SeriesKey, Sequence[ListedGap]], now: datetime) -> Iterable[datetime]:
    """When the open gaps within what is fetched are due, of those that are not due yet."""
    for (_, timeframe), listed in gaps.items():
        window = market.sources.fetch.get(timeframe, Ranges())
        for one in listed:
            due_at = one.gap.next_check_at
            if is_open(one) and due_at is not None and due_at > now and window & one.gap.range:
                yield due_at


def _cut(needs: Iterable[Need], rows: Mapping[SeriesKey, SeriesRow], market: Market) -> Iterable[Slice]:
    """
    The slices that fetch *needs*. A series that holds bars of another source, of files mostly, goes by itself: it is
    refused, and would take the others of its slice along.
    """
    foreign = of_another_source(rows, market)
    usual: list[Need] = []
    for need in needs:
        if (need.symbol_id, need.timeframe) in foreign:
            yield from cut_slices([need], market.capabilities, market.calendar)
        else:
            usual.append(need)
    yield from cut_slices(usual, market.capabilities, market.calendar)


def of_another_source(rows: Mapping[SeriesKey, SeriesRow], market: Market) -> AbstractSet[SeriesKey]:
    """Series that hold bars of another feed or basis than what is asked for."""
    asked = market.capabilities
    return {
        key
        for key, row in rows.items()
        if (row.feed, row.basis) != (asked.feed, asked.basis(key[1])) and (row.bar_count or row.covered)
    }


def _is_wanted(run: UnfinishedRun, market: Market) -> bool:
    """Whether a run fetches a part of what is wanted."""
    window = market.sources.fetch.get(run.timeframe, Ranges())
    return (
        not run.is_live
        and bool(window & run.range)
        and not {symbol.id for symbol in market.symbols}.isdisjoint(run.symbol_ids)
    )


def _is_asked_for(run: UnfinishedRun, wanted: Mapping[SeriesKey, Ranges]) -> bool:
    """Whether a run fetches a part of what is wanted of some series."""
    asked = (wanted.get((symbol_id, run.timeframe), Ranges()) & run.range for symbol_id in run.symbol_ids)
    return not run.is_live and any(asked)


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
                known[timeframe, taken] = missing_ranges(
                    window, taken, market.calendar, timeframe, horizon, extended_hours=market.extended_hours
                )
            missing = known[timeframe, taken]
            if missing and market.capabilities.basis(timeframe) != RAW:
                missing = _with_one_known(missing, covered.get(key, nothing), market.calendar, timeframe)
            if missing:
                yield Need(symbol.id, symbol.ticker, timeframe, missing)


def _with_one_known(missing: Ranges, covered: Ranges, calendar: TradingCalendar, timeframe: Timeframe) -> Ranges:
    """
    *missing*, each range with the bar before it where that is known: of adjusted prices it is read once more.

    If it comes with another price, the provider has adjusted the whole history since, and all of it is fetched again.
    """
    widened = []
    for one in missing:
        before = calendar.expected_starts(timeframe, Range(one.start - _LONGEST_CLOSED, one.start))
        known = from_us(int(before[-1])) if len(before) else one.start
        widened.append(Range(known, one.end) if known in covered else one)
    return Ranges(widened)


def _left_behind(
    unfinished: Sequence[UnfinishedRun],
    market: Market,
    covered: Mapping[SeriesKey, Ranges],
    askable: Collection[str],
    *,
    is_full: bool,
) -> tuple[list[UnfinishedRun], list[int]]:
    """Runs of dead workers within what is asked for: those to go on with, and those that are done or void."""
    ids = {symbol.id for symbol in market.symbols}
    adopted: list[UnfinishedRun] = []
    superseded: list[int] = []
    taken: dict[SeriesKey, Ranges] = {}
    for run in unfinished:
        window = market.sources.fetch.get(run.timeframe)
        if run.is_live and not run.is_alive and ids.issuperset(run.symbol_ids):
            superseded.append(run.id)  # what it was to bring is old by now
            continue
        is_within = window is not None and not (Ranges([run.range]) - window) and ids.issuperset(run.symbol_ids)
        if not run.is_alive and run.provider not in askable and is_within:
            superseded.append(run.id)  # nobody here can carry it out: what it was to bring is asked for otherwise
            continue
        asked = market.capabilities
        source = (asked.provider, asked.feed, asked.basis(run.timeframe))
        same_source = (run.provider, run.feed, run.basis) == source
        if run.is_alive or window is None or not same_source or not ids.issuperset(run.symbol_ids):
            continue
        whole = Ranges([run.range])
        is_wanted = not is_full and not (whole - window)
        is_needed = any(
            has_bars(whole - covered.get((i, run.timeframe), Ranges()), market.calendar, run.timeframe)
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


def has_bars(ranges: Ranges, calendar: TradingCalendar, timeframe: Timeframe) -> bool:
    """Whether any bar is expected in *ranges*."""
    return any(calendar.expected_count(timeframe, one) for one in ranges)


def live_slices(
    market: Market, unfinished: Iterable[UnfinishedRun], rows: Mapping[SeriesKey, SeriesRow]
) -> tuple[Slice, ...]:
    """
    What brings the current session's bars, of the symbols for which nobody brings them already.

    A series that holds another feed or basis is left out: the bars would be refused.
    """
    wish = market.live
    if wish is None:
        return ()
    flying = {
        symbol_id
        for run in unfinished
        if run.is_live and (run.provider, run.timeframe) == (wish.capabilities.provider, wish.timeframe)
        for symbol_id in run.symbol_ids
    }
    needs = [
        Need(symbol.id, symbol.ticker, wish.timeframe, Ranges([wish.window]))
        for symbol in market.symbols
        if symbol.is_active and symbol.id not in flying and _takes(rows.get((symbol.id, wish.timeframe)), wish)
    ]
    return tuple(replace(one, is_live=True) for one in cut_slices(needs, wish.capabilities, market.calendar))


def _takes(row: SeriesRow | None, wish: LiveWish) -> bool:
    """Whether a series, if there is one, is of the feed and basis of the live bars."""
    if row is None or (row.bar_count == 0 and not row.covered):
        return True
    return (row.feed, row.basis) == (wish.capabilities.feed, wish.capabilities.basis(wish.timeframe))


def in_flight_of(runs: Iterable[UnfinishedRun]) -> dict[SeriesKey, Ranges]:
    """The final bars that these runs are to bring, by series."""
    flying: dict[SeriesKey, Ranges] = {}
    for run in runs:
        if run.is_live:
            continue
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

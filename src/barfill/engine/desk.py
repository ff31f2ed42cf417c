"""
The desk over which every page goes: judged by the rules, turned into proof, compared with the calendar, written.

Everything here is synchronous and runs in a thread of the chain that the page belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import Evidence, Gap, GapKind, Reconciled, SymbolRanges, reconcile
from barfill.core.judged import BlockedSlots, Judged
from barfill.core.page import BarsQuery, Page
from barfill.core.proof import ChainState, Proof, prove
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.engine.boundary import check_boundary
from barfill.store import writes
from barfill.store.bars import read_bars, stored_starts
from barfill.store.closes import neighbour_closes
from barfill.store.database import Database
from barfill.store.pages import retract_coverage, write_page
from barfill.store.writes import GapRecord, PageOutcome, PageWrite, QuarantinedRow

NEXT_CHECKS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
"""When a gap is due again, by how often it was asked for already (rule S1: at least 60 s, then growing)."""
UNAVAILABLE_CHECK = timedelta(days=7)
LONGEST_OPEN = timedelta(days=14)
"""No bar is open for longer than this, weeks with holidays and delays included."""


SETTLED_AFTER = timedelta(hours=1)
"""Two answers without a row are believed when they lie so far apart (S1): vendors are empty for minutes under load."""


@dataclass(frozen=True, slots=True)
class SilentGap:
    """A gap on record that answers lacked: how many of them, and since when."""

    range: Range
    answers: int
    first_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """
    What the ledger knew of one series when its run was claimed.

    Attributes:
        oldest, newest: Starts of the first and last stored bar, or None.
        density: Share of expected bars that it usually has, NaN where unknown.
        gaps: Gaps on record within the run's range that an answer lacked.
        quarantined: Gaps on record for which rows came that broke a rule.
        covered: What is known to be completely fetched.
        is_active: Whether the symbol still trades, as far as the provider told.
    """

    oldest: datetime | None = None
    newest: datetime | None = None
    density: float = float("nan")
    gaps: tuple[SilentGap, ...] = ()
    quarantined: tuple[SilentGap, ...] = ()
    covered: Ranges = field(default_factory=Ranges)
    is_active: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """
    What pages brought of the open symbol and did not prove, as its rows came in no order (H32).

    Attributes:
        ts: Starts of rows that are stored.
        blocked: Starts of bars whose rows are kept out.
    """

    ts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    blocked: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(slots=True, kw_only=True)
class RunInHand:
    """
    A claimed run and how far it has come; owned by one chain.

    Attributes:
        symbol_ids: In the order of `query.symbols`.
        facts: In the order of `query.symbols`.
        expected_bars: Open-market bars in the whole slice, over all its symbols.
        proved_bars: Those of them that are proved.
    """

    run_id: int
    epoch: int
    page_no: int
    query: BarsQuery
    symbol_ids: NDArray[np.int32]
    facts: tuple[SeriesFacts, ...]
    calendar: TradingCalendar
    provider: str
    token: str | None
    state: ChainState
    expected_bars: int
    proved_bars: int = 0
    carried: Carried = field(default_factory=Carried)
    tokens_seen: set[str] = field(default_factory=set)
    empty_pages: int = 0
    had_empty_page: bool = False


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of a page."""

    outcome: PageOutcome
    judged: Judged
    proof: Proof
    proved_bars: int
    carried: Carried


@dataclass(frozen=True, slots=True, eq=False)
class _Findings:
    """
    A page after judging.

    Attributes:
        rows: The accepted ones, their symbols numbered as in the query.
        gaps: What is expected and neither on the page nor stored.
        contradicted: Bars of the open symbol of which two pages say different things.
    """

    page: Page
    judged: Judged
    proof: Proof
    rows: BarColumns
    reconciled: Reconciled
    gaps: Sequence[Gap]
    contradicted: Ranges
    requests_made: int
    proved_bars: int


@dataclass(frozen=True, slots=True, eq=False)
class _Answered:
    """The keys of the bars for which rows came, sorted."""

    symbol: NDArray[np.int32]
    ts: NDArray[np.int64]


class Desk:
    """
    Args:
        page_size: Of the provider: a last page as full as that is not believed to be the last.
        grace: How old a bar must be before it counts as final.
        now: The database's clock.
    """

    def __init__(
        self,
        database: Database,
        *,
        page_size: int,
        grace: timedelta,
        extended_hours: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._page_size = page_size
        self._grace = grace
        self._extended_hours = extended_hours
        self._now = now
        self._first_bars: dict[tuple[int, Timeframe], datetime] = {}
        self._last_bars: dict[tuple[int, Timeframe], datetime] = {}

    def process(self, run: RunInHand, page: Page, requests_made: int) -> Processed:
        """
        Judges and stores *page*, and everything it proves, in one transaction.

        Raises:
            BadResponse: The page is no answer to the run's query.
            PageDropped: Another worker has taken the run over.
            SeriesConflict: The series hold another feed or basis.
        """
        index = {ticker: position for position, ticker in enumerate(run.query.symbols)}
        page, contradicted = self._without_contradictions(run, page)
        page_index = np.array([index.get(ticker, 0) for ticker in page.symbols], np.int32)
        earlier, later = self._closes(run, page, page_index)
        judged = judge(
            page,
            run.query,
            run.calendar,
            now=self._now(),
            grace=self._grace,
            extended_hours=self._extended_hours,
            last_closes=earlier,
            later_closes=later,
        )
        proof = self._closed(run, prove(run.query, page, run.state, page_size=self._page_size))
        rows = judged.accepted.with_symbols(page_index).sorted_by_key()
        blocked = self._blocked(run, judged.blocked.with_symbols(page_index), rows)
        answered = _answered(run, rows)
        evidence = Evidence(
            proven=SymbolRanges.of(proof.proved, index),
            symbol=answered.symbol,
            ts=answered.ts,
            blocked=blocked,
            density=np.array([facts.density for facts in run.facts]),
            has_older=_has_older(run),
        )
        reconciled = reconcile(evidence, run.calendar, run.query.timeframe)
        proved_bars = _proved_bars(run, proof)
        gaps = self._absent(run, reconciled.gaps, answered)
        findings = _Findings(page, judged, proof, rows, reconciled, gaps, contradicted, requests_made, proved_bars)
        if contradicted:
            symbol_id = int(run.symbol_ids[index[run.state.open_symbol or ""]])
            self._database.run(retract_coverage, run.query.timeframe, {symbol_id: contradicted})
        outcome = self._database.run(write_page, self._write(run, findings))
        return Processed(outcome, judged, proof, proved_bars, _carried_on(run, proof.state, answered, blocked))

    def _closed(self, run: RunInHand, proof: Proof) -> Proof:
        """*proof* up to the final horizon: whatever was asked for, what can still change is not covered."""
        end, now = run.query.range.end, self._now()
        if end <= now - LONGEST_OPEN:  # spares the calendar on pages of history
            return proof
        horizon = run.calendar.closed_until(run.query.timeframe, now, self._grace)
        if end <= horizon:
            return proof
        closed = ((ticker, one & Range(one.start, horizon)) for ticker, one in proof.proved if one.start < horizon)
        return replace(proof, proved=tuple((ticker, one) for ticker, one in closed if one is not None))

    def _blocked(self, run: RunInHand, blocked: BlockedSlots, rows: BarColumns) -> BlockedSlots:
        """
        *blocked* and the bars whose rows broke a rule, on an earlier page or lately, and that this page lacks.

        A row came, so there is a bar: silence about it in the next answer is not taken for a bar without a trade
        before it has lasted for an hour.
        """
        symbols, starts = [blocked.symbol], [blocked.start]
        if run.state.open_symbol is not None and len(run.carried.blocked):
            position = run.query.symbols.index(run.state.open_symbol)
            bars = run.carried.blocked
            bars = bars[~np.isin(bars, rows.ts[rows.symbol == position]) & ~np.isin(bars, blocked.of(position))]
            symbols.append(np.full(len(bars), position, np.int32))
            starts.append(bars)
        for position, facts in enumerate(run.facts):
            for known in facts.quarantined:
                if known.first_seen_at is None or known.first_seen_at <= self._now() - SETTLED_AFTER:
                    continue
                bars = run.calendar.expected_starts(run.query.timeframe, known.range)
                seen = np.concatenate((rows.ts[rows.symbol == position], blocked.of(position)))
                bars = bars[~np.isin(bars, seen)]
                symbols.append(np.full(len(bars), position, np.int32))
                starts.append(bars)
        if len(starts) == 1:
            return blocked
        symbol, start = np.concatenate(symbols), np.concatenate(starts)
        is_held = np.zeros(len(start), np.bool_)
        is_held[: len(blocked)] = blocked.is_held
        order = np.lexsort((start, symbol))
        symbol, start, is_held = symbol[order], start[order], is_held[order]
        is_first = np.concatenate(([True], (np.diff(symbol) != 0) | (np.diff(start) != 0)))[: len(start)]
        return BlockedSlots(symbol[is_first], start[is_first], is_held[is_first], blocked.unplaced)

    def _without_contradictions(self, run: RunInHand, page: Page) -> tuple[Page, Ranges]:
        """*page* without rows that differ from those of the page before, and the bars they are about."""
        symbol, until = run.state.open_symbol, run.state.open_until
        if symbol is None or until is None or symbol not in page.symbols:
            return page, Ranges()
        rows = page.rows
        is_brought = (rows.ts < to_us(until)) | np.isin(rows.ts, run.carried.ts)
        repeated = np.flatnonzero((rows.symbol == page.symbols.index(symbol)) & is_brought)
        if len(repeated) == 0 or rows.ts[repeated].min() < to_us(run.query.range.start):
            return page, Ranges()
        symbol_id = int(run.symbol_ids[run.query.symbols.index(symbol)])
        first, last = int(rows.ts[repeated].min()), int(rows.ts[repeated].max())
        stored = self._database.run(read_bars, symbol_id, run.query.timeframe, Range(from_us(first), from_us(last + 1)))
        checked = check_boundary(page, repeated, stored)
        length = run.query.timeframe.length
        bars = (Range(from_us(ts), from_us(ts) + length) for ts in checked.contradicted)
        return checked.page, Ranges(bars)

    def _absent(self, run: RunInHand, gaps: Sequence[Gap], rows: _Answered) -> Sequence[Gap]:
        """*gaps* less the bars that are stored and covered since an earlier answer: those are kept, not missing."""
        known = [gap for gap in gaps if run.facts[gap.symbol].covered & gap.range]
        if not known:
            return gaps
        hull = Range(min(gap.range.start for gap in known), max(gap.range.end for gap in known))
        ids = [int(run.symbol_ids[gap.symbol]) for gap in known]
        starts = self._database.run(stored_starts, ids, run.query.timeframe, hull)
        none = np.empty(0, np.int64)
        by_gap = [(gap, starts.get(int(run.symbol_ids[gap.symbol]), none)) for gap in gaps]
        return [one for gap, stored in by_gap for one in _less_stored(run, gap, rows, stored)]

    def _closes(
        self, run: RunInHand, page: Page, page_index: NDArray[np.int32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By page symbol, the stored closes before and after its rows; NaN where there is none."""
        earlier = np.full(len(page.symbols), np.nan)
        later = np.full(len(page.symbols), np.nan)
        stretches: dict[int, tuple[int, int]] = {}
        positions: dict[int, int] = {}
        with_bars = [
            position
            for position, batch_position in enumerate(page_index.tolist())
            if run.facts[batch_position].oldest is not None or page.symbols[position] in run.state.seen
        ]
        if not with_bars:
            return earlier, later
        for position in with_bars:
            ts = page.rows.ts[page.rows.symbol == position]
            if len(ts):
                symbol_id = int(run.symbol_ids[page_index[position]])
                stretches[symbol_id] = (int(ts.min()), int(ts.max()))
                positions[symbol_id] = position
        found = self._database.run(neighbour_closes, run.query.timeframe, stretches)
        for symbol_id, (before, after) in found.items():
            earlier[positions[symbol_id]] = np.nan if before is None else before
            later[positions[symbol_id]] = np.nan if after is None else after
        return earlier, later

    def _write(self, run: RunInHand, found: _Findings) -> PageWrite:
        query, state, ids = run.query, found.proof.state, run.symbol_ids
        positions = {ticker: position for position, ticker in enumerate(query.symbols)}
        involved = _involved(run, found, positions)
        place = np.zeros(len(query.symbols), np.int32)
        place[involved] = np.arange(len(involved), dtype=np.int32)
        density = found.reconciled.density
        return PageWrite(
            timeframe=query.timeframe,
            provider=run.provider,
            feed=found.page.feed,
            basis=found.page.basis,
            symbol_ids=ids[involved],
            rows=found.rows.with_symbols(place).sorted_by_key(),
            proved={int(ids[position]): part for position, part in found.reconciled.covered.by_symbol().items()},
            gaps=[
                *(self._gap_record(run, gap, found.rows) for gap in found.gaps),
                *(self._contradiction(run, one) for one in found.contradicted),
            ],
            quarantined=_quarantined(found.judged, run, positions),
            density={int(ids[i]): float(density[i]) for i in involved.tolist() if not np.isnan(density[i])},
            expected=lambda _symbol_id, part: run.calendar.expected_count(query.timeframe, part),
            made_of_it=_made_of_it(run, found.rows),
            fetched_at=found.page.received_at,
            request_id=found.page.request_id,
            run_id=run.run_id,
            epoch=run.epoch,
            page_no=run.page_no,
            next_token=found.page.next_token,
            open_symbol_id=None if state.open_symbol is None else int(ids[positions[state.open_symbol]]),
            open_until=state.open_until,
            seen_symbol_ids=[int(ids[positions[ticker]]) for ticker in state.seen - run.state.seen],
            requests_made=found.requests_made,
            rows_received=found.page.received,
            progress_percent=min(99.0, 100.0 * (run.proved_bars + found.proved_bars) / max(1, run.expected_bars)),
            final=found.page.next_token is None,
        )

    def _gap_record(self, run: RunInHand, gap: Gap, rows: BarColumns) -> GapRecord:
        """The gap as it goes on record: a candidate becomes settled only by a second answer."""
        facts = run.facts[gap.symbol]
        kind, reason = gap.kind, gap.reason
        known = [one for one in facts.gaps if one.range & gap.range]
        asked = max((one.answers for one in known), default=0)
        due: datetime | None = self._now() + NEXT_CHECKS[min(asked, len(NEXT_CHECKS) - 1)]
        if kind is GapKind.UNAVAILABLE or kind is GapKind.MISSING:
            is_old = any(one.first_seen_at and one.first_seen_at <= self._now() - SETTLED_AFTER for one in known)
            is_before, is_after = self._beyond_bars(run, gap, rows)
            has_later = _has_later(run, gap, rows)
            if asked and gap.is_leading and has_later and (is_old or is_before):
                kind, due = GapKind.UNAVAILABLE, self._now() + UNAVAILABLE_CHECK
                reason = f"{run.provider} sent nothing before the first bar, asked {asked + 1} times"
            elif asked and not facts.is_active and not has_later and (is_old or is_after):
                kind, due = GapKind.UNAVAILABLE, self._now() + UNAVAILABLE_CHECK
                reason = f"no longer traded, says {run.provider}; nothing after the last bar"
            else:
                kind = GapKind.MISSING
        elif kind is GapKind.NO_TRADE:
            due = None
        return GapRecord(
            symbol_id=int(run.symbol_ids[gap.symbol]),
            range=gap.range,
            expected_bars=gap.expected_bars,
            kind=cast(writes.GapKind, kind.value),
            reason=reason,
            next_check_at=due,
            calendar_version=run.calendar.version,
        )

    def _beyond_bars(self, run: RunInHand, gap: Gap, rows: BarColumns) -> tuple[bool, bool]:
        """
        Whether an answer has shown the symbol's first bar behind the gap, and its last bar before the gap.

        An answer that begins or ends with rows was no empty answer by mistake, so what lies beyond them was not traded.
        That does not hold where one of its pages was empty and led on: rows may have been on it.
        """
        key = (int(run.symbol_ids[gap.symbol]), run.query.timeframe)
        ts = rows.ts[rows.symbol == gap.symbol]
        is_older, is_newer = ts < to_us(gap.range.start), ts >= to_us(gap.range.end)
        is_whole = not run.had_empty_page
        if is_whole and gap.is_leading and is_newer.any():
            self._first_bars[key] = gap.range.end
        if is_whole and is_older.any() and not is_newer.any():
            self._last_bars[key] = gap.range.start
        first, last = self._first_bars.get(key), self._last_bars.get(key)
        return first is not None and gap.range.end <= first, last is not None and gap.range.start >= last

    def _contradiction(self, run: RunInHand, bar: Range) -> GapRecord:
        """Bars of the open symbol that two pages tell differently, as a gap that is asked for again."""
        open_symbol = run.query.symbols.index(run.state.open_symbol or "")
        return GapRecord(
            symbol_id=int(run.symbol_ids[open_symbol]),
            range=bar,
            expected_bars=max(1, run.calendar.expected_count(run.query.timeframe, bar)),
            kind="quarantined",
            reason=f"two pages of {run.provider} had different values; one is stored, the other in quarantined_bars",
            next_check_at=self._now() + NEXT_CHECKS[0],
            calendar_version=run.calendar.version,
        )


def _answered(run: RunInHand, rows: BarColumns) -> _Answered:
    """The accepted rows, and those of the open symbol that earlier pages brought and did not prove."""
    if run.state.open_symbol is None or len(run.carried.ts) == 0:
        return _Answered(rows.symbol, rows.ts)
    position = run.query.symbols.index(run.state.open_symbol)
    starts = np.setdiff1d(run.carried.ts, rows.ts[rows.symbol == position])
    symbol = np.concatenate((rows.symbol, np.full(len(starts), position, np.int32)))
    ts = np.concatenate((rows.ts, starts))
    order = np.lexsort((ts, symbol))
    return _Answered(symbol[order], ts[order])


def _carried_on(run: RunInHand, state: ChainState, answered: _Answered, blocked: BlockedSlots) -> Carried:
    """What the chain has brought of its open symbol beyond what it has proved."""
    if state.open_symbol is None:
        return Carried()
    position = run.query.symbols.index(state.open_symbol)
    until = to_us(state.open_until or run.query.range.start)
    ts, starts = answered.ts[answered.symbol == position], blocked.of(position)
    return Carried(ts[ts >= until], starts[starts >= until])


def _less_stored(run: RunInHand, gap: Gap, rows: _Answered, stored: NDArray[np.int64]) -> Sequence[Gap]:
    """*gap* without the covered bars among *stored*: its parts between them, or nothing."""
    expected = run.calendar.expected_starts(run.query.timeframe, gap.range)
    is_absent = ~np.isin(expected, rows.ts[rows.symbol == gap.symbol])
    is_covered = np.zeros(len(expected), np.bool_)
    for one in run.facts[gap.symbol].covered & gap.range:
        is_covered |= (expected >= to_us(one.start)) & (expected < to_us(one.end))
    is_kept = is_absent & is_covered & np.isin(expected, stored)
    if not is_kept.any():
        return [gap]
    absent = np.flatnonzero(is_absent & ~is_kept)
    if len(absent) == 0:
        return []
    # Quiet bars are one record however many bars lie between them; all others are runs.
    is_run = gap.kind is not GapKind.NO_TRADE
    parts = np.split(absent, np.flatnonzero(np.diff(absent) > 1) + 1) if is_run else [absent]
    return [_part(run, gap, expected[part]) for part in parts]


def _part(run: RunInHand, gap: Gap, starts: NDArray[np.int64]) -> Gap:
    end = min(gap.range.end, from_us(int(starts[-1])) + run.query.timeframe.length)
    return replace(gap, range=Range(from_us(int(starts[0])), end), expected_bars=len(starts))


def _has_later(run: RunInHand, gap: Gap, rows: BarColumns) -> bool:
    """Whether a bar behind the gap is stored or being stored: then the symbol traded on."""
    newest = run.facts[gap.symbol].newest
    is_newer = (rows.symbol == gap.symbol) & (rows.ts >= to_us(gap.range.end))
    return (newest is not None and newest >= gap.range.end) or bool(is_newer.any())


def _has_older(run: RunInHand) -> NDArray[np.bool_]:
    """By symbol, whether anything before what is proved next is stored or was seen."""
    start, seen = run.query.range.start, run.state.seen
    return np.array(
        [
            ticker in seen or (facts.oldest is not None and facts.oldest < start)
            for ticker, facts in zip(run.query.symbols, run.facts, strict=True)
        ]
    )


def _involved(run: RunInHand, found: _Findings, positions: Mapping[str, int]) -> NDArray[np.int32]:
    """The symbols that the write speaks of, as positions in the query, in the order of their ids."""
    spoken_of = [positions[ticker] for ticker, _ in found.proof.proved]
    spoken_of += [gap.symbol for gap in found.gaps]
    if found.contradicted and run.state.open_symbol is not None:
        spoken_of.append(positions[run.state.open_symbol])
    involved = np.union1d(found.rows.symbol, np.array(spoken_of, np.int32)).astype(np.int32)
    return involved[np.argsort(run.symbol_ids[involved])]


def _quarantined(judged: Judged, run: RunInHand, positions: Mapping[str, int]) -> Sequence[QuarantinedRow]:
    return [
        QuarantinedRow(
            symbol=row.symbol,
            rule=row.rule,
            reason=row.reason,
            raw=row.raw,
            symbol_id=int(run.symbol_ids[positions[row.symbol]]) if row.symbol in positions else None,
            ts=row.ts,
        )
        for row in judged.quarantined
    ]


def _proved_bars(run: RunInHand, proof: Proof) -> int:
    """How many open-market bars the page proves newly."""
    count = lru_cache(maxsize=1024)(lambda one: run.calendar.expected_count(run.query.timeframe, one))
    return sum(count(one) for _, one in proof.proved)


def _made_of_it(run: RunInHand, rows: BarColumns) -> dict[Timeframe, dict[int, Ranges]]:
    """What coarser bars were made of the bars that a second reading may correct: whole days, and weeks for w1."""
    read_before: dict[int, Ranges] = {}
    for position in np.unique(rows.symbol).tolist():
        ts = rows.ts[rows.symbol == position]
        start, end = _midnight(from_us(int(ts[0]))), _midnight(from_us(int(ts[-1]))) + timedelta(days=1)
        overlap = run.facts[position].covered & Range(start, end)
        if overlap:
            read_before[int(run.symbol_ids[position])] = Ranges([Range(start, end)])
    if not read_before:
        return {}
    if run.query.timeframe is Timeframe.D1:
        return {Timeframe.W1: {key: _weeks(ranges) for key, ranges in read_before.items()}}
    coarser = [one for one in Timeframe if one.is_intraday and one.length > run.query.timeframe.length]
    return dict.fromkeys(coarser, read_before)


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _weeks(ranges: Ranges) -> Ranges:
    """The weeks, by their Mondays, in which *ranges* have a day."""
    return Ranges(Range(one.start - timedelta(days=one.start.weekday()), one.end) for one in ranges)

"""
The desk over which every page goes: judged by the rules, turned into proof, compared with the calendar, written.

Everything here is synchronous and runs in a thread of the chain that the page belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.gaps import Evidence, Gap, Reconciled, SymbolRanges, gaps_not_looked_at
from barfill.core.judged import Judged
from barfill.core.outages import reconcile_around_outages
from barfill.core.page import RAW, Page
from barfill.core.proof import Proof, prove
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.engine.boundary import contradiction, without_contradictions
from barfill.engine.closes import closes_around
from barfill.engine.evidence import answered_by, blocked_by, carried_on, evidence_of
from barfill.engine.run import Carried, RunInHand
from barfill.engine.settling import ACCOUNTED, Settler, without_stored
from barfill.engine.volumes import not_quiet
from barfill.store.bars import read_bars, stored_starts
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.writes import BarMark, Outside, PageOutcome, PageWrite, QuarantinedRow

READJUSTED = 0.02
"""A close that differs by more was adjusted anew; corrections are smaller, and a split of 21:20 is 5 %."""
LONGEST_OPEN = timedelta(days=14)
"""No bar is open for longer than this, weeks with holidays and delays included."""


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


class Desk:
    """
    Args:
        page_size: Of the provider: a last page as full as that is not believed to be the last.
        grace: By timeframe, how old a bar must be before it counts as final.
        now: The database's clock.
        is_exhaustive: Whether the provider has nothing that its answers lack.
    """

    def __init__(
        self,
        database: Database,
        *,
        page_size: int,
        grace: Callable[[Timeframe], timedelta],
        extended_hours: bool,
        now: Callable[[], datetime],
        is_exhaustive: bool = False,
    ) -> None:
        self._database = database
        self._page_size = page_size
        self._grace = grace
        self._extended_hours = extended_hours
        self._now = now
        self._settler = Settler(database, is_exhaustive=is_exhaustive)

    def process(self, run: RunInHand, page: Page, requests_made: int) -> Processed:
        """
        Judges and stores *page*, and everything it proves, in one transaction.

        Raises:
            BadResponse: The page is no answer to the run's query.
            PageDropped: Another worker has taken the run over.
            SeriesConflict: The series hold another feed or basis.
        """
        if run.claimed.is_live:
            return self._process_live(run, page, requests_made)
        index = {ticker: position for position, ticker in enumerate(run.query.symbols)}
        page, contradicted = without_contradictions(self._database, run, page)
        page_index = np.array([index.get(ticker, 0) for ticker in page.symbols], np.int32)
        earlier, later = closes_around(self._database, run, page, page_index)
        judged = judge(
            page,
            run.query,
            run.calendar,
            now=self._now(),
            grace=self._grace(run.query.timeframe),
            extended_hours=self._extended_hours,
            last_closes=earlier,
            later_closes=later,
            known_splits={place: run.facts[position].splits for place, position in enumerate(page_index.tolist())},
        )
        proof = self._closed(run, prove(run.query, page, run.state, page_size=self._page_size))
        rows = judged.accepted.with_symbols(page_index).sorted_by_key()
        blocked = blocked_by(run, judged.blocked.with_symbols(page_index), rows, self._now())
        answered = answered_by(run, rows)
        proved_bars = _proved_bars(run, proof)
        if run.claimed.is_reread:
            reconciled = self._newly_come(run, rows)
            gaps: Sequence[Gap] = ()
        else:
            evidence = evidence_of(run, proof, answered, blocked, self._now())
            reconciled = self._reconciled(run, evidence, rows, page.feed)
            absent = [*reconciled.gaps, *_not_looked_at(run, proof)]
            gaps = without_stored(self._database, run, absent, answered)
        findings = _Findings(page, judged, proof, rows, reconciled, gaps, contradicted, requests_made, proved_bars)
        write = self._write(run, findings)
        if void := self._adjusted_since(run, rows):
            write = replace(write, retracted=void)
        outcome = self._database.run(write_page, write)
        return Processed(outcome, judged, proof, proved_bars, carried_on(run, proof.state, answered, blocked))

    def _reconciled(self, run: RunInHand, evidence: Evidence, rows: BarColumns, feed: str) -> Reconciled:
        """What the page proves; again where bars that seemed to be quiet were traded, as coarser ones say."""
        reconciled = reconcile_around_outages(evidence, run.calendar, run.query.timeframe, feed=feed)
        traded = self._database.run(not_quiet, run, reconciled.gaps, rows, reconciled.density)
        if len(traded) == 0:
            return reconciled
        return reconcile_around_outages(replace(evidence, traded=traded), run.calendar, run.query.timeframe, feed=feed)

    def _newly_come(self, run: RunInHand, rows: BarColumns) -> Reconciled:
        """
        What a second reading adds: the bars that are not stored yet, which closes their gaps.

        What it lacks says nothing, neither about the bars that are stored nor about those that were settled as absent.
        """
        unknown = np.full(len(run.query.symbols), np.nan)
        if len(rows) == 0:
            return Reconciled(SymbolRanges.of([], {}), (), unknown)
        length = run.query.timeframe.length_us
        hull = Range(from_us(int(rows.ts.min())), from_us(int(rows.ts.max()) + length))
        positions = np.unique(rows.symbol).tolist()
        stored = self._database.run(stored_starts, run.symbol_ids[positions].tolist(), run.query.timeframe, hull)
        symbol, start = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for position in positions:
            mine = rows.ts[rows.symbol == position]
            start.append(mine[~np.isin(mine, stored[int(run.symbol_ids[position])])])
            symbol.append(np.full(len(start[-1]), position, np.int32))
        starts = np.concatenate(start)
        return Reconciled(SymbolRanges(np.concatenate(symbol), starts, starts + length), (), unknown)

    def _adjusted_since(self, run: RunInHand, rows: BarColumns) -> dict[int, Ranges]:
        """
        What of adjusted series is void, by symbol id: a bar that was known has come with another price.

        Only what this page holds is on the new basis; the rest is fetched again.
        """
        if run.query.basis == RAW or len(rows) == 0:
            return {}
        void: dict[int, Ranges] = {}
        for position in np.unique(rows.symbol).tolist():
            mine = rows.take(rows.symbol == position)
            symbol_id, covered = int(run.symbol_ids[position]), run.facts[position].covered
            here = Range(from_us(int(mine.ts[0])), from_us(int(mine.ts[-1]) + run.query.timeframe.length_us))
            stored = self._database.run(read_bars, symbol_id, run.query.timeframe, here)
            common, new, old = np.intersect1d(mine.ts, stored.ts, return_indices=True)
            moved = np.abs(mine.close[new] / stored.close[old] - 1) > READJUSTED
            if moved.any() and any(from_us(int(ts)) in covered for ts in common[moved].tolist()):
                void[symbol_id] = covered - here
        return void

    def _process_live(self, run: RunInHand, page: Page, requests_made: int) -> Processed:
        """Keeps what may still change, the forming bar included: it proves nothing, and nothing of it is missed."""
        index = {ticker: position for position, ticker in enumerate(run.query.symbols)}
        order = np.argsort(run.symbol_ids)
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        page_place = place[[index.get(ticker, 0) for ticker in page.symbols]]
        judged = judge(
            page,
            run.query,
            run.calendar,
            now=self._now(),
            grace=-run.query.timeframe.length,  # a bar may be kept from its start on
            extended_hours=self._extended_hours,
        )
        write = PageWrite(
            timeframe=run.query.timeframe,
            provider=run.provider,
            feed=page.feed,
            basis=page.basis,
            symbol_ids=run.symbol_ids[order],
            rows=judged.accepted.with_symbols(page_place).sorted_by_key(),
            proved={},
            data_status="live",
            quarantined=_quarantined(judged, run, index),
            outside=self._outside(run),
            fetched_at=page.received_at,
            request_id=page.request_id,
            run_id=run.run_id,
            epoch=run.epoch,
            page_no=run.page_no,
            next_token=page.next_token,
            requests_made=requests_made,
            rows_received=page.received,
            final=page.next_token is None,
        )
        outcome = self._database.run(write_page, write)
        return Processed(outcome, judged, Proof((), run.state, is_complete=write.final), 0, run.carried)

    def _closed(self, run: RunInHand, proof: Proof) -> Proof:
        """*proof* up to the final horizon: whatever was asked for, what can still change is not covered."""
        end, now = run.query.range.end, self._now()
        if end <= now - LONGEST_OPEN:  # spares the calendar on pages of history
            return proof
        horizon = run.calendar.closed_until(run.query.timeframe, now, self._grace(run.query.timeframe))
        if end <= horizon:
            return proof
        closed = ((ticker, one & Range(one.start, horizon)) for ticker, one in proof.proved if one.start < horizon)
        return replace(proof, proved=tuple((ticker, one) for ticker, one in closed if one is not None))

    def _outside(self, run: RunInHand) -> Outside | None:
        """Tells the bars outside of regular hours apart, where such bars are kept at all."""
        return run.calendar.is_outside if self._extended_hours and run.query.timeframe.is_intraday else None

    def _write(self, run: RunInHand, found: _Findings) -> PageWrite:
        query, state, ids = run.query, found.proof.state, run.symbol_ids
        positions = {ticker: position for position, ticker in enumerate(query.symbols)}
        involved = _involved(run, found, positions)
        place = np.zeros(len(query.symbols), np.int32)
        place[involved] = np.arange(len(involved), dtype=np.int32)
        density = found.reconciled.density
        gaps = [self._settler.record(run, gap, found.rows, self._now()) for gap in found.gaps]
        proved = {int(ids[position]): part for position, part in found.reconciled.covered.by_symbol().items()}
        for gap in gaps:
            if gap.kind in ACCOUNTED and gap.settled_at is not None:
                proved[gap.symbol_id] = proved.get(gap.symbol_id, Ranges()) | gap.range
        return PageWrite(
            timeframe=query.timeframe,
            provider=run.provider,
            feed=found.page.feed,
            basis=found.page.basis,
            symbol_ids=ids[involved],
            rows=found.rows.with_symbols(place).sorted_by_key(),
            proved=proved,
            gaps=[*gaps, *(contradiction(run, one, self._now()) for one in found.contradicted)],
            quarantined=_quarantined(found.judged, run, positions),
            density={int(ids[i]): float(density[i]) for i in involved.tolist() if not np.isnan(density[i])},
            expected=lambda _symbol_id, part: run.calendar.expected_starts(query.timeframe, part),
            outside=self._outside(run),
            fetched_at=found.page.received_at,
            request_id=found.page.request_id,
            run_id=run.run_id,
            epoch=run.epoch,
            page_no=run.page_no,
            next_token=found.page.next_token,
            open_symbol_id=None if state.open_symbol is None else int(ids[positions[state.open_symbol]]),
            open_until=state.open_until,
            seen_symbol_ids=[int(ids[positions[ticker]]) for ticker in state.seen - run.state.seen],
            withdrawn=_withdrawn(run, found.contradicted),
            requests_made=found.requests_made,
            rows_received=found.page.received,
            progress_percent=min(99.0, 100.0 * (run.proved_bars + found.proved_bars) / max(1, run.expected_bars)),
            may_lack_rows=run.may_lack_rows,
            final=found.page.next_token is None,
            marks=_marks(found.judged, run, found.page, positions),
            warned={rule: one.count for rule, one in found.judged.warnings.items() if rule.startswith("W")},
        )


def _not_looked_at(run: RunInHand, proof: Proof) -> Sequence[Gap]:
    """Gaps of what the provider did not look at; what an earlier answer covers stays covered."""
    positions = ((run.query.symbols.index(ticker), one) for ticker, one in proof.not_looked_at)
    ranges = {position: Ranges([one]) - run.facts[position].covered for position, one in positions}
    return gaps_not_looked_at(ranges, run.calendar, run.query.timeframe)


def _withdrawn(run: RunInHand, contradicted: Ranges) -> dict[int, Ranges]:
    if not contradicted or run.open_position is None:
        return {}
    return {int(run.symbol_ids[run.open_position]): contradicted}


def _involved(run: RunInHand, found: _Findings, positions: Mapping[str, int]) -> NDArray[np.int32]:
    """The symbols that the write speaks of, as positions in the query, in the order of their ids."""
    spoken_of = [positions[ticker] for ticker, _ in found.proof.proved]
    spoken_of += [gap.symbol for gap in found.gaps]
    if found.contradicted and run.open_position is not None:
        spoken_of.append(run.open_position)
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


def _marks(judged: Judged, run: RunInHand, page: Page, positions: Mapping[str, int]) -> Sequence[BarMark]:
    """The warnings about single bars; accepted rows are of symbols that were asked for."""
    return [
        BarMark(
            symbol_id=int(run.symbol_ids[positions[page.symbols[mark.symbol]]]),
            ts=mark.ts,
            rule=mark.rule,
            detail=mark.detail,
        )
        for mark in judged.marks
    ]


def _proved_bars(run: RunInHand, proof: Proof) -> int:
    """How many open-market bars the page proves newly."""
    count = lru_cache(maxsize=1024)(lambda one: run.calendar.expected_count(run.query.timeframe, one))
    return sum(count(one) for _, one in proof.proved)

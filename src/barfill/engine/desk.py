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
from barfill.core.gaps import Gap, Reconciled, reconcile
from barfill.core.judged import Judged
from barfill.core.page import Page
from barfill.core.proof import Proof, prove
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.rules import judge
from barfill.core.timeframe import Timeframe
from barfill.engine.boundary import contradiction, without_contradictions
from barfill.engine.closes import closes_around
from barfill.engine.evidence import answered_by, blocked_by, carried_on, evidence_of
from barfill.engine.run import Carried, RunInHand
from barfill.engine.settling import Settler, without_stored
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.writes import PageOutcome, PageWrite, QuarantinedRow

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
        self._settler = Settler()

    def process(self, run: RunInHand, page: Page, requests_made: int) -> Processed:
        """
        Judges and stores *page*, and everything it proves, in one transaction.

        Raises:
            BadResponse: The page is no answer to the run's query.
            PageDropped: Another worker has taken the run over.
            SeriesConflict: The series hold another feed or basis.
        """
        index = {ticker: position for position, ticker in enumerate(run.query.symbols)}
        page, contradicted = without_contradictions(self._database, run, page)
        page_index = np.array([index.get(ticker, 0) for ticker in page.symbols], np.int32)
        earlier, later = closes_around(self._database, run, page, page_index)
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
        blocked = blocked_by(run, judged.blocked.with_symbols(page_index), rows, self._now())
        answered = answered_by(run, rows)
        evidence = evidence_of(run, proof, answered, blocked, self._now())
        reconciled = reconcile(evidence, run.calendar, run.query.timeframe)
        proved_bars = _proved_bars(run, proof)
        gaps = without_stored(self._database, run, reconciled.gaps, answered)
        findings = _Findings(page, judged, proof, rows, reconciled, gaps, contradicted, requests_made, proved_bars)
        outcome = self._database.run(write_page, self._write(run, findings))
        return Processed(outcome, judged, proof, proved_bars, carried_on(run, proof.state, answered, blocked))

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
                *(self._settler.record(run, gap, found.rows, self._now()) for gap in found.gaps),
                *(contradiction(run, one, self._now()) for one in found.contradicted),
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
            withdrawn=_withdrawn(run, found.contradicted),
            requests_made=found.requests_made,
            rows_received=found.page.received,
            progress_percent=min(99.0, 100.0 * (run.proved_bars + found.proved_bars) / max(1, run.expected_bars)),
            may_lack_rows=run.may_lack_rows,
            final=found.page.next_token is None,
        )


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

"""A thousand answers that are cut in silence (R14), in memory: page, proof, doubts and rule S1, without a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.gaps import GapKind, reconcile
from barfill.core.judged import BlockedSlots
from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.proof import ChainState, prove
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.evidence import answered_by, evidence_of, is_repeated
from barfill.engine.run import RunInHand, SeriesFacts, SilentGap
from tests.engine.rig import NYSE, days

M15 = Timeframe.M15
SPAN = days("2026-02-02", "2026-08-01")
CAPS = 1_000
PAGE_SIZE = 10_000


@dataclass
class Series:
    """
    A symbol that trades in every bar, and what is known of it.

    Attributes:
        lacked: The runs of bars that its answers lacked.
        quiet: Those that were called quiet though no two answers lacked just these bars.
    """

    now: datetime = datetime(2026, 9, 1, tzinfo=UTC)
    stored: set[int] = field(default_factory=set)
    covered: Ranges = field(default_factory=Ranges)
    gaps: list[SilentGap] = field(default_factory=list)
    density: float = float("nan")
    lacked: list[Range] = field(default_factory=list)
    quiet: list[Range] = field(default_factory=list)

    def ask(self, wanted: Range, *, kept: slice) -> bool:
        """One answer for *wanted* of which only *kept* is left; whether that cut anything."""
        every = NYSE.expected_starts(M15, wanted)
        starts = every[kept] if len(every[kept]) else every  # an answer without a row is no cut, and another test's
        query = BarsQuery(("AAPL",), M15, wanted, "sip")
        page = Page(("AAPL",), _rows(starts), (), None, "sip", RAW, self.now)
        within = tuple(one for one in self.gaps if one.range & wanted)
        oldest = from_us(min(self.stored)) if self.stored else None
        facts = SeriesFacts(oldest=oldest, density=self.density, gaps=within, covered=self.covered)
        run = RunInHand(
            claimed=cast("Any", None),
            page_no=1,
            query=query,
            symbol_ids=np.array([1], np.int32),
            facts=(facts,),
            calendar=NYSE,
            token=None,
            state=ChainState(),
            expected_bars=len(every),
        )
        proof = prove(query, page, run.state, page_size=PAGE_SIZE)
        evidence = evidence_of(run, proof, answered_by(run, page.rows), BlockedSlots.none(), self.now)
        told = reconcile(evidence, NYSE, M15)
        self._keep(starts, told.covered.by_symbol().get(0, Ranges()))
        self.density = float(told.density[0])
        earlier, self.lacked = set(self.lacked), [*self.lacked, *(gap.range for gap in told.gaps)]
        for gap in told.gaps:
            if gap.kind is GapKind.NO_TRADE:
                if gap.range not in earlier:
                    self.quiet.append(gap.range)
            else:
                known = [one for one in within if one.range & gap.range]
                self.gaps = [one for one in self.gaps if not one.range & gap.range]
                first = min((one.first_seen_at for one in known if is_repeated(one, starts)), default=self.now)
                self.gaps.append(SilentGap(gap.range, 1 + max((one.answers for one in known), default=0), first))
        return len(starts) < len(every)

    def _keep(self, starts: NDArray[np.int64], covered: Ranges) -> None:
        self.stored |= set(starts.tolist())
        self.covered = self.covered | covered
        left = [(one, part) for one in self.gaps for part in Ranges([one.range]) - covered]
        self.gaps = [SilentGap(part, one.answers, one.first_seen_at) for one, part in left]

    def lost(self) -> list[datetime]:
        """Bars that are covered and not stored."""
        return [
            from_us(start)
            for one in self.covered
            for start in NYSE.expected_starts(M15, one).tolist()
            if start not in self.stored and not any(from_us(start) in Ranges([run]) for run in self.lacked)
        ]


def _rows(starts: NDArray[np.int64]) -> BarColumns:
    price = np.full(len(starts), 100.0)
    symbol, count = np.zeros(len(starts), np.int32), np.ones(len(starts), np.int64)
    return BarColumns(symbol, starts, price, price, price, price, price, price, count)


def test_r14_a_thousand_random_cuts_lose_nothing() -> None:
    """However answers are cut, those of gaps included: no bar is called quiet but by two, an hour apart, that agree."""
    luck = Random(14)
    cuts = 0
    while cuts < CAPS:
        series = Series()
        wanted = SPAN
        for _ in range(luck.randint(2, 12)):
            kept = _cut(luck)
            cuts += series.ask(wanted, kept=kept)
            assert series.quiet == [], (cuts, wanted)
            assert series.lost() == [], (cuts, wanted)
            series.now += timedelta(minutes=61)
            open_ranges = [one.range for one in series.gaps]
            wanted = luck.choice(open_ranges) if open_ranges else SPAN
            if luck.random() < 1 / 3:  # a plan that joins gaps, or cuts them at the end of its slice
                wanted = _widened(wanted, luck)
    assert cuts >= CAPS


def test_two_cuts_an_hour_apart_are_not_two_answers_that_agree() -> None:
    """The second brings a part of what the first lacked, and lacks two bars: they are held, not called quiet."""
    day = days("2026-06-11", "2026-06-13")
    series = Series()
    series.ask(days("2026-06-01", "2026-06-11"), kept=slice(None))
    series.ask(day, kept=slice(None, 40))
    (gap,) = series.gaps
    series.now += timedelta(minutes=61)

    series.ask(gap.range, kept=slice(None, -2))

    assert (series.quiet, series.lost()) == ([], [])
    assert [one.range.start for one in series.gaps] == [datetime(2026, 6, 12, 19, 30, tzinfo=UTC)]

    series.now += timedelta(minutes=61)
    series.ask(series.gaps[0].range, kept=slice(None))

    assert (series.gaps, series.lost()) == ([], [])


def _cut(luck: Random) -> slice:
    """Some of the first or the last rows of a page, or all but one or two: what is cut off may be short as well."""
    rows = luck.choice([1, 2, 3, luck.randint(1, 30), luck.randint(1, 400)])
    return luck.choice([slice(None, rows), slice(-rows, None), slice(None, -luck.randint(1, 2)), slice(1, None)])


def _widened(wanted: Range, luck: Random) -> Range:
    """*wanted* and up to five days on each side, to midnight: no answer speaks of a part of a gap alone."""
    first, last = wanted.start.date(), wanted.end.date()
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (first, last))
    before, behind = (timedelta(days=luck.randint(0, 5)) for _ in range(2))
    return Range(max(SPAN.start, start - before), min(SPAN.end, end + timedelta(days=1) + behind))

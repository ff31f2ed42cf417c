"""
Absent bars that an outage on file explains: settled by one answer, whatever the symbol's density.

For rule S1 an outage is like closed time: the bars before and after it are judged without it, so that a halt neither
makes a symbol look thin nor its neighbourhood suspicious. What a provider does have of an outage is stored.

An answer that may lack rows there is not enough: where its silence is doubted, and before the first bar that is known
of a symbol, which may not have been listed yet, rule S1 alone decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import Evidence, Gap, GapKind, Reconciled, SymbolRanges, reconcile
from barfill.core.known_outages import KnownOutage, known_outages
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe


def reconcile_around_outages(
    evidence: Evidence, calendar: TradingCalendar, timeframe: Timeframe, *, feed: str
) -> Reconciled:
    """
    `reconcile`, with the outages of the exchange and of the venue *feed* taken out and accounted for.

    Raises:
        OutsideCalendar: A proven range reaches beyond the calendar.
    """
    proven = evidence.proven
    if len(proven) == 0:
        return reconcile(evidence, calendar, timeframe)
    hull = Range(from_us(int(proven.start.min())), from_us(int(proven.end.max())))
    outages = known_outages(calendar, feed, hull)
    stretches = [one for outage in _disjoint(outages) for one in _explained(outage, evidence, calendar, timeframe)]
    if not stretches:
        return reconcile(evidence, calendar, timeframe)
    during = _ranges_of(stretches)
    others = reconcile(replace(evidence, proven=_less(proven, during)), calendar, timeframe)
    gaps = (*others.gaps, *(gap for one in stretches for gap in one.gaps()))
    return Reconciled(
        _joined(others.covered, during), tuple(sorted(gaps, key=lambda gap: (gap.symbol, gap.range))), others.density
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """
    Consecutive bars of one symbol within one outage and one proven range.

    Attributes:
        starts, ends: int64 (n,), n > 0; the last end is not beyond the proven range.
        is_absent: bool (n,).
    """

    symbol: int
    outage: KnownOutage
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    is_absent: NDArray[np.bool_]

    def gaps(self) -> Iterator[Gap]:
        """One for each run of absent bars."""
        kind = GapKind.HALTED if self.outage.is_halt else GapKind.UNAVAILABLE
        for first, end in _runs(self.is_absent):
            lacking = Range(from_us(int(self.starts[first])), from_us(int(self.ends[end - 1])))
            yield Gap(self.symbol, lacking, end - first, kind, self.outage.reason, is_on_file=True)


def _explained(
    outage: KnownOutage, evidence: Evidence, calendar: TradingCalendar, timeframe: Timeframe
) -> Iterator[_Stretch]:
    """The bars that lie in the outage as a whole, where the answer can be believed; no bar whose row is kept out."""
    starts = calendar.expected_starts(timeframe, outage.range)
    ends = calendar.bar_ends(timeframe, starts) if timeframe.is_intraday else starts + timeframe.length_us
    is_whole = ends <= to_us(outage.range.end)
    starts, ends = starts[is_whole], ends[is_whole]
    proven, doubted = evidence.proven, evidence.doubted
    first, end = np.searchsorted(starts, proven.start), np.searchsorted(starts, proven.end)
    for owner in np.flatnonzero(first < end).tolist():
        symbol = int(proven.symbol[owner])
        mine = starts[first[owner] : end[owner]]
        over = np.minimum(ends[first[owner] : end[owner]], proven.end[owner])
        answered = evidence.ts[slice(*np.searchsorted(evidence.symbol, [symbol, symbol + 1]).tolist())]
        if not evidence.has_older[symbol] and (len(answered) == 0 or answered[0] >= mine[0]):
            continue
        in_doubt = (doubted.symbol == symbol) & (doubted.start < over[-1]) & (doubted.end > mine[0])
        if in_doubt.any():
            continue
        is_free = ~np.isin(mine, evidence.blocked.of(symbol))
        is_absent = ~np.isin(mine, answered)
        for left, right in _runs(is_free):
            yield _Stretch(symbol, outage, mine[left:right], over[left:right], is_absent[left:right])


def _disjoint(outages: Iterable[KnownOutage]) -> Iterator[KnownOutage]:
    """Where one of a venue and one of its exchange overlap the first counts: no bar is accounted for twice."""
    taken = Ranges()
    for outage in outages:
        whole = Ranges([outage.range])
        yield from (replace(outage, range=part) for part in whole - taken)
        taken |= whole


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of true values, as positions [first, end)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _ranges_of(stretches: list[_Stretch]) -> SymbolRanges:
    rows = sorted((one.symbol, int(one.starts[0]), int(one.ends[-1])) for one in stretches)
    columns = np.array(rows, np.int64)
    return SymbolRanges(columns[:, 0].astype(np.int32), columns[:, 1].copy(), columns[:, 2].copy())


def _less(proven: SymbolRanges, taken: SymbolRanges) -> SymbolRanges:
    """*proven* without *taken*, each part of which lies in one range of it."""
    starts = np.concatenate((proven.start, taken.end)), np.concatenate((proven.symbol, taken.symbol))
    ends = np.concatenate((proven.end, taken.start)), np.concatenate((proven.symbol, taken.symbol))
    by_start, by_end = np.lexsort(starts), np.lexsort(ends)
    symbol, start, end = starts[1][by_start], starts[0][by_start], ends[0][by_end]
    is_left = start < end
    return SymbolRanges(symbol[is_left], start[is_left], end[is_left])


def _joined(one: SymbolRanges, other: SymbolRanges) -> SymbolRanges:
    """Both, which do not overlap, in order."""
    symbol, start, end = (
        np.concatenate((getattr(one, name), getattr(other, name))) for name in ("symbol", "start", "end")
    )
    in_order = np.lexsort((start, symbol))
    return SymbolRanges(symbol[in_order], start[in_order], end[in_order])

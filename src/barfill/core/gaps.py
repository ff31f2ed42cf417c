"""
Which of what a page proves becomes coverage, and what the absent bars are (rule S1).

A provider that answers "nothing" may be right, as illiquid symbols have many bars without a trade, or may be wrong,
as vendors do it under load. A run of k expected bars without a row is believed unless its chance is at most 1e-6: such
a run is suspicious, stays out of coverage and is asked for again. The chance is (1 - d)^k, where d is the share of
bars that the symbol usually has. However short it is, it is not believed where coarser bars that are stored hold more
volume than came (`core.traded`), and of a symbol that never lacks any where all bars around are busy (`core.busy`).

Where there is a reason to doubt the answer (it ends there, or an earlier one was silent a short while ago) no bar of a
symbol that never lacks any may be absent: vendors cut answers short, and a cut of one or two bars is no less a hole
than one of many.

A run goes on over the night: two bars absent before the close and two after the next open are a run of four. A row
that the rules kept out is a row: it breaks a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from barfill.core.busy import TRADES_MIN, is_busy_around
from barfill.core.calendar import TradingCalendar
from barfill.core.density import RangeCounts, densities, spread
from barfill.core.judged import BlockedSlots
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.suspicion import DENSITY_OF_THE_LIQUID, is_suspicious
from barfill.core.timeframe import Timeframe

SHARED_BY_MIN = 0.2
"""Where so many of the liquid symbols on a page lack the same bar it is the provider's fault (S4)."""
SHARERS_MIN, SHARERS_AMONG_MIN = 2, 5
"""At least so many of them, among so many that were asked for it."""


class GapKind(Enum):
    """Why an expected bar is not there; the value is what is stored."""

    UNCOVERED = "uncovered"
    MISSING = "missing"
    FAILED = "failed"
    NO_TRADE = "no_trade"
    HALTED = "halted"
    UNAVAILABLE = "unavailable"
    NOT_ENTITLED = "not_entitled"
    QUARANTINED = "quarantined"

    @property
    def is_settled(self) -> bool:
        """
        Whether the bar is accounted for by its kind alone; the others may still fill, or need a look.

        A rejected row or a lasting silence accounts for a single gap of the others: that is kept with the gap.
        """
        return self not in {GapKind.UNCOVERED, GapKind.MISSING, GapKind.FAILED, GapKind.QUARANTINED}


@dataclass(frozen=True, slots=True, eq=False)
class SymbolRanges:
    """
    Ranges of many symbols as columns, sorted by (symbol, start); those of one symbol do not overlap.

    Attributes:
        symbol: int32 (m,), index into the tickers that travel beside the columns.
        start, end: int64 (m,), microseconds UTC, end excluded.
    """

    symbol: NDArray[np.int32]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    @staticmethod
    def of(pairs: Iterable[tuple[str, Range]], index: Mapping[str, int]) -> SymbolRanges:
        """From (ticker, range) pairs as `core.proof` gives them; *index* numbers the tickers."""
        rows = [(index[ticker], to_us(one.start), to_us(one.end)) for ticker, one in pairs]
        columns = np.array(rows, np.int64).reshape(-1, 3)
        columns = columns[np.lexsort((columns[:, 1], columns[:, 0]))]
        return SymbolRanges(columns[:, 0].astype(np.int32), columns[:, 1].copy(), columns[:, 2].copy())

    def by_symbol(self) -> dict[int, Ranges]:
        """The ranges of each symbol that has any."""
        found: dict[int, list[Range]] = {}
        for symbol, start, end in zip(self.symbol.tolist(), self.start.tolist(), self.end.tolist(), strict=True):
            found.setdefault(symbol, []).append(Range(from_us(start), from_us(end)))
        return {symbol: Ranges(ranges) for symbol, ranges in found.items()}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Evidence:
    """
    What a page says about many symbols; all columns share one numbering of the tickers.

    Attributes:
        proven: The newly proven ranges.
        symbol, ts: int32 and int64 (n,), the keys of the accepted rows, sorted. Rows outside `proven` or off the
            regular grid are no harm.
        trades: int64 (n,), how many each of them holds; negative where that is not known.
        blocked: Bars that the rules keep out of coverage.
        doubted: Where silence of a liquid symbol is not believed, however short it is.
        is_lossy: bool by symbol: whether rows of it may have been lost, so that how many came says nothing about how
            often it trades.
        density: float64 by symbol: share of expected bars that it has, as known before; NaN where unknown.
        has_older: bool by symbol: whether anything older than `proven` is stored or was seen.
        traded: Where coarser bars hold more volume than came: silence is not believed there of any symbol.
    """

    proven: SymbolRanges
    symbol: NDArray[np.int32]
    ts: NDArray[np.int64]
    trades: NDArray[np.int64]
    blocked: BlockedSlots
    doubted: SymbolRanges
    is_lossy: NDArray[np.bool_]
    density: NDArray[np.float64]
    has_older: NDArray[np.bool_]
    traded: SymbolRanges = field(default_factory=lambda: SymbolRanges.of([], {}))


@dataclass(frozen=True, slots=True)
class Gap:
    """
    Expected bars of one symbol that are not there.

    Attributes:
        symbol: Index into the tickers.
        range: From the first absent bar's start to the last one's end.
        expected_bars: How many are absent within it.
        kind: `missing` and `unavailable` are candidates: held, to be settled by a second answer. `no_trade`,
            `halted` and `quarantined` are final.
        is_leading: Nothing older is known of the symbol and no row comes before: it may not have been listed yet.
        is_on_file: Explained by a known outage (`core.outages`): final, whatever its kind.
        is_shared: Other liquid symbols on the page lack the same bars: the provider's fault, as it seems (S4).
    """

    symbol: int
    range: Range
    expected_bars: int
    kind: GapKind
    reason: str
    is_leading: bool = False
    is_on_file: bool = False
    is_shared: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reconciled:
    """
    Attributes:
        covered: The part of the proven ranges that becomes coverage.
        gaps: The absent bars, by symbol.
        density: float64 by symbol, to be remembered; NaN where still unknown.
    """

    covered: SymbolRanges
    gaps: tuple[Gap, ...]
    density: NDArray[np.float64]


def reconcile(evidence: Evidence, calendar: TradingCalendar, timeframe: Timeframe) -> Reconciled:
    """
    Compares what was received with what the calendar expects in the proven ranges.

    Raises:
        OutsideCalendar: A proven range reaches beyond the calendar.
    """
    proven = evidence.proven
    if len(proven) == 0:
        return Reconciled(proven, (), evidence.density)
    grid = _Grid.around(proven, calendar, timeframe)
    answered = grid.keys(evidence.symbol, evidence.ts)
    blocked = grid.keys(evidence.blocked.symbol, evidence.blocked.start)
    counts = grid.count(np.union1d(answered, blocked) if len(blocked) else answered)
    known = densities(counts, evidence.density, timeframe)
    learned = np.where(evidence.is_lossy, evidence.density, known.updated)
    runs, kept_out = _absent_runs(counts), _rows_of(grid.count(blocked))
    if len(runs) == 0 and len(kept_out) == 0:
        return Reconciled(proven, (), learned)
    symbol = proven.symbol[runs.owner]
    in_doubt = grid.touches(evidence.doubted, runs)
    beside = _beside_holes(runs, counts, in_doubt, len(known.judged))
    first_look = np.where(np.isnan(evidence.density), beside, np.nan)
    density = np.where(
        in_doubt & evidence.is_lossy[symbol], evidence.density[symbol], np.fmax(known.judged, first_look)[symbol]
    )
    suspects = is_suspicious(runs.end - runs.first, symbol, density, in_doubt, timeframe)
    suspects |= np.isin(symbol, evidence.blocked.unplaced)
    is_shared = _is_shared(runs, counts, np.fmax(known.judged, first_look), len(grid.starts))
    suspects |= is_shared
    was_traded = grid.touches(evidence.traded, runs)
    is_amid_trades = _is_amid_trades(runs, grid, answered, evidence, timeframe) & (density >= DENSITY_OF_THE_LIQUID)
    suspects |= was_traded
    suspects |= is_amid_trades
    suspicious = runs.take(suspects)
    # What is held may be a hole: it says nothing about how often the symbol trades, once that is known.
    is_held = np.bincount(suspicious.symbol_in(counts), minlength=len(learned)) > 0
    learned = np.where(is_held & ~np.isnan(evidence.density), evidence.density, learned)
    holes = _Runs.concat(suspicious, kept_out)
    is_leading = _is_leading(suspicious, counts, evidence.has_older)
    is_final = ~evidence.blocked.is_held[grid.is_on(evidence.blocked.start)]
    gaps = [
        *_suspicious_gaps(
            suspicious,
            grid,
            density[suspects],
            is_leading,
            is_shared[suspects],
            was_traded[suspects],
            is_amid_trades[suspects],
        ),
        *_quiet_gaps(runs.take(~suspects), holes, grid, density[~suspects]),
        *_quarantined_gaps(_rows_of(grid.count(blocked[is_final])), grid),
    ]
    gaps.sort(key=lambda gap: (gap.symbol, gap.range))
    return Reconciled(_without(holes, grid), tuple(gaps), learned)


def gaps_not_looked_at(ranges: Mapping[int, Ranges], calendar: TradingCalendar, timeframe: Timeframe) -> Sequence[Gap]:
    """
    The expected bars in *ranges*, by symbol, at which the provider did not look although asked: candidates to be
    settled by a second answer, never quiet ones.
    """
    gaps = []
    for symbol, one in ((symbol, one) for symbol, of_symbol in ranges.items() for one in of_symbol):
        starts = calendar.expected_starts(timeframe, one)
        if len(starts):
            end = min(one.end, from_us(int(starts[-1])) + timeframe.length)
            reason = f"the answer begins behind {_bars(len(starts))}, at which the provider may not have looked"
            absent = Range(from_us(int(starts[0])), end)
            gaps.append(Gap(symbol, absent, len(starts), GapKind.UNAVAILABLE, reason, is_leading=True))
    return gaps


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """
    The expected bars around the proven ranges.

    A bar is known by its position in `starts`, a bar of a symbol by one number (its key), ascending by symbol, then
    time: so that one search answers for all symbols.
    """

    proven: SymbolRanges
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.int64]
    end: NDArray[np.int64]

    @staticmethod
    def around(proven: SymbolRanges, calendar: TradingCalendar, timeframe: Timeframe) -> _Grid:
        hull = Range(from_us(int(proven.start.min())), from_us(int(proven.end.max())))
        starts = calendar.expected_starts(timeframe, hull)
        ends = calendar.bar_ends(timeframe, starts) if timeframe.is_intraday else starts + timeframe.length_us
        first, end = np.searchsorted(starts, proven.start), np.searchsorted(starts, proven.end)
        return _Grid(proven, starts, ends, first, end)

    def is_on(self, ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each instant is the start of an expected bar."""
        position = np.searchsorted(self.starts, ts)
        found: NDArray[np.bool_] = np.append(self.starts, -1)[position] == ts
        return found

    def keys(self, symbol: NDArray[np.int32], ts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The keys of those rows that are on the grid, in the order given."""
        is_on = self.is_on(ts)
        return symbol[is_on] * self._stride + np.searchsorted(self.starts, ts[is_on])

    def count(self, keys: NDArray[np.int64]) -> RangeCounts:
        """How many of the keys, ascending, each proven range has."""
        key_first, key_end = np.searchsorted(keys, self.base + self.first), np.searchsorted(keys, self.base + self.end)
        return RangeCounts(self.proven.symbol, self.first, self.end, key_first, key_end, keys % self._stride)

    def touches(self, ranges: SymbolRanges, runs: _Runs) -> NDArray[np.bool_]:
        """Whether a bar of each run starts in one of its symbol's *ranges*."""
        if len(ranges) == 0:
            return np.zeros(len(runs), np.bool_)
        first, end = (
            ranges.symbol * self._stride + np.searchsorted(self.starts, bound) for bound in (ranges.start, ranges.end)
        )
        base = self.base[runs.owner]
        next_one = np.searchsorted(end, base + runs.first, side="right")
        touched: NDArray[np.bool_] = np.append(first, np.iinfo(np.int64).max)[next_one] < base + runs.end
        return touched

    def range(self, owner: int, first: int, end: int) -> Range:
        """From the start of the bar at *first* to the end of the one before *end*, or of the proven range."""
        last = min(int(self.ends[end - 1]), int(self.proven.end[owner]))
        return Range(from_us(int(self.starts[first])), from_us(last))

    @property
    def base(self) -> NDArray[np.int64]:
        """The key of the first bar of the grid, for each proven range."""
        base: NDArray[np.int64] = self.proven.symbol * self._stride
        return base

    @property
    def _stride(self) -> np.int64:
        return np.int64(len(self.starts) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Runs of expected bars, as positions [first, end) in the grid, each within one proven range (its owner)."""

    owner: NDArray[np.intp]
    first: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def symbol_in(self, counts: RangeCounts) -> NDArray[np.int32]:
        """The symbol of each run, shape (n,)."""
        return counts.symbol[self.owner]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> _Runs:
        return _Runs(self.owner[chosen], self.first[chosen], self.end[chosen])

    @staticmethod
    def concat(one: _Runs, other: _Runs) -> _Runs:
        """Both, sorted by owner, then position."""
        both = _Runs(
            *(np.concatenate((getattr(one, name), getattr(other, name))) for name in ("owner", "first", "end"))
        )
        return both.take(np.lexsort((both.first, both.owner)))

    def joined(self) -> _Runs:
        """Runs that touch, as one."""
        is_start = np.ones(len(self), np.bool_)
        is_start[1:] = (self.owner[1:] != self.owner[:-1]) | (self.first[1:] != self.end[:-1])
        is_end = np.append(is_start[1:], True)[: len(self)]
        return _Runs(self.owner[is_start], self.first[is_start], self.end[is_end])


def _rows_of(counts: RangeCounts) -> _Runs:
    """Each row within its proven range, as a run of one."""
    owner, rows = spread(counts.key_first, counts.key_end)
    position = counts.position[rows]
    return _Runs(owner, position, position + 1)


def _absent_runs(counts: RangeCounts) -> _Runs:
    """The runs of expected bars without a row: what lies between the rows of a range, and its bounds."""
    with_holes = np.flatnonzero(counts.absent > 0)
    key_first, key_end = counts.key_first[with_holes], counts.key_end[with_holes]
    _, rows = spread(key_first, key_end)
    wall_count = key_end - key_first + 2
    last = np.cumsum(wall_count) - 1
    first = last - wall_count + 1
    walls = np.empty(int(wall_count.sum()), np.int64)
    is_row = np.ones(len(walls), np.bool_)
    is_row[first] = is_row[last] = False
    walls[is_row] = counts.position[rows]
    walls[first], walls[last] = counts.first[with_holes] - 1, counts.end[with_holes]
    is_run = np.diff(walls) > 1
    is_run[last[:-1]] = False
    at = np.flatnonzero(is_run)
    owner = with_holes[np.searchsorted(last, at, side="left")]
    return _Runs(owner, walls[at] + 1, walls[at + 1])


def _is_shared(runs: _Runs, counts: RangeCounts, density: NDArray[np.float64], bars: int) -> NDArray[np.bool_]:
    """
    Which runs hold a bar that a fifth of the page's liquid symbols lack as well (S4), shape (n,).

    Each of them alone might be quiet for a minute; together they are a fault of the provider.
    """
    shared = np.zeros(len(runs), np.bool_)
    is_liquid = density[counts.symbol] >= DENSITY_OF_THE_LIQUID
    of_liquid = is_liquid[runs.owner]
    if len(np.unique(counts.symbol[is_liquid])) < SHARERS_AMONG_MIN or of_liquid.sum() < SHARERS_MIN:
        return shared
    asked = _depth(counts.first[is_liquid], counts.end[is_liquid], bars)
    absent = _depth(runs.first[of_liquid], runs.end[of_liquid], bars)
    is_fault = (asked >= SHARERS_AMONG_MIN) & (absent >= SHARERS_MIN) & (absent >= SHARED_BY_MIN * asked)
    before = np.concatenate(([0], np.cumsum(is_fault)))
    shared[of_liquid] = (before[runs.end] > before[runs.first])[of_liquid]
    return shared


def _is_amid_trades(
    runs: _Runs, grid: _Grid, answered: NDArray[np.int64], evidence: Evidence, timeframe: Timeframe
) -> NDArray[np.bool_]:
    """Which runs lie among busy bars of their proven range (`core.busy`), shape (n,)."""
    base, owner = grid.base[runs.owner], runs.owner
    at, first, end = (np.searchsorted(answered, base + one) for one in (runs.first, grid.first[owner], grid.end[owner]))
    return is_busy_around(evidence.trades[grid.is_on(evidence.ts)], at, first, end, timeframe)


def _depth(first: NDArray[np.int64], end: NDArray[np.int64], bars: int) -> NDArray[np.int64]:
    """How many of the half-open intervals each position lies in, shape (bars,)."""
    steps = np.bincount(first, minlength=bars + 1) - np.bincount(end, minlength=bars + 1)
    depth: NDArray[np.int64] = np.cumsum(steps)[:bars]
    return depth


def _beside_holes(runs: _Runs, counts: RangeCounts, in_doubt: NDArray[np.bool_], symbols: int) -> NDArray[np.float64]:
    """
    By symbol, the share of bars that it has outside of its longest run of absent ones and of those in doubt; NaN
    without any row.

    A hole that is large beside a first page must not vouch for itself, and a cut must not vouch for another.
    """
    rows = np.bincount(counts.symbol, weights=counts.key_end - counts.key_first, minlength=symbols)
    expected = np.bincount(counts.symbol, weights=counts.end - counts.first, minlength=symbols)
    symbol, length = runs.symbol_in(counts), runs.end - runs.first
    longest = np.zeros(symbols)
    np.maximum.at(longest, symbol[~in_doubt], length[~in_doubt])
    doubted = np.bincount(symbol, weights=np.where(in_doubt, length, 0), minlength=symbols)
    share = rows / np.maximum(expected - longest - doubted, 1)
    return np.where(rows > 0, np.minimum(share, 1), np.nan)


def _is_leading(runs: _Runs, counts: RangeCounts, has_older: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a run stands before everything that is known of its symbol."""
    symbol = counts.symbol[runs.owner]
    is_first_range = np.searchsorted(counts.symbol, symbol) == runs.owner
    leading: NDArray[np.bool_] = is_first_range & (runs.first == counts.first[runs.owner]) & ~has_older[symbol]
    return leading


def _without(holes: _Runs, grid: _Grid) -> SymbolRanges:
    """
    The proven ranges less the holes.

    A hole at the first or last expected bar of a range takes the closed time beside it along, so that the next
    request asks from where this one did.
    """
    proven, owner = grid.proven, holes.owner
    hole_start = np.where(holes.first == grid.first[owner], proven.start[owner], grid.starts[holes.first])
    hole_end = np.where(holes.end == grid.end[owner], proven.end[owner], grid.ends[holes.end - 1])
    owners = np.concatenate((np.arange(len(proven)), owner))
    start, end = np.concatenate((proven.start, hole_end)), np.concatenate((proven.end, hole_start))
    start, end = start[np.lexsort((start, owners))], end[np.lexsort((end, owners))]
    is_left = start < end
    return SymbolRanges(proven.symbol[np.sort(owners)][is_left], start[is_left], end[is_left])


def _suspicious_gaps(
    runs: _Runs,
    grid: _Grid,
    density: NDArray[np.float64],
    is_leading: NDArray[np.bool_],
    is_shared: NDArray[np.bool_],
    was_traded: NDArray[np.bool_],
    is_amid_trades: NDArray[np.bool_],
) -> Iterable[Gap]:
    columns = (runs.owner, runs.first, runs.end, density, is_leading, is_shared, was_traded, is_amid_trades)
    for owner, first, end, share, leading, shared, traded, amid in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        count = end - first
        kind = GapKind.UNAVAILABLE if leading and not np.isnan(share) else GapKind.MISSING
        if np.isnan(share):
            reason = f"{_bars(count)} did not come, and how often the symbol trades is not known"
        elif leading:
            reason = f"{_bars(count)} before the symbol's first one {_are(count)} absent"
        else:
            reason = f"{_bars(count)}{' in a row' if count > 1 else ''} {_are(count)} absent; {_usually(share)}"
        if shared:
            reason += "; other liquid symbols lack bars at the same time"
        if traded:
            reason += "; coarser bars around it have more volume than came"
        if amid:
            reason += f"; all bars beside it hold {TRADES_MIN} trades or more"
        absent = grid.range(owner, first, end)
        symbol = int(grid.proven.symbol[owner])
        yield Gap(symbol, absent, count, kind, reason, is_leading=leading, is_shared=shared)


def _quiet_gaps(runs: _Runs, holes: _Runs, grid: _Grid, density: NDArray[np.float64]) -> Iterable[Gap]:
    """One record for all bars without a trade between two holes, so that thin symbols do not fill the ledger."""
    if len(runs) == 0:
        return
    stride = len(grid.starts) + 1
    piece = np.searchsorted(holes.owner * stride + holes.first, runs.owner * stride + runs.first)
    is_start = np.ones(len(runs), np.bool_)
    is_start[1:] = (np.diff(runs.owner) != 0) | (np.diff(piece) != 0)
    starts = np.flatnonzero(is_start)
    counts = np.add.reduceat(runs.end - runs.first, starts)
    merged = (runs.owner[starts], runs.first[starts], runs.end[np.append(starts[1:], len(runs)) - 1], counts)
    for owner, first, end, count, share in zip(
        *(column.tolist() for column in (*merged, density[starts])), strict=True
    ):
        reason = f"no trade in {count:,} of {end - first:,} bars; {_usually(share)}"
        yield Gap(int(grid.proven.symbol[owner]), grid.range(owner, first, end), count, GapKind.NO_TRADE, reason)


def _quarantined_gaps(rows: _Runs, grid: _Grid) -> Iterable[Gap]:
    runs = rows.joined()
    for owner, first, end in zip(runs.owner.tolist(), runs.first.tolist(), runs.end.tolist(), strict=True):
        reason = "the rows that came for these bars broke a rule; they are in quarantined_bars"
        symbol = int(grid.proven.symbol[owner])
        yield Gap(symbol, grid.range(owner, first, end), end - first, GapKind.QUARANTINED, reason)


def _bars(count: int) -> str:
    return f"{count:,} expected bar{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _usually(share: float) -> str:
    return f"the symbol usually has {100 * share:.1f} % of its bars"

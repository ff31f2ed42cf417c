"""What the ledger says of the wanted windows: the matrix, and the gaps that are still open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from barfill.core.completeness import Completeness, KnownGap, completeness
from barfill.core.gaps import GapKind
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey, read_gaps, read_rows
from barfill.engine.report import GapSeen, SeriesState
from barfill.store.database import Database
from barfill.store.gaps import KnownGap as StoredGap
from barfill.store.gaps import ListedGap, list_gaps
from barfill.store.series import SeriesRow


@dataclass(frozen=True, slots=True)
class Findings:
    """
    Attributes:
        states: One per wanted series.
        open_gaps: Of all wanted series: never fetched, or asked for and not answered in a believable way.
        not_come_to: What was never asked for, where a backfill ended before it came to it.
        settled: How many gaps have a settled reason.
        to_ask_again: Symbol id, timeframe and range of the open gaps of fetched series that are due.
    """

    states: tuple[SeriesState, ...]
    open_gaps: tuple[GapSeen, ...]
    settled: AbstractSet[tuple[str, Timeframe, datetime]]
    to_ask_again: tuple[tuple[int, Timeframe, Range], ...]
    not_come_to: tuple[GapSeen, ...] = ()

    def of_what_was_asked(self) -> Findings:
        """The same for a backfill that ended early: what it did not come to is no gap, only still to be fetched."""
        asked = tuple(gap for gap in self.open_gaps if gap.kind != GapKind.UNCOVERED.value)
        others = tuple(gap for gap in self.open_gaps if gap.kind == GapKind.UNCOVERED.value)
        return replace(self, open_gaps=asked, not_come_to=others)

    def with_earlier(self, earlier: Sequence[GapSeen]) -> Findings:
        """The same with gaps that were open before anything was fetched; of two that overlap the earlier one stays."""
        known: dict[tuple[str, Timeframe], Ranges] = {}
        for gap in earlier:
            key = (gap.symbol, gap.timeframe)
            known[key] = known.get(key, Ranges()) | Range(gap.gap_from, gap.gap_to)
        new = [
            gap
            for gap in self.open_gaps
            if not known.get((gap.symbol, gap.timeframe), Ranges()) & Range(gap.gap_from, gap.gap_to)
        ]
        return replace(self, open_gaps=(*earlier, *new))

    def filled_in(self, later: Findings) -> tuple[GapSeen, ...]:
        """Those of these gaps that are no longer open in *later*, and not settled either."""
        still = {(gap.symbol, gap.timeframe): Ranges() for gap in self.open_gaps}
        for gap in later.open_gaps:
            key = (gap.symbol, gap.timeframe)
            still[key] = still.get(key, Ranges()) | Range(gap.gap_from, gap.gap_to)
        closed = [
            gap for gap in self.open_gaps if not still[gap.symbol, gap.timeframe] & Range(gap.gap_from, gap.gap_to)
        ]
        return tuple(gap for gap in closed if (gap.symbol, gap.timeframe, gap.gap_from) not in later.settled)

    def settled_in(self, later: Findings) -> int:
        """How many of these gaps got a settled reason in *later*."""
        return len([gap for gap in self.open_gaps if (gap.symbol, gap.timeframe, gap.gap_from) in later.settled])

    def matrix(self, *, failed_series: AbstractSet[tuple[str, Timeframe]]) -> tuple[SeriesState, ...]:
        """The states, with those marked that failed."""
        return tuple(
            replace(state, has_failed=True) if (state.ticker, state.timeframe) in failed_series else state
            for state in self.states
        )


def look_for_gaps(
    database: Database, markets: Sequence[Market], now: datetime, *, begun_at: datetime, only_gaps: bool = False
) -> Findings:
    """
    How complete the wanted windows are by *now*, and what is missing.

    Args:
        begun_at: Gaps seen first since then may be asked for again at once; older ones when they are due.
        only_gaps: What was never asked for is left out.
    """
    states: dict[tuple[str, Timeframe], SeriesState] = {}
    open_gaps: list[GapSeen] = []
    settled: set[tuple[str, Timeframe, datetime]] = set()
    to_ask_again: list[tuple[int, Timeframe, Range]] = []
    for market in markets:
        rows = database.run(read_rows, market)
        gaps = database.run(read_gaps, market)
        memory: dict[tuple[Timeframe, Ranges, Range], Completeness] = {}
        for symbol in market.symbols:
            for timeframe, window in _looked_at(market).items():
                key = (symbol.id, timeframe)
                listed = [one for one in gaps.get(key, ()) if one.gap.range & window]
                found = _completeness(market, rows, key, listed, window, memory)
                unexplained = Ranges() if only_gaps else found.unexplained
                if timeframe in market.windows:
                    name = (symbol.ticker, timeframe)
                    states[name] = _state(symbol.ticker, timeframe, found, states.get(name))
                    open_gaps.extend(_seen(symbol.ticker, timeframe, unexplained, listed, market))
                settled |= {(symbol.ticker, timeframe, one.gap.range.start) for one in listed if _is_settled(one)}
                if timeframe in market.sources.fetch:
                    due = [one.gap.range for one in listed if is_open(one) and _may_be_asked(one, now, begun_at)]
                    ranges = due + list(unexplained)
                    to_ask_again.extend((symbol.id, timeframe, one) for one in ranges)
    return Findings(tuple(states.values()), tuple(open_gaps), frozenset(settled), tuple(to_ask_again))


def open_on_record(database: Database, markets: Sequence[Market]) -> tuple[GapSeen, ...]:
    """What answers have lacked before in the wanted windows, and is not settled."""
    found: list[GapSeen] = []
    for market in markets:
        listed = database.run(
            list_gaps, symbol_ids=[one.id for one in market.symbols], timeframes=list(market.windows), is_settled=False
        )
        found += [_as_seen(one) for one in listed if one.gap.range & market.windows[one.timeframe]]
    return tuple(found)


def is_open(listed: ListedGap) -> bool:
    """Whether the gap is to be asked for again: not settled, or kept out by the rules and maybe right next time."""
    return not listed.gap.is_settled


def as_known(gap: StoredGap) -> KnownGap:
    """A gap on record, as completeness is counted by."""
    kind = GapKind(gap.kind)
    return KnownGap(gap.range, gap.expected_bars, kind, kind.is_settled or gap.settled_at is not None)


def _may_be_asked(listed: ListedGap, now: datetime, begun_at: datetime) -> bool:
    gap = listed.gap
    is_new = gap.first_seen_at is None or gap.first_seen_at >= begun_at
    return is_new or gap.next_check_at is None or gap.next_check_at <= now


def _looked_at(market: Market) -> Mapping[Timeframe, Range]:
    """The wanted windows with what is out of reach, and those of what is only fetched to derive from it."""
    looked_at = {
        timeframe: Range(min(window.start, market.out_of_reach.get(timeframe, window).start), window.end)
        for timeframe, window in market.windows.items()
    }
    for timeframe, ranges in market.sources.fetch.items():
        if timeframe not in looked_at and ranges.hull is not None:
            looked_at[timeframe] = ranges.hull
    return looked_at


def _completeness(
    market: Market,
    rows: Mapping[SeriesKey, SeriesRow],
    key: SeriesKey,
    listed: Sequence[ListedGap],
    window: Range,
    memory: dict[tuple[Timeframe, Ranges, Range], Completeness],
) -> Completeness:
    row = rows.get(key)
    covered = row.covered if row is not None else Ranges()
    known = [as_known(one.gap) for one in listed]
    if known:
        return completeness(window, covered, known, market.calendar, key[1])
    # Without gaps the answer depends on coverage alone, which most series of a watchlist share.
    if (key[1], covered, window) not in memory:
        memory[key[1], covered, window] = completeness(window, covered, (), market.calendar, key[1])
    return memory[key[1], covered, window]


def _state(ticker: str, timeframe: Timeframe, found: Completeness, other: SeriesState | None) -> SeriesState:
    """The state of a window; together with the *other* part of it, where two providers are asked for one each."""
    expected, present = (other.expected, other.present) if other is not None else (0, 0)
    by_kind = settled_by_kind([found], other.settled_by_kind if other is not None else {})
    return SeriesState(
        ticker,
        timeframe,
        expected + found.expected,
        present + found.present,
        sum(by_kind.values()),
        has_failed=False,
        settled_by_kind=by_kind,
    )


def settled_by_kind(parts: Iterable[Completeness], others: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """The settled bars of all parts, and of *others*, by kind, the most first."""
    total = Counter(others)
    for part in parts:
        total.update({kind.value: count for kind, count in part.settled.items()})
    return dict(total.most_common())


def _is_settled(listed: ListedGap) -> bool:
    return not is_open(listed)


def _seen(
    ticker: str, timeframe: Timeframe, unexplained: Ranges, listed: Sequence[ListedGap], market: Market
) -> list[GapSeen]:
    seen = [_as_seen(one) for one in listed if is_open(one)]
    for part in unexplained:
        count = market.calendar.expected_count(timeframe, part)
        seen.append(
            GapSeen(ticker, timeframe, part.start, part.end, count, GapKind.UNCOVERED.value, "never fetched", 0)
        )
    return sorted(seen, key=lambda gap: gap.gap_from)


def _as_seen(listed: ListedGap) -> GapSeen:
    gap = listed.gap
    return GapSeen(
        symbol=listed.ticker,
        timeframe=listed.timeframe,
        gap_from=gap.range.start,
        gap_to=gap.range.end,
        expected_bars=gap.expected_bars,
        kind=gap.kind,
        reason=gap.reason,
        attempts=gap.attempts,
    )

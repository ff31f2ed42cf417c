"""
What need not be fetched: bars that can be made of stored ones, and bars that nothing wanted is still to be made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Ledger, Wish, read_ledger, to_derive
from barfill.engine.ledger import Market, SeriesKey
from barfill.store.database import Database
from barfill.store.gaps import ListedGap
from barfill.store.series import SeriesRow

SourcePair = tuple[Timeframe, Timeframe]
"""What is made, and of what."""


@dataclass(frozen=True, slots=True)
class Spared:
    """
    Attributes:
        ranges: By series, what is not to be asked for.
        made: What of it is made of which stored bars.
    """

    ranges: Mapping[SeriesKey, Ranges] = field(default_factory=dict)
    made: frozenset[SourcePair] = frozenset()


def spared(
    database: Database,
    market: Market,
    rows: Mapping[SeriesKey, SeriesRow],
    gaps: Mapping[SeriesKey, Sequence[ListedGap]],
) -> Spared:
    """
    What of the fetched windows of *market* need not be fetched.

    Args:
        rows, gaps: What is on record of the market's own timeframes; what else they can be made of is read here.
    """
    fetch = market.sources.fetch
    helpers = fetch.keys() - market.windows.keys()
    steps = tuple(one for one in market.sources.derive if one.target in fetch or helpers & set(one.candidates))
    if not steps:
        return Spared()
    wish = replace(Wish.of(market), derive=steps)
    others = [timeframe for timeframe in wish.timeframes if timeframe not in market.timeframes]
    more = database.run(read_ledger, market.symbols, others) if others else Ledger({}, {}, {})
    ledger = Ledger({**more.rows, **rows}, {**more.gaps, **gaps}, {})
    makeable = to_derive(wish, ledger, is_full=False)
    ranges: dict[SeriesKey, Ranges] = {}
    held: dict[tuple[Ranges, Timeframe], Ranges] = {}
    for (symbol_id, target), by_source in makeable.items():
        ranges[symbol_id, target] = Ranges(one for parts in by_source.values() for one in parts)
    for symbol in market.symbols:
        for helper in helpers:
            needed = Ranges()
            for step in (one for one in steps if helper in one.candidates):
                key = (symbol.id, step.target)
                has = ledger.rows[key].covered if key in ledger.rows else Ranges()
                left = Ranges([step.window]) - has - ranges.get(key, Ranges())
                # Most series of a watchlist lack the same.
                if (left, step.target) not in held:
                    held[left, step.target] = _held_by(left, step.target, market)
                needed = needed | held[left, step.target]
            ranges[symbol.id, helper] = fetch[helper] - needed
    made = {(target, source) for (_, target), by_source in makeable.items() for source in by_source}
    return Spared({key: one for key, one in ranges.items() if one}, frozenset(made))


def _held_by(ranges: Ranges, target: Timeframe, market: Market) -> Ranges:
    """Where the bars lie that those of *target* hold that start in *ranges*."""
    count = market.calendar.expected_count
    return Ranges(Range(one.start, one.end + target.length) for one in ranges if count(target, one))

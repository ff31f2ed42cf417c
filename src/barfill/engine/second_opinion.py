"""
Who else is asked for what a provider lacks for good: a fallback, where its bars can stand in the same series.

Only what the first provider's answers have settled as missing is asked for, and of each fallback once: what it lacks
as well waits for the next reading of what is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from barfill.core.capabilities import Capabilities
from barfill.core.plan import Need, Slice, cut_slices, missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market, SeriesKey
from barfill.store.gaps import KnownGap, ListedGap

_KIND = "missing"


def second_opinions(
    market: Market,
    gaps: Mapping[SeriesKey, Sequence[ListedGap]],
    fallbacks: Sequence[Capabilities],
    in_flight: Mapping[SeriesKey, Ranges],
    now: datetime,
) -> Iterable[Slice]:
    """The slices in which fallbacks are asked for the settled holes of *market*, each by the first that fits."""
    if not fallbacks:
        return
    tickers = {symbol.id: symbol.ticker for symbol in market.symbols}
    kinds = {symbol.asset_type for symbol in market.symbols}
    needs: dict[str, list[Need]] = {}
    for (symbol_id, timeframe), listed in gaps.items():
        window = market.sources.fetch.get(timeframe, Ranges())
        holes: dict[str, list[Range]] = {}
        for one in listed:
            if _is_hole(one.gap) and (other := _next_of(market, fallbacks, kinds, timeframe, one.gap)) is not None:
                holes.setdefault(other.provider, []).append(one.gap.range)
        for name, ranges in holes.items():
            other = next(one for one in fallbacks if one.provider == name)
            wanted = (Ranges(ranges) & window) - in_flight.get((symbol_id, timeframe), Ranges())
            asked = _within_reach(wanted, other, market, timeframe, now)
            if asked:
                needs.setdefault(name, []).append(Need(symbol_id, tickers[symbol_id], timeframe, asked))
    for other in fallbacks:
        yield from cut_slices(needs.get(other.provider, ()), other, market.calendar)


def _is_hole(gap: KnownGap) -> bool:
    return gap.kind == _KIND and gap.settled_by == "rule"


def _next_of(
    market: Market, fallbacks: Sequence[Capabilities], kinds: set[str], timeframe: Timeframe, gap: KnownGap
) -> Capabilities | None:
    """The first fallback that was not asked for *gap* yet and whose bars can stand in the series."""
    first = market.capabilities
    for one in fallbacks:
        is_alike = (one.feed, one.basis(timeframe)) == (first.feed, first.basis(timeframe))
        is_new = one.provider != first.provider and one.provider not in gap.asked_of
        if is_alike and is_new and timeframe in one.timeframes and kinds <= one.asset_types:
            return one
    return None


def _within_reach(wanted: Ranges, other: Capabilities, market: Market, timeframe: Timeframe, now: datetime) -> Ranges:
    """*wanted* as far as *other* has it."""
    oldest = other.history_start_at(now, timeframe)
    horizon = market.calendar.closed_until(timeframe, now, other.delay_of(timeframe))
    if oldest is not None and wanted:
        wanted = wanted - Range(datetime.min.replace(tzinfo=now.tzinfo), oldest)
    return missing_ranges(wanted, Ranges(), market.calendar, timeframe, horizon) if wanted else wanted

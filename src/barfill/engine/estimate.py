"""What a plan will cost, in calls, minutes, bars and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from barfill.core.plan import expected_rows
from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.events import PlanEstimate
from barfill.engine.ledger import Market
from barfill.engine.planning import Plan

BYTES_PER_BAR = 175
"""A row of ohlc_bars with its share of the key's index, as measured: docs/partitions.md."""


def estimate_plan(plan: Plan, markets: Sequence[Market]) -> PlanEstimate:
    """The cost of *plan*, by the density of liquid symbols."""
    calls: Counter[Timeframe] = Counter()
    by_provider: Counter[str] = Counter()
    for one in plan.slices:
        calls[one.timeframe] += one.calls
        by_provider[one.capabilities.provider] += one.calls
    rows = sum(one.expected_rows for one in plan.slices)
    asked = _markets_by_series(markets)
    for run in plan.adopted:
        market = asked[run.provider, run.symbol_ids[0]]
        each = expected_rows(market.calendar, run.timeframe, run.range, market.capabilities)
        left = each * len(run.symbols) * (1 - run.progress_percent / 100)
        pages = max(1, int(-(-left // market.capabilities.page_size)))
        calls[run.timeframe] += pages
        by_provider[run.provider] += pages
        rows += left
    asked_of = [*(one.capabilities for one in plan.slices), *(market.capabilities for market in markets)]
    per_minute = {one.provider: one.requests_per_minute for one in asked_of}
    fetched = plan.expected_bars(markets)
    bars = fetched.total() + _derived_bars(plan, markets)
    derived = _derived_from(plan, markets)
    return PlanEstimate(
        slices=len(plan.slices),
        calls=calls.total(),
        # Providers are asked at the same time, each at its own rate.
        minutes=max((count / per_minute[name] for name, count in by_provider.items()), default=0.0),
        rows=round(rows),
        bars=bars,
        bytes_stored=bars * BYTES_PER_BAR,
        by_timeframe=dict(calls),
        derived=derived,
        resumed=len(plan.adopted),
        bars_by_timeframe=dict(fetched),
        gaps_not_due=len(plan.not_due),
        due_at=min(plan.not_due, default=None),
        has_others=bool(plan.elsewhere),
        by_provider=dict(by_provider),
        held_from=plan.held_from,
    )


def _derived_from(plan: Plan, markets: Sequence[Market]) -> dict[Timeframe, tuple[Timeframe, ...]]:
    """What is made of what: of the finest that is fetched for each stretch, or of what is stored."""
    found = set(plan.made)
    for market in markets if plan.slices or plan.adopted else ():
        for step in market.sources.derive:
            left = Ranges([step.window])
            for source in step.candidates:
                fetched = market.sources.fetch.get(source, Ranges())
                if left & fetched:
                    found.add((step.target, source))
                    left = left - fetched
    return {
        target: tuple(source for source in Timeframe if (target, source) in found)
        for target in Timeframe
        if target in {made for made, _ in found}
    }


def _derived_bars(plan: Plan, markets: Sequence[Market]) -> int:
    """Coarser bars that the fetched ones will make, by the share that their lengths have."""
    asked = _markets_by_series(markets)
    total = 0.0
    for one in plan.slices:
        market = asked.get((one.capabilities.provider, one.symbols[0][0]))
        if one.is_live or market is None:  # what a fallback is asked for is of nobody's market, and little
            continue
        for derivation in market.sources.derive:
            window = one.range & derivation.window
            if window is not None and one.timeframe == _source(derivation.candidates, market):
                total += len(one.symbols) * market.calendar.expected_count(derivation.target, window)
    return round(total)


def _markets_by_series(markets: Sequence[Market]) -> dict[tuple[str, int], Market]:
    """By provider and symbol id."""
    return {(market.capabilities.provider, symbol.id): market for market in markets for symbol in market.symbols}


def _source(candidates: Sequence[Timeframe], market: Market) -> Timeframe | None:
    return next((one for one in candidates if one in market.sources.fetch), None)

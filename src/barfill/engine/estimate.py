"""What a plan will cost, in calls, minutes, bars and bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from barfill.core.capabilities import Capabilities
from barfill.core.plan import expected_rows
from barfill.core.timeframe import Timeframe
from barfill.engine.events import PlanEstimate
from barfill.engine.ledger import Market
from barfill.engine.planning import Plan

BYTES_PER_BAR = 175
"""A row of ohlc_bars with its share of the key's index, as measured: docs/partitions.md."""


def estimate_plan(plan: Plan, markets: Sequence[Market], capabilities: Capabilities) -> PlanEstimate:
    """The cost of *plan*, by the density of liquid symbols."""
    calls: Counter[Timeframe] = Counter()
    for one in plan.slices:
        calls[one.timeframe] += one.pages(capabilities.page_size)
    rows = sum(one.expected_rows for one in plan.slices)
    calendars = {symbol.id: market.calendar for market in markets for symbol in market.symbols}
    for run in plan.adopted:
        each = expected_rows(calendars[run.symbol_ids[0]], run.timeframe, run.range, capabilities)
        left = each * len(run.symbols) * (1 - run.progress_percent / 100)
        calls[run.timeframe] += max(1, int(-(-left // capabilities.page_size)))
        rows += left
    fetched = plan.expected_bars(markets)
    bars = fetched.total() + _derived_bars(plan, markets)
    derived = {derivation.target for market in markets for derivation in market.sources.derive}
    return PlanEstimate(
        slices=len(plan.slices),
        calls=calls.total(),
        minutes=calls.total() / capabilities.requests_per_minute,
        rows=round(rows),
        bars=bars,
        bytes_stored=bars * BYTES_PER_BAR,
        by_timeframe=dict(calls),
        derived=tuple(timeframe for timeframe in Timeframe if timeframe in derived),
        resumed=len(plan.adopted),
        bars_by_timeframe=dict(fetched),
        gaps_not_due=len(plan.not_due),
        due_at=min(plan.not_due, default=None),
        has_others=plan.has_others,
    )


def _derived_bars(plan: Plan, markets: Sequence[Market]) -> int:
    """Coarser bars that the fetched ones will make, by the share that their lengths have."""
    calendars = {symbol.id: market for market in markets for symbol in market.symbols}
    total = 0.0
    for one in plan.slices:
        market = calendars[one.symbols[0][0]]
        for derivation in market.sources.derive:
            window = one.range & derivation.window
            if window is not None and one.timeframe == _source(derivation.candidates, market):
                total += len(one.symbols) * market.calendar.expected_count(derivation.target, window)
    return round(total)


def _source(candidates: Sequence[Timeframe], market: Market) -> Timeframe | None:
    return next((one for one in candidates if one in market.sources.fetch), None)

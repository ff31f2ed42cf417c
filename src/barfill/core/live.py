"""
What the current session still lacks, and how to bring it with one request for each symbol.

Final bars come from the provider of the history, some time after they are over. Until then another provider's bars
stand in their place, marked as live: they prove nothing, and give way to the final ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from barfill.core.calendar import TradingCalendar
from barfill.core.capabilities import Capabilities
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe

LOOK_BACK = timedelta(days=7)
"""No more than this is brought as live: whoever has been down for longer waits for the final bars."""


@dataclass(frozen=True, slots=True)
class LiveWish:
    """
    Live bars to be brought of each symbol of a market.

    Attributes:
        capabilities: Of the live provider.
        timeframe: What is fetched: everything else is made of it.
        window: From the start of the oldest bar that is made of it on.
        targets: Where each wanted timeframe has no final bars yet.
    """

    capabilities: Capabilities
    timeframe: Timeframe
    window: Range
    targets: Mapping[Timeframe, Range]


def live_wish(
    wanted: Mapping[Timeframe, Range],
    final_until: Mapping[Timeframe, datetime],
    live: Capabilities,
    calendar: TradingCalendar,
    now: datetime,
) -> LiveWish | None:
    """
    What of *wanted* only the live provider can bring at *now*; None where that is nothing.

    Args:
        wanted: By timeframe, what is wanted of the symbols, up to now at most.
        final_until: By timeframe, up to where the provider of the history has final bars.
    """
    targets: dict[Timeframe, Range] = {}
    opens: dict[Timeframe, datetime] = {}
    for timeframe, window in wanted.items():
        start = max(window.start, final_until[timeframe], now - LOOK_BACK)
        if timeframe is Timeframe.W1 or start >= window.end:
            continue  # a week is made of final days
        starts = calendar.expected_starts(timeframe, Range(start, window.end))
        if len(starts) == 0:
            continue
        opens[timeframe] = _opening(timeframe, from_us(int(starts[0])), calendar)
        if opens[timeframe] < window.end:
            targets[timeframe] = Range(from_us(int(starts[0])), window.end)
    base = _base(targets, live)
    if base is None:
        return None
    made = {timeframe: one for timeframe, one in targets.items() if timeframe.length >= base.length}
    first = min(opens[timeframe] for timeframe in made)
    return LiveWish(live, base, Range(first, max(one.end for one in made.values())), made)


def _base(targets: Mapping[Timeframe, Range], live: Capabilities) -> Timeframe | None:
    """The finest wanted that is offered, else the coarsest of which the finest wanted can be made."""
    offered = [one for one in Timeframe if one.is_intraday and one in live.timeframes]
    wanted = next((one for one in offered if one in targets), None)
    if wanted is not None or not targets:
        return wanted
    finest = min(targets, key=lambda one: one.length)
    return next((one for one in reversed(offered) if one.length < finest.length), None)


def _opening(timeframe: Timeframe, start: datetime, calendar: TradingCalendar) -> datetime:
    """When the first bar of a target begins to trade: a day is stamped by its date, before its session opens."""
    if timeframe.is_intraday:
        return start
    session = calendar.sessions(Range(start, start + timedelta(days=1)), by_label=True)
    return from_us(int(calendar.opens[session.start]))

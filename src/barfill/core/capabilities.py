"""What a provider can do, declared truthfully by each provider and read by the planner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from barfill.core.timeframe import Timeframe


class PageCounts(Enum):
    """What a provider's page size counts."""

    BARS = "bars"
    BASE_MINUTES = "base_minutes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """
    Attributes:
        timeframes: Those whose bars fit barfill's anchors (SPEC 5.4) as the provider sends them.
        symbols_per_call_max: How many symbols one request may name.
        symbols_length_max: How long the encoded symbol list of one request may get, in characters.
        page_size: How many of what `page_counts` says one page holds, over all its symbols.
        page_counts: What the page size counts.
        delay: How long after its end a bar may be asked for; bars younger than this are not final.
        history_start: Nothing older is offered; None where unlimited or unknown.
        has_extended_hours: Whether intraday answers hold bars outside regular hours, which count towards a page.
        requests_per_minute: The limit of the plan.
        feed: The tape that the plan serves by default.
        bars_per_session: Rows a liquid symbol's session takes on a page, extended hours included, by timeframe.
    """

    timeframes: frozenset[Timeframe]
    symbols_per_call_max: int
    symbols_length_max: int
    page_size: int
    page_counts: PageCounts
    delay: timedelta
    history_start: datetime | None
    has_extended_hours: bool
    requests_per_minute: int
    feed: str
    bars_per_session: Mapping[Timeframe, float]

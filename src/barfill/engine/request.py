"""What a backfill is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """
    Attributes:
        tickers: In barfill's spelling, each once.
        windows: The range wanted of each timeframe; an end in the future is cut to the final horizon.
        is_full: Ask again for what coverage already holds.
        only_gaps: Ask only for what is on record as a gap and due, not for what was never asked for.
        max_calls: No more requests for bars than this; None for no bound.
        triggered_by: `user`, `cron` or `system`, as kept with each run.
    """

    tickers: tuple[str, ...]
    windows: Mapping[Timeframe, Range]
    is_full: bool = False
    only_gaps: bool = False
    max_calls: int | None = None
    triggered_by: str = "user"

"""What a running backfill tells whoever watches it; the command line draws it, tests collect it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from barfill.core.timeframe import Timeframe


@dataclass(frozen=True, slots=True)
class PlanEstimate:
    """
    What a plan will cost, before anything is asked.

    Attributes:
        slices: How many runs.
        calls: Requests for bars.
        minutes: At the rate limit of the plan.
        rows: Rows that the pages will hold, extended hours included.
        bars: Bars that will be stored, derived ones included.
        bytes_stored: What they take in the table with its index.
        by_timeframe: Calls by fetched timeframe.
        derived: Timeframes that are resampled instead of fetched, and from which.
        resumed: Runs of an interrupted backfill that are gone on with where they stopped.
        bars_by_timeframe: Expected bars by fetched timeframe.
        gaps_not_due: Open gaps that are left alone until later; the first one is due at `due_at`.
        has_others: Whether other workers are fetching a part of what is wanted.
        by_provider: Calls by provider.
        held_from: Who has brought what is stored already of the series.
    """

    slices: int
    calls: int
    minutes: float
    rows: int
    bars: int
    bytes_stored: int
    by_timeframe: dict[Timeframe, int]
    derived: Mapping[Timeframe, tuple[Timeframe, ...]]
    resumed: int = 0
    bars_by_timeframe: Mapping[Timeframe, int] = field(default_factory=dict)
    gaps_not_due: int = 0
    due_at: datetime | None = None
    has_others: bool = False
    by_provider: Mapping[str, int] = field(default_factory=dict)
    held_from: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be fetched."""
        return self.calls == 0 and self.bars == 0


@dataclass(frozen=True, slots=True)
class PageWritten:
    """
    One page is in the table.

    Attributes:
        expected_bars: Open-market bars newly proved by the page: the unit of progress.
        inserted, changed, unchanged: What became of the accepted rows.
    """

    run_id: int
    timeframe: Timeframe
    symbols: str
    page_no: int
    expected_bars: int
    inserted: int
    changed: int
    unchanged: int


class BackfillListener(Protocol):
    """Receives what happens, on the event loop's thread, in order."""

    def stage(self, number: int, title: str, total_bars: int) -> None:
        """A stage begins: 1 fetching, 2 gaps detected, 3 retrying gaps; *total_bars* is its work."""

    def planned(self, estimate: PlanEstimate) -> None:
        """The plan is made."""

    def page_written(self, page: PageWritten) -> None:
        """A page was committed."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Requests rest: the rate limit, or a provider that asked for it."""

    def note(self, text: str) -> None:
        """A sentence worth showing: a symbol added, a batch split, a run failed."""


class SilentListener:
    """Listens to nothing."""

    def stage(self, number: int, title: str, total_bars: int) -> None:
        """Ignored."""

    def planned(self, estimate: PlanEstimate) -> None:
        """Ignored."""

    def page_written(self, page: PageWritten) -> None:
        """Ignored."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""

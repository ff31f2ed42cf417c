"""What a backfill did: the figures behind the summary, the matrix and the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from barfill.core.timeframe import Timeframe

EXIT_COMPLETE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_GAPS_REMAIN = 3
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class SeriesState:
    """
    How complete one series is within a window.

    Attributes:
        expected: Bars that the calendar lets one expect, less those settled with a reason.
        present: Those of them that are stored.
        settled: Expected bars that are absent for a named, settled reason.
        has_failed: Whether the last request for it failed.
        settled_by_kind: The same by the reason's kind, as it is stored.
    """

    ticker: str
    timeframe: Timeframe
    expected: int
    present: int
    settled: int
    has_failed: bool
    settled_by_kind: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """What of the calendar's bars is stored or accounted for; 1.0 where it has none."""
        total = self.expected + self.settled
        return (self.present + self.settled) / total if total else 1.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return self.present >= self.expected and not self.has_failed


@dataclass(frozen=True, slots=True)
class GapSeen:
    """An expected bar, or a run of them, that is not there."""

    symbol: str
    timeframe: Timeframe
    gap_from: datetime
    gap_to: datetime
    expected_bars: int
    kind: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What failed for good in this backfill, with what can be done."""

    symbols: tuple[str, ...]
    timeframe: Timeframe | None
    error_code: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """
    Attributes:
        calls_made: Requests for bars, failed and repeated ones included.
        calls_least: The fewest that the page size allows for the rows received: full pages per timeframe.
        calls_other: Requests for reference data, such as whether a symbol exists.
        rows_received: Rows on all pages, extended hours included.
        bars_not_come_to: Expected bars that a backfill which ended early has not asked for or derived yet.
    """

    duration_s: float
    symbols_ok: int
    symbols_failed: int
    calls_made: int
    calls_least: int
    calls_other: int
    rows_received: int
    bars_written: int
    bars_changed: int
    bars_unchanged: int
    bars_derived: int
    rows_quarantined: int
    gaps_detected: int
    gaps_filled: int
    gaps_settled: int
    gaps_remaining: int
    bars_not_come_to: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """
    The outcome of one backfill.

    Attributes:
        not_come_to: Where the backfill ended early, what it has not asked for or derived yet: no gaps, but to be had.
        was_bounded: A bound on calls left work undone.
        bound: Which one and what to do, as a sentence; "" for the bound of the request itself.
    """

    summary: Summary
    matrix: tuple[SeriesState, ...]
    gaps_detected: tuple[GapSeen, ...]
    gaps_filled: tuple[GapSeen, ...]
    gaps_remaining: tuple[GapSeen, ...]
    failures: tuple[Failure, ...]
    not_come_to: tuple[GapSeen, ...] = ()
    was_interrupted: bool = False
    was_bounded: bool = False
    bound: str = ""

    @property
    def exit_code(self) -> int:
        """0 done and complete; 1 some series failed; 3 gaps remain that may still fill; 130 interrupted."""
        if self.was_interrupted:
            return EXIT_INTERRUPTED
        if self.failures:
            return EXIT_FAILED
        if self.gaps_remaining or self.not_come_to or self.was_bounded:
            return EXIT_GAPS_REMAIN
        return EXIT_COMPLETE

    @property
    def did_nothing(self) -> bool:
        """Whether there was nothing to do, so that all figures are zero but for gaps that are not due."""
        figures = self.summary
        done = (figures.calls_made, figures.bars_written, figures.bars_derived, figures.bars_not_come_to)
        return not any(done) and not self.failures

    def to_json(self) -> dict[str, Any]:
        """The same as plain values: `summary`, `gaps_detected`, `gaps_filled`, `matrix`, `failures`."""
        matrix: dict[str, dict[str, Any]] = {}
        for state in self.matrix:
            matrix.setdefault(state.ticker, {})[state.timeframe.label] = {
                "complete": state.is_complete,
                "share": round(state.share, 6),
                "expected": state.expected,
                "present": state.present,
                "settled": state.settled,
                "settled_by_kind": dict(state.settled_by_kind),
            }
        return {
            "summary": asdict(self.summary) | {"exit_code": self.exit_code, "bound": self.bound},
            "gaps_detected": [_plain(gap) for gap in self.gaps_detected],
            "gaps_filled": [_plain(gap) for gap in self.gaps_filled],
            "gaps_remaining": [_plain(gap) for gap in self.gaps_remaining],
            "not_come_to": [_plain(gap) for gap in self.not_come_to],
            "matrix": matrix,
            "failures": [
                asdict(failure) | {"timeframe": failure.timeframe.label if failure.timeframe else None}
                for failure in self.failures
            ],
        }


def matrix_by_symbol(states: tuple[SeriesState, ...]) -> Mapping[str, Mapping[Timeframe, SeriesState]]:
    """The states arranged for printing: symbol, then timeframe."""
    table: dict[str, dict[Timeframe, SeriesState]] = {}
    for state in states:
        table.setdefault(state.ticker, {})[state.timeframe] = state
    return table


def _plain(gap: GapSeen) -> dict[str, Any]:
    return asdict(gap) | {
        "timeframe": gap.timeframe.label,
        "gap_from": gap.gap_from.isoformat(),
        "gap_to": gap.gap_to.isoformat(),
    }

"""What a comparison with another provider has found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from barfill.core.comparison import Comparison, Difference, Kind
from barfill.core.ranges import from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN
from barfill.engine.verify_plan import NotCompared


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesCompared:
    """
    Attributes:
        source: What was asked for: finer than `timeframe` where that was resampled from it.
        unanswered: Expected bars that were to be compared and that the provider's answers prove nothing about.
        kept_out: Bars whose rows broke a hard rule there, or contradicted each other: not compared.
        out_of_reach: Expected bars that are stored or accounted for here and that the provider cannot have.
        notes: What limits the comparison.
    """

    ticker: str
    timeframe: Timeframe
    source: Timeframe
    comparison: Comparison
    unanswered: int = 0
    kept_out: int = 0
    out_of_reach: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether all that was to be compared is, and nothing differs."""
        return not self.unanswered and not self.comparison.has_differences

    def to_json(self) -> dict[str, Any]:
        """By the names of the attributes, differences one by one."""
        found = self.comparison
        return {
            "symbol": self.ticker,
            "timeframe": self.timeframe.label,
            "source": self.source.label,
            "expected": found.expected,
            "compared": found.compared,
            "equal": found.equal,
            **{kind.value: found.counts[kind] for kind in Kind},
            "unanswered": self.unanswered,
            "kept_out": self.kept_out,
            "out_of_reach": self.out_of_reach,
            "notes": list(self.notes),
            "differences": [_difference(one) for one in found.differences],
        }


@dataclass(frozen=True, slots=True)
class VerifyFailure:
    """Symbols of which a part was not answered, with the code and the words of the error."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    error_code: str
    message: str


@dataclass(slots=True)
class VerifyReport:
    """
    Attributes:
        calls: Requests made.
        bound: Why not all was asked for, though nothing failed: a budget is spent.
    """

    provider: str
    calls: int = 0
    bound: str = ""
    series: list[SeriesCompared] = field(default_factory=list)
    not_compared: list[NotCompared] = field(default_factory=list)
    failures: list[VerifyFailure] = field(default_factory=list)

    @property
    def total(self) -> dict[Kind, int]:
        """Differences of all series, by kind."""
        return {kind: sum(one.comparison.counts[kind] for one in self.series) for kind in Kind}

    @property
    def exit_code(self) -> int:
        """1 where something could not be compared, 3 where something differs or is left to ask for, else 0."""
        if self.failures or self.not_compared:
            return EXIT_FAILED
        is_equal = not self.bound and all(one.is_equal for one in self.series)
        return EXIT_COMPLETE if is_equal else EXIT_GAPS_REMAIN

    def to_json(self) -> dict[str, Any]:
        """The same, for programs."""
        comparisons = [one.comparison for one in self.series]
        return {
            "provider": self.provider,
            "summary": {
                "series": len(self.series),
                "calls": self.calls,
                "expected": sum(one.expected for one in comparisons),
                "compared": sum(one.compared for one in comparisons),
                "equal": sum(one.equal for one in comparisons),
                **{kind.value: count for kind, count in self.total.items()},
                "unanswered": sum(one.unanswered for one in self.series),
                "kept_out": sum(one.kept_out for one in self.series),
                "out_of_reach": sum(one.out_of_reach for one in self.series),
                "bound": self.bound,
            },
            "series": [one.to_json() for one in self.series],
            "not_compared": [_named(one.ticker, one.timeframe) | {"reason": one.reason} for one in self.not_compared],
            "failures": [
                {
                    "symbols": list(one.symbols),
                    "timeframe": one.timeframe.label,
                    "error_code": one.error_code,
                    "message": one.message,
                }
                for one in self.failures
            ],
        }


def _named(ticker: str, timeframe: Timeframe | None) -> dict[str, Any]:
    return {"symbol": ticker, "timeframe": timeframe.label if timeframe else None}


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "ts": from_us(one.ts),
        "column": one.column,
        "here": one.here,
        "there": one.there,
        "size": one.size,
    }

"""The running account of one backfill: rows and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from barfill.core.timeframe import Timeframe
from barfill.engine.report import Failure
from barfill.errors import BarfillError


@dataclass(slots=True)
class Tally:
    """
    Attributes:
        rows: Rows received, by timeframe.
        refused: Tickers that the provider does not offer.
        failed_series: Series of which the last request failed.
    """

    rows: Counter[Timeframe] = field(default_factory=Counter)
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    dropped: int = 0
    refused: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    failed_series: set[tuple[str, Timeframe]] = field(default_factory=set)

    def least_calls(self, page_size: int) -> int:
        """The fewest calls that could have brought the same rows: full pages of each timeframe."""
        return sum(-(-count // page_size) for count in self.rows.values())

    def fail(self, tickers: Iterable[str], timeframe: Timeframe, error: BarfillError) -> None:
        """Adds a failure of these series."""
        symbols = tuple(tickers)
        reason = getattr(error, "reason", "")
        self.failures.append(Failure(symbols, timeframe, error.code, reason, str(error)))
        self.failed_series |= {(ticker, timeframe) for ticker in symbols}

    def forgive(self, tickers: Iterable[str], timeframe: Timeframe) -> None:
        """Takes failures back that a later attempt made good."""
        healed = {(ticker, timeframe) for ticker in tickers}
        self.failed_series -= healed
        kept = []
        for failure in self.failures:
            if failure.timeframe is not timeframe:
                kept.append(failure)
                continue
            still = tuple(ticker for ticker in failure.symbols if (ticker, timeframe) not in healed)
            if still:
                kept.append(Failure(still, timeframe, failure.error_code, failure.reason, failure.message))
        self.failures = kept

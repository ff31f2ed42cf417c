"""The running account of one backfill: rows and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

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

    pages: int = 0
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

    def fail(self, tickers: Iterable[str], timeframe: Timeframe, error: BarfillError) -> bool:
        """Adds a failure of these series, and says whether it is news: the same failure of several is told once."""
        symbols = tuple(tickers)
        self.failed_series |= {(ticker, timeframe) for ticker in symbols}
        failure = Failure(symbols, timeframe, error.code, getattr(error, "reason", ""), str(error))
        for position, known in enumerate(self.failures):
            if (known.error_code, known.message) == (failure.error_code, failure.message):
                self.failures[position] = replace(
                    known,
                    symbols=tuple(dict.fromkeys((*known.symbols, *symbols))),
                    timeframe=timeframe if known.timeframe is timeframe else None,
                )
                return False
        self.failures.append(failure)
        return True

    def forgive(self, tickers: Iterable[str], timeframe: Timeframe) -> None:
        """Takes failures back that a later attempt made good."""
        self.failed_series -= {(ticker, timeframe) for ticker in tickers}
        still = {ticker for ticker, _ in self.failed_series}
        kept = []
        for failure in self.failures:
            symbols = tuple(ticker for ticker in failure.symbols if self._has_failed(ticker, failure.timeframe, still))
            if symbols:
                kept.append(replace(failure, symbols=symbols))
        self.failures = kept

    def _has_failed(self, ticker: str, timeframe: Timeframe | None, still: AbstractSet[str]) -> bool:
        return ticker in still if timeframe is None else (ticker, timeframe) in self.failed_series

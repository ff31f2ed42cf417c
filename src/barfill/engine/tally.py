"""The running account of one backfill: rows and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from barfill.core.capabilities import Capabilities
from barfill.core.page import BarsQuery
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.report import Failure
from barfill.engine.telling import advised
from barfill.errors import BarfillError
from barfill.store.runs import RunState

SeriesName = tuple[str, Timeframe]


@dataclass(frozen=True, slots=True)
class _What:
    """What failed: alike for all series that are told together."""

    error_code: str
    reason: str
    message: str


@dataclass(slots=True)
class Tally:
    """
    Attributes:
        rows: Rows received, by timeframe.
        taken: How much of pages the answers took, by provider with its page size and timeframe, and by symbol where
            no two share a request.
        refused: Tickers that the provider does not offer.
    """

    pages: int = 0
    rows: Counter[Timeframe] = field(default_factory=Counter)
    taken: Counter[tuple[str, int, Timeframe, tuple[str, ...]]] = field(default_factory=Counter)
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    dropped: int = 0
    refused: set[str] = field(default_factory=set)
    _failed: dict[_What, dict[SeriesName, Ranges]] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What failed and was not made good; the same failure of several series is told once."""
        told = []
        for what, series in self._failed.items():
            symbols = tuple(dict.fromkeys(ticker for ticker, _ in series))
            timeframes = {timeframe for _, timeframe in series}
            timeframe = timeframes.pop() if len(timeframes) == 1 else None
            told.append(Failure(symbols, timeframe, what.error_code, what.reason, what.message))
        return tuple(told)

    @property
    def failed_series(self) -> AbstractSet[SeriesName]:
        """Series of which some range was asked for last without success."""
        return {name for series in self._failed.values() for name in series}

    @property
    def least_calls(self) -> int:
        """The fewest calls that could have brought the same rows: full pages of each timeframe."""
        return sum(-(-count // page_size) for (_, page_size, _, _), count in self.taken.items())

    def take(self, count: int, query: BarsQuery, capabilities: Capabilities) -> None:
        """An answer to *query* took so much of a page of the provider."""
        apart = query.symbols if capabilities.symbols_per_call_max == 1 else ()
        self.taken[capabilities.provider, capabilities.page_size, query.timeframe, apart] += count

    def fail(self, missing: Iterable[tuple[str, Range]], timeframe: Timeframe, error: BarfillError) -> bool:
        """Adds a failure of these symbols' ranges, and says whether it is news."""
        return self._fail(missing, timeframe, _What(error.code, getattr(error, "reason", ""), advised(error)))

    def fail_elsewhere(self, run: RunState) -> bool:
        """Adds a failure that another worker met, and says whether it is news."""
        what = _What(run.error_code or "", run.reason or "", run.error_message or "")
        return self._fail([(ticker, run.range) for ticker in run.symbols], run.timeframe, what)

    def cancel(self, run: RunState) -> bool:
        """Adds what somebody has cancelled, and says whether it is news."""
        message = "Cancelled while it was fetched; what it had stored stays. To go on, run the same command again."
        what = _What(run.error_code or "", "cancelled", message)
        return self._fail([(ticker, run.range) for ticker in run.symbols], run.timeframe, what)

    def _fail(self, missing: Iterable[tuple[str, Range]], timeframe: Timeframe, what: _What) -> bool:
        is_news = what not in self._failed
        for ticker, one in missing:
            self.forgive([ticker], timeframe, one)
            series = self._failed.setdefault(what, {})
            series[ticker, timeframe] = series.get((ticker, timeframe), Ranges()) | one
        return is_news

    def forgive(self, tickers: Iterable[str], timeframe: Timeframe, made_good: Range) -> None:
        """Takes failures back as far as a later attempt made them good."""
        for ticker in tickers:
            for what, series in list(self._failed.items()):
                left = series.get((ticker, timeframe), Ranges()) - made_good
                series.pop((ticker, timeframe), None)
                if left:
                    series[ticker, timeframe] = left
                if not series:
                    del self._failed[what]

"""What is measured: the bars that every contestant loads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe

PAGE_SIZE = 10_000
TIMEFRAME = Timeframe.M1
_START = datetime(2024, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Work:
    """
    Minute bars of *tickers* from the first session of 2024 up to *end*.

    The range is old enough for the exchange to keep its pages, and holds no split.
    """

    tickers: tuple[str, ...]
    end: datetime
    rounds: int

    @property
    def wanted(self) -> Range:
        """The range to load."""
        return Range(_START, self.end)


_LIQUID = ("AAPL", "AMZN", "GOOG", "JPM", "META", "MSFT", "NVDA", "TSLA")
FULL = Work(_LIQUID, datetime(2024, 10, 1, tzinfo=UTC), rounds=3)
SMOKE = Work(_LIQUID[:3], datetime(2024, 2, 1, tzinfo=UTC), rounds=1)
ALPACA_PY = Work(_LIQUID[:4], datetime(2024, 2, 14, tzinfo=UTC), rounds=1)
"""About 100,000 rows: the vendor's client is slow enough to show on fewer."""
ALPACA_PY_SMOKE = Work(_LIQUID[:1], datetime(2024, 1, 10, tzinfo=UTC), rounds=1)

"""
What is read of a symbol: the bars of one timeframe within bounds, as one feed sees them.
"""

from dataclasses import dataclass, replace
from typing import Self

from barfill.simulate.market.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Bars with start <= ts <= end, made of trades before *visible_ns*; the forming one is included.
    """

    timeframe: Timeframe
    start_ns: int
    end_ns: int
    feed: str
    visible_ns: int

    def within(self, start_ns: int, end_ns: int) -> Self:
        """The same between other bounds."""
        return replace(self, start_ns=start_ns, end_ns=end_ns)

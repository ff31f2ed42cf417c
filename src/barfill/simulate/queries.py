"""
What every vendor's bars endpoints have in common: a query, a page of its rows, a refusal.
"""

from dataclasses import dataclass
from typing import Any

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.timeframes import Timeframe


class Refusal(Exception):
    """A request that the vendor answers with an error: status, and what it says, a str as text, the rest in JSON."""

    def __init__(self, status: int, document: dict[str, Any] | str) -> None:
        super().__init__(str(document))
        self.status = status
        self.document = document


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of a query's rows: everything up to and including it has been sent."""

    symbol: str
    ts_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BarsQuery:
    """
    A valid request for bars. Bounds are both inclusive; *after* is where the previous page ended.

    *limit* bounds a page, 0 where the vendor has no pages; what it counts is the vendor's business. Rows that are
    stamped by a date alone are *is_dated*: no instant of theirs goes over the wire.
    """

    symbols: tuple[str, ...]
    timeframe: Timeframe
    start_ns: int
    end_ns: int
    limit: int
    feed: str
    is_split_adjusted: bool
    is_descending: bool
    after: Position | None = None
    is_dated: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page: bars by symbol in the order sent, and the place after which the next page goes on, None on the last.

    *base_count* is how many finer bars were read for it, where the vendor tells.
    """

    bars: tuple[tuple[str, Bars], ...]
    next: Position | None
    base_count: int = 0

    @property
    def row_count(self) -> int:
        return sum(len(bars) for _, bars in self.bars)

"""
A page: one answer of a provider, parsed into our values but not yet judged.

The provider's adapter makes it, the rules judge its rows, the proof says what it covers, the store writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from barfill.core.bars import BarColumns
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe

RAW = "raw"
"""The adjustment basis of prices as traded."""


_SHOWN_SYMBOLS = 3


@dataclass(frozen=True, slots=True)
class BarsQuery:
    """
    What one chain of pages asks for; always raw prices.

    Attributes:
        symbols: Tickers in barfill's spelling, sorted by their bytes, no two alike.
        range: By our stamps: a d1 bar counts by the 00:00 UTC of its session's date.
    """

    symbols: tuple[str, ...]
    timeframe: Timeframe
    range: Range
    feed: str

    def __str__(self) -> str:
        hidden = len(self.symbols) - _SHOWN_SYMBOLS
        shown = ",".join(self.symbols[:_SHOWN_SYMBOLS]) + (f" and {hidden} more" if hidden > 0 else "")
        return f"{shown} {self.timeframe.label} {self.range}"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """
    A row that is kept out of the bars, with the rule it broke and its JSON as sent.

    `ts` is its stamp in microseconds UTC where it has one that can be read.
    """

    symbol: str
    ts: int | None
    rule: str
    reason: str
    raw: str


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """
    One parsed answer.

    Attributes:
        symbols: The tickers on the page in barfill's spelling, in the order sent; `rows.symbol` points here.
        rows: The readable rows in the order sent, stamped by barfill's conventions (SPEC 5.4).
        rejected: Rows whose values could not be read as numbers or instants (rules Q01, Q04, Q10).
        received: All rows of the answer: len(rows) + len(rejected).
        next_token: The token of the next page; None ends the chain.
        feed, basis: What the answer is, as asked or as it says itself.
        received_at: When the answer had arrived, UTC.
        request_id: The provider's id of the request, or "".
        byte_count: Size of the decoded body.
        may_lack_rows: Whether its shape is one with which replies have lost rows (H12).
    """

    symbols: tuple[str, ...]
    rows: BarColumns
    rejected: tuple[RejectedRow, ...]
    next_token: str | None
    feed: str
    basis: str
    received_at: datetime
    request_id: str = ""
    byte_count: int = 0
    may_lack_rows: bool = False

    @property
    def received(self) -> int:
        """How many rows the answer held."""
        return len(self.rows) + len(self.rejected)

"""
A page: one answer of a provider, parsed into our values but not yet judged.

The provider's adapter makes it, the rules judge its rows, the proof says what it covers, the store writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from barfill.core.bars import BarColumns
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe

RAW = "raw"
"""The adjustment basis of prices as traded."""


_SHOWN_SYMBOLS = 3


@dataclass(frozen=True, slots=True)
class BarsQuery:
    """
    What one chain of pages asks for.

    Attributes:
        symbols: Tickers in barfill's spelling, sorted by their bytes, no two alike.
        range: By our stamps: a d1 bar counts by the 00:00 UTC of its session's date.
        basis: The adjustment basis of the prices: raw wherever the provider has them.
        former: Symbols that had another ticker throughout the range, each with that ticker, where the provider knows
            tickers and not companies.
    """

    symbols: tuple[str, ...]
    timeframe: Timeframe
    range: Range
    feed: str
    basis: str = RAW
    former: tuple[tuple[str, str], ...] = ()

    def as_asked(self) -> BarsQuery:
        """The same under the tickers that the symbols had."""
        had = dict(self.former)
        return replace(
            self, symbols=tuple(sorted((had.get(one, one) for one in self.symbols), key=str.encode)), former=()
        )

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
        counted: What it takes of the page size where that is not counted in rows, but in what lies behind them.
        looked_from: Before this instant the provider may not have looked, as at the wall of a plan's history: of a
            symbol that begins on this page, silence before it says nothing. None: it looked at all that was asked.
        is_window: Whether it answers for a stretch of time that its request named, so that its being empty and
            leading on is no sign of anything.
        answers_for: The part of the range that it answers for, of every symbol that was asked for; None where pages
            go through the symbols one after the other.
        claims: By ticker, the part of the range of which the chain's pages hold everything there is, where that is
            less than all that was asked for: nothing outside of it is proved.
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
    counted: int | None = None
    looked_from: datetime | None = None
    is_window: bool = False
    answers_for: Range | None = None
    claims: Mapping[str, Range] | None = None

    def under(self, tickers: Mapping[str, str]) -> Page:
        """The same page with other names for its symbols."""
        return replace(
            self,
            symbols=tuple(tickers.get(one, one) for one in self.symbols),
            rejected=tuple(replace(row, symbol=tickers.get(row.symbol, row.symbol)) for row in self.rejected),
        )

    @property
    def received(self) -> int:
        """How many rows the answer held."""
        return len(self.rows) + len(self.rejected)

    @property
    def is_in_order(self) -> bool:
        """Whether each symbol's rows came in the order of time. Those of an answer that was cut end early only then."""
        goes_back = np.diff(self.rows.ts) < 0
        return not bool(np.any(goes_back & (np.diff(self.rows.symbol) == 0)))

    @property
    def taken(self) -> int:
        """How much of the page size it takes."""
        return self.received if self.counted is None else self.counted

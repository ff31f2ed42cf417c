"""
What the rules made of a page: the values that `core.rules` hands to the engine and `core.gaps`.

Every row of a page ends in exactly one of the counts of `RowCounts` (rule Q00).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.page import RejectedRow

EXAMPLES_MAX = 3


class LedgerImbalance(AssertionError):
    """Rule Q00: rows of a page are unaccounted for. An error of this program, never of the provider."""


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A row that is neither stored nor covered yet, so that it is asked for again: rules Q12 and Q20."""

    symbol: int
    ts: int
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class RowCounts:
    """
    Where the rows of a page went.

    Attributes:
        collapsed: Copies of an equal row (W02).
        out_of_range: Rows just outside of what was asked for (W01).
        out_of_session: Rows outside regular hours, where extended hours are not wanted.
        close_prints: Those of `out_of_session` that are stamped exactly at a close (the closing auction).
    """

    received: int
    accepted: int
    quarantined: int
    held: int
    collapsed: int
    out_of_range: int
    out_of_session: int
    close_prints: int

    def check(self) -> None:
        """
        Rule Q00. `accepted` is what the store splits into stored and unchanged.

        Raises:
            LedgerImbalance: The parts do not add up to `received`.
        """
        parts = self.accepted + self.quarantined + self.held + self.collapsed + self.out_of_range + self.out_of_session
        if parts != self.received:
            raise LedgerImbalance(f"{self.received} rows were received and {parts} accounted for: {self}")


@dataclass(frozen=True, slots=True)
class Remark:
    """
    A warning about rows that are kept: how many, and the first of them as (ticker, ts in microseconds UTC).
    """

    count: int
    examples: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """
    A warning about one bar that is kept.

    Attributes:
        symbol: Index into the tickers that travel beside the columns.
        ts: The bar's start, microseconds UTC.
        detail: What looks wrong, with the values.
    """

    rule: str
    symbol: int
    ts: int
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class BlockedSlots:
    """
    Bars that must stay out of coverage, because a row there was quarantined or is held; sorted by key, no two alike.

    Attributes:
        symbol: int32 (n,), index into the tickers that travel beside the columns.
        start: int64 (n,), start of the bar on the grid, microseconds UTC.
        is_held: bool (n,), whether the row is held; otherwise it is quarantined.
        unplaced: int32, symbols with a quarantined row of which nobody can tell which bar it was.
    """

    symbol: NDArray[np.int32]
    start: NDArray[np.int64]
    is_held: NDArray[np.bool_]
    unplaced: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start)

    def of(self, symbol: int) -> NDArray[np.int64]:
        """The blocked starts of one symbol, ascending."""
        starts: NDArray[np.int64] = self.start[self.symbol == symbol]
        return starts

    def with_symbols(self, new_index: NDArray[np.int32]) -> BlockedSlots:
        """The same slots with symbols read through *new_index* (shape (tickers,), int32)."""
        symbol = new_index[self.symbol]
        order = np.lexsort((self.start, symbol))
        return BlockedSlots(symbol[order], self.start[order], self.is_held[order], new_index[self.unplaced])

    @staticmethod
    def none() -> BlockedSlots:
        """Nothing is blocked."""
        no_symbol = np.empty(0, np.int32)
        return BlockedSlots(no_symbol, np.empty(0, np.int64), np.empty(0, np.bool_), no_symbol)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Judged:
    """
    A page after the rules.

    Attributes:
        accepted: Sorted by (symbol, ts), no key twice, in the range, on the grid, on a session, over.
        forming: Rows that keep every rule but are not over yet (Q12): at most stored `live`. Part of `held`.
        quarantined: Rows that broke a hard rule, those that the parser rejected included.
        held: Rows to ask for again later.
        blocked: What must stay out of coverage because of these two.
        counts: Where the rows went.
        warnings: By rule id; `Q13` in here is the clock alarm.
        marks: Those of the warnings that are about single bars, of each rule a bounded number.
        ask_again: Whether rows contradict each other (Q11), so that one more request is worth it.
    """

    accepted: BarColumns
    forming: BarColumns
    quarantined: tuple[RejectedRow, ...]
    held: tuple[HeldRow, ...]
    blocked: BlockedSlots
    counts: RowCounts
    warnings: Mapping[str, Remark]
    marks: tuple[Mark, ...]
    ask_again: bool

    @property
    def has_clock_alarm(self) -> bool:
        """Whether rows lie in the future of the database's clock (Q13): one of the clocks is wrong."""
        return "Q13" in self.warnings

"""The rows of one page while they are being judged: each has a fate, and the rule that sealed it."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.reasons import Rule


class Row(IntEnum):
    """Where a row goes; a row leaves KEPT once at most."""

    KEPT = 0
    QUARANTINED = 1
    HELD = 2
    COLLAPSED = 3
    OUT_OF_RANGE = 4
    OUT_OF_SESSION = 5
    CLOSE_PRINT = 6


class Sheet:
    """
    Rows sorted by key, with their fates.

    Attributes:
        rows: Sorted by (symbol, ts); rows of one key stay in the order sent.
        fate: uint8 (n,), a `Row` each.
        rule: uint8 (n,), the `Rule` behind a fate of QUARANTINED or HELD, else NONE.
        reference: float64 (n,), the close that rule Q20 measured a row by; NaN for most.
        reordered: The rows that stood below a later one of their symbol, as positions in `by_symbol`.
        by_symbol: The rows in the order sent within each symbol.
        remarks: The positions of rows that deserve a warning, by rule id.
    """

    def __init__(self, rows: BarColumns) -> None:
        self.rows = rows.sorted_by_key()
        self.by_symbol = rows
        self.reordered = np.empty(0, np.intp)
        if self.rows is not rows:
            self.by_symbol = rows.take(np.argsort(rows.symbol, kind="stable"))
            falls = (np.diff(self.by_symbol.ts) < 0) & (np.diff(self.by_symbol.symbol) == 0)
            self.reordered = np.flatnonzero(falls) + 1
        self.fate = np.zeros(len(rows), np.uint8)
        self.rule = np.zeros(len(rows), np.uint8)
        self.reference = np.full(len(rows), np.nan)
        self.remarks: dict[str, NDArray[np.intp]] = {}
        self._all_kept = True

    def mark(self, chosen: NDArray[np.bool_], fate: Row, rule: Rule = Rule.NONE) -> None:
        """Gives *fate* to those of the chosen rows that are still kept."""
        if not chosen.any():
            return
        if not self._all_kept:
            chosen = chosen & (self.fate == Row.KEPT)
        self._all_kept = False
        self.fate[chosen] = fate
        self.rule[chosen] = rule

    def mark_at(self, positions: NDArray[np.intp], fate: Row, rule: Rule) -> None:
        """The same for rows by their positions."""
        chosen = np.zeros(len(self.fate), np.bool_)
        chosen[positions] = True
        self.mark(chosen, fate, rule)

    def positions(self, fate: Row) -> NDArray[np.intp]:
        """Where the rows with this fate are."""
        return np.flatnonzero(self.fate == fate)

    def rows_with(self, fate: Row) -> BarColumns:
        """The rows with this fate, sorted by key."""
        if self._all_kept and fate is Row.KEPT:
            return self.rows
        return self.rows.take(self.fate == fate)

    def counts(self) -> NDArray[np.int64]:
        """How many rows have each fate, by its number."""
        return np.bincount(self.fate, minlength=len(Row))

"""
Rows at the beginning of a page that the pages before it brought already (H22).

Equal ones are no harm. Where the two differ nobody can tell which is true (Q11): the newcomer is kept out, and the bar
counts as not fetched, so that it is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import COLUMN_NAMES, BarColumns
from barfill.core.page import Page, RejectedRow
from barfill.core.reasons import Rule, raw_json, reason_of


@dataclass(frozen=True, slots=True)
class Checked:
    """
    Attributes:
        page: With contradicting rows among the rejected ones.
        contradicted: Their starts, microseconds.
    """

    page: Page
    contradicted: tuple[int, ...] = ()


def check_boundary(page: Page, repeated: NDArray[np.intp], stored: BarColumns) -> Checked:
    """
    *page* without the rows that contradict what is stored.

    Args:
        repeated: Positions of rows of one symbol, in a range that earlier pages of the chain proved.
        stored: The stored bars of that symbol around them, by time.
    """
    rows = page.rows.take(repeated)
    twin = np.minimum(np.searchsorted(stored.ts, rows.ts), max(0, len(stored) - 1))
    if len(stored) == 0:
        return Checked(page)
    twins = stored.take(twin)
    differs = np.zeros(len(rows), np.bool_)
    for name in COLUMN_NAMES[2:]:
        one, other = getattr(rows, name), getattr(twins, name)
        differs |= (one != other) & ~(np.isnan(one) & np.isnan(other))
    positions = repeated[differs & (twins.ts == rows.ts)]
    if len(positions) == 0:
        return Checked(page)
    is_kept = np.ones(len(page.rows), np.bool_)
    is_kept[positions] = False
    kept_out = tuple(_rejected(page, int(position)) for position in positions)
    clean = replace(page, rows=page.rows.take(is_kept), rejected=page.rejected + kept_out)
    return Checked(clean, tuple(page.rows.ts[positions].tolist()))


def _rejected(page: Page, position: int) -> RejectedRow:
    rows = page.rows
    ticker, ts = page.symbols[rows.symbol[position]], int(rows.ts[position])
    return RejectedRow(ticker, ts, Rule.Q11.name, reason_of(Rule.Q11, rows, position), raw_json(ticker, rows, position))

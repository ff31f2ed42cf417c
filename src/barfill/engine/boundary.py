"""
Rows at the beginning of a page that the pages before it brought already (H22).

Equal ones are no harm. Where the two differ nobody can tell which is true (Q11): the newcomer is kept out, and the bar
counts as not fetched, so that it is asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import COLUMN_NAMES, BarColumns
from barfill.core.page import Page, RejectedRow
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.reasons import Rule, raw_json, reason_of
from barfill.engine.run import RunInHand
from barfill.engine.settling import NEXT_CHECKS
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.writes import GapRecord


def without_contradictions(database: Database, run: RunInHand, page: Page) -> tuple[Page, Ranges]:
    """*page* without rows that differ from those of the page before, and the bars they are about."""
    symbol, until = run.state.open_symbol, run.state.open_until
    if symbol is None or until is None or symbol not in page.symbols:
        return page, Ranges()
    rows = page.rows
    is_brought = (rows.ts < to_us(until)) | np.isin(rows.ts, run.carried.ts)
    repeated = np.flatnonzero((rows.symbol == page.symbols.index(symbol)) & is_brought)
    if len(repeated) == 0 or rows.ts[repeated].min() < to_us(run.query.range.start):
        return page, Ranges()
    symbol_id = int(run.symbol_ids[run.query.symbols.index(symbol)])
    first, last = int(rows.ts[repeated].min()), int(rows.ts[repeated].max())
    stored = database.run(read_bars, symbol_id, run.query.timeframe, Range(from_us(first), from_us(last + 1)))
    checked = _checked(page, repeated, stored)
    length = run.query.timeframe.length
    return checked.page, Ranges(Range(from_us(ts), from_us(ts) + length) for ts in checked.contradicted)


def contradiction(run: RunInHand, bar: Range, now: datetime) -> GapRecord:
    """Bars of the open symbol that two pages tell differently, as a gap that is asked for again."""
    open_symbol = run.query.symbols.index(run.state.open_symbol or "")
    return GapRecord(
        symbol_id=int(run.symbol_ids[open_symbol]),
        range=bar,
        expected_bars=max(1, run.calendar.expected_count(run.query.timeframe, bar)),
        kind="quarantined",
        reason=f"two pages of {run.provider} had different values; one is stored, the other in quarantined_bars",
        next_check_at=now + NEXT_CHECKS[0],
        calendar_version=run.calendar.version,
    )


@dataclass(frozen=True, slots=True)
class _Checked:
    """
    Attributes:
        page: With contradicting rows among the rejected ones.
        contradicted: Their starts, microseconds.
    """

    page: Page
    contradicted: tuple[int, ...] = ()


def _checked(page: Page, repeated: NDArray[np.intp], stored: BarColumns) -> _Checked:
    """
    *page* without the rows that contradict what is stored.

    Args:
        repeated: Positions of rows of one symbol, in a range that earlier pages of the chain proved.
        stored: The stored bars of that symbol around them, by time.
    """
    rows = page.rows.take(repeated)
    twin = np.minimum(np.searchsorted(stored.ts, rows.ts), max(0, len(stored) - 1))
    if len(stored) == 0:
        return _Checked(page)
    twins = stored.take(twin)
    differs = np.zeros(len(rows), np.bool_)
    for name in COLUMN_NAMES[2:]:
        one, other = getattr(rows, name), getattr(twins, name)
        differs |= (one != other) & ~(np.isnan(one) & np.isnan(other))
    positions = repeated[differs & (twins.ts == rows.ts)]
    if len(positions) == 0:
        return _Checked(page)
    is_kept = np.ones(len(page.rows), np.bool_)
    is_kept[positions] = False
    kept_out = tuple(_rejected(page, int(position)) for position in positions)
    clean = replace(page, rows=page.rows.take(is_kept), rejected=page.rejected + kept_out)
    return _Checked(clean, tuple(page.rows.ts[positions].tolist()))


def _rejected(page: Page, position: int) -> RejectedRow:
    rows = page.rows
    ticker, ts = page.symbols[rows.symbol[position]], int(rows.ts[position])
    return RejectedRow(ticker, ts, Rule.Q11.name, reason_of(Rule.Q11, rows, position), raw_json(ticker, rows, position))

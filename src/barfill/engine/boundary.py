"""
Rows at the beginning of a page that the pages before it spoke of already (H22).

Equal ones are no harm. Where the two differ nobody can tell which is true (Q11): both are kept out, and the bar counts
as not fetched, so that it is asked for again.
"""

from __future__ import annotations

from dataclasses import replace
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
    """*page* without rows that differ from what earlier pages of the chain said, and the bars they are about."""
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
    around = Range(from_us(first), from_us(last + 1))
    stored = database.run(read_bars, symbol_id, run.query.timeframe, around)
    is_expected = np.isin(rows.ts[repeated], run.calendar.expected_starts(run.query.timeframe, around))
    contradicting = repeated[_contradicts(rows.take(repeated), stored, is_expected)]
    if len(contradicting) == 0:
        return page, Ranges()
    is_kept = np.ones(len(rows), np.bool_)
    is_kept[contradicting] = False
    kept_out = tuple(_rejected(page, int(position)) for position in contradicting)
    clean = replace(page, rows=rows.take(is_kept), rejected=page.rejected + kept_out)
    length = run.query.timeframe.length
    return clean, Ranges(Range(from_us(ts), from_us(ts) + length) for ts in rows.ts[contradicting].tolist())


def contradiction(run: RunInHand, bar: Range, now: datetime) -> GapRecord:
    """Bars of the open symbol that two pages tell differently, as a gap that is asked for again."""
    open_symbol = run.query.symbols.index(run.state.open_symbol or "")
    return GapRecord(
        symbol_id=int(run.symbol_ids[open_symbol]),
        range=bar,
        expected_bars=max(1, run.calendar.expected_count(run.query.timeframe, bar)),
        kind="quarantined",
        reason=f"two pages of {run.provider} had different values; they are in quarantined_bars",
        next_check_at=now + NEXT_CHECKS[0],
        calendar_version=run.calendar.version,
    )


def _contradicts(rows: BarColumns, stored: BarColumns, is_expected: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """
    Whether each row says something else than what came of the pages before, shape (n,).

    A bar that is expected and not stored was absent, broken or contradicted there; rows beyond the regular bars are
    never stored, and no contradiction.
    """
    if len(stored) == 0:
        return is_expected
    twins = stored.take(np.minimum(np.searchsorted(stored.ts, rows.ts), len(stored) - 1))
    differs = np.zeros(len(rows), np.bool_)
    for name in COLUMN_NAMES[2:]:
        one, other = getattr(rows, name), getattr(twins, name)
        differs |= (one != other) & ~(np.isnan(one) & np.isnan(other))
    contradicts: NDArray[np.bool_] = np.where(twins.ts == rows.ts, differs, is_expected)
    return contradicts


def _rejected(page: Page, position: int) -> RejectedRow:
    rows = page.rows
    ticker, ts = page.symbols[rows.symbol[position]], int(rows.ts[position])
    return RejectedRow(ticker, ts, Rule.Q11.name, reason_of(Rule.Q11, rows, position), raw_json(ticker, rows, position))

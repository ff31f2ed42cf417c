"""The stored closes around the rows of a page, for the rule that compares levels (Q20)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from barfill.core.page import Page
from barfill.engine.run import RunInHand
from barfill.store.closes import neighbour_closes
from barfill.store.database import Database


def closes_around(
    database: Database, run: RunInHand, page: Page, page_index: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    By page symbol, the stored closes before and after its rows; NaN where there is none.

    Args:
        page_index: Of each symbol of the page, its position in the query.
    """
    earlier = np.full(len(page.symbols), np.nan)
    later = np.full(len(page.symbols), np.nan)
    stretches: dict[int, tuple[int, int]] = {}
    positions: dict[int, int] = {}
    for position, batch_position in enumerate(page_index.tolist()):
        if run.facts[batch_position].oldest is None and page.symbols[position] not in run.state.seen:
            continue  # nothing is stored
        ts = page.rows.ts[page.rows.symbol == position]
        if len(ts):
            symbol_id = int(run.symbol_ids[batch_position])
            stretches[symbol_id] = (int(ts.min()), int(ts.max()))
            positions[symbol_id] = position
    if not stretches:
        return earlier, later
    found = database.run(neighbour_closes, run.query.timeframe, stretches)
    for symbol_id, (before, after) in found.items():
        earlier[positions[symbol_id]] = np.nan if before is None else before
        later[positions[symbol_id]] = np.nan if after is None else after
    return earlier, later

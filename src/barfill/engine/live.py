"""The current session's bars of coarser timeframes, made of the live and the final finer ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from barfill.core.bars import BarColumns
from barfill.core.live import LiveWish
from barfill.core.ranges import to_us
from barfill.core.resample import resample
from barfill.engine.ledger import Market
from barfill.errors import SeriesConflict
from barfill.store.bars import read_bars
from barfill.store.database import Database
from barfill.store.pages import write_live
from barfill.store.symbols import Symbol
from barfill.store.writes import SeriesWrite


def derive_live(database: Database, market: Market, now: datetime) -> int:
    """
    Makes what the current session lacks of coarser bars, as live ones; how many are new or have changed.

    A bar that is still forming is made of what there is of it.
    """
    wish = market.live
    if wish is None:
        return 0
    written = 0
    for symbol in market.symbols:
        bars = database.run(read_bars, symbol.id, wish.timeframe, wish.window)
        for write in _writes(symbol, bars, market, wish, now):
            try:
                outcome = database.run(write_live, write)
            except SeriesConflict:
                continue  # a series of another feed or basis keeps to what it holds
            written += outcome.inserted + outcome.changed
    return written


def _writes(symbol: Symbol, bars: BarColumns, market: Market, wish: LiveWish, now: datetime) -> Iterable[SeriesWrite]:
    for timeframe, window in wish.targets.items():
        if timeframe is wish.timeframe or len(bars) == 0:
            continue
        made = resample(bars, wish.timeframe, timeframe, market.calendar)
        rows = made.take(made.ts >= to_us(window.start))
        if len(rows):
            yield SeriesWrite(
                timeframe=timeframe,
                provider=wish.capabilities.provider,
                feed=wish.capabilities.feed,
                basis=wish.capabilities.basis(wish.timeframe),
                symbol_ids=np.array([symbol.id], np.int32),
                rows=rows,
                proved={},
                data_status="live",
                fetched_at=now,
            )

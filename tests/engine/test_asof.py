"""Backfills that correct what is stored: every instant in between comes back, over all timeframes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from barfill.core.timeframe import Timeframe
from tests.engine.rig import Rig, days

WEEK = days("2026-09-14", "2026-09-19")
TIMEFRAMES = [Timeframe.M1, Timeframe.M15, Timeframe.H4, Timeframe.D1, Timeframe.W1]
COLUMNS = "timeframe, ts, open, high, low, close, volume, vwap, trade_count, provider, feed, data_status, created_at"


def read(rig: Rig, source: str) -> list[tuple[Any, ...]]:
    return rig.query(f"select {COLUMNS} from {source} order by 1, 2")


def test_a_correction_and_all_that_was_made_of_it_come_back(rig: Rig) -> None:
    """Wrong minutes, the coarser bars made of them, the corrections of both: as readers saw each of these states."""
    states: list[tuple[datetime, list[tuple[Any, ...]]]] = [(rig.database.now(), [])]

    def look() -> None:
        states.append((rig.database.now(), read(rig, "ohlc_bars")))

    rig.backfill(["AAPL"], TIMEFRAMES, WEEK)
    look()
    with rig.database.connection() as conn:
        conn.execute(
            b"update ohlc_bars set volume = volume + 1000, high = high + 1 "
            b"where ts = '2026-09-15T15:00Z' and timeframe in ('m1', 'm15')"
        )
    look()
    rig.backfill(["AAPL"], [Timeframe.M1], WEEK, is_full=True)
    look()
    rig.backfill(["AAPL"], TIMEFRAMES, WEEK)
    look()

    for instant, bars in states:
        assert read(rig, f"bars_as_of('{instant.isoformat()}')") == bars
    told = rig.query("select timeframe, reason, run_id is null from bar_revisions order by replaced_at, timeframe")
    assert told == [
        ("m1", "changed", True),
        ("m15", "changed", True),
        ("m1", "corrected", False),
        ("m15", "derived", True),
    ]

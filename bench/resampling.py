"""How fast minutes become coarser bars: in memory alone, and with reading, writing and the ledger."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from barfill.core.bars import BarColumns
from barfill.core.calendar import trading_calendar
from barfill.core.plan import Derivation, Resampling
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.resample import resample
from barfill.core.timeframe import Timeframe
from barfill.engine.derive import Wish, derive
from barfill.store.database import Database
from barfill.store.pages import write_derived
from barfill.store.symbols import NewSymbol, add_symbols
from barfill.store.writes import SeriesWrite
from bench.machinery import fresh_database

DAYS, DAYS_SMOKE = 730, 20
_END = datetime(2026, 7, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Resampled:
    """
    Attributes:
        minutes: Source bars of one symbol.
        pure_s: Making 5m, 15m, 30m, 1h and 4h of them in memory.
        derive_s: The same with reading the minutes, writing the bars and the ledger.
        rebuild_s: Making all of them anew and finding nothing changed.
        changed: How many the rebuild changed; none are to.
    """

    minutes: int
    pure_s: float
    derive_s: float
    rebuild_s: float
    changed: int


def measure_resampling(server_url: str, days: int) -> Resampled:
    """One symbol's minutes of so many days, made into five coarser timeframes."""
    calendar = trading_calendar("XNYS", 2027)
    window = Range(_END - timedelta(days=days), _END)
    minutes = _minutes(calendar.expected_starts(Timeframe.M1, window))
    targets = [one for one in Timeframe if one.is_intraday and one is not Timeframe.M1]
    begun = time.perf_counter()
    for target in targets:
        resample(minutes, Timeframe.M1, target, calendar)
    pure_s = time.perf_counter() - begun
    with fresh_database(server_url) as database:
        symbol = database.run(add_symbols, [NewSymbol("AAPL")])["AAPL"]
        _store(database, symbol.id, minutes, window)
        steps = tuple(Derivation(one, window, Resampling().sources_of(one)) for one in targets)
        wish = Wish(calendar, (symbol,), steps)
        begun = time.perf_counter()
        derive(database, wish, _END, is_full=False)
        derive_s = time.perf_counter() - begun
        begun = time.perf_counter()
        again = derive(database, wish, _END, is_full=True)
        rebuild_s = time.perf_counter() - begun
    return Resampled(len(minutes), pure_s, derive_s, rebuild_s, again.written + again.removed)


def rendered_resampling(found: Resampled) -> str:
    """The figures in words."""
    return (
        f"{found.minutes:,} minutes made into 5m, 15m, 30m, 1h and 4h, source bars a second: "
        f"{5 * found.minutes / found.pure_s / 1e6:.1f} million in memory (each timeframe counted),\n"
        f"{found.minutes / found.derive_s:,.0f} with reading, writing and the ledger (all five together), "
        f"{found.minutes / found.rebuild_s:,.0f} in a rebuild, which changed {found.changed}."
    )


def _minutes(starts: np.ndarray) -> BarColumns:
    random = np.random.default_rng(1)
    corners = np.sort(random.integers(10_000, 20_000, (len(starts), 4)) / 100, axis=1)
    return BarColumns(
        symbol=np.zeros(len(starts), np.int32),
        ts=starts,
        low=corners[:, 0],
        open=corners[:, 1],
        close=corners[:, 2],
        high=corners[:, 3],
        volume=random.integers(1, 100_000, len(starts)).astype(np.float64),
        vwap=corners[:, 1],
        trade_count=random.integers(1, 500, len(starts)),
    )


def _store(database: Database, symbol_id: int, minutes: BarColumns, window: Range) -> None:
    write = SeriesWrite(
        timeframe=Timeframe.M1,
        provider="alpaca",
        feed="sip",
        symbol_ids=np.array([symbol_id], np.int32),
        rows=minutes,
        proved={symbol_id: Ranges([Range(window.start, from_us(int(minutes.ts[-1])) + timedelta(minutes=1))])},
        fetched_at=_END,
    )
    database.run(write_derived, write)
    database.run(lambda conn: conn.execute("analyze"))

"""Rows, pages and runs for the store's tests, with as little to say as each test needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.store.database import Database
from barfill.store.runs import ClaimedRun, NewRun, claim_run, create_runs
from barfill.store.symbols import NewSymbol, add_symbols
from barfill.store.workers import Worker
from barfill.store.writes import PageWrite, SeriesWrite

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
MINUTE_US = 60_000_000
WORKER = Worker("tester", has_lock=False)

Rows = Mapping[int, Mapping[int, float]]
"""By symbol id, by minute after START, the close."""


def minute(number: int) -> datetime:
    """The instant so many minutes after START."""
    return START + timedelta(minutes=number)


def minutes(first: int, end: int) -> Range:
    """The minutes from *first* up to, not including, *end*."""
    return Range(minute(first), minute(end))


def columns(rows: Rows, ids: Sequence[int], *, has_vwap: bool = True, has_trades: bool = True) -> BarColumns:
    """The rows as sorted columns; `symbol` points into *ids*. High and low follow from the close."""
    flat = sorted((symbol_id, number, close) for symbol_id, bars in rows.items() for number, close in bars.items())
    close = np.array([close for _, _, close in flat], np.float64)
    return BarColumns(
        symbol=np.array([ids.index(symbol_id) for symbol_id, _, _ in flat], np.int32),
        ts=np.array([to_us(minute(number)) for _, number, _ in flat], np.int64),
        open=close - 0.25,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=close * 10.5,
        vwap=close.copy() if has_vwap else np.full(len(close), np.nan),
        trade_count=np.full(len(close), 7 if has_trades else NO_TRADE_COUNT, np.int64),
    )


def write(rows: Rows, proved: Mapping[int, Ranges | Range] | None = None, **more: Any) -> SeriesWrite:
    """A write of minute bars, without a run."""
    return SeriesWrite(**_series(rows, proved, more), **more)


def page(run: ClaimedRun, rows: Rows, proved: Mapping[int, Ranges | Range] | None = None, **more: Any) -> PageWrite:
    """The next page of *run*, or the page_no given."""
    settings = {"epoch": run.epoch, "page_no": run.page_no, "next_token": None} | more
    return PageWrite(run_id=run.id, **_series(rows, proved, settings), **settings)


def add(database: Database, *tickers: str) -> list[int]:
    """The ids of new symbols."""
    found = database.run(add_symbols, [NewSymbol(ticker) for ticker in tickers])
    return [found[ticker].id for ticker in tickers]


def claimed_run(database: Database, symbol_ids: Sequence[int], worker: Worker = WORKER) -> ClaimedRun:
    """A new run over the first day from START, claimed."""
    run = NewRun(
        symbols=tuple(f"S{symbol_id}" for symbol_id in symbol_ids),
        symbol_ids=tuple(symbol_ids),
        timeframe=Timeframe.M1,
        range=minutes(0, 1440),
        provider="alpaca",
        feed="sip",
    )
    (run_id,) = database.run(create_runs, [run])
    claimed = database.run(claim_run, run_id, worker)
    assert claimed is not None
    return claimed


def stored_closes(database: Database) -> dict[tuple[int, int], float]:
    """All stored bars: by symbol id and minute after START, the close."""
    with database.connection() as conn:
        found = conn.execute("select symbol_id, ts, close from ohlc_bars", binary=True).fetchall()
    return {(symbol_id, (ts - START) // timedelta(minutes=1)): close for symbol_id, ts, close in found}


def query(database: Database, text: str, *parameters: object) -> list[tuple[Any, ...]]:
    """The rows of a query of the test's own."""
    with database.connection() as conn:
        # Without parameters the text may hold several statements; with some, results come in binary, as in the store.
        cursor = conn.execute(text.encode(), parameters, binary=True) if parameters else conn.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def _series(rows: Rows, proved: Mapping[int, Ranges | Range] | None, more: dict[str, Any]) -> dict[str, Any]:
    ids = more.pop("ids", None) or sorted(
        set(rows) | set(proved or {}) | {gap.symbol_id for gap in more.get("gaps", ())}
    )
    layout = {name: more.pop(name) for name in ("has_vwap", "has_trades") if name in more}
    return {
        "timeframe": Timeframe.M1,
        "provider": more.pop("provider", "alpaca"),
        "feed": more.pop("feed", "sip"),
        "symbol_ids": np.array(ids, np.int32),
        "rows": columns(rows, ids, **layout),
        "proved": {symbol_id: Ranges() | part for symbol_id, part in (proved or {}).items()},
        "fetched_at": from_us(to_us(START) + 86_400_000_000),
    }

"""What PostgreSQL takes of the same rows without any program around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import psycopg

from barfill.core.bars import BarColumns
from barfill.store.bars import read_bars
from barfill.store.binary_copy import copy_bars
from barfill.store.database import Connection, Database
from bench.work import PAGE_SIZE, TIMEFRAME, Work

_CONSTANTS: dict[str, str | bool | datetime] = {
    "timeframe": TIMEFRAME.value,
    "provider": "alpaca",
    "feed": "sip",
    "is_intraday": True,
    "data_status": "final",
    "fetched_at": datetime(2024, 12, 1, tzinfo=UTC),
}
# The columns and the key of ohlc_bars, without its partitions and rules.
_PLAIN = """
    create table plain_bars (like ohlc_bars including defaults);
    alter table plain_bars add unique (symbol_id, timeframe, ts)
"""
_STAGING = "create temporary table staged (like ohlc_bars including defaults)"
_UPSERT = """
    insert into ohlc_bars as stored select * from staged order by symbol_id, timeframe, ts
    on conflict (symbol_id, timeframe, ts) do update
    set (open, high, low, close, volume, vwap, trade_count)
        = row(excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.vwap,
            excluded.trade_count)
    where (stored.open, stored.high, stored.low, stored.close, stored.volume, stored.vwap, stored.trade_count)
        is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
            excluded.vwap, excluded.trade_count)
"""


def stored_bars(database: Database, work: Work) -> BarColumns:
    """What a backfill has stored, sorted by key; `symbol` holds the symbols' ids."""
    with database.connection() as conn:
        ids = [row[0] for row in conn.execute("select id from symbols order by id")]
        parts = [(i, read_bars(conn, i, TIMEFRAME, work.wanted)) for i in ids]
    symbol = np.concatenate([np.full(len(rows), i, np.int32) for i, rows in parts])
    names = ("ts", "open", "high", "low", "close", "volume", "vwap", "trade_count")
    return BarColumns(symbol, *(np.concatenate([getattr(rows, name) for _, rows in parts]) for name in names))


def copy_straight(database: Database, rows: BarColumns) -> float:
    """Seconds of COPY into ohlc_bars, pages of 10,000 rows sorted by key, one transaction each."""
    with database.connection() as conn:
        return _copied(conn, "ohlc_bars", rows)


def copy_plain(database: Database, rows: BarColumns) -> float:
    """The same into a table with the key alone: no partitions, no rules for its values."""
    with database.connection() as conn:
        _execute_all(conn, _PLAIN)
        return _copied(conn, "plain_bars", rows)


def upsert(database: Database, rows: BarColumns) -> float:
    """Seconds of COPY to a staging table and ON CONFLICT DO UPDATE, likewise in pages; to be called twice."""
    with psycopg.connect(database.url, autocommit=True, prepare_threshold=None) as conn:
        conn.execute(_STAGING)
        begun = time.perf_counter()
        for page in _pages(rows):
            with conn.transaction():
                copy_bars(conn, "staged", page, _CONSTANTS)
                conn.execute(_UPSERT)
                conn.execute("truncate staged")
        return time.perf_counter() - begun


def _copied(conn: Connection, table: str, rows: BarColumns) -> float:
    begun = time.perf_counter()
    for page in _pages(rows):
        with conn.transaction():
            copy_bars(conn, table, page, _CONSTANTS)
    return time.perf_counter() - begun


def _pages(rows: BarColumns) -> Iterator[BarColumns]:
    for start in range(0, len(rows), PAGE_SIZE):
        yield rows.take(slice(start, start + PAGE_SIZE))


def _execute_all(conn: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        conn.execute(statement.encode())

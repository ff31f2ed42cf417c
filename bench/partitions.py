"""
How should `ohlc_bars` be partitioned? Loads the same minute bars into four layouts and compares them.

    python bench/partitions.py [--symbols 5000] [--directory /tmp]

Needs 10 GB of disk for a while. Rates on a shared machine are noisy: every step is made on all four layouts in turn,
so that their ratios can be believed.
docs/partitions.md has the outcome.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import TupleRow

from barfill.core.bars import BarColumns
from barfill.core.ranges import from_us
from barfill.store.bars import SQL
from barfill.store.binary_copy import copy_bars, read_stored
from barfill.store.database import open_database

PAGE_ROWS = 10_000
BATCH = 50
SESSION_BARS = 390
LONG_SERIES = 4
LONG_SESSIONS = 504
SHORT_SESSIONS = 3
FIRST_SESSION_US = 1_640_995_200_000_000 + 14 * 3_600_000_000
DAY_US, MINUTE_US = 86_400_000_000, 60_000_000

COLUMNS = """
    symbol_id integer not null, timeframe text collate "C" not null, ts timestamptz not null,
    open double precision not null, high double precision not null, low double precision not null,
    close double precision not null, volume double precision not null, vwap double precision, trade_count bigint,
    provider text not null, feed text not null, is_intraday boolean not null, data_status text not null default 'final',
    fetched_at timestamptz not null default now(), created_at timestamptz not null default now(),
    constraint high_is_highest check (high >= open and high >= close and high >= low),
    constraint low_is_lowest check (low <= open and low <= close),
    constraint prices_are_finite check (low > '-Infinity' and high < 'Infinity'),
    constraint volume_is_finite check (volume >= 0 and volume < 'Infinity'),
    constraint vwap_is_finite check (vwap > '-Infinity' and vwap < 'Infinity'),
    constraint trade_count_is_not_negative check (trade_count >= 0),
    constraint data_status_is_known check (data_status in ('live', 'final'))
"""
KEY = "unique (symbol_id, timeframe, ts)"
LIST = (
    f"create table {{0}} ({COLUMNS}, {KEY}) partition by list (timeframe);"
    "create table {0}_rest partition of {0} default;"
)
M1 = "create table {0}_m1 partition of {0} for values in ('m1')"
LAYOUTS = {
    "plain": f"create table {{0}} ({COLUMNS}, {KEY});",
    "list": f"{LIST} {M1};",
    "list + hash 16": f"{LIST} {M1} partition by hash (symbol_id);"
    + "".join(
        f"create table {{0}}_m1_{i} partition of {{0}}_m1 for values with (modulus 16, remainder {i});"
        for i in range(16)
    ),
    "list + year": f"{LIST} {M1} partition by range (ts);"
    + "".join(
        f"create table {{0}}_m1_{i} partition of {{0}}_m1 for values from ('{i}-01-01Z') to ('{i + 1}-01-01Z');"
        for i in range(2015, 2030)
    ),
}
TABLES = {name: f"bars_{number}" for number, name in enumerate(LAYOUTS)}

Times = dict[str, list[float]]
"""Seconds by layout, one after the other."""


def main() -> None:
    """Fills all layouts side by side and prints a table of what each of them takes."""
    options = argparse.ArgumentParser()
    options.add_argument("--symbols", type=int, default=5000)
    options.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    chosen = options.parse_args()
    home = Path(tempfile.mkdtemp(prefix="bf-bench-", dir=chosen.directory))
    try:
        with open_database(None, home) as database, database.connection() as conn:
            for name, statements in LAYOUTS.items():
                conn.execute(statements.replace("{0}", TABLES[name]).encode())
            print_table(measure(conn, chosen.symbols))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(conn: psycopg.Connection[TupleRow], symbols: int) -> dict[str, dict[str, float]]:
    """By figure and layout."""
    rows = 0
    loading: Times = {name: [] for name in LAYOUTS}
    for number, page in enumerate(_pages(symbols)):
        _each(loading, number, _commit, conn, page)
        rows += len(page)
    figures = {"load, rows/s": {name: rows / sum(times) for name, times in loading.items()}}
    vacuum = _repeated(1, lambda _: (_vacuum, conn))
    figures["vacuum analyze, s"] = {name: sum(times) for name, times in vacuum.items()}
    ids = np.random.default_rng(2).integers(1, symbols, 400).tolist()
    figures["newest 1,000 bars, ms"] = _medians_ms(_repeated(400, lambda number: (_newest, conn, ids[number])))
    series = _repeated(3 * LONG_SERIES, lambda number: (_series, conn, symbols + 1 + number % LONG_SERIES))
    figures["series of 196,560, ms"] = _medians_ms(series)
    starts = [FIRST_SESSION_US + LONG_SESSIONS * DAY_US + np.arange(2 * i, 2 * i + 2) * MINUTE_US for i in range(12)]
    everyone = np.arange(1, symbols + 1)
    written = _repeated(len(starts), lambda number: (_commit, conn, _rows(everyone, starts[number])))
    figures["page over all symbols, ms"] = _medians_ms(written)
    compared = _repeated(len(starts), lambda number: (_read_back, conn, symbols, starts[number]))
    figures["its read-back, ms"] = _medians_ms(compared)
    figures["size, GB"] = {name: _size(conn, TABLES[name]) for name in LAYOUTS}
    return figures


def _repeated(count: int, step: Callable[[int], tuple[Any, ...]]) -> Times:
    """What step 0, 1, .. takes on each layout, all layouts in turn so that a busy moment of the machine hits all."""
    times: Times = {name: [] for name in LAYOUTS}
    for number in range(count):
        _each(times, number, *step(number))
    return times


def _each(
    times: Times, number: int, work: Callable[..., object], conn: psycopg.Connection[TupleRow], *more: Any
) -> None:
    names = list(LAYOUTS)
    first = number % len(names)
    for name in names[first:] + names[:first]:
        begun = time.perf_counter()
        work(conn, TABLES[name], *more)
        times[name].append(time.perf_counter() - begun)


def _medians_ms(times: Times) -> dict[str, float]:
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def _commit(conn: psycopg.Connection[TupleRow], table: str, page: BarColumns) -> None:
    constants: dict[str, str | bool | datetime] = {
        "timeframe": "m1",
        "provider": "alpaca",
        "feed": "sip",
        "is_intraday": True,
        "data_status": "final",
        "fetched_at": datetime.now(UTC),
    }
    with conn.transaction():
        copy_bars(conn, table, page, constants)


def _vacuum(conn: psycopg.Connection[TupleRow], table: str) -> None:
    conn.execute(f"vacuum analyze {table}".encode())


def _newest(conn: psycopg.Connection[TupleRow], table: str, symbol_id: int) -> None:
    newest = f"select * from {table} where symbol_id = %s and timeframe = 'm1' order by ts desc limit 1000"
    assert len(conn.execute(newest.encode(), [symbol_id], binary=True).fetchall()) == PAGE_ROWS // 10


def _series(conn: psycopg.Connection[TupleRow], table: str, symbol_id: int) -> None:
    wanted = {"symbol_id": symbol_id, "timeframe": "m1", "start": from_us(0), "end": from_us(2 * FIRST_SESSION_US)}
    assert len(read_stored(conn, SQL["read_bars"].replace(b"ohlc_bars", table.encode()), wanted)) == 196_560


def _read_back(conn: psycopg.Connection[TupleRow], table: str, symbols: int, starts: NDArray[np.int64]) -> None:
    first, last = (from_us(int(start)).isoformat() for start in starts)
    parameters = {
        "symbol_ids": list(range(1, symbols + 1)),
        "firsts": [first] * symbols,
        "lasts": [last] * symbols,
        "timeframe": "m1",
    }
    with conn.transaction():
        conn.execute(b"set local jit = off; set local enable_seqscan = off")
        query = SQL["read_spans"].replace(b"ohlc_bars", table.encode())
        assert len(read_stored(conn, query, parameters)) == 2 * symbols


def _size(conn: psycopg.Connection[TupleRow], table: str) -> float:
    text = "select sum(pg_total_relation_size(oid))::float8 from pg_class where relname ~ %s and relkind = 'r'"
    found = conn.execute(text.encode(), [f"^{table}(_|$)"]).fetchone()
    return float(found[0]) / 1e9 if found else 0.0


def _pages(symbols: int) -> Iterator[BarColumns]:
    """The pages of slices, newest slice first within each batch; each page sorted by key."""
    for first in range(1, symbols + 1, BATCH):
        for session in range(LONG_SESSIONS - 1, LONG_SESSIONS - 1 - SHORT_SESSIONS, -1):
            yield from _slice(np.arange(first, first + BATCH), range(session, session + 1))
    long_ids = np.arange(symbols + 1, symbols + 1 + LONG_SERIES)
    for end in range(LONG_SESSIONS, 0, -21):
        yield from _slice(long_ids, range(end - 21, end))


def _slice(symbol_ids: NDArray[np.int64], sessions: range) -> Iterator[BarColumns]:
    minutes = np.arange(SESSION_BARS) * MINUTE_US
    starts = (FIRST_SESSION_US + np.array(sessions)[:, None] * DAY_US + minutes).ravel()
    rows = _rows(symbol_ids, starts)
    for start in range(0, len(rows), PAGE_ROWS):
        yield rows.take(slice(start, start + PAGE_ROWS))


def _rows(symbol_ids: NDArray[np.int64], starts: NDArray[np.int64]) -> BarColumns:
    count = len(symbol_ids) * len(starts)
    close = 100 + np.random.default_rng(1).random(count)
    return BarColumns(
        symbol=np.repeat(symbol_ids, len(starts)).astype(np.int32),
        ts=np.tile(starts, len(symbol_ids)).astype(np.int64),
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=close * 1000,
        vwap=close,
        trade_count=np.full(count, 42, np.int64),
    )


def print_table(figures: dict[str, dict[str, float]]) -> None:
    """One row per figure; in brackets the ratio to the plain table."""
    print("| | " + " | ".join(LAYOUTS) + " |")
    print("|---|" + "---|" * len(LAYOUTS))
    for title, by_layout in figures.items():
        cells = [f"{value:,.4g} ({value / by_layout['plain']:.2f})" for value in by_layout.values()]
        print(f"| {title} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""
What a user would write instead: the vendor's client, its DataFrame, COPY to a staging table, upsert.

`python -m bench.alpaca_py '{"exchange": URL, "database": URL, ...}'` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from typing import Any

import psycopg

from barfill.store.database import Database
from bench.machinery import peak_mb, reported
from bench.work import Work

_COLUMNS = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
_TABLE = """
    create table if not exists user_bars (
        symbol text, ts timestamptz, open float8, high float8, low float8, close float8, volume float8,
        trade_count float8, vwap float8, primary key (symbol, ts)
    )
"""
_STAGING = "create temporary table staged (like user_bars)"
_UPSERT = """
    insert into user_bars select * from staged on conflict (symbol, ts) do update
    set (open, high, low, close, volume, trade_count, vwap) = row(excluded.open, excluded.high, excluded.low,
        excluded.close, excluded.volume, excluded.trade_count, excluded.vwap)
"""


def load(exchange_url: str, database: Database, work: Work) -> dict[str, Any]:
    """One load in a new process: `seconds`, `rows` and `peak_mb`."""
    order = {
        "exchange": exchange_url,
        "database": database.url,
        "tickers": work.tickers,
        "end": work.end.isoformat(),
    }
    return reported("bench.alpaca_py", json.dumps(order))


def _load(order: dict[str, Any]) -> dict[str, Any]:
    from alpaca.data.historical import StockHistoricalDataClient  # noqa: PLC0415  its import is not what is measured
    from alpaca.data.requests import StockBarsRequest  # noqa: PLC0415
    from alpaca.data.timeframe import TimeFrame  # noqa: PLC0415

    work = Work(tuple(order["tickers"]), datetime.fromisoformat(order["end"]), rounds=1)
    client: Any = StockHistoricalDataClient("key", "secret", url_override=order["exchange"])
    request = StockBarsRequest(
        symbol_or_symbols=list(work.tickers), timeframe=TimeFrame.Minute, start=work.wanted.start, end=work.wanted.end
    )
    with psycopg.connect(order["database"], autocommit=True) as conn:
        conn.execute(_TABLE)
        conn.execute(_STAGING)
        begun = time.perf_counter()
        frame = client.get_stock_bars(request).df
        with conn.transaction():
            with conn.cursor().copy("copy staged from stdin") as copy:
                for (symbol, ts), *values in zip(frame.index, *(frame[name] for name in _COLUMNS), strict=True):
                    copy.write_row((symbol, ts.to_pydatetime(), *values))
            conn.execute(_UPSERT)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rows": len(frame), "peak_mb": peak_mb()}


if __name__ == "__main__":
    print(json.dumps(_load(json.loads(sys.argv[1]))))

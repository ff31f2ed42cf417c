"""
barfill's backfill in a process of its own: HTTP on loopback, decode, rules, COPY, ledger.

`python -m bench.ingest '{"exchange": URL, "database": URL, ...}'` prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from barfill.core.calendar import trading_calendar
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Database
from bench.machinery import peak_mb, reported
from bench.phases import Stopwatch
from bench.work import PAGE_SIZE, TIMEFRAME, Work

CHAINS = EngineSettings().max_concurrent_jobs
_NO_LIMIT = 1_000_000
_KEY, _SECRET = "PK" + 18 * "B", 40 * "s"  # as long as real ones, since answers are searched for them


def ingest(
    exchange_url: str,
    database: Database,
    work: Work,
    *,
    is_full: bool = False,
    extended_hours: bool = False,
    chains: int = CHAINS,
    with_phases: bool = False,
) -> dict[str, Any]:
    """
    One backfill in a new process: `seconds`, `cpu_seconds`, the summary, `peak_mb`, and `phases` if wanted.
    """
    order = {
        "exchange": exchange_url,
        "database": database.url,
        "tickers": work.tickers,
        "end": work.end.isoformat(),
        "is_full": is_full,
        "extended_hours": extended_hours,
        "chains": chains,
        "with_phases": with_phases,
    }
    report = reported("bench.ingest", json.dumps(order))
    if report["exit_code"] != 0:
        raise RuntimeError(f"The backfill did not complete: {report}")
    return report


async def _ingest(order: dict[str, Any], database: Database) -> dict[str, Any]:
    work = Work(tuple(order["tickers"]), datetime.fromisoformat(order["end"]), rounds=1)
    provider = Alpaca(
        _KEY, _SECRET, base_url=order["exchange"], plan="paid", page_size=PAGE_SIZE, requests_per_minute=_NO_LIMIT
    )
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(_NO_LIMIT))
    settings = EngineSettings(max_concurrent_jobs=order["chains"], extended_hours=order["extended_hours"])
    request = BackfillRequest(tickers=work.tickers, windows={TIMEFRAME: work.wanted}, is_full=order["is_full"])
    watch = Stopwatch()
    try:
        await add_symbols(database, Clients(client), work.tickers)
        trading_calendar("XNYS", datetime.now(UTC).year + 1)  # half a second at every start, whatever the work
        with watch.running() if order["with_phases"] else watch:
            begun, begun_cpu = time.perf_counter(), time.process_time()
            report = await Backfill(database, Clients(client), settings, SilentListener()).run(request)
            seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - begun_cpu
    finally:
        await client.aclose()
    return {
        **report.to_json()["summary"],
        "exit_code": report.exit_code,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak_mb(),
        "phases": watch.phases(seconds),
    }


def main() -> None:
    """The child's entry point."""
    order = json.loads(sys.argv[1])
    with Database(order["database"]) as database:
        print(json.dumps(asyncio.run(_ingest(order, database))))


if __name__ == "__main__":
    main()

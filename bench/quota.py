"""
How much of the allowed rate several processes use that share one key, by the exchange's own count.

`python -m bench.quota '{"exchange": URL, "database": URL, "seconds": N, ...}'` is one of the processes.
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.quota import SharedQuota, key_id_of
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.store.database import Database
from barfill.store.quota import QuotaTerms
from bench.machinery import fresh_database, simulated_exchange

_TASKS = 5
_KEY, _SECRET = "PK" + 18 * "Q", 40 * "q"
_QUERY = BarsQuery(
    ("AAPL",), Timeframe.D1, Range(datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC)), "sip"
)


@dataclass(frozen=True, slots=True)
class Shift:
    """So many processes with work for so long, at a limit."""

    processes: int
    requests_per_minute: int
    seconds: float


FULL = Shift(processes=4, requests_per_minute=200, seconds=600.0)
SMOKE = Shift(processes=4, requests_per_minute=200, seconds=6.0)


@dataclass(frozen=True, slots=True)
class Use:
    """
    What the exchange has counted.

    Attributes:
        allowed: The most that anybody could have sent: the limit, once for each minute begun.
        fullest: The most in any 60 s.
    """

    shift: Shift
    sent: int
    refused: int
    allowed: int
    fullest: int

    @property
    def share(self) -> float:
        """Of what was allowed."""
        return self.sent / self.allowed


def measure_use(server_url: str, shift: Shift) -> Use:
    """All processes at once, against an exchange and with a database of their own."""
    with (
        simulated_exchange(requests_per_minute=shift.requests_per_minute) as exchange_url,
        fresh_database(server_url) as database,
    ):
        order = {
            "exchange": exchange_url,
            "database": database.url,
            "seconds": shift.seconds,
            "requests_per_minute": shift.requests_per_minute,
        }
        command = [sys.executable, "-m", "bench.quota", json.dumps(order)]
        processes = [subprocess.Popen(command) for _ in range(shift.processes)]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise RuntimeError("A process that was to share the quota failed.")
        with urllib.request.urlopen(exchange_url.removesuffix("/alpaca") + "/simulate/requests") as answer:
            counts: dict[str, Any] = json.load(answer)
    return Use(
        shift,
        sent=counts["total"],
        refused=counts["by_status"].get("429", 0),
        allowed=shift.requests_per_minute * math.ceil(shift.seconds / 60),
        fullest=counts["max_in_any_60s"],
    )


def rendered_use(use: Use) -> str:
    """The figures in words."""
    shift = use.shift
    return (
        f"{shift.processes} processes share a key of {shift.requests_per_minute} requests a minute for "
        f"{shift.seconds:.0f} s: {use.sent:,} sent of {use.allowed:,} allowed ({use.share:.1%}, to reach: >= 95 %),\n"
        f"{use.refused} refused (to reach: 0), at most {use.fullest} in any 60 s."
    )


async def _work(order: dict[str, Any], database: Database) -> None:
    limit = order["requests_per_minute"]
    provider = Alpaca(_KEY, _SECRET, base_url=order["exchange"], requests_per_minute=limit)
    terms = QuotaTerms(provider="alpaca", key_id=key_id_of("alpaca", _KEY), requests_per_minute=limit)
    client = ProviderClient(provider, HttpClient(provider.base_urls), SharedQuota(database, terms))
    until = time.monotonic() + order["seconds"]

    async def ask() -> None:
        while time.monotonic() < until:
            await client.fetch_page(_QUERY, None)

    tasks = [asyncio.create_task(ask()) for _ in range(_TASKS)]
    await asyncio.wait(tasks, timeout=order["seconds"])
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    for end in ends:
        if isinstance(end, Exception):
            raise end


def main() -> None:
    """One of the processes."""
    order = json.loads(sys.argv[1])
    with Database(order["database"]) as database:
        asyncio.run(_work(order, database))


if __name__ == "__main__":
    main()

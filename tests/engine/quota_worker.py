"""One of several processes that share a quota: asks the exchange for a page again and again, until it is killed."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.quota import Purpose, SharedQuota, key_id_of
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.store.database import Database
from barfill.store.quota import QuotaTerms

KEY, SECRET = "PKQUOTACANARY0123456", "QUOTACANARYSECRET0123456789"
LIMIT, WINDOW_S, SLACK_S = 10, 1.0, 0.05
TASKS = 3
DAY = BarsQuery(
    ("AAPL",), Timeframe.D1, Range(datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC)), "sip"
)


def quota_client(
    exchange_url: str,
    database: Database,
    *,
    purpose: Purpose = "bulk",
    limit: int = LIMIT,
    day_budget: int | None = None,
    window_s: float = WINDOW_S + SLACK_S,
) -> ProviderClient:
    """A client whose limit counts in windows of a second, unless told otherwise."""
    provider = Alpaca(KEY, SECRET, base_url=exchange_url, requests_per_minute=limit)
    terms = QuotaTerms(
        provider=provider.name,
        key_id=key_id_of(provider.name, KEY),
        requests_per_minute=limit,
        day_budget=day_budget,
    )
    quota = SharedQuota(database, terms, purpose=purpose, window_s=window_s)
    return ProviderClient(provider, HttpClient(provider.base_urls), quota, backoff_s=0.01)


async def _work(exchange_url: str, database: Database) -> None:
    client = quota_client(exchange_url, database)

    async def ask() -> None:
        while True:
            await client.fetch_page(DAY, None)

    await asyncio.gather(*(ask() for _ in range(TASKS)))


if __name__ == "__main__":
    order = json.loads(sys.argv[1])
    with Database(order["database"]) as opened:
        asyncio.run(_work(order["exchange"], opened))

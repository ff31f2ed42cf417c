"""Backfills until nothing changes any more, with clocks that are moved to when gaps are due again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.corporate import EventsRequest, EventsSource, keep_events
from barfill.engine.events import SilentListener
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_events import AlpacaEvents
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.simulate.exchange import SimulatedExchange
from barfill.store.database import Database
from bench.classification.market import BEGINS_AT, END, Part, Trouble, script_of
from tests.engine.clocks import set_clock

WAITS = (timedelta(), timedelta(minutes=2), timedelta(hours=1.1), timedelta(days=1.1), timedelta(days=7.1))
"""Before each round; the last one stands for all further rounds."""
ROUNDS_MAX = 12
BACK_IN_ROUND = 3
"""In which round, counted from 0, the vendor has again what it withheld for a time."""
_NO_LIMIT = 1_000_000

_RECORD = """
select timeframe, kind, count(*), sum(expected_bars)::bigint from series_gaps group by timeframe, kind
"""


def ask_until_settled(
    exchange: SimulatedExchange,
    database: Database,
    parts: Sequence[Part],
    troubles: Sequence[Trouble],
    tell: Callable[[str], None],
) -> int:
    """
    Rounds of backfills of all *parts* until two of them, a week apart, leave the same record; how many it took.

    One chain at a time, so that the same seed meets the same faults at the same requests.
    """
    instant, before = BEGINS_AT, None
    for number in range(ROUNDS_MAX):
        wait = WAITS[min(number, len(WAITS) - 1)]
        instant += wait
        exchange.set_clock(instant)
        set_clock(database, instant)
        exchange.set_faults(script_of(troubles, is_first=number == 0, is_over=number >= BACK_IN_ROUND))
        asyncio.run(_ask(exchange, database, parts, with_symbols=number == 0))
        with database.connection() as conn:
            record = sorted(conn.execute(_RECORD).fetchall())
        tell(f"round {number + 1}, {instant:%Y-%m-%d %H:%M}: {len(exchange.requests)} requests so far, {_told(record)}")
        if record == before and number > BACK_IN_ROUND and wait == WAITS[-1]:
            return number + 1
        before = record
    return ROUNDS_MAX


async def _ask(exchange: SimulatedExchange, database: Database, parts: Sequence[Part], *, with_symbols: bool) -> None:
    provider = Alpaca(
        "key", "secret", base_url=exchange.alpaca_url, plan="paid", page_size=10_000, requests_per_minute=_NO_LIMIT
    )
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(_NO_LIMIT), backoff_s=0.01)
    settings = EngineSettings(max_concurrent_jobs=1, gap_retry_waits_s=(0.0,))
    clients = Clients(client)
    try:
        if with_symbols:
            await add_symbols(database, clients, parts[0].tickers)
        # As the schedule does before it plans.
        events = AlpacaEvents("key", "secret", base_url=exchange.alpaca_url)
        days = (parts[0].wanted.start.date(), date(END.year, END.month, END.day))
        await keep_events(
            database, [EventsSource(events, client)], EventsRequest(days=days, fresh_for=timedelta(days=1))
        )
        for part in parts:
            request = BackfillRequest(tickers=part.tickers, windows={part.timeframe: part.wanted})
            await Backfill(database, clients, settings, SilentListener()).run(request)
    finally:
        await client.aclose()


def _told(record: Sequence[tuple[str, str, int, int]]) -> str:
    told = (f"{Timeframe(timeframe).label} {kind} {bars:,}" for timeframe, kind, _, bars in record)
    return ", ".join(told) or "no gaps"

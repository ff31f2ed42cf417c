"""What a provider that does not answer takes from the throughput of another in one worker (fault H35)."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.schedule import Schedule
from barfill.engine.settings import EngineSettings
from barfill.engine.worker import QueueWorker
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpRequest, HttpResponse, Provider
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Connection, Database
from barfill.store.definitions import keep_series
from barfill.store.symbols import NewSymbol, add_symbols
from bench import work
from bench.machinery import fresh_database, simulated_exchange

PAIRS = tuple(f"{coin}/USD" for coin in ("BTC", "ETH", "SOL", "LTC", "XRP", "ADA"))
_VENUE, _NOBODY = "coinbaseexchange", "http://127.0.0.1:9"
_ANSWERS_AFTER_S = 60.0
_LOOKS_EVERY_S = 0.05
_MUCH = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """The minutes of so many days, in so many rounds."""

    tickers: tuple[str, ...]
    days: int
    rounds: int


FULL = Load(work.FULL.tickers, days=120, rounds=5)
SMOKE = Load(work.SMOKE.tickers, days=10, rounds=1)


@dataclass(frozen=True, slots=True)
class Throughput:
    """Medians, in bars a second."""

    load: Load
    alone: float
    beside: float

    @property
    def share(self) -> float:
        """What is left of it."""
        return self.beside / self.alone


class _Slow(HttpClient):
    """Answers nothing for a minute, or until it is over."""

    over: asyncio.Event

    async def get(self, request: HttpRequest) -> HttpResponse:
        """After a minute."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.over.wait(), _ANSWERS_AFTER_S)
        return await super().get(request)


def measure_slow_provider(server_url: str, load: Load) -> Throughput:
    """By turns, each with a database of its own: the one provider alone, and beside one that answers after a minute."""
    alone: list[float] = []
    beside: list[float] = []
    with simulated_exchange() as exchange_url:
        for _ in range(load.rounds):
            for found, is_beside in ((alone, False), (beside, True)):
                with fresh_database(server_url) as database:
                    found.append(asyncio.run(_bars_a_second(database, exchange_url, load, is_beside=is_beside)))
    return Throughput(load, statistics.median(alone), statistics.median(beside))


def rendered_throughput(found: Throughput) -> str:
    """The figures in words."""
    return (
        f"Beside a provider that answers after {_ANSWERS_AFTER_S:.0f} s each a worker brings {found.share:.0%} of the\n"
        f"bars a second that it brings of another one alone ({found.beside:,.0f} of {found.alone:,.0f}; medians of "
        f"{found.load.rounds}; to reach: 95 %)."
    )


async def _bars_a_second(database: Database, exchange_url: str, load: Load, *, is_beside: bool) -> float:
    wanted = PAIRS if is_beside else ()
    await asyncio.to_thread(database.run, _define, load.tickers, wanted, load.days)
    alpaca = Alpaca("key", "secret", base_url=exchange_url, plan="paid", requests_per_minute=_MUCH)
    venue = make_venue(_VENUE, _NOBODY, requests_per_minute=_MUCH)
    slow = _Slow(venue.base_urls)
    slow.over = asyncio.Event()
    clients = Clients(_client(alpaca, HttpClient(alpaca.base_urls)), _client(venue, slow))
    settings, listener = EngineSettings(), SilentListener()
    looking = Schedule(database, clients, settings, listener, every=timedelta(hours=1))
    try:
        await looking.look()
        worker = QueueWorker(database, clients, settings, listener)
        begun = time.perf_counter()
        working = asyncio.create_task(worker.run())
        while not await asyncio.to_thread(database.run, _is_done, alpaca.name):
            await asyncio.sleep(_LOOKS_EVERY_S)
        seconds = time.perf_counter() - begun
        slow.over.set()
        worker.stop()
        await working
        return await asyncio.to_thread(database.run, _bars) / seconds
    finally:
        await clients.aclose()


def _client(provider: Provider, sender: HttpClient) -> ProviderClient:
    return ProviderClient(provider, sender, SlidingQuota(_MUCH))


def _define(conn: Connection, tickers: Sequence[str], pairs: Sequence[str], days: int) -> None:
    coins = [NewSymbol(pair, asset_type="crypto") for pair in pairs]
    add_symbols(conn, [*(NewSymbol(ticker) for ticker in tickers), *coins])
    conn.execute("update symbols set confirmed_at = now()")
    keep_series(conn, tickers, [Timeframe.M1], window_days=days)
    # More urgent than what is measured: without places of their own its runs would be begun behind these.
    keep_series(conn, pairs, [Timeframe.M15], window_days=days, priority=500)


def _is_done(conn: Connection, provider: str) -> bool:
    row = conn.execute("select bool_and(status = 'success') from job_runs where provider = %s", (provider,)).fetchone()
    return row is not None and bool(row[0])


def _bars(conn: Connection) -> int:
    row = conn.execute("select coalesce(sum(bar_count), 0)::bigint from series").fetchone()
    assert row is not None
    return int(row[0])

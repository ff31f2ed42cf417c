"""
An exchange, a database and a backfill between them, as tests need them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import AddedSymbols, add_symbols
from barfill.engine.clients import Clients
from barfill.engine.events import PageWritten, SilentListener
from barfill.engine.report import BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.settings import EngineSettings
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import Provider
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient, Timeouts
from barfill.providers.limiter import Quota, SlidingQuota
from barfill.simulate.exchange import SimulatedExchange
from barfill.store.database import Database

NYSE = trading_calendar("XNYS", 2027)
QUICK = EngineSettings(max_concurrent_jobs=3, gap_retry_waits_s=(0.0,))
Bars = dict[int, tuple[float, ...]]
"""By start in microseconds UTC: open, high, low, close, volume."""


def days(start: str, end: str) -> Range:
    """A range of dates, the end excluded."""
    return Range(*(datetime.combine(date.fromisoformat(day), time(), UTC) for day in (start, end)))


class Collector(SilentListener):
    """Keeps what a backfill tells."""

    def __init__(self) -> None:
        self.pages: list[PageWritten] = []
        self.notes: list[str] = []

    def page_written(self, page: PageWritten) -> None:
        """Kept."""
        self.pages.append(page)

    def note(self, text: str) -> None:
        """Kept."""
        self.notes.append(text)


@dataclass
class Rig:
    """Backfills *database* from *exchange*."""

    exchange: SimulatedExchange
    database: Database
    settings: EngineSettings = QUICK
    page_size: int = 10_000
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(connect_s=2, read_s=2, total_s=5))
    listener: Collector = field(default_factory=Collector)
    attempts: int = 5
    key: str = "key"
    feed: str | None = None

    def backfill(
        self, tickers: Sequence[str], timeframes: Sequence[Timeframe], wanted: Range, **options: Any
    ) -> BackfillReport:
        """One backfill from start to end, symbols added first."""
        request = BackfillRequest(tickers=tuple(tickers), windows=dict.fromkeys(timeframes, wanted), **options)
        return asyncio.run(self._backfill(request))

    def add_symbols(self, tickers: Sequence[str]) -> AddedSymbols:
        """Looks the tickers up at the exchange."""

        async def add() -> AddedSymbols:
            client = self.client()
            try:
                return await add_symbols(self.database, Clients(client), tickers)
            finally:
                await client.aclose()

        return asyncio.run(add())

    def client(self, quota: Quota | None = None) -> ProviderClient:
        """A client of the exchange with short waits."""
        provider = Alpaca(
            self.key,
            "secret",
            base_url=self.exchange.alpaca_url,
            page_size=self.page_size,
            requests_per_minute=10_000,
            feed=self.feed,
        )
        return self.client_of(provider, quota)

    def client_of(self, provider: Provider, quota: Quota | None = None) -> ProviderClient:
        """A client of any of the exchange's vendors with short waits."""
        return ProviderClient(
            provider,
            HttpClient(provider.base_urls, timeouts=self.timeouts),
            quota or SlidingQuota(10_000),
            attempts=self.attempts,
            backoff_s=0.01,
        )

    async def _backfill(self, request: BackfillRequest) -> BackfillReport:
        client = self.client()
        try:
            await add_symbols(self.database, Clients(client), request.tickers)
            return await Backfill(self.database, Clients(client), self.settings, self.listener).run(request)
        finally:
            await client.aclose()

    def stored(self, ticker: str, timeframe: Timeframe) -> Bars:
        """What the table holds."""
        with self.database.connection() as conn:
            rows = conn.execute(
                "select ts, open, high, low, close, volume from ohlc_bars join symbols on symbols.id = symbol_id "
                "where ticker = %s and timeframe = %s order by ts",
                (ticker, timeframe.value),
            ).fetchall()
        return {to_us(row[0]): tuple(row[1:]) for row in rows}

    def truth(self, ticker: str, timeframe: Timeframe, wanted: Range) -> Bars:
        """What the exchange holds of *wanted* in regular hours, by barfill's stamps."""
        around = (wanted.start - timedelta(days=2), wanted.end + timedelta(days=2))
        frame = self.exchange.truth(ticker, timeframe.value, *around)
        columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
        starts = frame["ts"].dt.epoch("us").to_numpy().astype(np.int64)
        if timeframe is Timeframe.D1:
            starts = session_labels(starts)
        expected = set(NYSE.expected_starts(timeframe, wanted).tolist())
        rows = zip(starts.tolist(), *(column.tolist() for column in columns), strict=True)
        return {start: tuple(map(float, values)) for start, *values in rows if start in expected}

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement."""
        with self.database.connection() as conn:
            return conn.execute(statement, values).fetchall()

    def change(self, statement: str) -> None:
        """One statement without rows."""
        with self.database.connection() as conn:
            conn.execute(statement)

    def bar_requests(self) -> int:
        """How many requests for bars the exchange has answered or refused."""
        return len([one for one in self.exchange.requests if "bars" in one.path])


def session_labels(ny_midnights: NDArray[np.int64]) -> NDArray[np.int64]:
    """00:00 UTC of the New York date of each New York midnight."""
    day = 86_400_000_000
    return ny_midnights // day * day

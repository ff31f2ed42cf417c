"""Providers of corporate actions at a simulated exchange, and a database that keeps what they list."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from barfill.core.corporate import EventKind
from barfill.engine.corporate import EventsReport, EventsRequest, EventsSource, keep_events
from barfill.providers.alpaca import Alpaca
from barfill.providers.alpaca_events import AlpacaEvents
from barfill.providers.base import Provider
from barfill.providers.client import ProviderClient
from barfill.providers.events import EventsProvider
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from barfill.providers.massive_events import MassiveEvents
from barfill.simulate.exchange import SimulatedExchange
from barfill.store import symbols as symbol_store
from barfill.store.database import Database
from barfill.store.events import Row, read_events
from barfill.store.symbols import NewSymbol

ALL_DAYS = (date(2016, 1, 1), date(2027, 3, 1))


@dataclass
class EventsRig:
    """Keeps the events of *database* as *exchange* lists them."""

    exchange: SimulatedExchange
    database: Database

    def add(self, *tickers: str) -> dict[str, int]:
        """Symbols that were looked up long ago; their ids."""
        found = self.database.run(symbol_store.add_symbols, [NewSymbol(ticker) for ticker in tickers])
        self.change("update symbols set confirmed_at = '2016-01-04' where confirmed_at is null")
        return {ticker: symbol.id for ticker, symbol in found.items()}

    def keep(self, *names: str, **options: Any) -> EventsReport:
        """Asks the named providers, by default both."""
        options.setdefault("days", ALL_DAYS)
        if "kinds" in options:
            options["kinds"] = frozenset(EventKind(kind) for kind in options["kinds"])
        return asyncio.run(self._keep(names or ("alpaca", "massive"), EventsRequest(**options)))

    async def _keep(self, names: Sequence[str], request: EventsRequest) -> EventsReport:
        pairs: dict[str, tuple[Provider, EventsProvider]] = {
            "alpaca": (
                Alpaca("key", "secret", base_url=self.exchange.alpaca_url),
                AlpacaEvents("key", "secret", base_url=self.exchange.alpaca_url),
            ),
            "massive": (
                Massive("key", base_url=self.exchange.massive_url),
                MassiveEvents("key", base_url=self.exchange.massive_url),
            ),
        }
        sources = []
        for name in names:
            provider, events = pairs[name]
            http = HttpClient(provider.base_urls)
            sources.append(EventsSource(events, ProviderClient(provider, http, SlidingQuota(10_000), backoff_s=0.01)))
        try:
            return await keep_events(self.database, sources, request)
        finally:
            for source in sources:
                await source.client.aclose()

    def rows(self, kind: str, *, withdrawn: bool = False) -> list[Row]:
        """What is on record of a kind, the oldest first: what holds, or what was withdrawn."""
        found = self.database.run(read_events, EventKind(kind), first=date.min, end=date.max)
        return [row for row in reversed(found) if (row["withdrawn_at"] is not None) == withdrawn]

    def asked(self) -> list[str]:
        """The paths that were requested since the last look."""
        paths = [request.path for request in self.exchange.requests]
        self.exchange.forget_requests()
        return paths

    def change(self, statement: str, *values: Any) -> None:
        """One statement."""
        with self.database.connection() as conn:
            conn.execute(statement, values)

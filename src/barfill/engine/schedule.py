"""Looks at the standing orders again and again: every so many minutes, and soon after each session's close."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import numpy as np

from barfill.core.calendar import TradingCalendar
from barfill.core.ranges import from_us, to_us
from barfill.engine.derive import Derived, Origin, derive_market
from barfill.engine.events import BackfillListener
from barfill.engine.findings import Findings, look_for_gaps
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.engine.tick import Tick, tick
from barfill.errors import StoreError
from barfill.providers.client import ProviderClient
from barfill.store.database import Database

AFTER_CLOSE = timedelta(minutes=1)


class Schedule:
    """
    Args:
        every: How long to wait between two looks.
        max_calls: What one look may ask for.
        listener: Is told what each look found, on the event loop's thread.
    """

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        every: timedelta,
        max_calls: int | None = None,
    ) -> None:
        self._database = database
        self._capabilities = client.provider.capabilities
        self._provider = client.provider.name
        self._settings = settings
        self._listener = listener
        self._every = every
        self._max_calls = max_calls
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `run` at once."""
        self._stopping.set()

    async def run(self) -> None:
        """Looks until it is stopped; a database that is away is waited for."""
        while not self._stopping.is_set():
            wait_s = self._every.total_seconds()
            with suppress(StoreError):
                self._listener.note(told(await self.look()))
                # A worker that dies behind a run's last page has derived nothing of it, and no run will come again.
                await self.derive()
                wait_s = await self._seconds_to_next_look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def look(self) -> Tick:
        """
        One tick.

        Raises:
            OutsideCalendar, StoreError: The plan cannot be made.
        """
        return await asyncio.to_thread(self._look)

    async def derive(self) -> Derived:
        """Makes all that definitions want made of finer bars and that no worker has made yet."""
        return await asyncio.to_thread(self._derive)

    async def findings(self, *, begun_at: datetime) -> Findings:
        """How complete the windows of all definitions are now."""

        def look() -> Findings:
            now = self._database.now()
            orders = self._database.run(read_standing_orders, self._capabilities, self._settings, now)
            return look_for_gaps(self._database, [order.market for order in orders], now, begun_at=begun_at)

        return await asyncio.to_thread(look)

    def _look(self) -> Tick:
        return tick(
            self._database,
            self._capabilities,
            self._settings,
            provider=self._provider,
            now=self._database.now(),
            max_calls=self._max_calls,
        )

    def _derive(self) -> Derived:
        now = self._database.now()
        total = Derived()
        for order in self._database.run(read_standing_orders, self._capabilities, self._settings, now):
            done = derive_market(self._database, order.market, Origin(self._provider, now), is_full=False)
            total.bars += done.bars
            total.written += done.written
        return total

    async def _seconds_to_next_look(self) -> float:
        def seconds() -> float:
            now = self._database.now()
            orders = self._database.run(read_standing_orders, self._capabilities, self._settings, now)
            calendars = {order.market.calendar.name: order.market.calendar for order in orders}
            due = next_look(now, self._every, calendars.values(), self._capabilities.delay)
            return (due - now).total_seconds()

        return await asyncio.to_thread(seconds)


def next_look(now: datetime, every: timedelta, calendars: Iterable[TradingCalendar], delay: timedelta) -> datetime:
    """The next regular look, or the first moment at which a session that closes before it can be had whole."""
    due = now + every
    for calendar in calendars:
        lag = delay + AFTER_CLOSE
        position = int(np.searchsorted(calendar.closes, to_us(now - lag), side="right"))
        if position < len(calendar.closes):
            due = min(due, from_us(int(calendar.closes[position])) + lag)
    return due


def told(found: Tick) -> str:
    """What a look found, as a sentence."""
    if found.symbols == 0:
        return "No definition is enabled. Make one: barfill watchlist add tech AAPL, or barfill jobs definitions add"
    reaped = f"; {found.reaped} runs of dead workers wait again" if found.reaped else ""
    if not found.runs:
        return f"Nothing to do for {found.symbols:,} symbols{reaped}"
    later = f"; {found.left_out:,} more at the next look" if found.left_out else ""
    return f"{len(found.runs):,} runs for {found.symbols:,} symbols, about {found.calls:,} calls{later}{reaped}"

"""Looks at the standing orders again and again: every so many minutes, and soon after each session's close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from barfill.core.calendar import TradingCalendar
from barfill.core.corporate import EventKind
from barfill.core.ranges import Range, from_us, to_us
from barfill.engine.across import look_across
from barfill.engine.alongside import Alongside
from barfill.engine.catalog import confirm_written
from barfill.engine.clients import Clients
from barfill.engine.corporate import FRESH_FOR, EventsReport, unlearned
from barfill.engine.derive import Derived, derive_market
from barfill.engine.events import BackfillListener
from barfill.engine.findings import Findings, look_for_gaps
from barfill.engine.holding import look_at_key
from barfill.engine.ledger import ids_by_ticker, read_rows
from barfill.engine.planning import refused_lately
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import StandingOrder, read_standing_orders
from barfill.engine.tick import Tick, tick
from barfill.errors import DailyBudgetSpent, ProviderError, StoreError
from barfill.store.database import Database
from barfill.store.events import read_askers
from barfill.store.runs import queued_by_provider
from barfill.store.series import fingerprint

AFTER_CLOSE = timedelta(minutes=1)
LOOKED_ACROSS, ACROSS_EVERY = timedelta(days=5), timedelta(hours=1)
"""Which sessions are compared by their timeframes, and how often."""
SOON_S_MIN, SOON_S_MAX = 1.0, 60.0
"""How long to wait after a look that the database did not let be taken; doubles in between."""


class Schedule:
    """
    Args:
        every: How long to wait between two looks.
        max_calls: What one look may ask for.
        retention_days: How long finished runs are kept.
        keep_events: Brings corporate actions up to date; None where nobody lists any.
        patience_s: How long a look waits for what providers are asked before it: new symbols, corporate actions. One
            that answers after minutes holds up no plan for the others.
        listener: Is told what each look found, on the event loop's thread.
    """

    def __init__(
        self,
        database: Database,
        clients: Clients,
        settings: EngineSettings,
        listener: BackfillListener,
        *,
        every: timedelta,
        max_calls: int | None = None,
        retention_days: int = 90,
        keep_events: Callable[[], Awaitable[EventsReport]] | None = None,
        patience_s: float = 60.0,
    ) -> None:
        self._database = database
        self._clients = clients
        self._settings = settings
        self._listener = listener
        self._every = every
        self._max_calls = max_calls
        self._retention_days = retention_days
        self._events = Alongside(keep_events, patience_s) if keep_events is not None else None
        self._confirming = Alongside(self._confirm_written, patience_s)
        self._events_due_at = datetime.min.replace(tzinfo=UTC)
        self._stopping = asyncio.Event()
        self._awake = asyncio.Event()
        self._told: set[str] = set()
        self._derived_at: tuple[object, ...] = ()
        self._across_due_at = datetime.min.replace(tzinfo=UTC)

    def stop(self) -> None:
        """Ends `run` at once."""
        self._stopping.set()
        self._awake.set()
        self._confirming.stop()
        if self._events is not None:
            self._events.stop()

    def wake(self) -> None:
        """Has the next look taken at once: there is something new. To be called on the event loop's thread."""
        self._awake.set()

    async def close(self) -> None:
        """Gives up what providers are still being asked; what they have answered is kept."""
        await self._confirming.cancel()
        if self._events is not None:
            await self._events.cancel()

    async def run(self) -> None:
        """Looks until it is stopped; a database that is away is looked for again soon, then at growing intervals."""
        try:
            soon_s = SOON_S_MIN
            while not self._stopping.is_set():
                self._awake.clear()
                try:
                    self._listener.note(told(await self.look()))
                    # A worker that dies behind a run's last page has derived nothing of it, and no run will come again.
                    await self.derive()
                    await self._look_across()
                    wait_s = await self._seconds_to_next_look()
                    soon_s = SOON_S_MIN
                except StoreError as error:
                    wait_s = min(soon_s, self._every.total_seconds())
                    soon_s = min(soon_s * 2, SOON_S_MAX)
                    self._listener.note(f"The look is taken again in {wait_s:.0f} s: {error}")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), wait_s)
        finally:
            await self.close()

    async def look(self) -> Tick:
        """
        One tick; what somebody has written into the table is looked up at the provider before.

        While a provider refuses the key nothing is planned for it.

        Raises:
            StoreError: The plan cannot be made.
        """
        held: dict[str, ProviderError] = {}
        for client in self._clients.all:
            error = await look_at_key(self._database, client)
            if isinstance(error, ProviderError):  # more runs would only wait; a spent budget is back tomorrow
                held[client.provider.name] = error
        if len(held) == len(self._clients.all):
            return Tick(symbols=0, runs=(), calls=0, left_out=0, reaped=0, held=next(iter(held.values())))
        for name, error in held.items():
            self._note_once(f"Nothing is planned for {name}, as nothing can be fetched from it: {error}")
        await self._confirm()
        await self._look_at_events()
        waiting = await asyncio.to_thread(self._database.run, queued_by_provider)
        for name, count in waiting.items():
            if name not in self._clients.names:
                self._note_once(waiting_for_a_key(name, count))
        found = await asyncio.to_thread(self._look, frozenset(held), await self._unlearned())
        for text in found.unserved:
            self._note_once(text)
        return replace(found, held_back=tuple(held.values()))

    def _note_once(self, text: str) -> None:
        """What every look finds alike is told once."""
        if text not in self._told:
            self._told.add(text)
            self._listener.note(text)

    async def _unlearned(self) -> dict[str, frozenset[int]]:
        """
        By provider that knows tickers and not companies, the symbols whose former tickers it is still to be asked for.

        Where it has never told any, as on a plan that does not, nothing is waited for.
        """
        waiting: dict[str, frozenset[int]] = {}
        for capabilities in self._clients.roster.final:
            if self._events is None or capabilities.follows_companies:
                continue
            tellers = await asyncio.to_thread(self._database.run, read_askers, EventKind.CHANGES)
            if capabilities.provider in tellers:
                ids = await asyncio.to_thread(self._database.run, unlearned, capabilities.provider)
                waiting[capabilities.provider] = frozenset(ids)
        return waiting

    async def _look_at_events(self) -> None:
        """Every few hours, and before anything is planned: series may have new tickers, or no longer trade."""
        now = await asyncio.to_thread(self._database.now)
        if self._events is None or now < self._events_due_at:
            return
        report = await self._events.result()
        if report is None:
            self._listener.note("Corporate actions are still being asked for; this look plans without them")
            return
        for text in (*report.renamed, *report.put_right, *report.delisted, *report.failures):
            self._listener.note(text)
        if not (report.left_out or report.failures):
            self._events_due_at = now + FRESH_FOR

    async def _confirm(self) -> None:
        try:
            refused = await self._confirming.result()
        except (ProviderError, DailyBudgetSpent) as error:
            self._listener.note(f"New symbols could not be looked up: {error}")
        else:
            if refused is None:
                self._listener.note("New symbols are still being looked up; this look plans without them")
                return
            for text in refused.values():
                self._listener.note(text)

    async def _confirm_written(self) -> dict[str, str]:
        now = await asyncio.to_thread(self._database.now)
        return await confirm_written(self._database, self._clients, self._settings, now)

    async def derive(self) -> Derived:
        """Makes all that definitions want made of finer bars and that no worker has made yet."""
        return await asyncio.to_thread(self._derive)

    async def _look_across(self) -> None:
        """Compares the timeframes of the last sessions, once an hour: they are whole some time after their close."""
        now = await asyncio.to_thread(self._database.now)
        if now < self._across_due_at:
            return
        done = await asyncio.to_thread(look_across, self._database, None, Range(now - LOOKED_ACROSS, now))
        self._across_due_at = now + ACROSS_EVERY
        if done.by_rule:
            told_rules = ", ".join(f"{rule}: {count:,}" for rule, count in sorted(done.by_rule.items()))
            self._note_once(f"Sessions of the last days look odd ({told_rules}); they are in bar_warnings")

    async def findings(self, *, begun_at: datetime) -> Findings:
        """How complete the windows of all definitions are now; series of symbols that are not offered have failed."""

        def look() -> Findings:
            now = self._database.now()
            markets = [order.market for order in self._orders(now)]
            found = look_for_gaps(self._database, markets, now, begun_at=begun_at)
            tickers = {symbol_id: ticker for ticker, symbol_id in ids_by_ticker(markets).items()}
            refused = {
                (tickers[symbol_id], timeframe)
                for market in markets
                for symbol_id, timeframe in refused_lately(self._database.run(read_rows, market), now)
            }
            return replace(found, states=found.matrix(failed_series=refused))

        return await asyncio.to_thread(look)

    def _look(self, held: frozenset[str], unlearned: Mapping[str, frozenset[int]]) -> Tick:
        return tick(
            self._database,
            self._clients.roster,
            self._settings,
            held=held,
            unlearned=unlearned,
            now=self._database.now(),
            max_calls=self._max_calls,
            retention_days=self._retention_days,
        )

    def _orders(self, now: datetime) -> tuple[StandingOrder, ...]:
        return self._database.run(read_standing_orders, self._clients.roster, self._settings, now).orders

    def _derive(self) -> Derived:
        found = self._database.run(fingerprint)
        if found == self._derived_at:
            return Derived()
        now = self._database.now()
        total = Derived()
        for order in self._orders(now):
            done = derive_market(self._database, order.market, now, is_full=False)
            total.add(done)
        self._derived_at = found
        return total

    async def _seconds_to_next_look(self) -> float:
        def seconds() -> float:
            now = self._database.now()
            markets = [order.market for order in self._orders(now)]
            closings = {
                (one.calendar.name, one.capabilities.delay_of(timeframe)): one.calendar
                for one in markets
                for timeframe in one.timeframes
            }
            due = next_look(now, self._every, [(calendar, delay) for (_, delay), calendar in closings.items()])
            return (due - now).total_seconds()

        return await asyncio.to_thread(seconds)


def next_look(now: datetime, every: timedelta, closings: Iterable[tuple[TradingCalendar, timedelta]]) -> datetime:
    """
    The next regular look, or the first moment at which a session that closes before it can be had whole.

    Args:
        closings: Calendars, each with the delay of a provider that is asked for it.
    """
    due = now + every
    for calendar, delay in closings:
        lag = delay + AFTER_CLOSE
        position = int(np.searchsorted(calendar.closes, to_us(now - lag), side="right"))
        if position < len(calendar.closes):
            due = min(due, from_us(int(calendar.closes[position])) + lag)
    return due


def waiting_for_a_key(provider: str, count: int) -> str:
    """That runs wait which nobody here can carry out, and what can be done."""
    runs = f"{count:,} run waits" if count == 1 else f"{count:,} runs wait"
    return (
        f"{runs} for a worker that has a key of {provider}; what they are to bring is asked of nobody else meanwhile. "
        f"If there is no such worker any more: barfill jobs cancel --provider {provider}"
    )


def told(found: Tick) -> str:
    """What a look found, as a sentence."""
    if found.held is not None:
        return f"Nothing is planned, as nothing can be fetched: {found.held}"
    if found.symbols == 0 and found.unserved:
        return "Nothing is planned: no provider that has a key has any of what the definitions want"
    if found.symbols == 0:
        return "No definition is enabled. Make one: barfill watchlist add tech AAPL, or barfill jobs definitions add"
    reaped = f"; {found.reaped} runs of dead workers wait again" if found.reaped else ""
    looked_at = f"looked at {found.symbols:,} symbol{'' if found.symbols == 1 else 's'}: "
    waiting = f"; {found.waiting:,} of before in the queue" if found.waiting else ""
    if not found.runs:
        return f"{looked_at}nothing new to fetch{waiting}{reaped}"
    later = f"; {found.left_out:,} more at the next look" if found.left_out else ""
    made = f"{len(found.runs):,} new run{'' if len(found.runs) == 1 else 's'}"
    if found.rereads:
        made += f" ({found.rereads:,} of them to read again what may have been corrected)"
    return f"{looked_at}{made}, about {found.calls:,} call{'' if found.calls == 1 else 's'}{later}{waiting}{reaped}"

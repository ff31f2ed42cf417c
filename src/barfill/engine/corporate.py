"""
Keeps corporate actions: asks providers for what is not settled, and makes the tables say what they list.

Of what a provider lists only what belongs to a symbol on record is kept. An answer that lacks an event which it held
before is asked for once more, since answers come short under load; what both lack is withdrawn, never deleted. Changes
of tickers come first, since they say of whom the other events speak, and take effect at once: the series goes on under
its new ticker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from barfill.core.corporate import CorporateEvent, Delisting, EventKind, TickerChange
from barfill.core.event_plan import AHEAD, Days, EventsAsk, EventsOffer, plan_asks
from barfill.core.renames import match_changes
from barfill.core.tenures import Tenures
from barfill.engine.misplaced import LAGS, put_right
from barfill.errors import BadResponse, DailyBudgetSpent, PlanTooSmall, ProviderError, SymbolNotOffered
from barfill.providers.client import ProviderClient
from barfill.providers.events import EventsPage, EventsProvider, EventsQuery
from barfill.store import events as event_store
from barfill.store.database import Connection, Database
from barfill.store.events import Answered, Bearer

DEFAULT_DAYS = 730
"""How far back is asked where no bar is on record."""
FRESH_FOR = timedelta(hours=6)
"""How long the schedule takes what it has asked for."""
PAGES_MAX = 1_000
"""Of one question: more than a year of the whole market has."""
CALLS_MAX = 200
"""Of one look of the schedule, of each provider; the rest is asked at the next."""
NOTES_MAX = 20
FIRST_DAY = date(2000, 1, 1)

_IN_ORDER = (EventKind.CHANGES, EventKind.DELISTINGS, EventKind.SPLITS, EventKind.DIVIDENDS, EventKind.EARNINGS)
_WITH_ACTIONS = ("stock", "etf")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EventsSource:
    """A provider of corporate actions, and the client of the same vendor that asks it."""

    provider: EventsProvider
    client: ProviderClient


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsRequest:
    """
    What is to be kept.

    Attributes:
        symbol_ids: Of these; None for all on record.
        days: From a day up to, not including, another; None for all that bars are on record of, and what is announced.
        fresh_for: What was asked for less than this ago is not asked for again.
        calls_max: How many requests one provider may get, and no more than it takes in a minute; None for any number.
    """

    kinds: frozenset[EventKind] = frozenset(EventKind)
    symbol_ids: tuple[int, ...] | None = None
    days: Days | None = None
    fresh_for: timedelta = timedelta()
    calls_max: int | None = None


@dataclass(slots=True)
class EventsReport:
    """
    What became of it.

    Attributes:
        calls: Requests made.
        seen: Events of symbols on record that providers list.
        withdrawn: Events that they no longer list.
        left_out: Questions that `calls_max` left for the next time.
        renamed, delisted: A sentence for each symbol.
        put_right: A sentence for each stretch of bars that turned out to be another company's.
        notes: What else there is to say: rows that were kept out, kinds that a plan does not include.
        failures: A sentence for each provider that could not be asked.
    """

    calls: int = 0
    seen: int = 0
    withdrawn: int = 0
    left_out: int = 0
    renamed: list[str] = field(default_factory=list)
    delisted: list[str] = field(default_factory=list)
    put_right: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps a sentence once, and no more than can be read."""
        if text not in self.notes and len(self.notes) < NOTES_MAX:
            self.notes.append(text)


async def keep_events(database: Database, sources: Sequence[EventsSource], request: EventsRequest) -> EventsReport:
    """
    Asks the providers for what is not settled, and keeps it.

    Raises:
        StoreError: The tables cannot be read or written.
    """
    report = EventsReport()
    for source in sources:
        keeper = _Keeper(database, source, request, report)
        try:
            await keeper.keep()
        except (ProviderError, DailyBudgetSpent) as error:
            report.failures.append(f"The events of {source.provider.name} are not up to date: {error}")
    return report


async def learn_former_tickers(database: Database, sources: Sequence[EventsSource]) -> EventsReport:
    """
    Asks the providers that know tickers and not companies which ones the symbols had that nobody was asked about yet.

    Raises:
        StoreError: The tables cannot be read or written.
    """
    report = EventsReport()
    for source in sources:
        if source.client.provider.capabilities.follows_companies or EventKind.CHANGES not in source.provider.offers:
            continue
        unknown = await asyncio.to_thread(database.run, unlearned, source.provider.name)
        if unknown:
            until = (await asyncio.to_thread(database.now)).date() + AHEAD
            request = EventsRequest(
                kinds=frozenset({EventKind.CHANGES}), symbol_ids=tuple(unknown), days=(FIRST_DAY, until)
            )
            found = await keep_events(database, [source], request)
            report.renamed.extend(found.renamed)
            report.put_right.extend(found.put_right)
            report.notes.extend(found.notes)
            report.failures.extend(found.failures)
    return report


def unlearned(conn: Connection, provider: str) -> list[int]:
    """
    Symbols of stocks whose former tickers are not known, those that are traded no more among them.

    A provider that knows tickers and not companies would give them bars of whoever had their tickers.
    """
    asked = {one.symbol_id for one in event_store.read_asked(conn, provider, EventKind.CHANGES)}
    return [one.id for one in event_store.read_bearers(conn) if one.asset_type in _WITH_ACTIONS and one.id not in asked]


class _Keeper:
    """One provider's events."""

    def __init__(self, database: Database, source: EventsSource, request: EventsRequest, report: EventsReport) -> None:
        self._database = database
        self._provider = source.provider
        self._client = source.client
        self._request = request
        self._report = report
        per_minute = source.client.provider.capabilities.requests_per_minute
        self._calls_left = None if request.calls_max is None else min(request.calls_max, per_minute)

    async def keep(self) -> None:
        await self._apply()
        for kind in _IN_ORDER:
            if kind not in self._request.kinds or kind not in self._provider.offers:
                continue
            try:
                await self._keep_kind(kind)
            except PlanTooSmall as error:
                self._report.note(f"{self._provider.name} does not give {kind} on this plan: {error}")
            if kind in (EventKind.CHANGES, EventKind.DELISTINGS):
                await self._apply()

    async def _keep_kind(self, kind: EventKind) -> None:
        offer = self._provider.offers[kind]
        asks = await asyncio.to_thread(self._database.run, self._plan, kind, offer)
        for ask in asks:
            if self._calls_left is not None and self._calls_left <= 0:
                self._report.left_out += 1
                continue
            await self._carry_out(ask, offer)

    def _plan(self, conn: Connection, kind: EventKind, offer: EventsOffer) -> list[EventsAsk]:
        now = self._database.now()
        wanted = self._request.symbol_ids
        added_at = {
            one.id: one.created_at
            for one in event_store.read_bearers(conn)
            if one.asset_type in _WITH_ACTIONS and (_is_known(one) if wanted is None else one.id in wanted)
        }
        return plan_asks(
            kind,
            offer,
            wanted=self._request.days or _kept_days(conn, now),
            added_at=added_at,
            asked=event_store.read_asked(conn, self._provider.name, kind),
            now=now,
            fresh_for=max(self._request.fresh_for, offer.rests) if wanted is None else self._request.fresh_for,
        )

    async def _carry_out(self, ask: EventsAsk, offer: EventsOffer) -> None:
        """One question to its end, and once more where the answer lacks what it held before."""
        asked_at = await asyncio.to_thread(self._database.now)
        answered = Answered(self._provider.name, ask.kind, ask.symbol_ids, ask.first, ask.end, asked_at)
        events = await self._fetch(ask, offer)
        unlisted = await asyncio.to_thread(self._database.run, self._write, answered, offer, events)
        if unlisted:
            events += await self._fetch(ask, offer)
        await asyncio.to_thread(self._database.run, self._settle, answered, offer, events if unlisted else [])

    async def _fetch(self, ask: EventsAsk, offer: EventsOffer) -> list[CorporateEvent]:
        found: list[CorporateEvent] = []
        for query in await asyncio.to_thread(self._database.run, _queries, ask, offer):
            try:
                found += await self._pages(query)
            except SymbolNotOffered:
                continue  # nobody of that name, now: no events
        return found

    async def _pages(self, query: EventsQuery) -> list[CorporateEvent]:
        found: list[CorporateEvent] = []
        request = self._provider.events_request(query)
        for _ in range(PAGES_MAX):
            page: EventsPage = await self._client.fetch(
                request, lambda response: self._provider.parse_events(query, response)
            )
            self._report.calls += 1
            if self._calls_left is not None:
                self._calls_left -= 1
            found += page.events
            for text in page.rejected:
                self._report.note(f"{self._provider.name}: {text}")
            if page.more is None:
                return found
            request = page.more
        raise BadResponse(
            f"The {query} do not end after {PAGES_MAX:,} pages.",
            provider=self._provider.name,
            request=request.shown,
            reason="page_loop",
        )

    def _write(
        self, conn: Connection, answered: Answered, offer: EventsOffer, events: Sequence[CorporateEvent]
    ) -> list[int]:
        """Writes what is of symbols on record; the rows that the answer lacks."""
        matched = self._matched(conn, answered, offer, events)
        with conn.transaction(), self._putting_right(conn, answered.kind):
            event_store.write_events(conn, answered, matched)
            return event_store.find_unlisted(conn, answered, [event.event_id for _, event in matched])

    def _settle(
        self, conn: Connection, answered: Answered, offer: EventsOffer, events: Sequence[CorporateEvent]
    ) -> None:
        """Withdraws what no answer held, and keeps that these days were asked for."""
        matched = self._matched(conn, answered, offer, events) if events else []
        with conn.transaction(), self._putting_right(conn, answered.kind):
            event_store.write_events(conn, answered, matched)
            unlisted = event_store.find_unlisted(conn, answered, [event.event_id for _, event in matched])
            if answered.kind is EventKind.CHANGES:
                unlisted = self._undone(conn, unlisted)
            self._report.withdrawn += event_store.withdraw(conn, answered.kind, unlisted)
            event_store.note_asked(conn, answered)

    def _matched(
        self, conn: Connection, answered: Answered, offer: EventsOffer, events: Iterable[CorporateEvent]
    ) -> list[tuple[int, CorporateEvent]]:
        """The events that are of symbols on record, each with its symbol."""
        bearers = {one.id: one for one in event_store.read_bearers(conn) if one.asset_type in _WITH_ACTIONS}
        tickers = {one.id: one.ticker for one in bearers.values()}
        renames = event_store.read_renames(conn)
        if answered.kind is EventKind.CHANGES:
            changes = [event for event in events if isinstance(event, TickerChange)]
            found = match_changes(
                tickers,
                renames,
                changes,
                today=answered.asked_at.date(),
                is_same=lambda symbol_id, on: _may_have_left(bearers[symbol_id], on),
            )
            for twin in found.twins:
                self._report.note(
                    f"{twin.ticker} became {twin.new_ticker} on {twin.on}, and both are on record: two series of one "
                    f"company, or two companies. If they are one: barfill symbols remove {twin.ticker}"
                )
            self._report.seen += len(found.changes)
            return list(found.changes)
        tenures = Tenures(tickers, renames)
        matched = [
            (symbol_id, event)
            for event in events
            if (symbol_id := self._holder(tenures, offer, event)) is not None and self._is_of(bearers[symbol_id], event)
        ]
        self._report.seen += len(matched)
        return matched

    def _holder(self, tenures: Tenures, offer: EventsOffer, event: CorporateEvent) -> int | None:
        if offer.has_companies:
            return tenures.bearer(event.ticker)
        symbol_id = tenures.holder(event.ticker, event.on)
        if symbol_id is None and tenures.bearer(event.ticker) is not None:
            self._report.note(
                f"{self._provider.name} lists {event.kind} of {event.ticker} on {event.on}, when nobody on record bore "
                "that ticker: kept out, as it may be another company's."
            )
        return symbol_id

    def _is_of(self, bearer: Bearer, event: CorporateEvent) -> bool:
        if not isinstance(event, Delisting) or not bearer.is_active or _may_have_left(bearer, event.on):
            return True
        self._report.note(
            f"{self._provider.name} says that {event.ticker} left on {event.on}, but it was offered after that: "
            "another company's, kept out."
        )
        return False

    async def _apply(self) -> None:
        await asyncio.to_thread(self._database.run, self._apply_due)

    def _apply_due(self, conn: Connection) -> None:
        with conn.transaction(), self._putting_right(conn):
            self._take_effect(conn)

    def _undone(self, conn: Connection, unlisted: Sequence[int]) -> list[int]:
        """Gives series that bear a ticker by *unlisted* changes alone their former one; the changes to withdraw."""
        kept: set[int] = set()
        for change_id, change in event_store.read_applied(conn, unlisted):
            text = f"{self._provider.name} no longer lists that {change.old} became {change.new} on {change.on}"
            if event_store.rename_symbol(conn, replace(change, old=change.new, new=change.old)):
                self._report.renamed.append(f"{change.new} is {change.old} again: {text}.")
            else:
                kept.add(change_id)
                self._report.note(
                    f"{text}, but {change.old} is on record as another series: {change.new} keeps its ticker and its "
                    f"bars. If it never was {change.old}: barfill symbols remove {change.new}"
                )
        return [one for one in unlisted if one not in kept]

    @contextmanager
    def _putting_right(self, conn: Connection, kind: EventKind = EventKind.CHANGES) -> Iterator[None]:
        """Takes out what is another company's by changes of tickers that become known or are withdrawn in the block."""
        if kind is not EventKind.CHANGES:
            yield
            return
        earlier, _ = _tenures_on_record(conn)
        yield
        now_known, bearers = _tenures_on_record(conn)
        self._report.put_right += put_right(conn, earlier, now_known, bearers, self._database.now())

    def _take_effect(self, conn: Connection) -> None:
        """Renames what has a new ticker by now, and switches off what is traded no more."""
        today = self._database.now().date()
        bearers = {one.id: one for one in event_store.read_bearers(conn)}
        for change in sorted(event_store.read_renames(conn)):
            bearer = bearers.get(change.symbol_id)
            if (
                bearer is None
                or bearer.ticker != change.old
                or change.on > today
                or not _may_have_left(bearer, change.on)
            ):
                continue
            if event_store.rename_symbol(conn, change):
                bearers[bearer.id] = replace(bearer, ticker=change.new)
                self._report.renamed.append(f"{change.old} is {change.new} since {change.on}: its series goes on.")
            else:
                self._report.note(f"{change.old} is {change.new} since {change.on}, but {change.new} is on record too.")
        for row in event_store.read_events(conn, EventKind.DELISTINGS, first=date.min, end=today + _ONE_DAY):
            is_due = row["withdrawn_at"] is None and row["applied_at"] is None
            if is_due and event_store.delist_symbol(conn, row["symbol_id"], row["effective_on"]):
                self._report.delisted.append(f"{row['ticker']} is traded no more since {row['effective_on']}.")


def _tenures_on_record(conn: Connection) -> tuple[Tenures, dict[int, Bearer]]:
    bearers = {one.id: one for one in event_store.read_bearers(conn)}
    return Tenures({one.id: one.ticker for one in bearers.values()}, event_store.read_renames(conn)), bearers


def _is_known(bearer: Bearer) -> bool:
    """Nobody is asked about what somebody has written into the table, before a provider has offered it."""
    return bearer.confirmed_at is not None


def _may_have_left(bearer: Bearer, on: date) -> bool:
    """Whether a symbol can be who gave its ticker up on a day: nobody has offered it under that ticker long after."""
    return bearer.confirmed_at is None or bearer.confirmed_at.date() <= on + LAGS


def _kept_days(conn: Connection, now: datetime) -> Days:
    oldest = event_store.oldest_bar(conn)
    first = now.date() - timedelta(days=DEFAULT_DAYS)
    return min(first, oldest.date()) if oldest is not None else first, now.date() + AHEAD


def _queries(conn: Connection, ask: EventsAsk, offer: EventsOffer) -> list[EventsQuery]:
    """One for the whole market; or as many as name all tickers that the symbols had in these days."""
    if ask.symbol_ids is None:
        return [EventsQuery(ask.kind, ask.first, ask.end)]
    tickers = {one.id: one.ticker for one in event_store.read_bearers(conn)}
    if offer.has_companies:
        names = sorted(tickers[one] for one in ask.symbol_ids if one in tickers)
    else:
        tenures = Tenures(tickers, event_store.read_renames(conn))
        names = sorted({part.ticker for one in ask.symbol_ids for part in tenures.names_of(one, ask.first, ask.end)})
    size = offer.symbols_per_call
    return [
        EventsQuery(ask.kind, ask.first, ask.end, tuple(names[start : start + size]))
        for start in range(0, len(names), size)
    ]

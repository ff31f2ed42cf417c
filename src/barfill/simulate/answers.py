"""
The vendor's answers: one function per endpoint, and faults applied to what it gives.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from barfill.simulate import reference
from barfill.simulate.clock import MovableClock
from barfill.simulate.faults.catalogue import Fault, Occasion
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.pages import Market, make_page
from barfill.simulate.queries import BarsQuery, Entitlement, parse_query
from barfill.simulate.replies import Reply, compressed
from barfill.simulate.sessions import HOUR_NS, MINUTE_NS, NEW_YORK, from_ns
from barfill.simulate.wire import Page, Refusal, encode_json, encode_page, page_document

#: Of bodies; what is kept compressed beside them comes to about a third more.
_CACHE_BYTES = 160_000_000
#: Pages that end this long before what is visible cannot change any more.
_SETTLED_AFTER_NS = 400 * 24 * HOUR_NS


#: What a page fault stumbles over where an earlier one has been.
_SPOILED_ALREADY = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(slots=True)
class Asked:
    """A request as the endpoints see it: which one, its parameters, a symbol in the path, whether gzip is taken."""

    endpoint: str
    params: Mapping[str, str]
    path_symbol: str | None = None
    accepts_gzip: bool = False

    @property
    def symbols(self) -> tuple[str, ...]:
        if self.path_symbol is not None:
            return (self.path_symbol,)
        return tuple(name for name in self.params.get("symbols", "").split(",") if name)

    @property
    def is_for_bars(self) -> bool:
        return self.endpoint in {"bars", "symbol_bars"}


@dataclass(slots=True)
class _Encoded:
    """A page's body, and the same compressed once somebody took it so."""

    body: bytes
    zipped: bytes | None = None


@dataclass(slots=True)
class _BodyCache:
    """Encoded pages, the least recently used ones dropped."""

    pages: "OrderedDict[object, _Encoded]" = field(default_factory=OrderedDict)
    size: int = 0
    lock: Lock = field(default_factory=Lock)

    def get(self, key: object) -> _Encoded | None:
        with self.lock:
            found = self.pages.get(key)
            if found is not None:
                self.pages.move_to_end(key)
            return found

    def put(self, key: object, page: _Encoded) -> None:
        with self.lock:
            if key in self.pages:
                return
            self.pages[key] = page
            self.size += len(page.body)
            while self.size > _CACHE_BYTES and len(self.pages) > 1:
                _, dropped = self.pages.popitem(last=False)
                self.size -= len(dropped.body)


class Answers:
    """What the vendor would answer now. Pages are made in *pool*, off the event loop."""

    def __init__(self, market: Market, clock: MovableClock, pool: Executor, *, is_free: bool) -> None:
        self._market = market
        self._clock = clock
        self._pool = pool
        self._is_free = is_free
        self._cache = _BodyCache()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def page(self, query: BarsQuery) -> Page:
        """The true page of a query."""
        return make_page(self._market, query, self._plan.visible_ns(query.feed))

    async def reply(self, asked: Asked, script: FaultScript) -> tuple[Reply, str | None]:
        """The reply to a request, spoiled by the faults that fire on it, and their ids."""
        page_faults: list[tuple[Fault, Occasion]] = []
        last: tuple[Fault, Occasion] | None = None
        for fault, occasion in script.firing(asked.endpoint, asked.params, asked.symbols, self):
            if fault.stage == "page" and asked.is_for_bars:
                page_faults.append((fault, occasion))
            elif fault.stage == "page":
                occasion.decline()
            elif fault.stage == "reply":
                instead = fault.act(occasion)
                if instead is not None:
                    return instead, fault.id
                occasion.decline()
            elif last is None:
                last = (fault, occasion)
            else:
                occasion.decline()
        reply = await self._plain(asked, page_faults, None if last is None else last[1])
        if last is not None:
            reply = last[0].act(last[1], reply)
        names = [fault.id for fault, _ in page_faults] + ([last[0].id] if last is not None else [])
        return reply, "+".join(names) or None

    async def _plain(self, asked: Asked, faults: list[tuple[Fault, Occasion]], wire_occasion: Occasion | None) -> Reply:
        try:
            if not asked.is_for_bars:
                return Reply(200, encode_json(self._reference(asked)))
            query = parse_query(asked.params, asked.path_symbol, self._market.listings, self._plan)
        except Refusal as refusal:
            return Reply(refusal.status, encode_json(refusal.document))
        for occasion in [*(occasion for _, occasion in faults), *([wire_occasion] if wire_occasion else [])]:
            occasion.query = query
        loop = asyncio.get_running_loop()
        if not faults:
            make = partial(self._encoded, query, with_gzip=asked.accepts_gzip)
            encoded = await loop.run_in_executor(self._pool, make)
            return Reply(200, encoded.body, zipped=encoded.zipped)
        return await loop.run_in_executor(self._pool, self._spoiled, query, faults)

    @property
    def _plan(self) -> Entitlement:
        return Entitlement(self._is_free, self._clock.now_ns())

    def _encoded(self, query: BarsQuery, *, with_gzip: bool) -> _Encoded:
        visible_ns = self._plan.visible_ns(query.feed)
        # Bars appear minute by minute, so within a minute equal queries have equal answers.
        is_settled = query.end_ns < visible_ns - _SETTLED_AFTER_NS
        key = (query, 0 if is_settled else visible_ns // MINUTE_NS)
        found = self._cache.get(key)
        if found is None:
            found = _Encoded(encode_page(make_page(self._market, query, visible_ns)))
            self._cache.put(key, found)
        if with_gzip and found.zipped is None:
            found.zipped = compressed(found.body)
        return found

    def _spoiled(self, query: BarsQuery, faults: list[tuple[Fault, Occasion]]) -> Reply:
        document: dict[str, Any] = page_document(self.page(query))
        for number, (fault, occasion) in enumerate(faults):
            if number == 0:
                document = fault.act(occasion, document)
                continue
            try:
                document = fault.act(occasion, deepcopy(document))
            except _SPOILED_ALREADY:
                # The faults before it left nothing that it can spoil: stamps that are numbers, rows without a close.
                occasion.decline()
        return Reply(200, encode_json(document))

    def _reference(self, asked: Asked) -> Any:
        listings = self._market.listings
        today = from_ns(self._clock.now_ns()).astimezone(NEW_YORK).date()
        if asked.endpoint == "assets":
            return reference.assets(listings, asked.params, today)
        if asked.endpoint == "asset":
            return reference.one_asset(listings, asked.path_symbol or "", today)
        if asked.endpoint == "calendar":
            return reference.calendar(asked.params)
        return reference.clock(self._clock.now_ns())

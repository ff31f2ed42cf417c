"""
A vendor's answers, and the faults applied to them.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import Executor
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.faults.catalogue import Fault, Occasion
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.queries import BarsQuery, Page, Refusal
from barfill.simulate.replies import Reply, compressed, reply_of
from barfill.simulate.vendor import Asked, Vendor

#: Of bodies; what is kept compressed beside them comes to about a third more.
_CACHE_BYTES = 160_000_000

#: What a page fault stumbles over where an earlier one has been.
_SPOILED_ALREADY = (AttributeError, IndexError, KeyError, TypeError, ValueError)


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
    """What one vendor would answer now. Pages are made in *pool*, off the event loop."""

    def __init__(self, vendor: Vendor, clock: MovableClock, pool: Executor) -> None:
        self._vendor = vendor
        self._clock = clock
        self._pool = pool
        self._cache = _BodyCache()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def query(self, asked: Asked) -> BarsQuery | None:
        """The query that a request for bars makes; None where it is another one, or refused."""
        if asked.endpoint not in self._vendor.bars_endpoints:
            return None
        try:
            return self._vendor.query(asked)
        except Refusal:
            return None

    def page(self, query: BarsQuery) -> Page:
        """The true page of a query."""
        return self._vendor.page(query)

    async def reply(self, asked: Asked, script: FaultScript) -> tuple[Reply, str | None]:
        """The reply to a request, spoiled by the faults that fire on it, and their ids."""
        page_faults: list[tuple[Fault, Occasion]] = []
        last: tuple[Fault, Occasion] | None = None
        spoiled_at = {
            "page": self._vendor.bars_endpoints,
            "events": self._vendor.events_endpoints,
            "calendar": self._vendor.calendar_endpoints,
        }
        for fault, occasion in script.firing(self._vendor, asked, self):
            if fault.stage in spoiled_at and asked.endpoint in spoiled_at[fault.stage]:
                page_faults.append((fault, occasion))
            elif fault.stage in spoiled_at:
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
        plain = await self._plain(asked, page_faults, None if last is None else last[1])
        reply = self._vendor.dressed(asked, plain)
        if last is not None:
            reply = last[0].act(last[1], reply)
        names = [fault.id for fault, _ in page_faults] + ([last[0].id] if last is not None else [])
        return reply, "+".join(names) or None

    async def _plain(self, asked: Asked, faults: list[tuple[Fault, Occasion]], wire_occasion: Occasion | None) -> Reply:
        loop = asyncio.get_running_loop()
        try:
            if asked.endpoint not in self._vendor.bars_endpoints:
                found = await loop.run_in_executor(self._pool, self._vendor.lookup, asked)
                return reply_of(200, _spoiled(found, faults))
            query = self._vendor.query(asked)
        except Refusal as refusal:
            return reply_of(refusal.status, refusal.document)
        for occasion in [*(occasion for _, occasion in faults), *([wire_occasion] if wire_occasion else [])]:
            occasion.query = query
        if not faults:
            make = partial(self._encoded, query, with_gzip=asked.accepts_gzip)
            encoded = await loop.run_in_executor(self._pool, make)
            return Reply(200, encoded.body, zipped=encoded.zipped)
        return await loop.run_in_executor(self._pool, self._spoiled_page, query, faults, wire_occasion)

    def _encoded(self, query: BarsQuery, *, with_gzip: bool) -> _Encoded:
        key = (query, self._vendor.freshness(query))
        found = self._cache.get(key)
        if found is None:
            found = _Encoded(self._vendor.dialect.encode(query, self.page(query)))
            self._cache.put(key, found)
        if with_gzip and found.zipped is None:
            found.zipped = compressed(found.body)
        return found

    def _spoiled_page(
        self, query: BarsQuery, faults: list[tuple[Fault, Occasion]], wire_occasion: Occasion | None
    ) -> Reply:
        document = _spoiled(self._vendor.dialect.document(query, self.page(query)), faults)
        if wire_occasion is not None:
            wire_occasion.spoiled = document
        return Reply(200, self._vendor.dialect.written(query, document))


def _spoiled(document: Any, faults: list[tuple[Fault, Occasion]]) -> Any:
    """The document after all *faults*, in their order."""
    for number, (fault, occasion) in enumerate(faults):
        if number == 0:
            document = fault.act(occasion, document)
            continue
        try:
            document = fault.act(occasion, deepcopy(document))
        except _SPOILED_ALREADY:
            # The faults before it left nothing that it can spoil: stamps that are numbers, rows without a close.
            occasion.decline()
    return document

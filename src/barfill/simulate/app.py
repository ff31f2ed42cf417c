"""
The web application: routes, keys, the request limit, the request log and the controls under /simulate.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import msgspec
from aiohttp import web

from barfill.errors import InvalidInput
from barfill.simulate.answers import Answers
from barfill.simulate.clock import MovableClock
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.json_text import encode_json
from barfill.simulate.ledger import Ledger, Request
from barfill.simulate.limits import Allowance
from barfill.simulate.replies import Reply, accepts_gzip, reply_of, send_reply
from barfill.simulate.vendor import Asked, Route, Throttling, Vendor

REQUEST_LINE_BYTES_MAX = 8192
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Floor(Protocol):
    """The parts of an exchange that requests meet."""

    clock: MovableClock
    ledger: Ledger
    script: FaultScript

    @property
    def counters(self) -> Sequence[tuple[Vendor, Answers]]:
        """Each vendor with what answers for it."""

    def set_faults(self, lines: list[dict[str, Any]]) -> None: ...


def make_app(floor: Floor) -> web.Application:
    """The application that serves *floor*: each vendor below its name."""
    app = web.Application(client_max_size=16 * 1024 * 1024)
    for vendor, answers in floor.counters:
        for route in vendor.routes:
            handler = _vendor_handler(floor, vendor, answers, route)
            app.router.add_get(f"/{vendor.name}{route.path}", handler, allow_head=False)
    controls = _Controls(floor)
    app.router.add_get("/simulate/healthz", controls.health)
    app.router.add_get("/simulate/requests", controls.requests)
    app.router.add_post("/simulate/clock", controls.set_clock)
    app.router.add_post("/simulate/faults", controls.set_faults)
    app.router.add_route("*", "/{path:.*}", _unknown_handler(floor))
    return app


def _vendor_handler(floor: Floor, vendor: Vendor, answers: Answers, route: Route) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        at_s = time.time()
        asked = Asked(
            route.endpoint,
            request.path.removeprefix(f"/{vendor.name}"),
            request.match_info,
            request.query,
            request.headers,
            accepts_gzip(request),
        )
        limit = floor.ledger.limit_of(vendor.name, route.host, vendor.key_of(asked))
        allowance = limit.take(at_s, route.cost)
        asked = replace(asked, allowance=allowance)
        fault: str | None = None
        reply = _refused(request, vendor, asked, allowance)
        if reply is None:
            reply, fault = await answers.reply(asked, floor.script)
        # An empty value is a fault's way of leaving a header out.
        reply.headers = {
            name: text for name, text in {**vendor.limit_headers(allowance), **reply.headers}.items() if text
        }
        status = reply.status if reply.send is None else 0
        floor.ledger.record(
            Request(at_s, route.endpoint, request.path, dict(request.query), status, fault, vendor.name)
        )
        return await send_reply(request, reply)

    return handle


def _refused(request: web.Request, vendor: Vendor, asked: Asked, allowance: Allowance) -> Reply | None:
    """The reply to a request that gets no further than the gate."""
    if len(request.raw_path) + len(request.method) + len(" HTTP/1.1 ") > REQUEST_LINE_BYTES_MAX:
        body = b"<html><head><title>414 Request-URI Too Large</title></head></html>"
        return Reply(414, body, "text/html")
    if not allowance.is_allowed and isinstance(vendor, Throttling):
        return vendor.over_limit(asked, allowance)
    if not allowance.is_allowed:
        return reply_of(429, vendor.dialect.too_many(asked.endpoint, allowance.resets_at_s))
    return vendor.key_refusal(asked)


def _unknown_handler(floor: Floor) -> _Handler:
    by_prefix = {f"/{vendor.name}/": vendor for vendor, _ in floor.counters}
    first, _ = floor.counters[0]

    async def handle(request: web.Request) -> web.StreamResponse:
        at_s = time.time()
        found = (vendor for prefix, vendor in by_prefix.items() if request.path.startswith(prefix))
        vendor = next(found, first)
        floor.ledger.record(Request(at_s, "unknown", request.path, dict(request.query), 404, vendor=vendor.name))
        return await send_reply(request, vendor.unknown_path())

    return handle


class _Controls:
    """The endpoints for those who test, outside the vendor's contract: no key, no limit."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor

    async def health(self, request: web.Request) -> web.Response:
        return _json(200, {"status": "ok", "now": self._floor.clock.now().isoformat()})

    async def requests(self, request: web.Request) -> web.Response:
        return _json(200, self._floor.ledger.summary())

    async def set_clock(self, request: web.Request) -> web.Response:
        """``{"now": "2026-08-17T14:00:00Z"}`` or ``{"advance_seconds": 60}``, either with ``"frozen": true``."""
        try:
            change = _object(await request.read(), ("now", "advance_seconds", "frozen"))
            self._move_clock(change)
        except (InvalidInput, ValueError, OverflowError) as error:
            return _json(400, {"message": str(error)})
        return _json(200, {"now": self._floor.clock.now().isoformat()})

    async def set_faults(self, request: web.Request) -> web.Response:
        """A fault script (a JSON list, or JSON lines) in place of the one under way."""
        try:
            lines = parse_script(await request.text())
            self._floor.set_faults(lines)
        except (InvalidInput, msgspec.DecodeError) as error:
            return _json(400, {"message": str(error)})
        return _json(200, {"lines": len(lines)})

    def _move_clock(self, change: dict[str, Any]) -> None:
        clock = self._floor.clock
        if "now" in change:
            instant = datetime.fromisoformat(str(change["now"]))
            if instant.tzinfo is None:
                raise InvalidInput(f"now '{change['now']}' has no time zone. Write {change['now']}Z.")
            clock.set(instant)
        if "advance_seconds" in change:
            clock.advance(float(change["advance_seconds"]))
        if "frozen" in change:
            (clock.freeze if change["frozen"] else clock.resume)()


def parse_script(text: str) -> list[dict[str, Any]]:
    """The lines of a fault script: a JSON list of objects, or one object per line."""
    if text.lstrip().startswith("["):
        return msgspec.json.decode(text, type=list[dict[str, Any]])
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in text.splitlines() if line.strip()]


def _object(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidInput(f"The body must be a JSON object with {', '.join(known)}: {error}") from error
    unknown = [key for key in values if key not in known]
    if unknown or not values:
        raise InvalidInput(f"'{unknown[0] if unknown else ''}' is unknown. Use {', '.join(known)}.")
    return values


def _json(status: int, document: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=encode_json(document), content_type="application/json")

"""
The web application: routes, keys, the request limit, the request log and the controls under /simulate.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Protocol

import msgspec
from aiohttp import web

from barfill.errors import InvalidInput
from barfill.simulate.answers import Answers, Asked
from barfill.simulate.clock import MovableClock
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.ledger import Allowance, Ledger, Request
from barfill.simulate.replies import Reply, accepts_gzip, send_reply
from barfill.simulate.wire import encode_json

REQUEST_LINE_BYTES_MAX = 8192
#: Path, endpoint's name, and the vendor's host that has it.
ALPACA_ROUTES = (
    ("/alpaca/v2/stocks/bars", "bars", "data"),
    ("/alpaca/v2/stocks/{symbol}/bars", "symbol_bars", "data"),
    ("/alpaca/v2/assets", "assets", "trading"),
    ("/alpaca/v2/assets/{symbol}", "asset", "trading"),
    ("/alpaca/v2/calendar", "calendar", "trading"),
    ("/alpaca/v2/clock", "clock", "trading"),
)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Floor(Protocol):
    """The parts of an exchange that requests meet."""

    answers: Answers
    clock: MovableClock
    ledger: Ledger
    script: FaultScript
    wrong_key_status: int

    def set_faults(self, lines: list[dict[str, Any]]) -> None: ...


def make_app(floor: Floor) -> web.Application:
    """The application that serves *floor*."""
    app = web.Application(client_max_size=16 * 1024 * 1024)
    for path, endpoint, host in ALPACA_ROUTES:
        app.router.add_get(path, _vendor_handler(floor, endpoint, host), allow_head=False)
    controls = _Controls(floor)
    app.router.add_get("/simulate/healthz", controls.health)
    app.router.add_get("/simulate/requests", controls.requests)
    app.router.add_post("/simulate/clock", controls.set_clock)
    app.router.add_post("/simulate/faults", controls.set_faults)
    app.router.add_route("*", "/{path:.*}", _unknown_handler(floor))
    return app


def _vendor_handler(floor: Floor, endpoint: str, host: str) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        at_s = time.time()
        key = request.headers.get("APCA-API-KEY-ID", "")
        allowance = floor.ledger.limit_of(host, key).take(at_s)
        fault: str | None = None
        reply = _refused(request, floor, host, allowance)
        if reply is None:
            asked = Asked(endpoint, request.query, request.match_info.get("symbol"), accepts_gzip(request))
            reply, fault = await floor.answers.reply(asked, floor.script)
        # An empty value is a fault's way of leaving a header out.
        reply.headers = {name: text for name, text in {**allowance.headers(), **reply.headers}.items() if text}
        status = reply.status if reply.send is None else 0
        floor.ledger.record(Request(at_s, endpoint, request.path, dict(request.query), status, fault))
        return await send_reply(request, reply)

    return handle


def _refused(request: web.Request, floor: Floor, host: str, allowance: Allowance) -> Reply | None:
    """The reply to a request that gets no further than the gate."""
    if len(request.raw_path) + len(request.method) + len(" HTTP/1.1 ") > REQUEST_LINE_BYTES_MAX:
        body = b"<html><head><title>414 Request-URI Too Large</title></head></html>"
        return Reply(414, body, "text/html")
    if not allowance.is_allowed:
        return Reply(429, encode_json(too_many(host)))
    key, secret = (request.headers.get(name, "") for name in ("APCA-API-KEY-ID", "APCA-API-SECRET-KEY"))
    if not key or not secret:
        return Reply(401, b'{"message":"unauthorized."}')
    if "wrong" in {key, secret}:
        message = "forbidden." if floor.wrong_key_status == 403 else "unauthorized."  # noqa: PLR2004
        return Reply(floor.wrong_key_status, encode_json({"message": message}))
    return None


def too_many(host: str) -> dict[str, Any]:
    """The body of a 429: the two hosts word it differently."""
    if host == "trading":
        return {"code": 42910000, "message": "rate limit exceeded"}
    return {"message": "too many requests."}


def _unknown_handler(floor: Floor) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        at_s = time.time()
        floor.ledger.record(Request(at_s, "unknown", request.path, dict(request.query), 404))
        return await send_reply(request, Reply(404, b'{"message":"Not Found"}'))

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

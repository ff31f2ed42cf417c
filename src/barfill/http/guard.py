"""
Who may ask, before any endpoint runs.

A page in somebody's browser can send requests to this machine, and by DNS rebinding under a name of its own: so only
known hosts are answered, and whoever writes must send JSON with the key in a header that no foreign page can set.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from barfill.http.problems import problem

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
READS = frozenset({"GET", "HEAD", "OPTIONS"})
WRONG_KEYS_MAX = 10
WRITES_MAX = 300
WITHIN_S = 60.0
ADDRESSES_MAX = 10_000
"""So many addresses are remembered; the one that was quiet for longest is forgotten."""
_SAME_SITE = frozenset({"", "same-origin", "none"})


class Guard:
    """
    ASGI middleware: refuses with a problem document, or lets through.

    Args:
        key: What writers send as `X-API-Key`.
        hosts: Names besides loopback's, without a port.
        clock: Seconds, never going back.
    """

    def __init__(
        self, app: ASGIApp, *, key: str, hosts: tuple[str, ...] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._key = _digest(key.encode())
        self._hosts = LOOPBACK | {host.lower() for host in hosts}
        self._wrong_keys = _Recent(WRONG_KEYS_MAX, WITHIN_S, clock)
        self._writes = _Recent(WRITES_MAX, WITHIN_S, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # nothing here speaks over a socket
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        status, kind, detail, wait_s = refused
        headers = {"Retry-After": str(wait_s)} if wait_s else None
        await problem(status, kind, detail, scope["path"], headers=headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[HTTPStatus, str, str, int] | None:
        headers = Headers(scope=scope)
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            detail = f"This server is not asked under the name {host[:80]!r}. Add it to API_HOSTS if it is yours."
            return HTTPStatus.MISDIRECTED_REQUEST, "unknown-host", detail, 0
        return None if scope["method"] in READS else self._refusal_of_write(scope, headers)

    def _refusal_of_write(self, scope: Scope, headers: Headers) -> tuple[HTTPStatus, str, str, int] | None:
        address = scope["client"][0] if scope.get("client") else ""
        if wait_s := self._wrong_keys.wait_s(address):
            detail = f"Too many wrong keys came from this address. Try again in {wait_s} s."
            return HTTPStatus.TOO_MANY_REQUESTS, "too-many-wrong-keys", detail, wait_s
        if headers.get("sec-fetch-site", "") not in _SAME_SITE:
            detail = "A page of another site cannot change anything here."
            return HTTPStatus.FORBIDDEN, "cross-site", detail, 0
        keys = headers.getlist("x-api-key")
        # Bytes are compared, as digests of one length: a text with other characters than ASCII could not be.
        given = _digest(keys[0].encode("latin-1")) if len(keys) == 1 else b""
        if not hmac.compare_digest(given, self._key):
            self._wrong_keys.add(address)
            detail = "Writing needs the header X-API-Key, once, with the key of this server: see docs/http.md."
            return HTTPStatus.UNAUTHORIZED, "unauthorized", detail, 0
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if has_body and media_type != "application/json":
            detail = "Send the body as JSON, with the header Content-Type: application/json."
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail, 0
        if wait_s := self._writes.wait_s(address):
            detail = f"At most {WRITES_MAX} writes a minute are taken from one address. Try again in {wait_s} s."
            return HTTPStatus.TOO_MANY_REQUESTS, "too-many-writes", detail, wait_s
        self._writes.add(address)
        return None


class _Recent:
    """What addresses have done of late, so many times within so many seconds at most."""

    def __init__(self, count_max: int, within_s: float, clock: Callable[[], float]) -> None:
        self._count_max = count_max
        self._within_s = within_s
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> int:
        """How many whole seconds to wait until it may again; 0 where it may now."""
        times = self._times.get(address)
        if times is None or len(times) < self._count_max:
            return 0
        left_s = times[0] + self._within_s - self._clock()
        return int(left_s) + 1 if left_s > 0 else 0

    def add(self, address: str) -> None:
        """It has done it now."""
        times = self._times.setdefault(address, deque(maxlen=self._count_max))
        self._times.move_to_end(address)
        times.append(self._clock())
        if len(self._times) > ADDRESSES_MAX:
            self._times.popitem(last=False)


def _host_name(host: str) -> str:
    """Of a `Host` header, without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()

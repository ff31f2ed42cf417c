"""
A reply on its way to the client, and how it is put on the wire.
"""

import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from barfill.simulate.json_text import encode_json

GZIP_FROM_BYTES = 256
JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31


@dataclass(slots=True)
class Reply:
    """
    Status, headers and body; *send* replaces the ordinary way of sending (cut bodies, resets and the like).

    *zipped* is the body compressed already, where a cache had it.
    """

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    zipped: bytes | None = None
    send: "Callable[[web.Request, Reply], Awaitable[web.StreamResponse]] | None" = None


def reply_of(status: int, said: Any, headers: dict[str, str] | None = None) -> Reply:
    """The reply that says *said*: a str as plain text, everything else as JSON."""
    body, kind = (said.encode(), TEXT_TYPE) if isinstance(said, str) else (encode_json(said), JSON_TYPE)
    return Reply(status, body, kind, dict(headers or {}))


def accepts_gzip(request: web.Request) -> bool:
    """Whether the client asked for gzip."""
    return "gzip" in request.headers.get("Accept-Encoding", "").lower()


def compressed(body: bytes) -> bytes:
    """The body as gzip, at the fastest level: the vendor's level is not known."""
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_WINDOW)
    return packer.compress(body) + packer.flush()


async def send_reply(request: web.Request, reply: Reply) -> web.StreamResponse:
    """The response for aiohttp to send, or one that has been sent already."""
    if reply.send is not None:
        return await reply.send(request, reply)
    headers = {**reply.headers, "Content-Type": reply.content_type}
    if "Content-Encoding" in headers:
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    headers["Vary"] = "Accept-Encoding"
    body = reply.body
    if len(body) > GZIP_FROM_BYTES and accepts_gzip(request):
        body = reply.zipped or compressed(body)
        headers["Content-Encoding"] = "gzip"
    return web.Response(status=reply.status, body=body, headers=headers)

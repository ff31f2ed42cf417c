"""
Faults of the transport: bodies cut, bytes that dribble, connections that break, replies that never end.

What a server in plain HTTP cannot do is left out: a refused connection and failures of TLS or name resolution happen
before a request arrives. H18 breaks the connection after the request was read, by reset or in silence.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import replace
from http import HTTPStatus

import msgspec
from aiohttp import web

from barfill.simulate.faults.catalogue import Arg, Occasion, fault
from barfill.simulate.faults.places import groups
from barfill.simulate.json_text import encode_json
from barfill.simulate.replies import JSON_TYPE, Reply
from barfill.simulate.vendor import Document

_POLL_S = 0.05
_MEGABYTE = 1_000_000
_SPACES = b" " * 65_536

Send = Callable[[web.Request, Reply], Awaitable[web.StreamResponse]]


@fault("H14", "wire", "the body is shorter than Content-Length says", fraction=Arg(0.5, "the part of it that is sent"))
def cut_short(occasion: Occasion, reply: Reply) -> Reply:
    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        sent = reply.body[: int(len(reply.body) * occasion.args["fraction"])]
        return _hang_up(request, _head(reply, len(reply.body)) + sent)

    return _by(reply, send)


@fault(
    "H15",
    "wire",
    "a body without Content-Length that ends early and is still valid JSON: the first rows and a null token",
    fraction=Arg(0.5, "the part of the rows that is sent"),
)
def cut_validly(occasion: Occasion, reply: Reply) -> Reply:
    document = _document(occasion, reply)
    if document is None:
        occasion.decline()
        return reply
    dialect, found = occasion.dialect, groups(occasion, document)
    left = int(sum(map(len, found.values())) * occasion.args["fraction"])
    for symbol, rows in found.items():
        kept = rows[: max(left, 0)]
        document = dialect.with_rows(document, symbol, kept) if kept else dialect.emptied(document, symbol)
        left -= len(rows)
    body = _written(occasion, dialect.with_next(document, None))

    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        return _hang_up(request, _head(reply, None) + body)

    return _by(reply, send)


@fault(
    "H16",
    "wire",
    "JSON that a strict parser refuses: cut, followed by a second document, bare NaN, Infinity, 1e400, duplicate keys",
    form=Arg("cut", "which", ("cut", "trailing", "NaN", "Infinity", "1e400", "duplicate")),
    field=Arg("c", "the field of the first row that gets the bare word"),
)
def bad_json(occasion: Occasion, reply: Reply) -> Reply:
    form, document = occasion.args["form"], _document(occasion, reply)
    if form == "cut":
        return replace(reply, body=reply.body[: len(reply.body) // 2], zipped=None)
    if form == "trailing":
        return replace(reply, body=reply.body + occasion.dialect.empty_body, zipped=None)
    if form == "duplicate" and not reply.body.startswith(b"{"):
        # Of an array no key can be sent twice.
        occasion.decline()
        return reply
    if form == "duplicate":
        return replace(reply, body=occasion.dialect.empty_body[:-1] + b"," + reply.body[1:], zipped=None)
    rows = next(iter(groups(occasion, document).values()), None) if document is not None else None
    if document is None or not rows:
        occasion.decline()
        return reply
    rows[0][occasion.args["field"]] = msgspec.Raw(form.encode())
    return replace(reply, body=_written(occasion, document), zipped=None)


@fault(
    "H17",
    "wire",
    "a hang: before the first byte, after the headers, or a byte now and then; at last the connection closes",
    where=Arg("accept", "which", ("accept", "headers", "drip")),
    seconds=Arg(600, "until the connection closes"),
    interval_s=Arg(10, "between two bytes of drip"),
)
def hang(occasion: Occasion, reply: Reply) -> Reply:
    where, seconds, interval_s = (occasion.args[name] for name in ("where", "seconds", "interval_s"))

    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        if where != "accept":
            _write(request, _head(reply, len(reply.body)))
        if where != "drip":
            await _pause(request, seconds)
        else:
            count = min(len(reply.body), max(1, int(seconds / interval_s)))
            for byte in reply.body[:count]:
                _write(request, bytes([byte]))
                await _pause(request, interval_s)
        return _hang_up(request, b"")

    return _by(reply, send)


@fault("H18", "wire", "the connection breaks before the reply", form=Arg("reset", "RST or FIN", ("reset", "closed")))
def broken_connection(occasion: Occasion, reply: Reply) -> Reply:
    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        if occasion.args["form"] == "reset" and request.transport is not None:
            connection = request.transport.get_extra_info("socket")
            # Lingering for 0 s makes the close a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return _hang_up(request, b"")

    return _by(reply, send)


@fault(
    "H31",
    "wire",
    "too large: a small gzip body that grows, a chunked body without end, deep nesting, more rows than asked",
    form=Arg("gzip_bomb", "which", ("gzip_bomb", "endless", "nesting", "rows")),
    megabytes=Arg(50, "size of the bomb"),
    seconds=Arg(600, "until the endless body ends"),
    depth=Arg(100_000, "of nesting"),
    times=Arg(2, "rows sent / rows asked"),
)
def too_large(occasion: Occasion, reply: Reply) -> Reply:
    form = occasion.args["form"]
    if form == "rows":
        if occasion.query is None:
            occasion.decline()
            return reply
        query, times = occasion.query, occasion.args["times"]
        # Without pages there are only rows from before the range.
        earlier_ns = 0 if query.limit else int((query.end_ns - query.start_ns) * (times - 1))
        more = replace(query, limit=int(query.limit * times), start_ns=query.start_ns - earlier_ns)
        return replace(reply, body=occasion.dialect.encode(more, occasion.lab.page(more)), zipped=None)
    if form == "nesting":
        depth = occasion.args["depth"]
        body = b'{"%s":%s%s}' % (occasion.dialect.rows_key.encode(), b"[" * depth, b"]" * depth)
        return replace(reply, body=body, zipped=None)
    if form == "gzip_bomb":
        bomb = _bomb(reply.body, occasion.args["megabytes"])
        return replace(reply, body=bomb, zipped=None, headers={**reply.headers, "Content-Encoding": "gzip"})
    return _by(reply, _endless(occasion.args["seconds"]))


def _bomb(body: bytes, megabytes: float) -> bytes:
    """The body behind so much white space that it unpacks to *megabytes*; still valid JSON."""
    packer = zlib.compressobj(9, wbits=31)
    blocks = int(megabytes * _MEGABYTE / len(_SPACES)) + 1
    return b"".join([packer.compress(_SPACES) for _ in range(blocks)] + [packer.compress(body), packer.flush()])


def _endless(seconds: float) -> Send:
    async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": reply.content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        end_s = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end_s and not _is_gone(request):
            await response.write(_SPACES)
            await asyncio.sleep(0)
        return response

    return send


def _by(reply: Reply, send: Send) -> Reply:
    return replace(reply, send=send)


def _document(occasion: Occasion, reply: Reply) -> Document | None:
    """The page as plain values, None where the reply is none, or not in JSON."""
    if reply.status != HTTPStatus.OK or reply.content_type != JSON_TYPE:
        return None
    if occasion.query is None:
        document = msgspec.json.decode(reply.body)
    else:
        document = deepcopy(occasion.spoiled) or occasion.document_of(occasion.query)
    return document if isinstance(document, dict) and occasion.dialect.rows_key in document else None


def _written(occasion: Occasion, document: Document) -> bytes:
    """A page in the vendor's JSON; what is no page has but one form."""
    return encode_json(document) if occasion.query is None else occasion.dialect.written(occasion.query, document)


def _head(reply: Reply, length: int | None) -> bytes:
    """Status line and headers. Without a length the body ends where the connection does."""
    headers = {**reply.headers, "Content-Type": reply.content_type, "Connection": "close"}
    if length is not None:
        headers["Content-Length"] = str(length)
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _write(request: web.Request, sent: bytes) -> None:
    if not _is_gone(request) and request.transport is not None:
        request.transport.write(sent)


def _hang_up(request: web.Request, sent: bytes) -> web.StreamResponse:
    """Send what is left, close, and give aiohttp a response that it can no longer send."""
    _write(request, sent)
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _pause(request: web.Request, seconds: float) -> None:
    """Wait, but not for a client that has gone."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while (left_s := end_s - loop.time()) > 0 and not _is_gone(request):
        await asyncio.sleep(min(_POLL_S, left_s))


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()

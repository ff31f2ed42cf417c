"""Real servers on loopback that answer what a test scripts: well-formed ones, and ones that break the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Answer:
    """What to answer; a body that is no bytes is sent as JSON."""

    body: object = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        """The same for aiohttp."""
        headers = {"Content-Type": "application/json", **self.headers}
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(body=body, status=self.status, headers=headers)


Handler = Callable[[web.BaseRequest], Awaitable[Answer]]


class Exchange:
    """
    A scripted exchange: answers one after the other, the last one for ever; or whatever `handler` says.
    """

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.script: list[Answer] = [Answer({"bars": {}, "next_page_token": None})]
        self.handler: Handler | None = None
        self.base_url = ""

    def answers(self, *script: Answer) -> None:
        """Sets what comes next."""
        self.script = list(script)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Logs the request and answers it."""
        self.requests.append(request)
        if self.handler is not None:
            return (await self.handler(request)).response()
        return (self.script.pop(0) if len(self.script) > 1 else self.script[0]).response()


@contextlib.asynccontextmanager
async def running_exchange() -> AsyncIterator[Exchange]:
    """An exchange on a free port."""
    exchange = Exchange()
    runner = web.ServerRunner(web.Server(exchange.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    exchange.base_url = f"http://{host}:{port}/alpaca"
    try:
        yield exchange
    finally:
        await runner.cleanup()


Wire = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextlib.asynccontextmanager
async def wire_server(send: Wire) -> AsyncIterator[str]:
    """The base URL of a server that waits for a request and then does *send*, whatever that breaks."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await reader.read(65536)
            await send(writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def raw(*parts: bytes) -> Wire:
    """Sends the bytes and closes."""

    async def send(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return send


def then_hang(*parts: bytes) -> Wire:
    """Sends the bytes and goes silent."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await raw(*parts)(writer)
        await asyncio.sleep(3600)

    return send


def endless(head: bytes, part: bytes, pause_s: float = 0.0) -> Wire:
    """Sends *head*, then *part* until the client goes away."""

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return send


def reset(*parts: bytes) -> Wire:
    """Sends the bytes and resets the connection."""

    async def send(writer: asyncio.StreamWriter) -> None:
        await raw(*parts)(writer)
        await asyncio.sleep(0.05)
        linger_for_nothing = struct.pack("ii", 1, 0)  # closing then sends RST instead of FIN
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_for_nothing)
        writer.transport.abort()

    return send

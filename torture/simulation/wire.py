"""
HTTP without sockets: the client's httpcore and the exchange's aiohttp talk through memory, byte for byte.

Both sides are the real ones, so that bodies that are cut, connections that are reset and answers that rest look to the
client as they do on a network. Bytes need a moment of virtual time to arrive.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import Any

import httpcore
import httpx

from torture.simulation.actors import ACTING, ASKING

Protocols = Callable[[], asyncio.Protocol]


class MemoryTransport(httpx.AsyncHTTPTransport):
    """
    httpx on connections that lead to the *protocols* of a server in this process.

    Args:
        latency_s: Draws how long bytes are under way.
    """

    def __init__(self, protocols: Protocols, latency_s: Callable[[], float]) -> None:
        super().__init__(verify=False)  # no certificate is looked at
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(protocols, latency_s))


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, protocols: Protocols, latency_s: Callable[[], float]) -> None:
        self._protocols = protocols
        self._latency_s = latency_s

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(self._protocols, self._latency_s)


class _Stream(httpcore.AsyncNetworkStream):
    """The client's end."""

    def __init__(self, protocols: Protocols, latency_s: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = bytearray()
        self._is_over = False
        self._is_reset = False
        self._news = asyncio.Event()
        there = copy_context()
        there.run(ASKING.set, ACTING.get())
        there.run(ACTING.set, None)
        self._protocol = there.run(protocols)
        self._server = _ServerEnd(_Pipe(self._loop, latency_s, self._receive))
        self._there = there
        self._to_server = _Pipe(self._loop, latency_s, self._deliver)
        there.run(self._protocol.connection_made, self._server)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                while not self._arrived and not self._is_over:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise httpcore.ReadTimeout("nothing arrived") from error
        await self._moving()  # who stands still reads when it goes on, and dates the answer then
        if self._is_reset and not self._arrived:
            raise httpcore.ReadError("connection reset")
        taken = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        return taken

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._moving()
        if self._server.is_closing():
            raise httpcore.WriteError("connection reset")
        if buffer:
            self._to_server.send(bytes(buffer))

    async def aclose(self) -> None:
        if not self._server.is_closing():
            self._server.is_gone = True
            self._there.run(self._loop.call_soon, self._protocol.connection_lost, None)

    def get_extra_info(self, info: str) -> Any:
        return self._server.is_closing() if info == "is_readable" else None

    async def _moving(self) -> None:
        actor = ACTING.get()
        if actor is not None:
            await actor.moving()
            if actor.is_dead:
                raise httpcore.NetworkError("the process is gone")

    def _deliver(self, sent: bytes) -> None:
        if not self._server.is_closing():
            self._there.run(self._protocol.data_received, sent)

    def _receive(self, sent: bytes | None) -> None:
        """Bytes of the server, or its end of the connection."""
        if sent is None:
            self._is_over = True
            self._is_reset = self._server.socket.is_reset
            self._there.run(self._loop.call_soon, self._protocol.connection_lost, None)
        else:
            self._arrived += sent
        self._news.set()


class _Pipe:
    """Bytes in one direction, in their order."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, latency_s: Callable[[], float], deliver: Callable[[Any], None]
    ) -> None:
        self._loop = loop
        self._latency_s = latency_s
        self._deliver = deliver
        self._last_at = 0.0

    def send(self, sent: bytes | None) -> None:
        self._last_at = max(self._last_at, self._loop.time() + self._latency_s())
        self._loop.call_at(self._last_at, self._deliver, sent)


class _ServerEnd(asyncio.Transport):
    """What aiohttp takes for its connection."""

    def __init__(self, pipe: _Pipe) -> None:
        super().__init__()
        self.socket = _Socket()
        self.is_gone = False
        self._pipe = pipe

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_gone:
            self._pipe.send(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self._pipe.send(None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.is_gone

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.socket if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Socket:
    """Remembers whether its close is a reset."""

    family = socket.AF_INET
    proto = socket.IPPROTO_TCP

    def __init__(self) -> None:
        self.is_reset = False

    def setsockopt(self, _level: int, option: int, _value: Any) -> None:
        self.is_reset |= option == socket.SO_LINGER

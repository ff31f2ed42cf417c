"""A TCP proxy that cuts connections, all of them or one whose client has just sent COMMIT, or holds answers back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random

Upstream = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

_CHUNK = 65_536
_COMMIT = b"commit\x00"
_START_S = 10.0


class CuttingProxy:
    """
    Passes on what it is sent, until told otherwise; for any thread.

    Args:
        upstream: Opens a connection to what stands behind.
        chance: Decides which COMMITs lose their reply.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        commit_cut_rate: The share of COMMITs after which the connection is cut, their reply unread.
        cuts: Connections that were cut at any moment.
        commit_cuts: Connections that were cut after a COMMIT had been passed on.
    """

    def __init__(self, upstream: Upstream, chance: Random) -> None:
        self.port = 0
        self.commit_cut_rate = 0.0
        self.cuts = 0
        self.commit_cuts = 0
        self._upstream = upstream
        self._chance = chance
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._gate = asyncio.Event()
        self._gate.set()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Listens from now on."""
        self._thread.start()
        if not self._is_up.wait(_START_S):
            raise RuntimeError("The proxy does not start.")

    def stop(self) -> None:
        """Cuts what is open and ends."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        """Resets every connection that is open now."""
        self._loop.call_soon_threadsafe(self._cut)

    def hold_answers(self) -> None:
        """Whatever comes back from now on waits in the proxy."""
        self._loop.call_soon_threadsafe(self._gate.clear)

    def let_answers_go(self) -> None:
        """What waits goes on its way."""
        self._loop.call_soon_threadsafe(self._gate.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _cut(self) -> None:
        self.cuts += len(self._open)
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await self._upstream()
        except OSError:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            there = asyncio.ensure_future(self._pass_on(reader, behind_writer, writer))
            back = asyncio.ensure_future(self._pass_back(behind_reader, writer))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            for task in (there, back):
                task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        finally:
            self._open.discard(writer)
            for one in (writer, behind_writer):
                one.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                behind.write(data)
                await behind.drain()
                if data.lower().endswith(_COMMIT) and self._chance.random() < self.commit_cut_rate:
                    self.commit_cuts += 1
                    client.transport.abort()
                    await asyncio.sleep(0.05)  # so that the server has read it before it hears of the end
                    return

    async def _pass_back(self, behind: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await behind.read(_CHUNK):
                await self._gate.wait()
                client.write(data)
                await client.drain()


@contextmanager
def cutting_proxy(upstream: Upstream, chance: Random) -> Iterator[CuttingProxy]:
    """A proxy that runs as long as the block."""
    proxy = CuttingProxy(upstream, chance)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

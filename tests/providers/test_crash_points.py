"""The crash points of this layer kill the process where they say."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from tests.providers.servers import HEAD, then_hang, wire_server

FETCH = """
import asyncio, sys
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from datetime import UTC, datetime

async def main():
    alpaca = Alpaca("key", "secret", base_url=sys.argv[1])
    client = ProviderClient(alpaca, HttpClient(alpaca.base_urls), SlidingQuota(9))
    wanted = Range(datetime(2024, 3, 5, tzinfo=UTC), datetime(2024, 3, 6, tzinfo=UTC))
    await client.fetch_page(BarsQuery(("AAPL",), Timeframe.M1, wanted, "sip"), None)

asyncio.run(main())
"""

BODY = b'{"bars":{},"next_page_token":null}'
HEADERS = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)


@pytest.mark.parametrize(
    ("point", "sent"), [("k2", []), ("k3", [HEADERS]), ("k4", [HEADERS, BODY[:20]]), ("k5", [HEADERS, BODY])]
)
async def test_a_crash_point_needs_no_more_than_its_part_of_the_answer(point: str, sent: list[bytes]) -> None:
    """
    The server goes silent after nothing, the headers, half the body, all of it; the process is killed by then.
    """
    async with wire_server(then_hang(*sent)) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FETCH, url, env={**os.environ, "BARFILL_CRASH_AT": point}
        )
        code = await process.wait()

    assert code == -signal.SIGKILL

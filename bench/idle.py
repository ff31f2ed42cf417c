"""How long a look takes that finds everything done: many symbols at all eight timeframes, nothing to ask for."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.schedule import Schedule
from barfill.engine.settings import EngineSettings
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Connection, Database
from barfill.store.definitions import keep_series
from bench.machinery import fresh_database

SYMBOLS, SYMBOLS_SMOKE = 5_000, 200
_WINDOW_DAYS = 730
_NOBODY = "http://127.0.0.1:9"

_SYMBOLS = """
insert into symbols (ticker, confirmed_at) select 'S' || number, now() from generate_series(1, %s) as number
"""
_COVERED = """
insert into series (symbol_id, timeframe, feed, covered, bar_count, oldest_ts, newest_ts, density, last_result)
select id, timeframe, 'sip', tstzmultirange(tstzrange(now() - interval '800 days', now())), 1, now(), now(), 1, 'ok'
from symbols
cross join unnest(%s::text[]) as timeframe
"""


@dataclass(frozen=True, slots=True)
class Idle:
    """
    Seconds of the steps of a look that finds nothing to do.

    Attributes:
        first_s: The first look of a new process, which also loads its calendars, and the search for bars to derive.
        look_s: The same once more.
        calls: Requests sent to the provider, runs made and bars derived; all are to be none.
    """

    symbols: int
    first_s: float
    look_s: float
    calls: int


def measure_idle(server_url: str, symbols: int) -> Idle:
    """Two looks at that many symbols, each with a definition and coverage at each timeframe."""
    with fresh_database(server_url) as database:
        database.run(_fill, symbols)
        return asyncio.run(_looks(database, symbols))


def rendered_idle(idle: Idle) -> str:
    """The figures in words."""
    return (
        f"A look at {idle.symbols:,} symbols x {len(Timeframe)} timeframes with everything covered: "
        f"{idle.look_s:.2f} s (to reach with {SYMBOLS:,}: <= 2 s),\n"
        f"{idle.first_s:.2f} s the first of a new process; {idle.calls} calls (to reach: 0)."
    )


def _fill(conn: Connection, symbols: int) -> None:
    tickers = [f"S{number}" for number in range(1, symbols + 1)]
    with conn.transaction():
        conn.execute(_SYMBOLS, (symbols,))
        keep_series(conn, tickers, list(Timeframe), window_days=_WINDOW_DAYS)
        conn.execute(_COVERED, ([timeframe.value for timeframe in Timeframe],))
    conn.execute("analyze")


async def _looks(database: Database, symbols: int) -> Idle:
    provider = Alpaca("key", "secret", base_url=_NOBODY)
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(1))
    schedule = Schedule(database, Clients(client), EngineSettings(), SilentListener(), every=timedelta(minutes=5))
    try:
        first_s, look_s = await _look(schedule), await _look(schedule)
    finally:
        await client.aclose()
    return Idle(symbols, first_s, look_s, client.requests_made.all)


async def _look(schedule: Schedule) -> float:
    """
    Seconds of one look.

    Raises:
        RuntimeError: It found something to do, so that it is no measure.
    """
    begun = time.perf_counter()
    found, derived = await schedule.look(), await schedule.derive()
    seconds = time.perf_counter() - begun
    if found.runs or derived.bars:
        raise RuntimeError(f"Where all is covered a look made {len(found.runs)} runs and {derived.bars} bars.")
    return seconds

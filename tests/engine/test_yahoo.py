"""Yahoo end to end: split-adjusted days, by way of yfinance's session, to the tables."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time

from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.client import ProviderClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.yahoo import Yahoo
from barfill.providers.yahoo_http import YahooHttp
from barfill.store.database import Database
from tests.engine.rig import NYSE, QUICK, Collector, days
from tests.providers.servers import Answer, running_exchange
from tests.providers.test_yahoo import FakeYahoo, chart


def backfill(database: Database, wanted: Range, opens: list[datetime]) -> tuple[BackfillReport, int]:
    """One backfill of AAPL's days, which have a bar at each of *opens*; and how many charts it asked for."""

    async def run() -> tuple[BackfillReport, int]:
        async with running_exchange() as exchange:
            fake = FakeYahoo(exchange)
            fake.charts = [Answer(chart(opens))]
            provider = Yahoo(base_url=fake.base_url, requests_per_minute=100_000)
            client = ProviderClient(provider, YahooHttp(fake.base_url), SlidingQuota(100_000))
            try:
                await add_symbols(database, Clients(client), ["AAPL"])
                request = BackfillRequest(tickers=("AAPL",), windows={Timeframe.D1: wanted})
                return await Backfill(database, Clients(client), QUICK, Collector()).run(request), fake.chart_count
            finally:
                await client.aclose()

    return asyncio.run(run())


def test_days_are_stored_under_their_own_basis(database: Database) -> None:
    """All sessions are there as split-adjusted bars, one call beside the look-up, and nothing is asked for twice."""
    wanted = days("2024-03-01", "2024-04-01")
    labels = [from_us(int(ts)) for ts in NYSE.expected_starts(Timeframe.D1, wanted)]
    opens = [datetime.combine(label.date(), time(15), UTC) for label in labels]

    report, calls = backfill(database, wanted, opens)
    again, calls_again = backfill(database, wanted, opens)

    with database.connection() as conn:
        stored = conn.execute("select ts from ohlc_bars where data_status = 'final' order by ts").fetchall()
        series = conn.execute("select provider, feed, basis from job_runs").fetchall()
    assert [row[0] for row in stored] == labels
    assert series == [("yahoo", "yahoo", "split")]
    assert (report.exit_code, again.exit_code) == (0, 0)
    assert (calls, calls_again) == (2, 0)

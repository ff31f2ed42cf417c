"""Pairs stored from one venue, compared with another: around the clock, in windows, prices alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from barfill.core.comparison import Kind
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.verify import Verify
from barfill.engine.verify_plan import VerifyRequest
from barfill.engine.verify_report import VerifyReport
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Database
from tests.engine.test_crypto import HOUR, backfill, hourly, this_hour
from tests.providers.venues import FakeVenue, running_venue


def verify(fake: FakeVenue, database: Database, window: Range) -> VerifyReport:
    """Compares the stored hours of the first symbol."""

    async def run() -> VerifyReport:
        async with running_venue(fake) as base_url:
            provider = make_venue(fake.venue, base_url, requests_per_minute=100_000)
            client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(100_000), backoff_s=0.01)
            try:
                engine = Verify(database, client)
                request = VerifyRequest(symbol_ids=(1,), timeframes=(Timeframe.H1,), window=window)
                return await engine.run(await engine.plan(request))
            finally:
                await client.aclose()

    return asyncio.run(run())


def test_two_venues_differ_in_what_one_of_them_did_otherwise(database: Database) -> None:
    """A price, and bars that each lacks; a hole of many windows is no end, and volumes are not compared."""
    start = this_hour() - 29 * 24 * HOUR
    end = start + 28 * 24 * HOUR
    window = Range(start, end)
    here, there = start + 5 * HOUR, Range(start + 200 * HOUR, start + 500 * HOUR)
    stored = hourly(start, end, Range(here, here + HOUR))
    listed = {ts: (*bar[:4], bar[4] * 3) for ts, bar in hourly(start, end, there).items()}
    wrong = int((start + 50 * HOUR).timestamp())
    listed[wrong] = (*listed[wrong][:2], listed[wrong][2] - 1, *listed[wrong][3:])
    backfill(FakeVenue("kraken", {Timeframe.H1: stored}), database, window)

    report = verify(FakeVenue("coinbase", {Timeframe.H1: listed}), database, window)

    (one,) = report.series
    assert one.comparison.counts == {
        Kind.PRICE: 1,
        Kind.MISSING_HERE: 1,
        Kind.MISSING_THERE: there.length // timedelta(hours=1),
        Kind.VOLUME: 0,
    }
    assert one.notes == ("feed coinbase against kraken: prices only, volumes are not comparable",)
    assert {(found.kind, found.column) for found in one.comparison.differences if found.kind is Kind.PRICE} == {
        (Kind.PRICE, "low")
    }
    assert (one.unanswered, report.failures) == (0, [])

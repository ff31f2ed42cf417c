"""Crypto venues end to end: from windows of bars on loopback to the tables."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.ccxt_venue_traits import DELAY
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Database
from tests.engine.rig import QUICK, Collector
from tests.providers.servers import Answer
from tests.providers.venues import WIRES, Bars, FakeVenue, running_venue

HOUR = timedelta(hours=1)
EACH_VENUE = pytest.mark.parametrize("venue", WIRES)


def hourly(start: datetime, end: datetime, *holes: Range) -> Bars:
    """Bars of all hours from *start* to *end*, but those in *holes*; some have no trades."""
    count = int((end - start) / HOUR)
    bars = {}
    for position in range(count):
        when = start + position * HOUR
        if not any(when in hole for hole in holes):
            o, c = (60_000 + 500 * math.sin(x / 9) for x in (position, position + 1))
            volume = 0.0 if position % 50 == 7 else 1.5 + position % 7
            bars[int(when.timestamp())] = (o, max(o, c) + 3, min(o, c) - 3, c, volume)
    return bars


def backfill(fake: FakeVenue, database: Database, wanted: Range) -> BackfillReport:
    """One backfill of its symbol's hours, from looking it up to the end."""

    async def run() -> BackfillReport:
        async with running_venue(fake) as base_url:
            provider = make_venue(fake.venue, base_url, requests_per_minute=100_000)
            client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(100_000), backoff_s=0.01)
            try:
                await add_symbols(database, Clients(client), [fake.symbol])
                request = BackfillRequest(tickers=(fake.symbol,), windows={Timeframe.H1: wanted})
                return await Backfill(database, Clients(client), QUICK, Collector()).run(request)
            finally:
                await client.aclose()

    return asyncio.run(run())


def stored(database: Database) -> Bars:
    """What the table holds as final."""
    with database.connection() as conn:
        rows = conn.execute(
            "select extract(epoch from ts)::bigint, open, high, low, close, volume from ohlc_bars "
            "where data_status = 'final'"
        ).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


def this_hour() -> datetime:
    """The start of the open candle."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def closed_by(instant: datetime, bars: Bars) -> Bars:
    """Those of *bars* that are final at *instant*."""
    last = (instant - DELAY - HOUR).timestamp()
    return {ts: bar for ts, bar in bars.items() if ts <= last}


@EACH_VENUE
def test_a_backfill_stores_what_the_venue_has(venue: str, database: Database) -> None:
    """Every closed bar, as sent, those without trades too; the open candle never as final; a hole stays a gap."""
    before, hour = datetime.now(UTC), this_hour()
    wanted, hole = Range(hour - 29 * 24 * HOUR, hour + HOUR), Range(hour - 200 * HOUR, hour - 197 * HOUR)
    truth = hourly(wanted.start, wanted.end, hole)
    fake = FakeVenue(venue, {Timeframe.H1: truth})

    report = backfill(fake, database, wanted)

    kept = stored(database)
    assert closed_by(before, truth) == {ts: bar for ts, bar in kept.items() if ts in closed_by(before, truth)}
    assert kept.keys() <= closed_by(datetime.now(UTC), truth).keys()
    assert [(Range(gap.gap_from, gap.gap_to), gap.kind) for gap in report.gaps_remaining] == [(hole, "missing")]
    assert set(query(database, "select distinct provider, feed from ohlc_bars")) == {(venue, venue)}
    assert query(database, "select asset_type, calendar from symbols") == [("crypto", "24/7")]


@EACH_VENUE
def test_what_is_covered_is_not_asked_for_again(venue: str, database: Database) -> None:
    """A second backfill asks for its markets at most, and for no bar; neither does it once more for the newest."""
    wanted = Range(this_hour() - 12 * 24 * HOUR, this_hour() - HOUR)
    fake = FakeVenue(venue, {Timeframe.H1: hourly(wanted.start, this_hour() + HOUR)})
    backfill(fake, database, wanted)
    fake.asked.clear()

    backfill(fake, database, wanted)

    assert fake.bar_requests == []


def test_any_number_of_empty_windows_is_no_end(database: Database) -> None:
    """Coinbase with a hole of 75 days: five windows in a row are empty, and what lies on both sides is stored."""
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 4, 10, tzinfo=UTC)
    hole = Range(datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 3, 25, tzinfo=UTC))
    truth = hourly(start, end, hole)
    fake = FakeVenue("coinbase", {Timeframe.H1: truth})

    report = backfill(fake, database, Range(start, end))

    assert stored(database) == truth
    assert report.summary.symbols_failed == 0
    assert query(database, "select distinct status from job_runs") == [("success",)]
    assert [Range(gap.gap_from, gap.gap_to) for gap in report.gaps_remaining] == [hole]


def test_what_kraken_no_longer_has_is_not_asked_for(database: Database) -> None:
    """Of 40 days of hours the newest 720 rows are had: the rest is out of reach, is not covered and costs nothing."""
    hour = this_hour()
    truth = hourly(hour - 40 * 24 * HOUR, hour + HOUR)
    fake = FakeVenue("kraken", {Timeframe.H1: truth})

    backfill(fake, database, Range(hour - 40 * 24 * HOUR, hour - HOUR))

    reached = sorted(stored(database))
    assert len(fake.bar_requests) == 1
    assert 716 <= len(reached) <= 719
    ((covered,),) = query(database, "select extract(epoch from lower(covered))::bigint from coverage_status")
    assert covered == reached[0]


def test_a_limit_in_a_200_is_waited_out(database: Database) -> None:
    """Kraken tells of its limit with status 200 (8.2): the run goes on afterwards, and no attempt is spent."""
    wanted = Range(this_hour() - 48 * HOUR, this_hour() - HOUR)
    truth = hourly(wanted.start, wanted.end)
    limit = Answer({"error": ["EGeneral:Too many requests"]}, headers={"Retry-After": "0.2"})
    fake = FakeVenue("kraken", {Timeframe.H1: truth}, refusals=[limit])

    backfill(fake, database, wanted)

    assert stored(database) == truth
    assert query(database, "select status, attempt, actual_cost from job_runs") == [("success", 0, 2)]


def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """Rows of one statement."""
    with database.connection() as conn:
        return conn.execute(statement).fetchall()

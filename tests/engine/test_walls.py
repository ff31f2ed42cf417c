"""The wall of a plan's history: what lies behind it does not come and is not refused, and is never taken for quiet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from barfill.store.database import Database
from barfill.store.gaps import list_gaps
from barfill.store.series import read_series
from tests.engine.rig import NYSE, QUICK
from tests.providers.servers import Answer, Exchange, running_exchange

YEAR = timedelta(days=365)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
REFUSED = {"status": "NOT_AUTHORIZED", "message": "Your plan doesn't include this data timeframe. Please upgrade."}


class WalledMarket:
    """
    Massive's days of one symbol.

    Args:
        wall: Nothing before it is given, and nothing is said of that.
        listed: Nothing before it was traded.
        every: The symbol trades on every so many sessions.
        page_size: Days on a page.
    """

    def __init__(self, *, wall: datetime, listed: datetime, every: int, page_size: int = 50_000) -> None:
        self.ranges: list[Range] = []
        self._page_size = page_size
        self._wall = wall
        starts = NYSE.expected_starts(Timeframe.D1, Range(listed, TODAY))[::every]
        self._days = [from_us(int(label)) for label in starts]

    async def answer(self, request: web.BaseRequest) -> Answer:
        """An answer as Massive gives it."""
        if "reference" in request.path:
            ticker = {"ticker": request.query["ticker"], "active": True, "market": "stocks", "type": "CS"}
            return Answer({"status": "OK", "results": [ticker]})
        first, last = (datetime.fromtimestamp(int(part) / 1000, UTC) for part in request.path.split("/")[-2:])
        self.ranges.append(Range(first, last + timedelta(days=1)))
        if last < self._wall:
            return Answer(REFUSED, status=403)
        day = timedelta(days=1)
        days = [one for one in self._days if first - day < one <= last and one >= self._wall]
        rows = [
            {"t": to_us(one) // 1000, "o": 10, "h": 11, "l": 9, "c": 10 + number % 2 / 4, "v": 5}
            for number, one in enumerate(days)
        ]
        return Answer(_page(rows[: self._page_size], rows[self._page_size :], request.path))


def _page(rows: Sequence[dict[str, Any]], rest: Sequence[dict[str, Any]], path: str) -> dict[str, object]:
    """A page that leads on, by the vendor's own host, to the first of the rest."""
    counts = {"queryCount": len(rows), "resultsCount": len(rows), "count": len(rows)}
    page = {"ticker": "AAPL", "adjusted": False, "status": "OK", **counts, **({"results": rows} if rows else {})}
    if rest:
        series, _, end = path.removeprefix("/alpaca").rpartition("/")
        start = f"{series.rpartition('/')[0]}/{rest[0]['t']}"
        page["next_url"] = f"https://api.massive.com{start}/{end}?cursor=c{len(rest)}"
    return page


async def backfill(exchange: Exchange, database: Database, wanted: Range, plan: str) -> BackfillReport:
    """One backfill of AAPL's days on a plan called so."""
    provider = Massive("key", base_url=exchange.base_url, plan=plan, requests_per_minute=10_000)
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000), backoff_s=0.01)
    request = BackfillRequest(tickers=("AAPL",), windows={Timeframe.D1: wanted})
    try:
        await add_symbols(database, Clients(client), request.tickers)
        return await Backfill(database, Clients(client), QUICK, SilentListener()).run(request)
    finally:
        await client.aclose()


def covered(database: Database) -> Ranges:
    """The coverage of the one series."""
    (row,) = database.run(read_series, None, [Timeframe.D1]).values()
    return row.covered


def kinds(database: Database, wanted: Range) -> set[str]:
    """The kinds of the gaps on record that touch *wanted*."""
    return {one.gap.kind for one in database.run(list_gaps) if one.gap.range & wanted}


@pytest.mark.parametrize(
    ("every", "behind_days", "kind"), [(1, 730, "not_entitled"), (12, 40, "unavailable")], ids=["liquid", "thin"]
)
async def test_what_lies_behind_the_wall_is_never_taken_for_quiet(
    database: Database, every: int, behind_days: int, kind: str
) -> None:
    """
    The silent part of a straddling range is asked for once more. Of a liquid symbol it lies wholly behind the wall and
    is refused; of a thin one it straddles the wall again, and its silence is named, not believed.
    """
    wall = TODAY - 5 * YEAR
    market = WalledMarket(wall=wall, listed=TODAY - 20 * YEAR, every=every)
    wanted = Range(wall - timedelta(days=behind_days), TODAY - timedelta(days=30))

    async with running_exchange() as exchange:
        exchange.handler = market.answer
        report = await backfill(exchange, database, wanted, "paid")

    behind = Range(wanted.start, wall)
    assert len(market.ranges) == 2
    assert not covered(database) & behind
    assert kinds(database, behind) == {kind}
    if kind == "not_entitled":
        assert (report.exit_code, report.failures[0].error_code) == (EXIT_FAILED, "FORBIDDEN_PLAN")


async def test_pages_follow_on_and_only_the_first_tells_where_the_provider_began(database: Database) -> None:
    """A chain of short pages behind the wall covers everything, in as many calls as there are pages."""
    market = WalledMarket(wall=TODAY - 20 * YEAR, listed=TODAY - 20 * YEAR, every=1, page_size=300)
    wanted = Range(TODAY - 7 * YEAR, TODAY - timedelta(days=30))

    async with running_exchange() as exchange:
        exchange.handler = market.answer
        report = await backfill(exchange, database, wanted, "paid")

    expected = NYSE.expected_count(Timeframe.D1, wanted)
    assert (report.exit_code, report.summary.rows_received) == (EXIT_COMPLETE, expected)
    assert len(market.ranges) == -(-expected // 300)
    assert not kinds(database, wanted)


async def test_a_symbol_that_was_listed_later_is_asked_for_twice_and_then_left_alone(database: Database) -> None:
    """Where the plan does have the old part, a second answer without rows settles it: there was nothing."""
    market = WalledMarket(wall=TODAY - 20 * YEAR, listed=TODAY - 6 * YEAR, every=1)
    wanted = Range(TODAY - 7 * YEAR, TODAY - timedelta(days=30))

    async with running_exchange() as exchange:
        exchange.handler = market.answer
        first = await backfill(exchange, database, wanted, "paid")
        calls = len(market.ranges)
        second = await backfill(exchange, database, wanted, "paid")

    assert (first.exit_code, second.exit_code) == (EXIT_COMPLETE, EXIT_COMPLETE)
    assert (calls, len(market.ranges)) == (2, 2)
    assert kinds(database, Range(wanted.start, TODAY - 6 * YEAR - timedelta(days=7))) == {"unavailable"}


async def test_a_window_within_the_plan_costs_one_call(database: Database) -> None:
    """The planner cuts the window to the history that the plan has by now, and the answer begins where it was asked."""
    market = WalledMarket(wall=TODAY - 2 * YEAR, listed=TODAY - 20 * YEAR, every=1)

    async with running_exchange() as exchange:
        exchange.handler = market.answer
        report = await backfill(exchange, database, Range(TODAY - 7 * YEAR, TODAY - timedelta(days=30)), "free")

    assert report.exit_code == EXIT_COMPLETE
    assert (len(market.ranges), report.summary.calls_made, report.summary.calls_least) == (1, 1, 1)
    assert market.ranges[0].start >= TODAY - 2 * YEAR

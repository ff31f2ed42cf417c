"""Backfills from providers without pages: one answer a slice, adjusted days, histories that differ by timeframe."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from aiohttp import web

from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.base import Provider
from barfill.providers.client import ProviderClient
from barfill.providers.finnhub import Finnhub
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.tradier import Tradier
from barfill.store.database import Database
from barfill.store.gaps import list_gaps
from tests.engine.rig import NYSE, QUICK
from tests.providers.servers import Answer, Exchange, running_exchange

NEW_YORK = ZoneInfo("America/New_York")
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
TOO_BIG = {"fault": {"faultstring": "Body buffer overflow", "detail": {"errorcode": "protocol.http.TooBigBody"}}}


class TradierMarket:
    """
    AAPL at Tradier.

    Args:
        longest: A longer range of intraday bars is too much for one answer.
        offered_from: Intraday bars begin here.
    """

    def __init__(self, *, longest: timedelta = timedelta(days=99), offered_from: datetime | None = None) -> None:
        self.ranges: list[Range] = []
        self._longest = longest
        self._offered_from = offered_from

    async def answer(self, request: web.BaseRequest) -> Answer:
        """An answer as Tradier gives it."""
        query = request.query
        if "quotes" in request.path:
            return Answer({"quotes": {"quote": {"symbol": "AAPL", "description": "Apple", "type": "stock"}}})
        if "history" in request.path:
            first, last = (datetime.combine(date.fromisoformat(query[key]), time(), UTC) for key in ("start", "end"))
            self.ranges.append(Range(first, last + DAY))
            days = [_bar(ts) | {"date": f"{from_us(ts):%Y-%m-%d}"} for ts in _starts(Timeframe.D1, self.ranges[-1])]
            return Answer({"history": {"day": days[0] if len(days) == 1 else days} if days else None})
        start, end = (datetime.fromisoformat(query[key]).replace(tzinfo=NEW_YORK) for key in ("start", "end"))
        wanted = Range(start, end)
        self.ranges.append(wanted)
        if self._offered_from is not None and start < self._offered_from:
            local = self._offered_from.astimezone(NEW_YORK)
            text = f"Invalid parameter, start: must be on or after {local:%Y-%m-%d %H:%M:%S}."
            return Answer(text.encode(), status=400, headers={"Content-Type": "text/plain"})
        if wanted.length > self._longest:
            return Answer(TOO_BIG, status=500)
        # Here the end is included, which the contract leaves open.
        starts = _starts(Timeframe.M15, Range(start, end + timedelta(minutes=1)))
        rows = [_bar(ts) | {"timestamp": ts // 1_000_000, "vwap": 10.5} for ts in starts]
        return Answer({"series": {"data": rows} if rows else None})


def _starts(timeframe: Timeframe, wanted: Range) -> list[int]:
    return [int(ts) for ts in NYSE.expected_starts(timeframe, wanted)]


def _bar(ts: int) -> dict[str, object]:
    return {"open": 10, "high": 12, "low": 9, "close": 10 + ts // 60_000_000 % 2 / 4, "volume": 5}


async def backfill(
    database: Database, exchange: Exchange, provider: Provider, timeframe: Timeframe, wanted: Range
) -> BackfillReport:
    """One backfill of AAPL."""
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000), backoff_s=0.01)
    request = BackfillRequest(tickers=("AAPL",), windows={timeframe: wanted})
    try:
        await add_symbols(database, Clients(client), request.tickers)
        return await Backfill(database, Clients(client), QUICK, SilentListener()).run(request)
    finally:
        await client.aclose()


async def from_tradier(
    database: Database, market: TradierMarket, timeframe: Timeframe, wanted: Range
) -> BackfillReport:
    """One backfill of AAPL from *market*."""
    async with running_exchange() as exchange:
        exchange.handler = market.answer
        provider = Tradier("key", base_url=exchange.base_url, plan="paid", requests_per_minute=10_000)
        return await backfill(database, exchange, provider, timeframe, wanted)


def stored(database: Database) -> list[tuple[str, str, str, int]]:
    """Of each series: timeframe, feed, basis and bars."""
    with database.connection() as conn:
        return conn.execute(
            "select timeframe, feed, basis, (select count(*) from ohlc_bars as bars where bars.symbol_id = "
            "series.symbol_id and bars.timeframe = series.timeframe) from series order by timeframe"
        ).fetchall()


async def test_adjusted_days_are_stored_as_such(database: Database) -> None:
    """Two years of days come in one call, on the basis `split`, which the weeks made of them have too."""
    wanted = Range(TODAY - timedelta(days=730), TODAY - timedelta(days=7))
    market = TradierMarket()

    report = await from_tradier(database, market, Timeframe.W1, wanted)
    calls = len(market.ranges)
    again = await from_tradier(database, market, Timeframe.W1, wanted)

    assert (report.exit_code, again.exit_code) == (EXIT_COMPLETE, EXIT_COMPLETE)
    assert (calls, len(market.ranges)) == (1, 1)
    days, weeks = stored(database)
    assert days == ("d1", "sip", "split", len(_starts(Timeframe.D1, market.ranges[0])))
    assert weeks[:3] == ("w1", "sip", "split")
    assert weeks[3] > 95


async def test_a_range_that_is_too_much_is_halved(database: Database) -> None:
    """Quarters are raw; a window beyond their 40 days is cut; too long an answer is asked for in halves, all of it."""
    market = TradierMarket(longest=timedelta(days=12))

    report = await from_tradier(database, market, Timeframe.M15, Range(TODAY - timedelta(days=365), TODAY))

    asked = Range(TODAY - timedelta(days=39), TODAY)
    assert report.exit_code == EXIT_COMPLETE
    assert min(one.start for one in market.ranges) >= asked.start
    assert len(market.ranges) == 7
    assert stored(database) == [("m15", "sip", "raw", len(_starts(Timeframe.M15, asked)))]


async def test_what_is_older_than_the_history_is_told_apart(database: Database) -> None:
    """What the history still has comes, the rest is `not_entitled`, and nothing of it is asked for at once again."""
    offered_from = datetime.combine((TODAY - timedelta(days=30)).date(), time(), NEW_YORK)
    market = TradierMarket(offered_from=offered_from)

    wanted = Range(TODAY - timedelta(days=38), TODAY)
    await from_tradier(database, market, Timeframe.M15, wanted)
    calls = len(market.ranges)
    await from_tradier(database, market, Timeframe.M15, wanted)

    assert (calls, len(market.ranges)) == (3, 3)
    assert {one.gap.kind for one in database.run(list_gaps)} == {"not_entitled"}
    ((_, _, _, count),) = stored(database)
    assert count == len(_starts(Timeframe.M15, Range(offered_from, TODAY)))


async def test_minutes_of_finnhub_come_by_the_week(database: Database) -> None:
    """A call asks for a week at most; rows of extended hours and from outside of the range are dropped."""
    wanted = Range(TODAY - timedelta(days=31), TODAY - timedelta(days=3))
    calls: list[Range] = []

    async def answer(request: web.BaseRequest) -> Answer:
        if "symbol" in request.path.rpartition("/")[2]:
            return Answer([{"symbol": "AAPL", "description": "Apple", "type": "Common Stock"}])
        first, last = (datetime.fromtimestamp(int(request.query[key]), UTC) for key in ("from", "to"))
        calls.append(Range(first, last))
        early = [to_us(first.replace(hour=12, minute=0, second=0))]
        starts = [*early, *_starts(Timeframe.M1, Range(first, last + timedelta(minutes=1)))]
        bars = [_bar(ts) for ts in starts]
        arrays = {key[0]: [bar[key] for bar in bars] for key in bars[0]}
        return Answer({"s": "ok", "t": [ts // 1_000_000 for ts in starts], **arrays})

    async with running_exchange() as exchange:
        exchange.handler = answer
        provider = Finnhub("key", base_url=exchange.base_url, plan="paid", requests_per_minute=10_000)
        report = await backfill(database, exchange, provider, Timeframe.M1, wanted)

    assert report.exit_code == EXIT_COMPLETE
    assert all(one.length <= timedelta(days=7, hours=1) for one in calls)
    assert len(calls) <= 5
    assert stored(database) == [("m1", "sip", "raw", len(_starts(Timeframe.M1, wanted)))]

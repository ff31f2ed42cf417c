"""Yahoo: what is asked, what its charts hold, and the way there through yfinance's own session."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import (
    BadResponse,
    InvalidInput,
    PlanTooSmall,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    SettingsError,
    SymbolNotOffered,
)
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.yahoo import SPLIT, Yahoo
from barfill.providers.yahoo_http import YahooHttp
from tests.providers.conftest import Clock
from tests.providers.dialects import JSON, at
from tests.providers.servers import Answer, Exchange, running_exchange

NOW = at("2024-03-08T21:45")
OPENS = [at("2024-03-05T14:30"), at("2024-03-06T14:30"), at("2024-03-07T14:30")]
DAYS = [at("2024-03-05"), at("2024-03-06"), at("2024-03-07")]


def query_of(
    timeframe: Timeframe = Timeframe.D1, *tickers: str, start: str = "2024-03-05", end: str = "2024-03-08"
) -> BarsQuery:
    """A query for AAPL, or for *tickers*."""
    return BarsQuery(tickers or ("AAPL",), timeframe, Range(at(start), at(end)), "yahoo", SPLIT)


def chart(stamps: list[datetime], *, symbol: str = "AAPL", interval: str = "1d", **changes: Any) -> dict[str, Any]:
    """A chart with a bar at each stamp."""
    meta = {
        "symbol": symbol,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": "America/New_York",
        "dataGranularity": interval,
        "longName": "Apple Inc.",
    }
    count = len(stamps)
    quote: dict[str, list[float]] = {"open": [10.5], "high": [12.0], "low": [10.0], "close": [11.25], "volume": [100]}
    result = {
        "meta": {**meta, **{key: value for key, value in changes.items() if key in meta}},
        "timestamp": [int(stamp.timestamp()) for stamp in stamps],
        "indicators": {"quote": [{name: values * count for name, values in quote.items()}]},
    }
    return {"chart": {"result": [result], "error": None}}


EMPTY = chart([])
del EMPTY["chart"]["result"][0]["timestamp"]
EMPTY["chart"]["result"][0]["indicators"] = {"quote": [{}]}


def parsed(body: object, query: BarsQuery | None = None) -> Page:
    """The page in an answer."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Yahoo().parse_bars(query or query_of(), HttpResponse(200, JSON, sent, NOW))


def starts(page: Page) -> list[datetime]:
    """The stamps of its rows."""
    return [from_us(ts) for ts in page.rows.ts.tolist()]


def seconds(text: str) -> str:
    """An instant, UTC, in epoch seconds."""
    return str(int(at(text).timestamp()))


def test_a_range_is_asked_for_whole_with_its_end_excluded() -> None:
    """Days by the midnights of New York around them, hours as they are; class shares with a dash."""
    days = Yahoo().bars_request(query_of(Timeframe.D1, "BRK.B"), None)
    minutes = Yahoo().bars_request(query_of(Timeframe.M1), None)

    assert days.url == "https://query2.finance.yahoo.com/v8/finance/chart/BRK-B"
    assert dict(days.params) == {
        "period1": seconds("2024-03-05T05:00"),
        "period2": seconds("2024-03-08T05:00"),
        "interval": "1d",
        "includePrePost": "false",
    }
    assert (minutes.params["period1"], minutes.params["period2"]) == (seconds("2024-03-05"), seconds("2024-03-08"))


def test_raw_bars_are_never_asked_of_yahoo() -> None:
    """All it has is adjusted for splits, and says so; another basis, feed, or timeframe is refused."""
    capabilities = Yahoo().capabilities
    raw = BarsQuery(("AAPL",), Timeframe.D1, query_of().range, "yahoo")
    other = BarsQuery(("AAPL",), Timeframe.D1, query_of().range, "sip", SPLIT)

    assert {capabilities.basis(timeframe) for timeframe in Timeframe} == {SPLIT}
    assert parsed(chart(OPENS)).basis == SPLIT
    for query in (raw, other, query_of(Timeframe.M30), query_of(Timeframe.W1), query_of(Timeframe.D1, "A", "B")):
        with pytest.raises(InvalidInput):
            Yahoo().bars_request(query, None)


@pytest.mark.parametrize(
    ("timeframe", "days", "longest"),
    [(Timeframe.M1, 30, 7), (Timeframe.M15, 60, 60), (Timeframe.H1, 730, None), (Timeframe.D1, None, None)],
)
def test_windows_and_histories_are_those_of_yahoo(timeframe: Timeframe, days: int | None, longest: int | None) -> None:
    """No range is older or longer than Yahoo takes (7.2)."""
    capabilities = Yahoo().capabilities
    oldest = capabilities.history_start_at(NOW, timeframe)
    call = capabilities.range_per_call_max.get(timeframe)

    assert (oldest is None) == (days is None)
    assert oldest is None or timedelta() < oldest - (NOW - timedelta(days=days or 0)) <= timedelta(days=2)
    assert (call is None) == (longest is None)
    assert call is None or call <= timedelta(days=longest or 0)


def test_days_are_stamped_by_their_date() -> None:
    """Yahoo stamps them by the open."""
    page = parsed(chart(OPENS))

    assert starts(page) == DAYS
    assert page.rows.volume.tolist() == [100.0] * 3
    assert page.next_token is None


def test_what_comes_from_behind_the_end_is_dropped() -> None:
    """A bar at the end itself, the live price as an extra row, and a second row of today (7.3)."""
    live = [*OPENS, at("2024-03-08T14:30"), at("2024-03-08T21:44")]
    minutes = [at("2024-03-07T23:58"), at("2024-03-07T23:59"), at("2024-03-08"), at("2024-03-08T21:44")]

    assert starts(parsed(chart(live))) == DAYS
    assert starts(parsed(chart(minutes, interval="1m"), query_of(Timeframe.M1))) == minutes[:2]


def test_rows_of_nothing_are_no_rows() -> None:
    """A null row stands for an interval without a trade; one that lacks a number only is rejected (D01)."""
    page = chart(OPENS)
    quote = page["chart"]["result"][0]["indicators"]["quote"][0]
    for name in quote:
        quote[name][1] = None
    quote["close"][2] = None

    found = parsed(page)

    assert starts(found) == DAYS[:1]
    assert [(row.rule, row.ts) for row in found.rejected] == [("Q04", int(DAYS[2].timestamp()) * 1_000_000)]
    assert found.received == 2


def test_an_empty_range_is_a_page() -> None:
    """Without `timestamp`, and with an empty quote."""
    assert parsed(EMPTY).received == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body"),
        (b"<html>Will be right back</html>", "body"),
        (b'{"chart"', "json"),
        ({"finance": {}}, "schema"),
        ({"chart": {"result": None, "error": {"code": "Not Found", "description": "No data found"}}}, "body"),
        (chart(OPENS, symbol="MSFT"), "wrong_symbol"),
        (chart(OPENS, dataGranularity="1wk"), "wrong_variant"),
        (chart([at("2017-01-03T14:30"), *OPENS]), "out_of_range"),
        ({"chart": {"result": [{"meta": {"symbol": "AAPL"}}], "error": None}}, "schema"),
    ],
)
def test_what_is_no_answer_is_refused(body: object, reason: str) -> None:
    """By its shape, or by what it says of itself."""
    with pytest.raises(BadResponse) as caught:
        parsed(body)
    assert caught.value.reason == reason


def test_arrays_of_unequal_length_are_refused() -> None:
    """A value could belong to any stamp."""
    page = chart(OPENS)
    page["chart"]["result"][0]["indicators"]["quote"][0]["close"].pop()

    with pytest.raises(BadResponse, match="long each"):
        parsed(page)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (404, "No data found, symbol may be delisted", SymbolNotOffered),
        (422, "The requested range must be within the last 60 days.", PlanTooSmall),
        (422, "Only 8 days worth of 1m granularity data are allowed to be fetched per request.", BadResponse),
        (429, "Too Many Requests", RateLimited),
        (401, "Invalid Crumb", ProviderUnavailable),
        (502, "", ProviderUnavailable),
    ],
)
def test_each_refusal_has_its_class(status: int, text: str, kind: type[ProviderError]) -> None:
    """By its status, and where two things have one status, by its text (7.4)."""
    body = json.dumps({"chart": {"result": None, "error": {"code": "x", "description": text}}}).encode()
    request = Yahoo().bars_request(query_of(Timeframe.D1, "BRK.B"), None)

    error = Yahoo().error_of(request, HttpResponse(status, JSON, body, NOW))

    assert type(error) is kind
    assert not isinstance(error, SymbolNotOffered) or error.symbol == "BRK.B"


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({}, ("AAPL", "stock")),
        ({"instrumentType": "ETF"}, ("AAPL", "etf")),
        ({"instrumentType": "CRYPTOCURRENCY"}, None),
        ({"exchangeTimezoneName": "Europe/Berlin"}, None),
    ],
)
def test_stocks_and_funds_of_new_york_are_offered(changes: dict[str, Any], offered: tuple[str, str] | None) -> None:
    """Others would be taken for ones of another calendar."""
    body = json.dumps(chart(OPENS, **changes)).encode()

    found = Yahoo().parse_symbols(HttpResponse(200, JSON, body, NOW))

    assert [(one.ticker, one.asset_type) for one in found] == ([offered] if offered else [])


@pytest.mark.parametrize("ticker", ["BTC/USD", "X:BTCUSD", "^GSPC", "aapl", "..", ""])
def test_other_tickers_are_not_asked_for(ticker: str) -> None:
    """Neither what is no ticker nor what Yahoo writes in another way."""
    with pytest.raises(SymbolNotOffered):
        Yahoo().bars_request(query_of(Timeframe.D1, ticker), None)
    assert not Yahoo().symbol_requests([ticker])


class FakeYahoo:
    """What yfinance's session asks for on its way to a chart."""

    def __init__(self, exchange: Exchange) -> None:
        self.charts: list[Answer] = []
        self.asked: list[str] = []
        self.base_url = exchange.base_url.rpartition("/")[0]
        exchange.handler = self.handle

    async def handle(self, request: web.BaseRequest) -> Answer:
        """A crumb, a cookie, or the next chart."""
        self.asked.append(request.path)
        if request.path.startswith("/v8/finance/chart/"):
            return self.charts.pop(0) if len(self.charts) > 1 else self.charts[0]
        return Answer(b"crumb", headers={"Content-Type": "text/plain"})

    @property
    def chart_count(self) -> int:
        """How many charts were asked for."""
        return sum("/chart/" in path for path in self.asked)


@pytest.fixture
async def yahoo() -> AsyncIterator[FakeYahoo]:
    """Yahoo on loopback."""
    async with running_exchange() as exchange:
        yield FakeYahoo(exchange)


@pytest.fixture
async def client(yahoo: FakeYahoo, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderClient]:
    """A client of it whose waits take no time, in a world with a proxy that leads nowhere."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    clock = Clock()
    client = ProviderClient(
        Yahoo(base_url=yahoo.base_url),
        YahooHttp(yahoo.base_url, now=lambda: NOW),
        SlidingQuota(10_000, clock=clock, sleep=clock.sleep),
        clock=clock,
        sleep=clock.sleep,
    )
    yield client
    await client.aclose()


async def test_a_corrected_bar_is_seen_at_once(yahoo: FakeYahoo, client: ProviderClient) -> None:
    """The same question about the past is asked twice: yfinance's cache of answers is not in the way (7.5)."""
    corrected = chart(OPENS)
    corrected["chart"]["result"][0]["indicators"]["quote"][0]["close"][0] = 11.5
    yahoo.charts = [Answer(chart(OPENS)), Answer(corrected)]

    first, second = [await client.fetch_page(query_of(), None) for _ in range(2)]

    assert (first.rows.close[0], second.rows.close[0]) == (11.25, 11.5)
    assert yahoo.chart_count == 2


async def test_errors_are_not_hidden(yahoo: FakeYahoo, client: ProviderClient) -> None:
    """A refusal is an error with its status and words, no empty answer (7.5)."""
    yahoo.charts = [Answer({"chart": {"result": None, "error": {"code": "Not Found"}}}, status=404)]

    with pytest.raises(SymbolNotOffered) as caught:
        await client.fetch_page(query_of(), None)
    assert caught.value.status == 404
    assert await client.find_symbols(["AAPL"]) == {"AAPL": None}


async def test_a_limit_is_waited_out(yahoo: FakeYahoo, client: ProviderClient) -> None:
    """yfinance asks twice before it tells of a 429; then barfill waits and asks again."""
    limit = Answer(b"Too Many Requests", status=429, headers={"Content-Type": "text/html"})
    yahoo.charts = [limit, limit, Answer(chart(OPENS))]

    page = await client.fetch_page(query_of(), None)

    assert starts(page) == DAYS
    assert yahoo.chart_count == 3


async def test_symbols_are_looked_up_one_by_one(yahoo: FakeYahoo, client: ProviderClient) -> None:
    """One chart of the last day each."""
    yahoo.charts = [Answer(chart(OPENS[:1], symbol="BRK-B"))]

    found = await client.find_symbols(["BRK.B"])

    assert found["BRK.B"] is not None
    assert found["BRK.B"].name == "Apple Inc."


async def test_no_server_is_an_outage() -> None:
    """Refused connections are tried again, as everywhere."""
    sender = YahooHttp("http://127.0.0.1:9")
    try:
        with pytest.raises(ProviderUnavailable):
            await sender.get(Yahoo(base_url="http://127.0.0.1:9").bars_request(query_of(), None))
    finally:
        await sender.aclose()


def test_without_yfinance_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional extra."""
    monkeypatch.setitem(__import__("sys").modules, "yfinance.data", None)

    with pytest.raises(SettingsError, match=r"pip install 'barfill\[yahoo\]'"):
        YahooHttp()

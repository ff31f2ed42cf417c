"""Tradier and Finnhub over HTTP: look-ups, limits told in a 200; and the slices that a provider without pages gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from barfill.core.calendar import trading_calendar
from barfill.core.plan import Need, Resampling, Slice, cut_slices, sources
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, ProviderUnavailable
from barfill.providers.base import OfferedSymbol, Provider
from barfill.providers.client import ProviderClient
from barfill.providers.finnhub import Finnhub
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.tradier import Tradier
from tests.providers.conftest import KEY, Clock, bars_query
from tests.providers.dialects import FINNHUB, TRADIER, at
from tests.providers.servers import Answer, Exchange

NYSE = trading_calendar("XNYS", 2027)
TWO_YEARS = Range(at("2024-01-02"), at("2026-01-02"))
TEXT = {"Content-Type": "text/plain"}


class Asking:
    """Clients of *exchange* whose waits take no time."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.clock = Clock()
        self._clients: list[ProviderClient] = []

    def client(self, provider: Provider) -> ProviderClient:
        """A client of *provider*."""
        quota = SlidingQuota(10_000, clock=self.clock, sleep=self.clock.sleep)
        http = HttpClient(provider.base_urls)
        client = ProviderClient(provider, http, quota, clock=self.clock, sleep=self.clock.sleep)
        self._clients.append(client)
        return client

    @property
    def tradier(self) -> ProviderClient:
        """A client of Tradier's."""
        return self.client(Tradier(KEY, base_url=self.exchange.base_url))

    @property
    def finnhub(self) -> ProviderClient:
        """A client of Finnhub's."""
        return self.client(Finnhub(KEY, base_url=self.exchange.base_url, plan="paid"))

    async def aclose(self) -> None:
        """Closes all connections."""
        for client in self._clients:
            await client.aclose()


@pytest.fixture
async def asking(exchange: Exchange) -> AsyncIterator[Asking]:
    """Clients of *exchange*."""
    asking = Asking(exchange)
    yield asking
    await asking.aclose()


async def test_a_page_comes_over_http(asking: Asking) -> None:
    """With the key in a header, and nothing of it in the URL."""
    asking.exchange.answers(Answer(TRADIER.page(TRADIER.row())), Answer(FINNHUB.page(FINNHUB.row())))

    pages = [await client.fetch_page(bars_query(), None) for client in (asking.tradier, asking.finnhub)]

    assert [page.rows.close.tolist() for page in pages] == [[11.25], [11.25]]
    of_tradier, of_finnhub = asking.exchange.requests
    assert of_tradier.path == "/alpaca/v1/markets/timesales"
    assert of_tradier.headers["Accept"] == "application/json"
    assert of_tradier.headers["Authorization"] == f"Bearer {KEY}"
    assert of_finnhub.path == "/alpaca/api/v1/stock/candle"
    assert of_finnhub.headers["X-Finnhub-Token"] == KEY
    assert KEY not in of_tradier.path_qs + of_finnhub.path_qs


@pytest.mark.parametrize("status", [200, 429, 403])
async def test_the_text_of_the_quota_is_waited_out(asking: Asking, status: int) -> None:
    """It spends no attempt, whatever its status."""
    reset_ms = int((datetime.now(UTC) + timedelta(seconds=30)).timestamp() * 1000)
    text = Answer(f"Quota Violation ... {reset_ms}".encode(), status=status, headers=TEXT)
    asking.exchange.answers(*[text] * 7, Answer(TRADIER.page(TRADIER.row())))

    page = await asking.tradier.fetch_page(bars_query(), None)

    assert len(page.rows) == 1
    assert len(asking.exchange.requests) == 8
    assert asking.clock.now_s >= 7 * 28


async def test_a_404_of_tradier_passes(asking: Asking) -> None:
    """It is asked again, and gives up in the end (H08)."""
    asking.exchange.answers(Answer(b"<html>", status=404), Answer(TRADIER.page(TRADIER.row())))
    assert len((await asking.tradier.fetch_page(bars_query(), None)).rows) == 1

    asking.exchange.answers(Answer(b"<html>", status=404))
    with pytest.raises(ProviderUnavailable, match="TRADIER_BASE_URL"):
        await asking.tradier.fetch_page(bars_query(), None)


@pytest.mark.parametrize("name", ["tradier", "finnhub"])
async def test_a_redirect_is_not_followed(asking: Asking, name: str) -> None:
    """As Finnhub has sent one for a bad key (H26)."""
    asking.exchange.answers(Answer(status=302, headers={"Location": "https://evil.example/"}))

    with pytest.raises(BadResponse) as caught:
        await getattr(asking, name).fetch_page(bars_query(), None)

    assert caught.value.reason == "redirect"
    assert len(asking.exchange.requests) == 1


async def test_tradier_is_asked_about_many_symbols_at_once(asking: Asking) -> None:
    """A hundred in a call, in its spelling; those without a quote, options and indices are not offered."""
    kinds = {"BRK/B": "stock", "SPY": "etf", "SPX": "index"}

    async def answer(request: web.BaseRequest) -> Answer:
        asked = request.query["symbols"].split(",")
        quotes = [{"symbol": one, "description": one, "type": kinds[one]} for one in asked if one in kinds]
        unmatched = [one for one in asked if one not in kinds]
        return Answer({"quotes": {"quote": quotes, "unmatched_symbols": {"symbol": unmatched}}})

    asking.exchange.handler = answer

    found = await asking.tradier.find_symbols(["BRK.B", "SPY", "SPX", "BTC/USD", *(f"S{n:03}" for n in range(120))])

    assert {ticker: one for ticker, one in found.items() if one is not None} == {
        "BRK.B": OfferedSymbol("BRK.B", "BRK/B", "stock", is_active=True),
        "SPY": OfferedSymbol("SPY", "SPY", "etf", is_active=True),
    }
    assert len(asking.exchange.requests) == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"fault": {"faultstring": "x"}}, "body"),
        ({"quotes": {"rows": [1]}}, "schema"),
        ({"quotes": {"quote": [{"description": "x"}]}}, "schema"),
        ({"quotes": {"quote": 7}}, "schema"),
        ({"quotes": 7}, "schema"),
        (b"<html>busy</html>", "body"),
    ],
)
async def test_what_is_no_quote_is_refused(asking: Asking, body: object, reason: str) -> None:
    """No symbol is called unknown on such an answer; `null` and nothing but unmatched ones say that it is."""
    asking.exchange.answers(Answer(body))
    with pytest.raises(BadResponse) as caught:
        await asking.tradier.find_symbols(["AAPL"])
    assert caught.value.reason == reason

    for nothing in ({"quotes": None}, {"quotes": {"unmatched_symbols": {"symbol": "AAPL"}}}):
        asking.exchange.answers(Answer(nothing))
        assert await asking.tradier.find_symbols(["AAPL"]) == {"AAPL": None}


async def test_finnhub_is_asked_once_for_all_symbols(asking: Asking) -> None:
    """The list of US symbols tells of any number of them; what barfill cannot hold is left out."""
    listed = [("AAPL", "Common Stock"), ("SPY", "ETP"), ("KIMpL", "Preferred"), ("BRK.B", None)]
    asking.exchange.answers(Answer([{"symbol": one, "description": one, "type": kind} for one, kind in listed]))

    found = await asking.finnhub.find_symbols(["BRK.B", "SPY", "ZZZZ", "KIMPL"])

    assert found == {
        "BRK.B": OfferedSymbol("BRK.B", "BRK.B", "stock", is_active=True),
        "SPY": OfferedSymbol("SPY", "SPY", "etf", is_active=True),
        "ZZZZ": None,
        "KIMPL": None,
    }
    assert [dict(one.query) for one in asking.exchange.requests] == [{"exchange": "US"}]


@pytest.mark.parametrize(("body", "reason"), [({}, "schema"), ([{"name": "x"}], "schema"), (b"[", "json")])
async def test_what_is_no_list_of_symbols_is_refused(asking: Asking, body: object, reason: str) -> None:
    """No symbol is called unknown on such an answer."""
    asking.exchange.answers(Answer(body))

    with pytest.raises(BadResponse) as caught:
        await asking.finnhub.find_symbols(["AAPL"])

    assert caught.value.reason == reason


def slices_of(provider: Provider, timeframe: Timeframe, wanted: Range) -> tuple[Slice, ...]:
    """The slices that fetch *wanted* of two symbols."""
    needs = [Need(number, ticker, timeframe, Ranges([wanted])) for number, ticker in enumerate(("AAPL", "MSFT"))]
    return cut_slices(needs, provider.capabilities, NYSE)


@pytest.mark.parametrize(
    ("provider", "timeframe", "wanted", "calls"),
    [
        (FINNHUB.provider, Timeframe.M1, TWO_YEARS, 106),
        (FINNHUB.provider, Timeframe.M15, TWO_YEARS, 26),
        (FINNHUB.provider, Timeframe.D1, Range(at("1990-01-02"), at("2026-01-02")), 2),
        (TRADIER.provider, Timeframe.M1, Range(at("2026-11-02"), at("2026-11-21")), 1),
        (TRADIER.provider, Timeframe.D1, Range(at("1990-01-02"), at("2026-01-02")), 2),
    ],
)
def test_a_slice_is_one_answer(provider: Provider, timeframe: Timeframe, wanted: Range, calls: int) -> None:
    """One symbol, and no more than one call may ask for or one answer hold."""
    slices = slices_of(provider, timeframe, wanted)

    assert all(len(one.symbols) == 1 and one.calls == 1 for one in slices)
    assert all(one.expected_rows < provider.capabilities.page_size for one in slices)
    assert len(slices) == 2 * calls


def test_hours_are_derived_from_quarters() -> None:
    """Neither has hours that begin with the session."""
    for provider in (TRADIER.provider, FINNHUB.provider):
        plan = sources({Timeframe.H1: TWO_YEARS}, provider.capabilities, Resampling())
        assert set(plan.fetch) == {Timeframe.M15}

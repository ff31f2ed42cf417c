"""Massive's reference of tickers, over HTTP: who is offered, and in how many calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from barfill.errors import BadResponse
from barfill.providers.base import OfferedSymbol
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.providers.massive import Massive
from tests.providers.conftest import KEY
from tests.providers.servers import Answer, Exchange


def ticker(name: str, **changes: object) -> dict[str, object]:
    """A row of the reference."""
    return {"ticker": name, "name": f"{name} Inc.", "market": "stocks", "type": "CS", "active": True, **changes}


def tickers(*rows: object, **changes: object) -> Answer:
    """A page of the reference."""
    return Answer({"status": "OK", "request_id": "x", "count": len(rows), "results": list(rows), **changes})


@pytest.fixture
async def client(exchange: Exchange) -> AsyncIterator[ProviderClient]:
    """A client of *exchange*."""
    provider = Massive(KEY, base_url=exchange.base_url)
    client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000), backoff_s=0.01)
    yield client
    await client.aclose()


async def test_who_no_longer_trades_is_asked_for_apart(exchange: Exchange, client: ProviderClient) -> None:
    """One call for who trades, a second one for who was not found among them."""
    known = {
        ("AAPL", "true"): [ticker("AAPL")],
        ("SPY", "true"): [ticker("SPY", type="ETF")],
        ("TWTR", "false"): [ticker("TWTR", active=False)],
    }

    async def answer(request: web.BaseRequest) -> Answer:
        return tickers(*known.get((request.query["ticker"], request.query["active"]), []))

    exchange.handler = answer

    found = await client.find_symbols(["AAPL", "SPY", "TWTR", "ZZZZ"])

    assert found == {
        "AAPL": OfferedSymbol("AAPL", "AAPL Inc.", "stock", is_active=True),
        "SPY": OfferedSymbol("SPY", "SPY Inc.", "etf", is_active=True),
        "TWTR": OfferedSymbol("TWTR", "TWTR Inc.", "stock", is_active=False),
        "ZZZZ": None,
    }
    assert len(exchange.requests) == 6
    assert {request.headers["Authorization"] for request in exchange.requests} == {f"Bearer {KEY}"}


async def test_a_long_list_is_read_to_its_end(exchange: Exchange, client: ProviderClient) -> None:
    """Pages follow on by their cursor alone, with the key in the header; what nobody asked for is left out."""
    names = [f"S{number:02}" for number in range(20)]
    exchange.answers(
        tickers(*map(ticker, names[:10]), next_url="https://api.massive.com/v3/reference/tickers?cursor=c1"),
        tickers(next_url=f"{exchange.base_url}/v3/reference/tickers?cursor=c2&apiKey=hunter2"),
        tickers(*map(ticker, [*names[10:], "S99"])),
    )

    found = await client.find_symbols(names)

    assert all(found.values())
    assert list(found) == names
    assert [dict(request.query) for request in exchange.requests[1:]] == [{"cursor": "c1"}, {"cursor": "c2"}]


async def test_tickers_that_barfill_cannot_hold_are_left_out(exchange: Exchange, client: ProviderClient) -> None:
    """Massive tells small letters from capital ones: `KIMpL` is no `KIMPL`; other markets are not asked for."""
    exchange.answers(tickers(ticker("KIMpL"), ticker("KIMPL", market="otc")), tickers())

    assert await client.find_symbols(["KIMPL"]) == {"KIMPL": None}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer({"status": "ERROR", "results": []}), "body"),
        (Answer({"results": []}), "schema"),
        (Answer({"status": "OK", "results": [{"ticker": "AAPL"}]}), "schema"),
        (Answer({"status": "OK", "results": 7}), "schema"),
        (tickers(next_url="https://evil.example/v3/reference/tickers?cursor=c1"), "foreign_next_url"),
        (tickers(next_url="https://api.massive.com/v2/aggs?cursor=c1"), "foreign_next_url"),
        (Answer(b"<html>busy</html>"), "body"),
    ],
)
async def test_what_is_no_list_of_tickers_is_refused(
    exchange: Exchange, client: ProviderClient, answer: Answer, reason: str
) -> None:
    """No symbol is called unknown on such an answer."""
    exchange.answers(answer)

    with pytest.raises(BadResponse) as caught:
        await client.find_symbols(["AAPL"])

    assert caught.value.reason == reason


async def test_a_list_without_an_end_is_given_up(exchange: Exchange, client: ProviderClient) -> None:
    """A hundred pages are more than any list has (H21)."""
    exchange.answers(tickers(next_url="https://api.massive.com/v3/reference/tickers?cursor=c1"))

    with pytest.raises(BadResponse) as caught:
        await client.find_symbols(["AAPL"])

    assert caught.value.reason == "page_loop"
    assert len(exchange.requests) == 100

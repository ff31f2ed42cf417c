"""What crypto venues are asked, and what they promise to the planner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from barfill.core.page import BarsQuery
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, InvalidInput, SettingsError, SymbolNotOffered
from barfill.providers.base import HttpResponse
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.origins import Origin
from tests.providers.dialects import at
from tests.providers.venues import JSON, NOW, WIRES, prepared

EACH_VENUE = pytest.mark.parametrize("venue", WIRES)
INTRADAY = {Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.H1}


def query_of(
    venue: str, timeframe: Timeframe = Timeframe.M1, *, hours: float = 48, symbol: str | None = None
) -> BarsQuery:
    """A query for the venue's market from 2024-03-05 on."""
    wanted = Range(at("2024-03-05"), at("2024-03-05") + timedelta(hours=hours))
    return BarsQuery((WIRES[venue].symbol if symbol is None else symbol,), timeframe, wanted, feed=venue)


def seconds(text: str) -> str:
    """An instant, UTC, in epoch seconds."""
    return str(int(at(text).timestamp()))


@pytest.mark.parametrize(
    ("venue", "url", "params", "window", "later"),
    [
        (
            "binance",
            "https://api.binance.com/api/v3/klines",
            {"symbol": "BTCUSDT", "interval": "1m", "limit": "1000"},
            {"startTime": seconds("2024-03-05") + "000", "endTime": seconds("2024-03-05T16:39:59") + "999"},
            {"startTime": seconds("2024-03-06T12:00") + "000", "endTime": seconds("2024-03-06T23:59:59") + "999"},
        ),
        (
            "coinbase",
            "https://api.coinbase.com/api/v3/brokerage/market/products/BTC-USD/candles",
            {"granularity": "ONE_MINUTE"},
            {"start": seconds("2024-03-05"), "end": seconds("2024-03-05T04:59:59")},
            {"start": seconds("2024-03-06T12:00"), "end": seconds("2024-03-06T16:59:59")},
        ),
        (
            "coinbaseexchange",
            "https://api.exchange.coinbase.com/products/BTC-USD/candles",
            {"granularity": "60"},
            {"start": "2024-03-05T00:00:00.000Z", "end": "2024-03-05T04:59:59.999Z"},
            {"start": "2024-03-06T12:00:00.000Z", "end": "2024-03-06T16:59:59.999Z"},
        ),
        (
            "kraken",
            "https://api.kraken.com/0/public/OHLC",
            {"pair": "XXBTZUSD", "interval": "1"},
            {"since": seconds("2024-03-04T23:59")},
            {"since": seconds("2024-03-04T23:59")},
        ),
    ],
)
def test_a_window_is_asked_for_as_the_venue_wants_it(
    venue: str, url: str, params: Mapping[str, str], window: Mapping[str, str], later: Mapping[str, str]
) -> None:
    """Path, market, timeframe, and bounds in the venue's units, the end excluded; a token begins a later window."""
    provider, query = prepared(venue), query_of(venue)

    first = provider.bars_request(query, None)
    then = provider.bars_request(query, seconds("2024-03-06T12:00") + "000")

    assert first.url == then.url == url
    assert dict(first.params) == {**params, **window, **({"limit": "1000"} if venue == "binance" else {})}
    assert dict(then.params) == {**params, **later, **({"limit": "720"} if venue == "binance" else {})}
    assert dict(first.headers) == {}
    assert WIRES[venue].symbol in first.shown


@EACH_VENUE
def test_one_request_tells_the_markets(venue: str) -> None:
    """Then the spot markets are known by slash and asset type, and symbols cost no further request."""
    provider = make_venue(venue)
    asked = provider.preparation_request()

    assert asked is not None
    assert asked.url.endswith(WIRES[venue].markets_path)
    known = {one.ticker: one for one in prepared(venue).prepared_symbols()}
    assert known[WIRES[venue].symbol].asset_type == "crypto"
    assert known[WIRES[venue].symbol].is_active
    assert not provider.symbol_requests(["BTC/USD"])
    assert not provider.delisted_requests(["BTC/USD"])


def test_who_no_longer_trades_is_known_as_such() -> None:
    """Binance lists it with the status BREAK."""
    assert {one.ticker: one.is_active for one in prepared("binance").prepared_symbols()} == {
        "BTC/USDT": True,
        "LUNA/USDT": False,
    }


@EACH_VENUE
def test_nothing_leaves_the_venues_hosts(venue: str) -> None:
    """The list of markets and bars of any offered timeframe lie below a base URL, its own or the one given (X20)."""
    for base_url in (None, "http://127.0.0.1:8900/crypto"):
        provider = prepared(venue, base_url=base_url)
        origins = [Origin.parse(one) for one in provider.base_urls]
        queries = [query_of(venue, timeframe) for timeframe in provider.capabilities.timeframes]
        requests = [provider.bars_request(query, None) for query in queries]
        markets = make_venue(venue, base_url).preparation_request()
        assert markets is not None
        assert all(any(origin.admits(one.url) for origin in origins) for one in (*requests, markets))
        assert base_url is None or provider.base_urls == (base_url,)
        assert base_url is None or markets.url == base_url + WIRES[venue].markets_path


@EACH_VENUE
@pytest.mark.parametrize("symbol", ["btc/usdt", "BTCUSDT", "BTC-USD", "DOGE/EUR", "BTC/USDT:USDT", "..", "A" * 21, ""])
def test_only_spot_markets_by_their_slash_are_asked_for(venue: str, symbol: str) -> None:
    """The venue's own ids, contracts and what is no ticker are refused before anything is sent (X08)."""
    with pytest.raises(SymbolNotOffered) as raised:
        prepared(venue).bars_request(query_of(venue, symbol=symbol), None)
    assert raised.value.symbol == symbol


@EACH_VENUE
def test_one_symbol_of_the_venues_feed_at_a_time(venue: str) -> None:
    """Neither several symbols, another feed nor a timeframe that it lacks can be asked for."""
    provider, query = prepared(venue), query_of(venue)
    others = set(Timeframe) - provider.capabilities.timeframes
    wrong = [
        BarsQuery((*query.symbols, "ETH/USD"), query.timeframe, query.range, venue),
        BarsQuery(query.symbols, query.timeframe, query.range, "sip"),
        *(BarsQuery(query.symbols, timeframe, query.range, venue) for timeframe in others),
    ]

    for one in wrong:
        with pytest.raises(InvalidInput):
            provider.bars_request(one, None)


@pytest.mark.parametrize(
    ("venue", "also", "page_size", "per_minute", "spacing_s", "history_bars"),
    [
        ("binance", {Timeframe.M30, Timeframe.H4, Timeframe.W1}, 1000, 2849, 0.02, None),
        ("coinbase", {Timeframe.M30}, 300, 558, 0.102, None),
        ("coinbaseexchange", set(), 300, 570, 0.1, None),
        ("kraken", {Timeframe.M30, Timeframe.H4}, 720, 47, 1.2, 718),
    ],
)
def test_capabilities_are_those_of_the_venue(
    venue: str, also: set[Timeframe], page_size: int, per_minute: int, spacing_s: float, history_bars: int | None
) -> None:
    """Weeks from Monday at Binance only, page and rate as in 8.1 with a margin, and of Kraken the newest bars."""
    capabilities = make_venue(venue).capabilities

    assert capabilities.timeframes == INTRADAY | {Timeframe.D1} | also
    assert (capabilities.page_size, capabilities.symbols_per_call_max) == (page_size, 1)
    assert capabilities.requests_per_minute == per_minute
    assert capabilities.spacing_s == pytest.approx(spacing_s)
    assert capabilities.history_bars == history_bars
    assert capabilities.feed == make_venue(venue).name == venue
    assert all(capabilities.bars_per_session[one] > 0 for one in capabilities.timeframes)


def test_settings_replace_what_is_usual() -> None:
    """Requests per minute set the pace as well, and a page may be smaller; Kraken's is what it is."""
    slow, quick = (make_venue("coinbase", requests_per_minute=each).capabilities for each in (10, 6000))

    assert (slow.requests_per_minute, quick.requests_per_minute) == (10, 6000)
    assert [slow.spacing_s, quick.spacing_s] == pytest.approx([0.102, 0.01])
    assert make_venue("binance", page_size=10).capabilities.page_size == 10
    assert make_venue("kraken", page_size=10).capabilities.page_size == 720


@pytest.mark.parametrize("venue", ["", "nasdaq", "__class__", "Exchange", "zaif", "hyperliquid", "alpaca"])
def test_a_venue_that_cannot_be_used_is_refused_with_what_to_do(venue: str) -> None:
    """No such exchange, one without candles, one that is asked by POST or wants a key; the text names another."""
    with pytest.raises(SettingsError, match="binance"):
        make_venue(venue).preparation_request()


@pytest.mark.parametrize(
    ("venue", "used", "wait_s"),
    [
        ("binance", "5880", 18.0),
        ("binance", "6001", 18.0),
        ("binance", "5879", None),
        ("binance", "x", None),
        ("binanceus", "1180", 18.0),
        ("kraken", "9999", None),
    ],
)
def test_a_weight_that_is_used_up_is_waited_out(venue: str, used: str, wait_s: float | None) -> None:
    """To the end of the minute, before Binance refuses: others may ask from the same address (8.1)."""
    headers = {"x-mbx-used-weight-1m": used}
    response = HttpResponse(200, headers, b"[]", at("2024-06-01T12:00:42"))

    assert make_venue(venue).told_wait_s(response) == wait_s


def test_a_venue_that_needs_two_requests_for_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ccxt asks for besides the page cannot be had once the answer is there."""
    provider = make_venue("binance")
    request = provider.preparation_request()
    assert request is not None
    provider.prepare(request, HttpResponse(200, JSON, json.dumps(WIRES["binance"].markets).encode(), NOW))
    assert provider.preparation_request() is None
    exchange = provider._replay.exchange

    def twice(*args: Any) -> object:
        exchange.publicGetKlines({"symbol": "BTCUSDT"})
        return exchange.publicGetKlines({"symbol": "BTCUSDT", "again": "1"})

    monkeypatch.setattr(exchange, "fetch_ohlcv", twice)

    with pytest.raises(InvalidInput, match="more than one request"):
        provider.parse_bars(query_of("binance"), HttpResponse(200, JSON, b"[]", NOW))


def test_settings_without_meaning_are_refused() -> None:
    """A page larger than the venue's."""
    with pytest.raises(SettingsError, match="301"):
        make_venue("coinbase", page_size=301)


@pytest.mark.parametrize("body", [b'{"symbols": 7}', b'{"symbols": [7]}', b"[1, 2]", b'"x"'])
def test_markets_that_cannot_be_read_are_asked_for_anew(body: bytes) -> None:
    """They are refused once, and then the first request is the next one again."""
    provider = make_venue("binance")
    first = provider.preparation_request()
    assert first is not None
    provider.prepare(first, HttpResponse(200, JSON, body, NOW))

    with pytest.raises(BadResponse, match="read"):
        provider.preparation_request()
    again = provider.preparation_request()
    assert again is not None
    assert again.url == first.url


@pytest.mark.parametrize("venue", ["okx", "bybit", "bitstamp", "kucoin", "gemini", "bitfinex", "gate", "mexc"])
def test_any_other_venue_of_ccxt_can_be_asked(venue: str) -> None:
    """By ccxt's word alone: its markets come first; its weeks are made of days, and its pages have a bound."""
    provider = make_venue(venue)
    request = provider.preparation_request()

    assert request is not None
    assert any(Origin.parse(one).admits(request.url) for one in provider.base_urls)
    assert Timeframe.W1 not in provider.capabilities.timeframes
    assert 100 <= provider.capabilities.page_size <= 1000

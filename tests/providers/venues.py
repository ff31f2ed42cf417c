"""
Crypto venues on loopback, as far as bars need them: what each is asked, and how it answers.

A reading of providers.md 8.1 that shares nothing with ccxt or the adapter. One market is offered: BTC against a dollar.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aiohttp import web

from barfill.core.timeframe import Timeframe
from barfill.providers.base import HttpResponse
from barfill.providers.ccxt_venue import CcxtVenue, make_venue
from tests.providers.servers import Answer, Exchange, running_exchange

JSON: Mapping[str, str] = {"content-type": "application/json"}
NOW = datetime(2024, 6, 1, tzinfo=UTC)
KRAKEN_ROWS = 720

Bar = tuple[float, float, float, float, float]
"""Open, high, low, close, volume."""
Bars = Mapping[int, Bar]
"""By start in epoch seconds."""
Parameters = Mapping[str, str]


@dataclass
class FakeVenue:
    """
    One venue over given bars, which include the open candle.

    Attributes:
        venue: Its id in ccxt.
        symbol: Its market in barfill's spelling.
        bars: By timeframe.
        refuse: Answers instead, for so many requests for bars.
    """

    venue: str
    bars: dict[Timeframe, Bars] = field(default_factory=dict)
    refusals: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, Parameters]] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """Its one market."""
        return WIRES[self.venue].symbol

    @property
    def bar_requests(self) -> list[Parameters]:
        """The parameters of all requests for bars."""
        return [params for path, params in self.asked if path != WIRES[self.venue].markets_path]

    async def handle(self, request: web.BaseRequest) -> Answer:
        """Whatever is asked, as the venue answers it."""
        path, params = request.path, dict(request.query)
        self.asked.append((path, params))
        wire = WIRES[self.venue]
        if path == wire.markets_path:
            return Answer(wire.markets)
        if path != wire.bars_path:
            return Answer({"message": "NotFound"}, status=404)
        return self.refusals.pop(0) if self.refusals else Answer(wire.page(self.bars, params))


@asynccontextmanager
async def running_venue(fake: FakeVenue) -> AsyncIterator[str]:
    """The base URL of *fake* on loopback."""
    async with running_exchange() as exchange:
        exchange.handler = fake.handle
        yield origin_of(exchange)


def origin_of(exchange: Exchange) -> str:
    """Scheme, host and port."""
    return exchange.base_url.rpartition("/")[0]


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one venue speaks."""

    symbol: str
    markets_path: str
    markets: object
    bars_path: str
    page: Callable[[Mapping[Timeframe, Bars], Parameters], object]
    empty: object
    rows_max: int


@cache
def prepared(venue: str, **settings: Any) -> CcxtVenue:
    """The adapter of *venue*, told its markets; one for all tests, as it changes no more."""
    provider = make_venue(venue, **settings)
    request = provider.preparation_request()
    assert request is not None
    provider.prepare(request, HttpResponse(200, JSON, json.dumps(WIRES[venue].markets).encode(), NOW))
    assert provider.preparation_request() is None
    return provider


def _in_order(bars: Bars, start_s: float, end_s: float) -> list[tuple[int, Bar]]:
    return sorted((ts, bar) for ts, bar in bars.items() if start_s <= ts <= end_s)


def _binance(bars: Mapping[Timeframe, Bars], params: Parameters) -> object:
    """Ascending from `startTime`, both bounds inclusive, numbers as text; 1,000 rows at most, 500 by default."""
    found = bars[Timeframe.parse(params["interval"])]
    rows = _in_order(found, int(params["startTime"]) / 1000, int(params.get("endTime", 10**15)) / 1000)
    length_ms = int(Timeframe.parse(params["interval"]).length.total_seconds()) * 1000
    return [
        [ts * 1000, *map(str, bar), ts * 1000 + length_ms - 1, "1.0", 7, "0.5", "0.5", "0"]
        for ts, bar in rows[: min(int(params.get("limit", 500)), 1000)]
    ]


_GRANULARITIES = {
    "ONE_MINUTE": Timeframe.M1,
    "FIVE_MINUTE": Timeframe.M5,
    "FIFTEEN_MINUTE": Timeframe.M15,
    "THIRTY_MINUTE": Timeframe.M30,
    "ONE_HOUR": Timeframe.H1,
    "ONE_DAY": Timeframe.D1,
}


def _coinbase(bars: Mapping[Timeframe, Bars], params: Parameters) -> object:
    """Newest first, all text; both bounds inclusive."""
    rows = _in_order(bars[_GRANULARITIES[params["granularity"]]], int(params["start"]), int(params["end"]))
    assert len(rows) <= 300
    keys = ("open", "high", "low", "close", "volume")
    texts = [{"start": str(ts), **dict(zip(keys, map(str, bar), strict=True))} for ts, bar in rows]
    return {"candles": texts[::-1]}


def _coinbase_exchange(bars: Mapping[Timeframe, Bars], params: Parameters) -> object:
    """Newest first: time, LOW, HIGH, open, close, volume; a row before the start may come along (8.1)."""
    (timeframe,) = [one for one in Timeframe if one.length.total_seconds() == int(params["granularity"])]
    start, end = (datetime.fromisoformat(params[key]).timestamp() for key in ("start", "end"))
    assert (end - start) / timeframe.length.total_seconds() <= 300
    rows = _in_order(bars[timeframe], start - timeframe.length.total_seconds(), end)
    return [[ts, low, high, o, c, v] for ts, (o, high, low, c, v) in rows[::-1]]


def _kraken(bars: Mapping[Timeframe, Bars], params: Parameters) -> object:
    """Its newest 720 rows and no others, after `since`, which is exclusive."""
    (timeframe,) = [one for one in Timeframe if one.length.total_seconds() == 60 * int(params["interval"])]
    newest = _in_order(bars[timeframe], 0, 10**11)[-KRAKEN_ROWS:]
    rows = [(ts, bar) for ts, bar in newest if ts > int(params["since"])]
    sent = [[ts, *map(str, bar[:4]), str(bar[3]), str(bar[4]), 7] for ts, bar in rows]
    return {"error": [], "result": {"XXBTZUSD": sent, "last": rows[-2][0] if len(rows) > 1 else 0}}


_BINANCE_MARKET = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": ["LIMIT"],
    "isSpotTradingAllowed": True,
    "permissions": ["SPOT"],
    "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.0", "tickSize": "0.01"}],
}
_COINBASE_MARKET = {
    "product_id": "BTC-USD",
    "base_currency_id": "BTC",
    "quote_currency_id": "USD",
    "base_increment": "0.00000001",
    "quote_increment": "0.01",
    "product_type": "SPOT",
    "status": "online",
    "trading_disabled": False,
}
_EXCHANGE_MARKET = {
    "id": "BTC-USD",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "base_increment": "0.00000001",
    "quote_increment": "0.01",
    "status": "online",
}
_KRAKEN_MARKET = {
    "altname": "XBTUSD",
    "wsname": "XBT/USD",
    "base": "XXBT",
    "quote": "ZUSD",
    "pair_decimals": 1,
    "lot_decimals": 8,
    "status": "online",
}

WIRES: Mapping[str, Wire] = {
    "binance": Wire(
        symbol="BTC/USDT",
        markets_path="/api/v3/exchangeInfo",
        markets={
            "symbols": [
                _BINANCE_MARKET,
                {**_BINANCE_MARKET, "symbol": "LUNAUSDT", "baseAsset": "LUNA", "status": "BREAK"},
            ]
        },
        bars_path="/api/v3/klines",
        page=_binance,
        empty=[],
        rows_max=1000,
    ),
    "coinbase": Wire(
        symbol="BTC/USD",
        markets_path="/api/v3/brokerage/market/products",
        markets={"products": [_COINBASE_MARKET], "num_products": 1},
        bars_path="/api/v3/brokerage/market/products/BTC-USD/candles",
        page=_coinbase,
        empty={"candles": []},
        rows_max=300,
    ),
    "coinbaseexchange": Wire(
        symbol="BTC/USD",
        markets_path="/products",
        markets=[_EXCHANGE_MARKET],
        bars_path="/products/BTC-USD/candles",
        page=_coinbase_exchange,
        empty=[],
        rows_max=300,
    ),
    "kraken": Wire(
        symbol="BTC/USD",
        markets_path="/0/public/AssetPairs",
        markets={"error": [], "result": {"XXBTZUSD": _KRAKEN_MARKET}},
        bars_path="/0/public/OHLC",
        page=_kraken,
        empty={"error": [], "result": {"XXBTZUSD": [], "last": 0}},
        rows_max=KRAKEN_ROWS,
    ),
}

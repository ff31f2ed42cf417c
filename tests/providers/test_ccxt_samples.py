"""Recorded answers of crypto venues; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import ProviderError, ProviderUnavailable, RateLimited, SymbolNotOffered
from barfill.providers.base import HttpResponse
from barfill.providers.ccxt_venue import CcxtVenue, make_venue
from tests.providers.test_ccxt_errors import meaning
from tests.providers.venues import JSON, prepared

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/ccxt"
NOW = datetime(2025, 11, 10, 23, 59, tzinfo=UTC)
_CLASSES: dict[str, type[ProviderError]] = {
    "BadSymbol": SymbolNotOffered,
    "DDoSProtection": RateLimited,
    "ExchangeNotAvailable": ProviderUnavailable,
}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def sample(name: str) -> Any:
    """The JSON in a sample."""
    return json.loads((SAMPLES / name).read_text())


def told(venue: str, markets: str) -> CcxtVenue:
    """The adapter, told the recorded markets."""
    provider = make_venue(venue)
    request = provider.preparation_request()
    assert request is not None
    provider.prepare(request, HttpResponse(200, JSON, (SAMPLES / markets).read_bytes(), NOW))
    assert provider.preparation_request() is None
    return provider


def parsed(provider: CcxtVenue, name: str, symbol: str, timeframe: Timeframe, start_s: int, bars: int) -> Page:
    """The recorded page as the answer to a query for so many bars."""
    start = datetime.fromtimestamp(start_s, UTC)
    query = BarsQuery((symbol,), timeframe, Range(start, start + bars * timeframe.length), provider.name)
    return provider.parse_bars(query, HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW))


def values(page: Page) -> list[tuple[float, ...]]:
    """The rows, their stamps in seconds."""
    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume)
    return [
        (ts // 1_000_000, *row) for ts, *row in zip(page.rows.ts.tolist(), *(c.tolist() for c in columns), strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "symbol"), [("binance_klines_BTC_1m.json", "BTC/USDT"), ("binance_klines_doc_example.json", "ETH/USDT")]
)
def test_binance_klines_parse_to_their_values(name: str, symbol: str) -> None:
    """Every row with its five numbers, by its open time."""
    rows = sample(name)
    start_s = rows[0][0] // 60_000 * 60

    page = parsed(told("binance", "binance_exchangeInfo.json"), name, symbol, Timeframe.M1, start_s, 1000)

    assert [(ts, *row) for ts, *row in values(page)] == [(row[0] // 1000, *map(float, row[1:6])) for row in rows]


def test_coinbase_candles_parse_to_their_values() -> None:
    """Newest first and all text on the wire; in the order of time here."""
    rows = sample("coinbase_advanced_candles_1h.json")["candles"][::-1]
    keys = ("open", "high", "low", "close", "volume")

    provider = told("coinbase", "coinbase_advanced_products.json")
    page = parsed(provider, "coinbase_advanced_candles_1h.json", "BTC/USD", Timeframe.H1, int(rows[0]["start"]), 300)

    assert values(page) == [(int(row["start"]), *(float(row[key]) for key in keys)) for row in rows]


def test_coinbase_exchange_candles_parse_to_their_values() -> None:
    """Low and high come before open and close."""
    ((ts, low, high, o, c, volume),) = sample("coinbaseexchange_candles_1h.json")

    page = parsed(prepared("coinbaseexchange"), "coinbaseexchange_candles_1h.json", "BTC/USD", Timeframe.H1, ts, 300)

    assert values(page) == [(ts, o, high, low, c, volume)]


def test_krakens_721_rows_parse_to_their_values() -> None:
    """Rows without trades too; the answer is full, so nothing is known of the time before its first row."""
    rows = sample("kraken_OHLC_XBTUSDT_1m_721rows.json")["result"]["XBTUSDT"]
    provider = told("kraken", "kraken_AssetPairs.json")

    page = parsed(provider, "kraken_OHLC_XBTUSDT_1m_721rows.json", "BTC/USDT", Timeframe.M1, rows[0][0] - 6000, 821)

    assert len(rows) == 721
    assert values(page) == [(row[0], *map(float, row[1:5]), float(row[6])) for row in rows]
    assert sum(volume == 0 for volume in page.rows.volume.tolist()) == sum(float(row[6]) == 0 for row in rows) > 100
    assert page.looked_from == from_us(rows[0][0] * 1_000_000)
    assert page.next_token is None


def test_the_recorded_markets_are_offered() -> None:
    """By their slash, whatever the venue calls them."""
    offered = {
        venue: [one.ticker for one in told(venue, markets).prepared_symbols()]
        for venue, markets in (
            ("binance", "binance_exchangeInfo.json"),
            ("coinbase", "coinbase_advanced_products.json"),
            ("kraken", "kraken_AssetPairs.json"),
        )
    }

    assert offered == {
        "binance": ["BTC/USDT", "ETH/USDT"],
        "coinbase": ["BTC/USD", "BTC/USDC"],
        "kraken": ["BTC/USDT"],
    }


@pytest.mark.parametrize("position", range(6))
def test_every_recorded_error_maps_to_its_class(position: int) -> None:
    """What ccxt was measured to raise is what barfill understands; `Retry-After` is read from the headers."""
    one = sample("error_bodies.json")[position]
    venue = "kraken" if one["venue"] == "any" else one["venue"]
    headers = {name.lower(): value for name, value in one.get("headers", {}).items()}

    error = meaning(venue, one["status"], one["body"] or b"", **headers)

    assert type(error) is _CLASSES[one["ccxt_exception"].split()[0]]
    if isinstance(error, RateLimited) and headers:
        assert error.retry_after_s == timedelta(seconds=7).total_seconds()

"""ccxt reads the crypto venues, unchanged (providers.md 8.4)."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ccxt
import polars as pl
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

VENUES = ("binance", "coinbaseexchange", "kraken")
NOW = datetime(2026, 8, 17, 18, 0, 30, tzinfo=UTC)
WIDTHS = {"1m": 60, "5m": 300, "1h": 3600, "4h": 14_400, "1d": 86_400, "1w": 604_800}

Client = Callable[[str], Any]


def client_of(exchange: SimulatedExchange, venue: str) -> Any:
    """ccxt's client of a venue, pointed at the exchange; no waiting, so that tests are quick."""
    options = {"fetchMarkets": {"types": ["spot"]}, "defaultType": "spot"}
    made = getattr(ccxt, venue)({"enableRateLimit": False, "options": options})
    made.urls["api"] = _moved(made.urls["api"], exchange.venue_url(venue))
    return made


def _moved(urls: Any, base: str) -> Any:
    if isinstance(urls, dict):
        return {name: _moved(url, base) for name, url in urls.items()}
    return re.sub(r"^https://[^/]+", base, urls) if isinstance(urls, str) else urls


@pytest.fixture
def client(exchange: SimulatedExchange) -> Client:
    exchange.set_clock(NOW)
    return lambda venue: client_of(exchange, venue)


def as_frame(rows: list[list[Any]]) -> pl.DataFrame:
    """ccxt's rows in the form of the exchange's truth."""
    names = ("ts", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    return frame.with_columns(pl.from_epoch(pl.col("ts").cast(pl.Int64), "ms").cast(pl.Datetime("us", "UTC")))


def read_all(reader: Any, symbol: str, timeframe: str, start: datetime, pages_max: int = 12) -> list[list[Any]]:
    """All rows from *start* to now, page after page; an empty page is no end."""
    limit = {"binance": 1000, "coinbaseexchange": 300, "kraken": 721}[reader.id]
    since, step_ms = int(start.timestamp() * 1000), WIDTHS[timeframe] * 1000
    rows: list[list[Any]] = []
    for _ in range(pages_max):
        page = reader.fetch_ohlcv(symbol, timeframe, since, limit)
        rows += page
        is_dense = reader.id == "binance" and page
        since = page[-1][0] + step_ms if is_dense else since + limit * step_ms
        if since > NOW.timestamp() * 1000:
            break
    return rows


@pytest.mark.parametrize(
    ("venue", "symbol", "timeframe", "start", "requests"),
    [
        ("binance", "BTC/USDT", "1m", "2026-08-16T06:00Z", 3),
        ("binance", "DUST/USDT", "1m", "2026-08-17T06:00Z", 1),
        ("binance", "BTC/USD", "4h", "2026-06-01T00:00Z", 1),
        ("binance", "SOL/USDT", "1d", "2020-01-01T00:00Z", 3),
        ("binance", "ETH/USDT", "1w", "2025-01-01T00:00Z", 1),
        ("coinbaseexchange", "BTC/USD", "1m", "2026-08-17T06:00Z", 3),
        ("coinbaseexchange", "DUST/USD", "5m", "2026-08-16T00:00Z", 2),
        ("coinbaseexchange", "SOL/USD", "1h", "2026-07-20T00:00Z", 3),
        ("coinbaseexchange", "ETH/USD", "1d", "2025-06-01T00:00Z", 2),
        ("kraken", "BTC/USD", "1m", "2026-08-17T06:01Z", 1),
        ("kraken", "DUST/USD", "1h", "2026-08-01T00:00Z", 1),
        ("kraken", "ETH/USD", "1d", "2025-01-01T00:00Z", 1),
    ],
)
def test_candles_are_the_truth(
    exchange: SimulatedExchange, client: Client, venue: str, symbol: str, timeframe: str, start: str, requests: int
) -> None:
    """Over several pages the rows with volume equal what was traded; all others are flat at the close before."""
    reader = client(venue)
    reader.load_markets()
    exchange.forget_requests()
    begin = datetime.fromisoformat(start)

    frame = as_frame(read_all(reader, symbol, timeframe, begin))

    truth = exchange.crypto_truth(venue, symbol, f"{timeframe[1]}{timeframe[0]}", begin).drop("trades", "vwap")
    traded = frame.filter(pl.col("volume") > 0)
    assert traded.equals(truth)
    flat = frame.with_columns(pl.col("close").shift().alias("before")).slice(1).filter(pl.col("volume") == 0)
    assert flat.select(pl.all_horizontal(pl.col("open", "high", "low", "close") == pl.col("before")).all()).item()
    assert len(exchange.requests) == requests


@pytest.mark.parametrize(
    ("venue", "symbols", "active"),
    [
        ("binance", {"BTC/USDT", "ETH/USDT", "SOL/USDT", "DUST/USDT", "BTC/USD", "ETH/USD"}, 0.01),
        ("coinbaseexchange", {"BTC/USD", "ETH/USD", "SOL/USD", "DUST/USD", "BTC/USDT"}, 0.01),
        ("kraken", {"BTC/USD", "ETH/USD", "SOL/USD", "DUST/USD", "BTC/USDT"}, 0.1),
    ],
)
def test_markets_load(client: Client, venue: str, symbols: set[str], active: float) -> None:
    """load_markets names the pairs in ccxt's words, with their steps, and fetch_time tells the exchange's clock."""
    reader = client(venue)

    markets = reader.load_markets()

    assert set(markets) == symbols
    assert markets["BTC/USDT"]["active"] is True
    assert markets["BTC/USDT"]["precision"]["price"] == active
    assert reader.fetch_time() == int(NOW.timestamp()) * 1000


@pytest.mark.parametrize("venue", VENUES)
def test_the_last_row_is_open(exchange: SimulatedExchange, client: Client, venue: str) -> None:
    """The bar under way grows with the clock, is the last row, and stays as it is once it is over."""
    reader, since = client(venue), int(NOW.timestamp() // 3600 * 3_600_000)
    seen = []

    for seconds in (30, 45, 3600, 7200):
        exchange.set_clock(NOW.replace(second=0) + timedelta(seconds=seconds))
        seen.append(reader.fetch_ohlcv("BTC/USD", "1h", since, 10)[0])

    assert {row[0] for row in seen} == {since}
    assert seen[0][5] < seen[1][5] < seen[2][5]
    assert seen[2] == seen[3]


def test_kraken_has_no_more_than_the_newest(client: Client) -> None:
    """However old the since, 720 intervals and the one under way come."""
    rows = client("kraken").fetch_ohlcv("BTC/USD", "1h", int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000))

    assert len(rows) == 721
    assert rows[-1][0] == int(NOW.timestamp() // 3600 * 3_600_000)
    assert rows[0][0] == rows[-1][0] - 720 * 3_600_000


@pytest.mark.parametrize(
    ("venue", "method", "params", "error"),
    [
        ("binance", "publicGetKlines", {"symbol": "NOPE", "interval": "1m"}, ccxt.BadSymbol),
        ("binance", "publicGetKlines", {"symbol": "BTCUSDT", "interval": "7m"}, ccxt.BadRequest),
        ("binance", "publicGetKlines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, ccxt.BadRequest),
        ("coinbaseexchange", "publicGetProductsIdCandles", {"id": "NO-PE"}, ccxt.OrderNotFound),
        ("coinbaseexchange", "publicGetProductsIdCandles", {"id": "BTC-USD", "granularity": 7}, ccxt.ExchangeError),
        (
            "coinbaseexchange",
            "publicGetProductsIdCandles",
            {"id": "BTC-USD", "granularity": 60, "start": "2026-08-01T00:00:00Z", "end": "2026-08-01T05:01:00Z"},
            ccxt.ExchangeError,
        ),
        ("kraken", "publicGetOHLC", {"pair": "NOPE"}, ccxt.ExchangeError),
        ("kraken", "publicGetOHLC", {"pair": "XBTUSD", "interval": 7}, ccxt.BadRequest),
    ],
)
def test_refusals_are_the_clients_exceptions(
    client: Client, venue: str, method: str, params: dict[str, Any], error: type[Exception]
) -> None:
    """What the venue refuses surfaces as ccxt's own exception, none of them worth another try."""
    with pytest.raises(error) as raised:
        getattr(client(venue), method)(params)

    assert not isinstance(raised.value, ccxt.NetworkError)


@pytest.mark.parametrize(
    ("venue", "line", "error"),
    [
        ("binance", {"fault": "H01", "args": {"seconds": 7}}, ccxt.DDoSProtection),
        ("coinbaseexchange", {"fault": "H01"}, ccxt.RateLimitExceeded),
        ("kraken", {"fault": "H01"}, ccxt.DDoSProtection),
        *((venue, {"fault": "H04"}, ccxt.ExchangeNotAvailable) for venue in VENUES),
        *((venue, {"fault": "H18"}, ccxt.NetworkError) for venue in VENUES),
    ],
)
def test_faults_are_the_clients_exceptions(
    exchange: SimulatedExchange, client: Client, venue: str, line: dict[str, Any], error: type[Exception]
) -> None:
    """Limits, outages and broken connections are ccxt's retryable errors; the wait is in the last headers."""
    reader = client(venue)
    reader.load_markets()
    exchange.set_faults([line])

    with pytest.raises(error) as raised:
        reader.fetch_ohlcv("BTC/USD", "1m")

    assert isinstance(raised.value, ccxt.NetworkError)
    if line.get("args"):
        assert reader.last_response_headers["Retry-After"] == "7"


@pytest.fixture(scope="module")
def limited() -> Iterator[SimulatedExchange]:
    """An exchange with the venues' own limits."""
    with running_exchange(ExchangeConfig(port=0, symbols=1, start_clock=NOW, clock_is_frozen=True)) as exchange:
        yield exchange


@pytest.mark.parametrize(
    ("venue", "per_second", "error"),
    [("coinbaseexchange", 15, ccxt.RateLimitExceeded), ("kraken", 2, ccxt.DDoSProtection)],
)
def test_a_burst_is_refused(limited: SimulatedExchange, venue: str, per_second: int, error: type[Exception]) -> None:
    """More requests in a second than the venue takes are refused, on Kraken inside a reply of 200."""
    reader = client_of(limited, venue)
    reader.fetch_time()
    # Others at the same address, all at once: a slow machine could not send as many within a second.
    for _ in range(per_second):
        limited.ledger.limit_of(venue, "data", "").take()

    with pytest.raises(error):
        reader.fetch_time()
    assert limited.requests[-1].status == (200 if venue == "kraken" else 429)


def test_binance_weighs_refuses_and_bans() -> None:
    """Weights add up in the headers; beyond them 429 with a wait, and 418 for who goes on asking."""
    config = ExchangeConfig(port=0, symbols=1, requests_per_minute=23, start_clock=NOW, clock_is_frozen=True)
    with running_exchange(config) as exchange:
        reader = client_of(exchange, "binance")
        reader.load_markets()
        reader.fetch_ohlcv("BTC/USDT", "1m", limit=1)
        used = reader.last_response_headers["X-MBX-USED-WEIGHT-1M"]
        told = []
        for _ in range(21):
            with pytest.raises(ccxt.DDoSProtection):
                reader.fetch_ohlcv("BTC/USDT", "1m", limit=1)
            told.append(int(reader.last_response_headers["Retry-After"]))
        statuses = [request.status for request in exchange.requests]
        # Weight 1 would still fit, but not for a banned address.
        with pytest.raises(ccxt.DDoSProtection, match="IP banned until"):
            reader.fetch_time()

    assert used == "22"
    assert statuses == [200, 200] + [429] * 19 + [418] * 2
    assert 50 <= told[0] <= 61
    assert 118 <= told[-1] <= 120

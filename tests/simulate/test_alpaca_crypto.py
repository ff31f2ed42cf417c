"""Crypto bars at Alpaca, read by the vendor's own client and over plain HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.simulate.market.maintenance import is_down
from barfill.simulate.market.sessions import to_ns
from tests.simulate.conftest import NOW


@pytest.fixture
def data(exchange: SimulatedExchange) -> Any:
    """The vendor's client, without a key."""
    return CryptoHistoricalDataClient(url_override=exchange.alpaca_url)


def as_frame(bars: list[Any]) -> pl.DataFrame:
    """The client's bars in the form of the exchange's truth."""
    fields = {"open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume"}
    columns: dict[str, list[Any]] = {"ts": [bar.timestamp for bar in bars]}
    columns |= {name: [getattr(bar, field) for bar in bars] for name, field in fields.items()}
    columns["trades"] = [int(bar.trade_count) for bar in bars]
    return pl.DataFrame(columns, schema_overrides={"ts": pl.Datetime("us", "UTC")})


@pytest.mark.parametrize(
    ("timeframe", "start", "end", "pages", "idle_pairs"),
    [
        (TimeFrame.Minute, "2026-08-09T00:00", "2026-08-14T00:00", 2, {"BTC/USD", "DUST/USD"}),
        (TimeFrame(15, TimeFrameUnit.Minute), "2026-08-09T00:00", "2026-08-14T00:00", 2, {"DUST/USD"}),
        (TimeFrame.Hour, "2026-07-01T00:00", "2026-08-01T00:00", 9, {"DUST/USD"}),
        (TimeFrame.Day, "2024-01-01T00:00", "2026-08-17T00:00", 1, set()),
    ],
)
def test_bars_are_the_truth(
    data: Any,
    exchange: SimulatedExchange,
    timeframe: TimeFrame,
    start: str,
    end: str,
    pages: int,
    idle_pairs: set[str],
) -> None:
    """
    Over several pages and pairs bars with volume equal what was traded; idle intervals are rows of zeros.

    Pages end after 10,000 minutes, not bars: hours come 166 at a time.
    """
    bounds = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)]
    request = CryptoBarsRequest(
        symbol_or_symbols=["DUST/USD", "BTC/USD"], timeframe=timeframe, start=bounds[0], end=bounds[1]
    )

    bars = data.get_crypto_bars(request).data

    for symbol in ("BTC/USD", "DUST/USD"):
        frame = as_frame(bars[symbol])
        traded = frame.filter(pl.col("volume") > 0)
        truth = exchange.crypto_truth("alpaca", symbol, str(timeframe), *bounds).drop("vwap")
        assert traded.equals(truth)
        idle = frame.filter(pl.col("volume") == 0)
        assert idle["trades"].sum() == 0
        assert not is_down("alpaca", idle["ts"].dt.timestamp("us").to_numpy() * 1000).any()
        assert (len(idle) > 0) == (symbol in idle_pairs)
    assert list(bars) == ["BTC/USD", "DUST/USD"]
    assert len(exchange.requests) == pages


def test_locations_are_venues(exchange: SimulatedExchange) -> None:
    """us-1 shows Kraken's trades, us Alpaca's own."""
    start = datetime(2026, 8, 1, tzinfo=UTC)
    for location, venue in (("us-1", "kraken"), ("us", "alpaca")):
        url = f"{exchange.alpaca_url}/v1beta3/crypto/{location}/bars?symbols=ETH/USD&timeframe=1Day&start=2026-08-01"
        closes = [row["c"] for row in httpx.get(url).json()["bars"]["ETH/USD"]]
        assert closes == exchange.crypto_truth(venue, "ETH/USD", "d1", start)["close"].to_list()


def test_pages_go_on_where_they_ended_in_both_directions(exchange: SimulatedExchange) -> None:
    """Small pages over two pairs hold the rows of one large page, each once, in the order asked for."""
    url, asked = f"{exchange.alpaca_url}/v1beta3/crypto/us/bars", {
        "symbols": "SOL/USD,BTC/USD", "timeframe": "4Hour", "start": "2026-08-10", "end": "2026-08-12",
    }  # fmt: skip
    with httpx.Client(trust_env=False) as client:
        for order in ("asc", "desc"):
            whole = client.get(url, params={**asked, "sort": order}).json()
            rows: dict[str, list[Any]] = {}
            token: str | None = ""
            while token is not None:
                page = client.get(url, params={**asked, "sort": order, "limit": 5, "page_token": token}).json()
                for symbol, part in page["bars"].items():
                    rows.setdefault(symbol, []).extend(part)
                token = page["next_page_token"]
            assert rows == whole["bars"]
            assert [len(part) for part in rows.values()] == [18, 18]
            stamps = [row["t"] for row in rows["BTC/USD"]]
            assert stamps == sorted(stamps, reverse=order == "desc")


@pytest.mark.parametrize(
    ("location", "params", "message"),
    [
        ("us", {"symbols": "BTCUSD"}, "invalid symbol: BTCUSD"),
        ("us", {"symbols": "BTC/USD", "timeframe": "7x"}, "invalid timeframe"),
        ("us", {"symbols": "BTC/USD", "start": "soon"}, "invalid start"),
        ("us", {"symbols": "BTC/USD", "start": "2026-08-02", "end": "2026-08-01"}, "end should not be before start"),
        ("us", {}, "symbols is required"),
        ("mars", {"symbols": "BTC/USD"}, "invalid location: mars"),
    ],
)
def test_refusals(exchange: SimulatedExchange, location: str, params: dict[str, str], message: str) -> None:
    """What cannot be is refused with 400 in the vendor's form."""
    answer = httpx.get(f"{exchange.alpaca_url}/v1beta3/crypto/{location}/bars", params={"timeframe": "1Day", **params})

    assert (answer.status_code, answer.json()) == (400, {"message": message})


def test_no_key_will_do_but_a_wrong_one_will_not(data: Any, exchange: SimulatedExchange) -> None:
    """A wrong key is refused here, too; a pair that nobody knows is absent."""
    wrong: Any = CryptoHistoricalDataClient("wrong", "s", url_override=exchange.alpaca_url)
    request = CryptoBarsRequest(symbol_or_symbols="NOPE/USD", timeframe=TimeFrame.Day)

    with pytest.raises(APIError) as raised:
        wrong.get_crypto_bars(request)
    assert raised.value.status_code == 401
    assert data.get_crypto_bars(request).data == {}


def test_days_began_in_chicago_once() -> None:
    """With crypto_days chicago a day before 2025-07 begins at 05:00Z or 06:00Z and is made of other hours."""
    config = ExchangeConfig(port=0, symbols=1, start_clock=NOW, clock_is_frozen=True, crypto_days="chicago")
    with running_exchange(config) as exchange:
        url = f"{exchange.alpaca_url}/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Day"
        spring, summer = (
            httpx.get(f"{url}&start={start}&end={end}").json()["bars"]["BTC/USD"]
            for start, end in (("2025-03-07", "2025-03-12"), ("2025-06-28", "2025-07-03"))
        )
        hours = exchange.crypto_truth(
            "alpaca", "BTC/USD", "1Hour", datetime(2025, 3, 9, 6, tzinfo=UTC), datetime(2025, 3, 10, 4, tzinfo=UTC)
        )

    assert [row["t"][5:13] for row in spring] == [
        "03-07T06", "03-08T06", "03-09T06", "03-10T05", "03-11T05", "03-12T05",
    ]  # fmt: skip
    assert [row["t"][5:13] for row in summer] == [
        "06-28T05", "06-29T05", "06-30T05", "07-01T00", "07-02T00", "07-03T00",
    ]  # fmt: skip
    # The day on which the clocks change has 23 hours.
    assert (len(hours), spring[2]["h"], spring[2]["c"]) == (23, hours["high"].max(), hours["close"][-1])


def test_a_page_fault_spoils_crypto_as_well(exchange: SimulatedExchange) -> None:
    """D12 doubles each row of crypto_bars alone: the rows that Alpaca once had, one per exchange."""
    exchange.set_faults([{"match": {"endpoint": "crypto_bars", "symbol": "BTC/USD"}, "fault": "D12"}])

    url = f"{exchange.alpaca_url}/v1beta3/crypto/us/bars?symbols=BTC/USD&timeframe=1Day&start=2026-08-10&end=2026-08-12"
    rows = httpx.get(url).json()["bars"]["BTC/USD"]

    assert len(rows) == 6
    assert rows[::2] == rows[1::2]
    assert to_ns(datetime.fromisoformat(rows[0]["t"])) == to_ns(datetime(2026, 8, 10, tzinfo=UTC))

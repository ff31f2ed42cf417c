"""The vendor's own Python client reads all of it, unchanged."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import Adjustment, DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, AssetStatus
from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest

from barfill.simulate import SimulatedExchange


# The client's return types are unions with raw dicts, so its objects are Any here.
@pytest.fixture
def data(exchange: SimulatedExchange) -> Any:
    return StockHistoricalDataClient("k", "s", url_override=exchange.alpaca_url)


@pytest.fixture
def trading(exchange: SimulatedExchange) -> Any:
    return TradingClient("k", "s", url_override=exchange.alpaca_url)


def as_frame(bars: list[Any]) -> pl.DataFrame:
    """The client's bars in the form of the exchange's truth."""
    return pl.DataFrame(
        {
            "ts": [bar.timestamp for bar in bars],
            "open": [bar.open for bar in bars],
            "high": [bar.high for bar in bars],
            "low": [bar.low for bar in bars],
            "close": [bar.close for bar in bars],
            "volume": [int(bar.volume) for bar in bars],
            "trades": [int(bar.trade_count) for bar in bars],
            "vwap": [bar.vwap for bar in bars],
        },
        schema_overrides={"ts": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize(
    ("timeframe", "start", "end"),
    [
        (TimeFrame.Minute, "2026-06-01", "2026-07-10"),
        (TimeFrame(15, TimeFrameUnit.Minute), "2026-03-01", "2026-07-01"),
        (TimeFrame.Hour, "2026-03-01", "2026-07-01"),
        (TimeFrame(4, TimeFrameUnit.Hour), "2025-10-01", "2026-04-01"),
        (TimeFrame.Day, "2020-01-01", "2026-08-01"),
        (TimeFrame.Week, "2016-01-01", "2026-08-01"),
    ],
)
def test_bars_are_the_truth(data: Any, exchange: SimulatedExchange, timeframe: TimeFrame, start: str, end: str) -> None:
    """Over several pages and symbols the client's bars equal what the exchange holds."""
    bounds = datetime.fromisoformat(start).replace(tzinfo=UTC), datetime.fromisoformat(end).replace(tzinfo=UTC)
    symbols = ["THIN", "SPLT", "GONE", "NEWC"]

    bars = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols=symbols, timeframe=timeframe, start=bounds[0], end=bounds[1])
    ).data

    for symbol in symbols:
        truth = exchange.truth(symbol, str(timeframe), *bounds)
        assert as_frame(bars.get(symbol, [])).equals(truth), symbol
    rows = sum(map(len, bars.values()))
    assert len(exchange.requests) == rows // 10_000 + 1


def test_an_empty_last_page_ends_the_chain(data: Any, exchange: SimulatedExchange) -> None:
    """Rows that fill the last page exactly cost one more request and nothing is lost."""
    exchange.set_faults([{"fault": "H20", "args": {"form": "full_last"}}])

    bars = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols="AAPL", timeframe=TimeFrame.Day, start=datetime(2026, 8, 3))
    ).data["AAPL"]

    assert len(bars) == 11
    assert len(exchange.requests) == 2


def test_limit_feed_and_adjustment_arrive(data: Any, exchange: SimulatedExchange) -> None:
    """The client's limit, feed and adjustment mean the same here."""
    start, end = datetime(2026, 3, 9, tzinfo=UTC), datetime(2026, 3, 20, tzinfo=UTC)

    bars = data.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols="SPLT",
            timeframe=TimeFrame.Day,
            start=start,
            end=end,
            limit=6,
            feed=DataFeed.IEX,
            adjustment=Adjustment.SPLIT,
        )
    ).data["SPLT"]

    assert as_frame(bars).equals(exchange.truth("SPLT", "d1", start, end, feed="iex", adjustment="split").head(6))


def test_errors_carry_their_status(exchange: SimulatedExchange) -> None:
    """A wrong key and a malformed symbol surface as the client's APIError with the vendor's status."""
    wrong = StockHistoricalDataClient("wrong", "s", url_override=exchange.alpaca_url)
    right = StockHistoricalDataClient("k", "s", url_override=exchange.alpaca_url)

    for client, symbol, status in ((wrong, "AAPL", 401), (right, "3USL", 400)):
        with pytest.raises(APIError) as raised:
            client.get_stock_bars(StockBarsRequest(symbol_or_symbols=symbol, timeframe=TimeFrame.Day))
        assert raised.value.status_code == status


def test_assets_are_read(trading: Any) -> None:
    """get_asset and get_all_assets parse, with and without a filter."""
    asset = trading.get_asset("BRK.B")
    inactive = trading.get_all_assets(GetAssetsRequest(status=AssetStatus.INACTIVE))

    assert asset.symbol == "BRK.B"
    assert trading.get_asset(asset.id) == asset
    assert len(trading.get_all_assets()) == 60 + 4
    assert trading.get_asset("BTCUSD").asset_class == AssetClass.CRYPTO
    assert [each.symbol for each in inactive] == ["GONE"]
    with pytest.raises(APIError) as raised:
        trading.get_asset("NOSUCH")
    assert (raised.value.status_code, raised.value.code) == (404, 40410000)


def test_calendar_and_clock_are_read(trading: Any) -> None:
    """get_calendar and get_clock parse and tell the sessions."""
    days = trading.get_calendar(GetCalendarRequest(start=date(2025, 12, 24), end=date(2025, 12, 26)))
    clock = trading.get_clock()

    assert [(day.date, day.close.hour) for day in days] == [(date(2025, 12, 24), 13), (date(2025, 12, 26), 16)]
    assert clock.is_open
    assert clock.next_close == datetime(2026, 8, 17, 20, tzinfo=UTC)

"""Replay of the real bars beside the repository."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real bars of ../shared/data are absent"),
]


@pytest.fixture(scope="module")
def replay() -> Iterator[SimulatedExchange]:
    """An exchange that replays the folder."""
    with running_exchange(ExchangeConfig(port=0, replay=DATA, requests_per_minute=100_000)) as exchange:
        yield exchange


def served(
    replay: SimulatedExchange, symbol: str, timeframe: TimeFrame, start: datetime, end: datetime
) -> pl.DataFrame:
    client: Any = StockHistoricalDataClient("k", "s", url_override=replay.alpaca_url)
    request = StockBarsRequest(symbol_or_symbols=symbol, timeframe=timeframe, start=start, end=end)
    bars = client.get_stock_bars(request).data[symbol]
    return pl.DataFrame(
        [(bar.timestamp, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars],
        schema=["ts", "open", "high", "low", "close", "volume"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("symbol", "timeframe", "file"),
    [
        ("SPY", TimeFrame.Minute, "equity_SPY_m1_2013-10.parquet"),
        ("AAPL", TimeFrame.Minute, "equity_AAPL_m1_2014-06.parquet"),
        ("SPY", TimeFrame.Hour, "equity_SPY_h1_1998-2021.parquet"),
        ("AAPL", TimeFrame.Day, "equity_AAPL_d1_1998-2021.parquet"),
    ],
)
def test_the_client_reads_the_file(replay: SimulatedExchange, symbol: str, timeframe: TimeFrame, file: str) -> None:
    """The vendor's client gets the rows of the file without a feed in its name, and of no other."""
    expected = pl.read_parquet(DATA / file)

    got = served(replay, symbol, timeframe, datetime(1998, 1, 1, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC))

    assert got["ts"].dt.epoch("us").to_list() == expected["ts"].dt.epoch("us").to_list()
    for column in ("open", "high", "low", "close"):
        assert got[column].to_list() == expected[column].to_list()
    assert got["volume"].to_list() == expected["volume"].cast(pl.Float64).to_list()


def test_files_that_lose_are_named(replay: SimulatedExchange) -> None:
    """Every file of the folder is served or named with a reason."""
    messages = "\n".join(replay.messages)

    for part in ("_yahoo", "_ninjatrader", "crypto_", "calendar_", "4-tickers", "factors_"):
        assert part in messages
    assert {"AAPL", "SPY", "QQQ", "GOOG"} <= set(replay.listings)


def test_half_an_hour_is_the_aggregate_of_its_minutes(replay: SimulatedExchange) -> None:
    """30Min bars of real minutes agree with an aggregation by another library."""
    start, end = datetime(2013, 10, 4, tzinfo=UTC), datetime(2013, 10, 12, tzinfo=UTC)
    minutes = pl.read_parquet(DATA / "equity_SPY_m1_2013-10.parquet")
    expected = minutes.group_by(pl.col("ts").dt.truncate("30m"), maintain_order=True).agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume").cast(pl.Float64)
    )  # fmt: skip

    got = served(replay, "SPY", TimeFrame(30, TimeFrameUnit.Minute), start, end)

    assert got.drop("ts").rows() == expected.drop("ts").rows()

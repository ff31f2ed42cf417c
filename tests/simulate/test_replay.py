"""Replaying real bars from files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from barfill.errors import InvalidInput
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)


def bars(stamps: list[datetime], price: float = 100.0, **more: list[Any]) -> pl.DataFrame:
    count = len(stamps)
    columns: dict[str, Any] = {
        "ts": stamps,
        "open": [price + n for n in range(count)],
        "high": [price + n + 0.5 for n in range(count)],
        "low": [price + n - 0.25 for n in range(count)],
        "close": [price + n + 0.25 for n in range(count)],
        "volume": [1000 + n for n in range(count)],
    }
    return pl.DataFrame({**columns, **more}, schema_overrides={"ts": pl.Datetime("us", "UTC")})


def minutes(count: int, start: datetime = OPEN) -> list[datetime]:
    return [start + timedelta(minutes=n) for n in range(count)]


def replaying(folder: Path) -> SimulatedExchange:
    return SimulatedExchange(ExchangeConfig(port=0, replay=folder, plan="paid"))


def test_files_are_served_as_they_are(tmp_path: Path) -> None:
    """Over HTTP come the file's own rows, with its vwap and trades."""
    frame = bars(minutes(3), vwap=[100.1, 101.1, 102.1], trades=[5, 6, 7])
    frame.write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")

    with running_exchange(ExchangeConfig(port=0, replay=tmp_path)) as exchange:
        url = f"{exchange.alpaca_url}/v2/stocks/bars?symbols=ABC&timeframe=1Min&start=2024-03-01&end=2024-03-31"
        rows = httpx.get(url, headers=KEYS).json()["bars"]["ABC"]
        assets = httpx.get(f"{exchange.alpaca_url}/v2/assets", headers=KEYS).json()

    assert rows[1] == {
        "t": "2024-03-05T14:31:00Z", "o": 101, "h": 101.5, "l": 100.75, "c": 101.25, "v": 1001, "n": 6, "vw": 101.1,
    }  # fmt: skip
    assert len(rows) == 3
    assert [asset["symbol"] for asset in assets] == ["ABC"]


def test_csv_is_read_as_well(tmp_path: Path) -> None:
    """A CSV file gives the same bars as the Parquet file of the same rows."""
    frame = bars(minutes(5))
    frame.write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")
    frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(tmp_path / "stock_XYZ_m1_2024.csv")

    exchange = replaying(tmp_path)

    assert exchange.truth("XYZ", "m1").equals(exchange.truth("ABC", "m1"))
    assert len(exchange.truth("XYZ", "m1")) == 5


def test_what_a_file_lacks_gets_a_stand_in(tmp_path: Path) -> None:
    """Without trades and vwap the wire still has both: the vendor never leaves them out."""
    bars(minutes(1)).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")

    row = replaying(tmp_path).truth("ABC", "m1").row(0, named=True)

    assert row["trades"] == 1000 // 110
    assert row["vwap"] == pytest.approx((100 + 100.5 + 99.75 + 100.25) / 4)


def test_files_with_a_feed_lose(tmp_path: Path) -> None:
    """A file of another vendor is not mixed into the series, even where it reaches further, and a message says so."""
    day = datetime(2024, 3, 5, 5, tzinfo=UTC)
    bars([day]).write_parquet(tmp_path / "equity_ABC_d1_1998-2021.parquet")
    bars([day, day + timedelta(days=1)], 25.0).write_parquet(tmp_path / "equity_ABC_d1_2004-2018_yahoo.parquet")

    exchange = replaying(tmp_path)

    assert exchange.truth("ABC", "d1")["open"].to_list() == [100.0]
    assert any("equity_ABC_d1_2004-2018_yahoo.parquet left out" in message for message in exchange.messages)


def test_a_feed_is_better_than_nothing(tmp_path: Path) -> None:
    """If all files of a series have a feed, the first feed of the alphabet is served."""
    bars(minutes(1), 50.0).write_parquet(tmp_path / "equity_ABC_m1_2024_zeta.parquet")
    bars(minutes(1), 40.0).write_parquet(tmp_path / "equity_ABC_m1_2024_alpha.parquet")

    assert replaying(tmp_path).truth("ABC", "m1")["open"].to_list() == [40.0]


def test_files_of_one_series_are_merged(tmp_path: Path) -> None:
    """Two spans make one series; at a stamp that both hold the first name wins."""
    bars(minutes(3)).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")
    bars(minutes(3, OPEN + timedelta(minutes=2)), 200.0).write_parquet(tmp_path / "equity_ABC_m1_2024-04.parquet")

    merged = replaying(tmp_path).truth("ABC", "m1")

    assert merged["open"].to_list() == [100.0, 101.0, 102.0, 201.0, 202.0]


def test_what_is_no_bars_is_left_out_with_a_reason(tmp_path: Path) -> None:
    """Other files, other kinds and other columns are named in the messages and do not stop the rest."""
    bars(minutes(1)).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")
    bars(minutes(1)).write_parquet(tmp_path / "crypto_BTCUSD_m1_2024.parquet")
    bars(minutes(1)).write_parquet(tmp_path / "equity_ABC_trades_2024.parquet")
    bars(minutes(1)).drop("close").write_parquet(tmp_path / "equity_DEF_m1_2024.parquet")
    bars(minutes(1), ticker=["A"]).write_parquet(tmp_path / "equity_4-tickers_d1_2014.parquet")
    pl.DataFrame({"ts": ["x"], "open": [1.0], "high": [1.0], "low": [1.0], "close": [1.0], "volume": [1]}).write_csv(
        tmp_path / "equity_GHI_m1_2024.csv"
    )
    (tmp_path / "README.md").write_text("hello")

    exchange = replaying(tmp_path)

    reasons = "\n".join(exchange.messages)
    assert list(exchange.listings) == ["ABC"]
    for part in ("crypto", "'trades' is no timeframe", "no column close", "several tickers", "README.md"):
        assert part in reasons
    assert len(exchange.messages) == 6


def test_coarser_bars_are_built_from_the_files(tmp_path: Path) -> None:
    """m5 and d1 come from m1 where there is no file of their own; d1 prices are of regular hours only."""
    before_open = bars([OPEN - timedelta(minutes=10)], 500.0)
    pl.concat([before_open, bars(minutes(10))]).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")

    exchange = replaying(tmp_path)
    fives, day = exchange.truth("ABC", "m5"), exchange.truth("ABC", "d1")

    assert fives["open"].to_list() == [500.0, 100.0, 105.0]
    assert day["ts"].to_list() == [datetime(2024, 3, 5, 5, tzinfo=UTC)]
    assert (day["open"].item(), day["high"].item(), day["close"].item()) == (100.0, 109.5, 109.25)
    assert day["volume"].item() == 1000 + sum(1000 + n for n in range(10))


def test_days_stamped_by_date_get_the_vendors_key(tmp_path: Path) -> None:
    """00:00Z in a daily file becomes New York midnight of the same date."""
    days = [datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)]
    bars(days).write_parquet(tmp_path / "equity_ABC_d1_2024.parquet")

    stamps = replaying(tmp_path).truth("ABC", "d1")["ts"].to_list()

    assert stamps == [datetime(2024, 3, 8, 5, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)]


def test_the_clock_hides_later_bars(tmp_path: Path) -> None:
    """With the clock inside the file's span only bars that have ended are served."""
    bars(minutes(10)).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")
    config = ExchangeConfig(
        port=0, replay=tmp_path, plan="paid", start_clock=OPEN + timedelta(minutes=7), clock_is_frozen=True
    )

    exchange = SimulatedExchange(config)

    assert len(exchange.truth("ABC", "m1")) == 7
    assert exchange.truth("ABC", "m5")["volume"].to_list() == [5010, 2011]


def test_a_folder_without_bars_is_refused(tmp_path: Path) -> None:
    """An empty or missing folder is an error that says what is expected."""
    with pytest.raises(InvalidInput, match="holds no bars"):
        replaying(tmp_path)
    with pytest.raises(InvalidInput, match="no folder"):
        replaying(tmp_path / "missing")


def test_massive_serves_the_same_files(tmp_path: Path) -> None:
    """Its bars of minutes are the file's own, hours are made of them, and the free plan's wall holds for old files."""
    bars(minutes(90)).write_parquet(tmp_path / "equity_ABC_m1_2024-03.parquet")
    config = ExchangeConfig(port=0, replay=tmp_path, plan="paid")

    with running_exchange(config) as exchange:
        url = f"{exchange.massive_url}/v2/aggs/ticker/ABC/range"
        span, key = "2024-03-05/2024-03-05", {"apiKey": "k"}
        rows = httpx.get(f"{url}/1/minute/{span}", params=key).json()["results"]
        hours = httpx.get(f"{url}/1/hour/{span}", params=key).json()
        tickers = httpx.get(f"{exchange.massive_url}/v3/reference/tickers", params=key).json()["results"]
    with running_exchange(ExchangeConfig(port=0, replay=tmp_path)) as exchange:
        url = f"{exchange.massive_url}/v2/aggs/ticker/ABC/range"
        refused = httpx.get(f"{url}/1/minute/{span}", params=key)

    assert (rows[0]["t"], rows[0]["o"], rows[0]["v"]) == (int(OPEN.timestamp() * 1000), 100, 1000)
    assert len(rows) == hours["queryCount"] == 90
    assert [row["v"] for row in hours["results"]] == [
        sum(1000 + n for n in range(30)), sum(1000 + n for n in range(30, 90)),
    ]  # fmt: skip
    assert [row["ticker"] for row in tickers] == ["ABC"]
    assert refused.status_code == 403


def test_massive_makes_do_with_coarser_files(tmp_path: Path) -> None:
    """Where there are no minutes the file's own bars are the base."""
    quarters = [OPEN + timedelta(minutes=15 * n) for n in range(8)]
    bars(quarters).write_parquet(tmp_path / "equity_ABC_m15_2024-03.parquet")

    with running_exchange(ExchangeConfig(port=0, replay=tmp_path, plan="paid")) as exchange:
        url = f"{exchange.massive_url}/v2/aggs/ticker/ABC/range"
        counts = [
            httpx.get(f"{url}/{window}/2024-03-05/2024-03-05", params={"apiKey": "k"}).json()["resultsCount"]
            for window in ("15/minute", "1/hour", "1/day", "1/minute")
        ]

    assert counts == [8, 3, 1, 0]

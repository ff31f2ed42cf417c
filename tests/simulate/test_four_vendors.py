"""One market: the vendors tell the same of it, each in its way."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

#: Open, high, low, close, volume by date.
Days = dict[str, tuple[float, ...]]
SPANS = [
    pytest.param("AAPL", "2026-03-02", "2026-03-13", id="the clocks go forward"),
    pytest.param("AAPL", "2025-10-27", "2025-11-07", id="the clocks go back"),
    pytest.param("SPY", "2025-11-24", "2025-12-31", id="half days"),
    pytest.param("SPLT", "2026-03-09", "2026-03-20", id="a split"),
    pytest.param("GE", "2021-07-28", "2021-08-06", id="a reverse split, and one since"),
    pytest.param("BRK.B", "2026-08-03", "2026-08-14", id="a dot"),
    pytest.param("META", "2022-06-06", "2022-06-10", id="a new name"),
    pytest.param("HLTD", "2026-08-03", "2026-08-07", id="a halt"),
]


def days_of_alpaca(client: httpx.Client, ticker: str, start: str, end: str, *, adjustment: str = "split") -> Days:
    params = {"symbols": ticker, "timeframe": "1Day", "start": start, "end": end, "limit": "10000"}
    rows = client.get("/v2/stocks/bars", params={**params, "adjustment": adjustment}).json()["bars"][ticker]
    return {row["t"][:10]: tuple(row[name] for name in "ohlcv") for row in rows}


def days_of_massive(client: httpx.Client, ticker: str, start: str, end: str) -> Days:
    rows = []
    # It has the days of a company under the ticker of the day.
    for name in {"META": ("FB", "META")}.get(ticker, (ticker,)):
        rows += client.get(f"/v2/aggs/ticker/{name}/range/1/day/{start}/{end}").json().get("results", [])
    return {str(_utc(row["t"] // 1000).date()): tuple(row[name] for name in "ohlcv") for row in rows}


def days_of_tradier(client: httpx.Client, ticker: str, start: str, end: str) -> Days:
    params = {"symbol": ticker.replace(".", "/"), "start": start, "end": end}
    rows = client.get("/v1/markets/history", params=params).json()["history"]["day"]
    names = ("open", "high", "low", "close", "volume")
    return {row["date"]: tuple(row[name] for name in names) for row in rows}


def days_of_finnhub(client: httpx.Client, ticker: str, start: str, end: str) -> Days:
    first, last = (int(datetime.fromisoformat(f"{day}T00:00Z").timestamp()) for day in (start, end))
    params = {"symbol": ticker, "resolution": "D", "from": str(first), "to": str(last)}
    page = client.get("/stock/candle", params=params).json()
    columns = (page[name] for name in "tohlcv")
    return {str(_utc(stamp).date()): tuple(values) for stamp, *values in zip(*columns, strict=True)}


def _utc(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


@pytest.mark.parametrize(("ticker", "start", "end"), SPANS)
def test_daily_bars_agree(
    client: httpx.Client, massive: httpx.Client, tradier: httpx.Client, finnhub: httpx.Client,
    ticker: str, start: str, end: str,
) -> None:  # fmt: skip
    """Adjusted for splits, every session of the range has the same bar from all four."""
    alpaca = days_of_alpaca(client, ticker, start, end)

    assert days_of_massive(massive, ticker, start, end) == alpaca
    assert days_of_tradier(tradier, ticker, start, end) == alpaca
    assert days_of_finnhub(finnhub, ticker, start, end) == alpaca
    assert len(alpaca) >= 4


def test_only_two_have_raw_days(client: httpx.Client, tradier: httpx.Client) -> None:
    """Before a split 4:1 a raw price is four times the adjusted one, the volume a quarter."""
    raw = days_of_alpaca(client, "SPLT", "2026-03-13", "2026-03-13", adjustment="raw")["2026-03-13"]
    adjusted = days_of_tradier(tradier, "SPLT", "2026-03-12", "2026-03-13")["2026-03-13"]

    assert [price / 4 for price in raw[:4]] == pytest.approx(adjusted[:4])
    assert raw[4] * 4 == adjusted[4]


@pytest.mark.parametrize(
    ("now", "day", "opens"),
    [
        ("2026-11-28T12:00:00Z", "2026-11-27", "14:30"),
        ("2026-03-10T21:00:00Z", "2026-03-06", "14:30"),
        ("2026-03-10T21:00:00Z", "2026-03-09", "13:30"),
    ],
)
def test_minutes_agree_and_add_up_to_the_day(
    exchange: SimulatedExchange, client: httpx.Client, tradier: httpx.Client, finnhub: httpx.Client,
    now: str, day: str, opens: str,
) -> None:  # fmt: skip
    """A half day and the sessions around a change of the clocks: the same minutes, whose sum is the day's volume."""
    exchange.set_clock(datetime.fromisoformat(now))
    start, end = f"{day}T00:00:00Z", f"{date.fromisoformat(day) + timedelta(days=1)}T04:59:00Z"

    params = {"symbols": "AAPL", "timeframe": "1Min", "start": start, "end": end, "limit": "10000"}
    alpaca = {
        int(datetime.fromisoformat(row["t"]).timestamp()): tuple(row[name] for name in "ohlcv")
        for row in client.get("/v2/stocks/bars", params=params).json()["bars"]["AAPL"]
        if row["t"] >= f"{day}T08"
    }
    asked = {"symbol": "AAPL", "interval": "1min", "start": f"{day} 04:00", "end": f"{day} 20:00"}
    rows = tradier.get("/v1/markets/timesales", params=asked).json()["series"]["data"]
    names = ("open", "high", "low", "close", "volume")
    sales = {row["timestamp"]: tuple(row[name] for name in names) for row in rows}
    first, last = min(alpaca), max(alpaca)
    query = {"symbol": "AAPL", "resolution": "1", "from": str(first), "to": str(last)}
    page = finnhub.get("/stock/candle", params=query).json()
    candles = {stamp: tuple(rest) for stamp, *rest in zip(*(page[name] for name in "tohlcv"), strict=True)}

    assert sales == candles == alpaca
    whole = days_of_finnhub(finnhub, "AAPL", day, day)[day]
    assert sum(row[4] for row in sales.values()) == whole[4]
    assert sales[int(datetime.fromisoformat(f"{day}T{opens}:00Z").timestamp())][0] == whole[0]


def test_events_agree(massive: httpx.Client, tradier: httpx.Client, finnhub: httpx.Client) -> None:
    """Splits and dividends are the same, whoever tells of them."""
    splits = massive.get("/v3/reference/splits", params={"ticker": "GE"}).json()["results"]
    dividends = massive.get("/v3/reference/dividends", params={"ticker": "GE", "limit": "1000"}).json()["results"]

    path = "/beta/markets/fundamentals"
    actions = tradier.get(f"{path}/corporate_actions?symbols=GE").json()[0]["results"][0]["tables"]["stock_splits"]
    paid = tradier.get(f"{path}/dividends?symbols=GE").json()[0]["results"][0]["tables"]["cash_dividends"]
    told = [(row["execution_date"], row["split_from"], row["split_to"]) for row in splits]
    amounts = [(row["ex_dividend_date"], row["cash_amount"]) for row in dividends]
    assert [(row["ex_date"], row["split_from"], row["split_to"]) for row in actions] == told
    assert [(row["date"], row["fromFactor"], row["toFactor"]) for row in
            finnhub.get("/stock/split?symbol=GE").json()] == told  # fmt: skip
    assert [(row["ex_date"], row["cash_amount"]) for row in paid] == amounts
    assert [(row["date"], row["amount"]) for row in finnhub.get("/stock/dividend?symbol=GE").json()] == amounts


def test_replayed_files_are_served_too(tmp_path: Path) -> None:
    """Days of a file, and hours without minutes to make any of."""
    (tmp_path / "equity_ABC_d1_2024.csv").write_text(
        "ts,open,high,low,close,volume\n2024-03-05T05:00:00Z,10,12,9,11,100\n2024-03-06T05:00:00Z,11,13,10,12,200\n"
    )
    (tmp_path / "equity_ABC_h1_2024.csv").write_text(
        "ts,open,high,low,close,volume\n2024-03-05T15:00:00Z,10,12,9,11,100\n"
    )
    headers = {"Authorization": "Bearer k", "Accept": "application/json", "X-Finnhub-Token": "k"}
    with (
        running_exchange(ExchangeConfig(port=0, replay=tmp_path, plan="paid")) as exchange,
        httpx.Client(base_url=exchange.tradier_url, headers=headers, trust_env=False) as tradier,
        httpx.Client(base_url=f"{exchange.finnhub_url}/api/v1", headers=headers, trust_env=False) as finnhub,
    ):
        days = days_of_tradier(tradier, "ABC", "2024-03-04", "2024-03-08")
        same = days_of_finnhub(finnhub, "ABC", "2024-03-04", "2024-03-08")
        hours = finnhub.get("/stock/candle?symbol=ABC&resolution=60&from=1709596800&to=1709683200").json()
        today = {"symbol": "ABC", "interval": "15min"}
        sales = tradier.get("/v1/markets/timesales", params=today).json()

    assert days == same == {"2024-03-05": (10, 12, 9, 11, 100), "2024-03-06": (11, 13, 10, 12, 200)}
    assert (hours["t"], hours["c"], sales) == ([1709650800], [11], {"series": None})

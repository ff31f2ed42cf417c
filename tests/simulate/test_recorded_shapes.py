"""Answers have the shapes of recorded ones; skipped where these are not beside the checkout."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]
MARKETS = "/v1/markets"
DAYS = "symbol=AAPL&resolution=D&from=1785715200&to=1786665600"


def shapes(value: Any, path: str = "") -> dict[str, set[str]]:
    """The types of JSON found at each path; whole numbers and others are the same, items of a list share theirs."""
    if isinstance(value, dict):
        parts = [(f"{path}.{name}", one) for name, one in value.items()]
    elif isinstance(value, list):
        parts = [(f"{path}[]", one) for one in value]
    else:
        kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
        return {path: {kind}}
    found: dict[str, set[str]] = {path: {type(value).__name__}} if not parts else {}
    for name, one in parts:
        for inner, kinds in shapes(one, name).items():
            found.setdefault(inner, set()).update(kinds)
    return found


@pytest.mark.parametrize(
    ("sample", "path"),
    [
        ("history_AAPL_daily_1y", f"{MARKETS}/history?symbol=AAPL&start=2026-01-02"),
        ("timesales_15min", f"{MARKETS}/timesales?symbol=AAPL&interval=15min&start=2026-08-14"),
        ("calendar_2013_06", f"{MARKETS}/calendar?month=06&year=2013"),
        ("clock", f"{MARKETS}/clock"),
    ],
)
def test_shapes_of_tradier(tradier: httpx.Client, sample: str, path: str) -> None:
    """The same keys with values of the same types."""
    recorded = json.loads((SAMPLES / f"tradier/{sample}.json").read_text())

    assert shapes(tradier.get(path).json()) == shapes(recorded)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("history_none", f"{MARKETS}/history?symbol=AAPL&start=2026-08-08&end=2026-08-09"),
        ("history_one_day", f"{MARKETS}/history?symbol=AAPL&start=2026-08-12&end=2026-08-12"),
        ("series_none", f"{MARKETS}/timesales?symbol=NOPE&interval=1min"),
        (
            "series_one_row",
            f"{MARKETS}/timesales?symbol=AAPL&interval=5min&start=2026-08-14 09:30&end=2026-08-14 09:30",
        ),
    ],
)
def test_few_rows_of_tradier(tradier: httpx.Client, name: str, path: str) -> None:
    """Null, and one row as an object."""
    recorded = json.loads((SAMPLES / "tradier/shapes_null_and_single.json").read_text())[name]

    assert shapes(tradier.get(path).json()) == shapes(recorded)


@pytest.mark.parametrize(("sample", "symbols"), [("quote_single_object", "AAPL"), ("quotes_multi", "AAPL,MSFT")])
def test_quotes_of_tradier(tradier: httpx.Client, sample: str, symbols: str) -> None:
    """What was recorded in 2013 in part, and three newer fields."""
    recorded = shapes(json.loads((SAMPLES / f"tradier/{sample}.json").read_text()))
    newer = {"type", "prevclose", "change_percentage", "exch"}

    found = shapes(tradier.get(f"{MARKETS}/quotes?symbols={symbols}").json())

    known = {path: kinds for path, kinds in found.items() if path.rsplit(".", 1)[1] not in newer}
    assert known.items() <= recorded.items()
    assert len(known) > 20


@pytest.mark.parametrize(
    ("sample", "path", "newer"),
    [
        ("stock_candle_D", f"/stock/candle?{DAYS}", set()),
        ("stock_candle_60_AAPL_halfhour_aligned", f"/stock/candle?{DAYS}".replace("=D&", "=60&"), set()),
        ("no_data", f"/stock/candle?{DAYS}".replace("AAPL", "NOPE"), set()),
        ("stock_split", "/stock/split?symbol=SPLT", set()),
        ("stock_dividend", "/stock/dividend?symbol=AAPL", {"[].freq"}),
        ("stock_dividend2", "/stock/dividend2?symbol=AAPL", set()),
        ("stock_earnings", "/stock/earnings?symbol=AAPL", set()),
        ("calendar_earnings", "/calendar/earnings?from=2026-01-01&to=2026-06-30", set()),
        ("stock_symbol_US", "/stock/symbol?exchange=US", set()),
        ("symbol_change", "/ca/symbol-change?from=2022-01-01&to=2022-12-31", set()),
        ("market_holiday", "/stock/market-holiday?exchange=US", set()),
        ("market_status", "/stock/market-status?exchange=US", set()),
        ("quote", "/quote?symbol=AAPL", {".d", ".dp"}),
    ],
)
def test_shapes_of_finnhub(finnhub: httpx.Client, sample: str, path: str, newer: set[str]) -> None:
    """The same keys with values of the same types; fields that the vendor has added since may be there."""
    recorded = shapes(json.loads((SAMPLES / f"finnhub/{sample}.json").read_text()))

    found = shapes(finnhub.get(path).json())

    assert {place: kinds for place, kinds in found.items() if place not in newer} == recorded
    assert newer <= found.keys()


def test_csv_of_finnhub(finnhub: httpx.Client) -> None:
    """The same line of names, and a row before ``from`` where it lies within a day."""
    recorded = (SAMPLES / "finnhub/stock_candle_D_AAPL_csv.csv").read_text().splitlines()
    asked_from, first = 1_325_556_000, int(recorded[1].split(",")[0])

    text = finnhub.get("/stock/candle?symbol=AAPL&resolution=D&from=1786500000&to=1786665600&format=csv").text

    assert text.splitlines()[0] == recorded[0]
    assert (asked_from - first, 1_786_500_000 - int(text.splitlines()[1].split(",")[0])) == (7_200, 7_200)


@pytest.mark.parametrize(
    ("sample", "path"),
    [
        ("polygon/marketstatus_upcoming", "/v1/marketstatus/upcoming"),
        ("polygon/marketstatus_now", "/v1/marketstatus/now"),
    ],
)
def test_shapes_of_massives_calendar(massive: httpx.Client, sample: str, path: str) -> None:
    """The same keys with values of the same types."""
    assert shapes(massive.get(path).json()) == shapes(json.loads((SAMPLES / f"{sample}.json").read_text()))


def test_shapes_of_alpacas_calendar(client: httpx.Client) -> None:
    """The same, as the trading host has it; brokers see no day of settlement."""
    found = shapes(client.get("/v2/calendar?start=2025-01-02&end=2025-01-02").json())

    assert found == shapes(json.loads((SAMPLES / "alpaca/calendar_v2.json").read_text()))
    brokers = shapes(json.loads((SAMPLES / "alpaca/calendar_v1_broker.json").read_text()))
    assert {path: kinds for path, kinds in found.items() if path != "[].settlement_date"} == brokers

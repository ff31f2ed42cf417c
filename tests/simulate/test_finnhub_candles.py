"""Finnhub's candles: arrays, stamps, hours, and how much comes at once."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange
from tests.simulate.conftest import NOW

ARRAYS = ["c", "h", "l", "o", "s", "t", "v"]


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.fixture
def candles(finnhub: httpx.Client) -> Callable[..., dict[str, Any]]:
    def candles(symbol: str, resolution: str, start: str, end: str) -> dict[str, Any]:
        params: dict[str, Any] = {
            "symbol": symbol,
            "resolution": resolution,
            "from": seconds(start),
            "to": seconds(end),
        }
        found: dict[str, Any] = finnhub.get("/stock/candle", params=params).json()
        return found

    return candles


Candles = Callable[..., dict[str, Any]]


def clock_times(page: dict[str, Any]) -> list[str]:
    return [datetime.fromtimestamp(stamp, UTC).strftime("%H:%M") for stamp in page["t"]]


@pytest.mark.parametrize(
    ("resolution", "timeframe", "start", "end", "adjustment"),
    [
        ("1", "m1", "2026-03-13T08:00", "2026-03-13T20:00", "raw"),
        ("5", "m5", "2026-03-12", "2026-03-18", "raw"),
        ("15", "m15", "2026-03-12", "2026-03-18", "raw"),
        ("30", "m30", "2026-03-02", "2026-03-20", "raw"),
        ("D", "d1", "2020-01-02", "2026-08-14", "split"),
        ("W", "w1", "2025-12-01", "2026-04-10", "split"),
    ],
)
def test_candles_are_the_truth(
    candles: Candles, exchange: SimulatedExchange, resolution: str, timeframe: str, start: str, end: str,
    adjustment: str,
) -> None:  # fmt: skip
    """Minutes are raw and hold all hours, days and longer are adjusted for splits and stamped 00:00 UTC."""
    page = candles("SPLT", resolution, start, end)

    is_intraday = adjustment == "raw"
    bounds = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)]
    bounds[1] = bounds[1].replace(hour=bounds[1].hour if is_intraday else 6)
    truth = exchange.truth("SPLT", timeframe, *bounds, adjustment=adjustment)
    stamps = [ts if is_intraday else ts.replace(hour=0) for ts in truth["ts"]]
    assert list(page) == ARRAYS
    assert page["s"] == "ok"
    assert page["t"] == [int(ts.timestamp()) for ts in stamps]
    for name, column in {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}.items():
        assert page[name] == truth[column].to_list()


def test_the_hour_of_the_open_is_cut_in_two(candles: Candles, exchange: SimulatedExchange) -> None:
    """Hours begin on the hour, but one at 09:30 New York; together they hold what the day's minutes hold."""
    summer = candles("AAPL", "60", "2026-08-13T08:00", "2026-08-13T23:59")
    winter = candles("AAPL", "60", "2026-01-13T14:00", "2026-01-13T15:30")

    assert clock_times(summer)[5:8] == ["13:00", "13:30", "14:00"]
    assert clock_times(winter) == ["14:00", "14:30", "15:00"]
    bounds = datetime(2026, 8, 13, 8, tzinfo=UTC), datetime(2026, 8, 13, 23, 59, tzinfo=UTC)
    minutes = exchange.truth("AAPL", "m1", *bounds)
    assert sum(summer["v"]) == minutes["volume"].sum()
    opened = summer["t"].index(seconds("2026-08-13T13:30"))
    assert summer["o"][opened] == exchange.truth("AAPL", "d1", datetime(2026, 8, 13, tzinfo=UTC), bounds[1])["open"][0]


def test_bounds_count(candles: Candles) -> None:
    """Both are inclusive, of minutes by the second, of days by the day of UTC that holds them."""
    minutes = candles("AAPL", "1", "2026-08-13T14:00", "2026-08-13T14:02")
    later = candles("AAPL", "1", "2026-08-13T14:00:01", "2026-08-13T14:02")
    days = candles("AAPL", "D", "2026-08-12T02:00", "2026-08-13T00:00")

    assert clock_times(minutes) == ["14:00", "14:01", "14:02"]
    assert clock_times(later) == ["14:01", "14:02"]
    assert days["t"] == [seconds("2026-08-12"), seconds("2026-08-13")]


@pytest.mark.parametrize(
    ("symbol", "resolution", "start", "end"),
    [("AAPL", "D", "2026-08-08", "2026-08-09"), ("AAPL", "1", "2026-08-09", "2026-08-10"),
     ("NOPE", "D", "2026-08-03", "2026-08-07"), ("FB", "D", "2022-06-01", "2022-06-08"),
     ("HLTD", "D", "2026-08-05", "2026-08-05"), ("AAPL", "D", "2027-01-04", "2027-01-05")],
)  # fmt: skip
def test_nothing_is_no_data(candles: Candles, symbol: str, resolution: str, start: str, end: str) -> None:
    """200 without arrays: closed days, nobody, a former symbol, a halt, what has not happened yet."""
    assert candles(symbol, resolution, start, end) == {"s": "no_data"}


def test_long_ranges_are_cut_in_silence(candles: Candles) -> None:
    """Of minutes the newest 31 days come, of any the newest 5,000 rows; days come all."""
    quarters = candles("AAPL", "15", "2026-01-01", "2026-08-14")
    minutes = candles("SPY", "1", "2026-08-01", "2026-08-14")

    assert seconds("2026-07-14") <= quarters["t"][0] < seconds("2026-07-15")
    assert len(minutes["t"]) == 5_000
    assert minutes["t"][-1] == seconds("2026-08-13T23:59")
    assert candles("AAPL", "D", "2016-01-01", "2026-08-14")["t"][0] == seconds("2016-01-04")


def test_minutes_end_with_now(candles: Candles, exchange: SimulatedExchange) -> None:
    """The newest whole minute is there and no later one, the day under way is made of them; both follow the clock."""
    end = "2026-08-18"
    first = candles("AAPL", "1", "2026-08-17", end)
    day = candles("AAPL", "D", "2026-08-17", end)
    exchange.set_clock(datetime(2026, 8, 17, 19, tzinfo=UTC))

    assert first["t"][-1] == int(NOW.timestamp()) - 60
    assert day["t"] == [seconds("2026-08-17")]
    assert day["c"] == [first["c"][-1]]
    assert candles("AAPL", "1", "2026-08-17", end)["t"][-1] == seconds("2026-08-17T18:59")


def test_csv(finnhub: httpx.Client) -> None:
    """format=csv is text with the columns t, o, h, l, c, v; without rows there is their line alone."""
    params: dict[str, Any] = {
        "symbol": "AAPL",
        "resolution": "D",
        "from": seconds("2026-08-12"),
        "to": seconds("2026-08-13"),
    }
    page = finnhub.get("/stock/candle", params=params).json()

    text = finnhub.get("/stock/candle", params={**params, "format": "csv"})
    none = finnhub.get("/stock/candle", params={**params, "symbol": "NOPE", "format": "csv"})

    assert text.headers["Content-Type"] == "text/csv"
    rows = zip(*(page[name] for name in "tohlcv"), strict=True)
    assert text.text == "t,o,h,l,c,v\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    assert none.text == "t,o,h,l,c,v\n"


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"resolution": "2"}, "resolution"), ({"symbol": ""}, "symbol"), ({"from": "soon"}, "from"), ({"to": ""}, "to"),
     ({"to": "1786507200000"}, "to"), ({"format": "xml"}, "format")],
)  # fmt: skip
def test_parameters_that_cannot_be(finnhub: httpx.Client, changed: dict[str, str], named: str) -> None:
    """422 with an error that names the parameter."""
    params = {"symbol": "AAPL", "resolution": "D", "from": "1786492800", "to": "1786579200", **changed}

    answer = finnhub.get("/stock/candle", params=params)

    assert (answer.status_code, answer.json()) == (422, {"error": f"Invalid parameter: {named}"})

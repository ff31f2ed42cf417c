"""Tradier's timesales and history: shapes, sessions, depth, and the bar that forms."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from tests.simulate.conftest import NOW

NEW_YORK = ZoneInfo("America/New_York")
Rows = list[dict[str, Any]]


@pytest.fixture
def sales(tradier: httpx.Client) -> Callable[..., Rows]:
    """The rows of timesales; a single one in a list, too."""

    def sales(symbol: str = "AAPL", interval: str = "15min", **params: str) -> Rows:
        asked = {"symbol": symbol, "interval": interval, **params}
        series = tradier.get("/v1/markets/timesales", params=asked).json()["series"]
        rows = series["data"] if series else []
        return rows if isinstance(rows, list) else [rows]

    return sales


@pytest.fixture
def history(tradier: httpx.Client) -> Callable[..., Any]:
    """What stands under history."""

    def history(symbol: str = "AAPL", **params: str) -> Any:
        return tradier.get("/v1/markets/history", params={"symbol": symbol, **params}).json()["history"]

    return history


@pytest.mark.parametrize(("interval", "timeframe"), [("1min", "m1"), ("5min", "m5"), ("15min", "m15")])
def test_minutes_are_the_truth(
    sales: Callable[..., Rows], exchange: SimulatedExchange, interval: str, timeframe: str
) -> None:
    """Raw bars of all hours with New York times and epoch seconds of the same instant; price is their middle."""
    rows = sales("SPY", interval, start="2026-08-13 04:00", end="2026-08-13 19:59")

    bounds = datetime(2026, 8, 13, 8, tzinfo=UTC), datetime(2026, 8, 13, 23, 59, tzinfo=UTC)
    truth = exchange.truth("SPY", timeframe, *bounds).drop("trades")
    wire = ("timestamp", "open", "high", "low", "close", "volume", "vwap")
    assert [tuple(row[name] for name in wire) for row in rows] == [
        (int(ts.timestamp()), *rest) for ts, *rest in truth.rows()
    ]
    assert list(rows[0]) == ["time", "timestamp", "price", *wire[1:]]
    for row in rows:
        local = datetime.fromisoformat(row["time"]).replace(tzinfo=NEW_YORK)
        assert local.timestamp() == row["timestamp"]
        assert row["price"] == (row["high"] + row["low"]) / 2


def test_open_hours_alone(sales: Callable[..., Rows]) -> None:
    """session_filter=open leaves 26 quarters from 09:30 on; without it there is what comes before and after."""
    some = sales(start="2026-08-13", end="2026-08-14", session_filter="open")
    everything = sales(start="2026-08-13", end="2026-08-14")

    assert (len(some), some[0]["time"], some[-1]["time"]) == (26, "2026-08-13T09:30:00", "2026-08-13T15:45:00")
    assert everything[0]["time"] < some[0]["time"] < some[-1]["time"] < everything[-1]["time"]
    assert [row for row in everything if row in some] == some


@pytest.mark.parametrize(
    ("now", "day", "hours"),
    [
        ("2026-11-27T21:00:00Z", "2026-11-27", ("14:30", "17:45", 14)),  # a half day in winter
        ("2026-03-10T21:00:00Z", "2026-03-06", ("14:30", "20:45", 26)),  # before the clocks change
        ("2026-03-10T21:00:00Z", "2026-03-09", ("13:30", "19:45", 26)),  # and after
        ("2026-11-03T21:00:00Z", "2026-10-30", ("13:30", "19:45", 26)),
        ("2026-11-03T21:00:00Z", "2026-11-02", ("14:30", "20:45", 26)),
    ],
)
def test_local_times_follow_the_clocks(
    sales: Callable[..., Rows], exchange: SimulatedExchange, now: str, day: str, hours: tuple[str, str, int]
) -> None:
    """09:30 is 13:30 or 14:30 UTC by the season, and half days end early."""
    exchange.set_clock(datetime.fromisoformat(now))

    rows = sales(start=f"{day} 09:30", end=f"{day} 16:00", session_filter="open")

    first, last = (datetime.fromtimestamp(rows[place]["timestamp"], UTC).strftime("%H:%M") for place in (0, -1))
    assert (first, last, len(rows)) == hours
    assert rows[0]["time"] == f"{day}T09:30:00"


@pytest.mark.parametrize(
    ("interval", "session", "days"),
    [("1min", "open", 20), ("1min", "all", 10), ("5min", "open", 40), ("5min", "all", 18), ("15min", "open", 40),
     ("15min", "all", 18)],
)  # fmt: skip
def test_minutes_reach_back_some_days(tradier: httpx.Client, interval: str, session: str, days: int) -> None:
    """A start before the first of so many days is refused in plain text that names it; the first itself is not."""
    oldest = NOW.date() - timedelta(days=days)
    asked = {"symbol": "AAPL", "interval": interval, "session_filter": session}

    good = tradier.get("/v1/markets/timesales", params={**asked, "start": f"{oldest} 00:00"})
    bad = tradier.get("/v1/markets/timesales", params={**asked, "start": f"{oldest - timedelta(days=1)} 23:59"})

    assert good.status_code == 200
    assert (bad.status_code, bad.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert bad.text == f"Invalid parameter, start: must be on or after {oldest} 00:00:00."


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("timesales?symbol=AAPL", "interval"),
        ("timesales?symbol=AAPL&interval=tick", "interval"),
        ("timesales?interval=1min", "symbol"),
        ("timesales?symbol=AAPL&interval=1min&start=soon", "start"),
        ("timesales?symbol=AAPL&interval=1min&start=2026-08-14T09:30Z", "start"),
        ("timesales?symbol=AAPL&interval=1min&start=2026-08-14&end=2026-08-13", "end"),
        ("timesales?symbol=AAPL&interval=1min&session_filter=night", "session_filter"),
        ("history?symbol=AAPL&interval=hourly", "interval"),
        ("history?symbol=AAPL&start=2026-8-1", "start"),
        ("history?symbol=AAPL&start=2026-08-14&end=2026-08-13", "end"),
        ("history?symbol=AAPL&start=0001-01-01", "start"),
        ("history", "symbol"),
    ],
)
def test_parameters_that_cannot_be(tradier: httpx.Client, path: str, name: str) -> None:
    """400 in plain text, which names the parameter."""
    answer = tradier.get(f"/v1/markets/{path}")

    assert (answer.status_code, answer.text.startswith(f"Invalid parameter, {name}: ")) == (400, True)


def test_days_are_adjusted_for_splits(history: Callable[..., Any], exchange: SimulatedExchange) -> None:
    """All sessions of the range, both dates included, in the shares of today."""
    rows = history("SPLT", start="2026-03-02", end="2026-03-20")["day"]

    bounds = datetime(2026, 3, 2, 5, tzinfo=UTC), datetime(2026, 3, 20, 5, tzinfo=UTC)
    truth = exchange.truth("SPLT", "d1", *bounds, adjustment="split").drop("trades", "vwap")
    wire = ("date", "open", "high", "low", "close", "volume")
    assert list(rows[0]) == list(wire)
    assert [tuple(row.values()) for row in rows] == [(str(ts.date()), *rest) for ts, *rest in truth.rows()]


@pytest.mark.parametrize(
    ("interval", "dates"),
    [("weekly", ["2026-05-25", "2026-06-01"]), ("monthly", ["2026-06-01", "2026-07-01"])],
)
def test_weeks_and_months_are_days_as_well(history: Callable[..., Any], interval: str, dates: list[str]) -> None:
    """The key is day for every interval; weeks are dated by their Monday, a holiday or not, months by their first."""
    rows = history(interval=interval, start=dates[0], end=dates[1])["day"]

    assert [row["date"] for row in rows] == dates


def test_one_row_is_an_object_and_none_are_null(history: Callable[..., Any], tradier: httpx.Client) -> None:
    """Of days and of minutes."""
    asked = {"symbol": "AAPL", "interval": "15min", "start": "2026-08-14 09:30", "end": "2026-08-14 09:30"}

    assert history(start="2026-08-12", end="2026-08-12")["day"]["date"] == "2026-08-12"
    assert history(start="2026-08-08", end="2026-08-09") is None
    assert tradier.get("/v1/markets/timesales", params=asked).json()["series"]["data"]["time"] == "2026-08-14T09:30:00"
    asked |= {"start": "2026-08-15", "end": "2026-08-16"}
    assert tradier.get("/v1/markets/timesales", params=asked).json() == {"series": None}


@pytest.mark.parametrize(
    ("symbol", "is_known"), [("BRK/B", True), ("BRK.B", False), ("NOPE", False), ("META", True), ("FB", False)]
)
def test_symbols_as_the_vendor_spells_them(history: Callable[..., Any], symbol: str, is_known: bool) -> None:
    """A dot is a slash; who is unknown has null, and that is no error; a symbol is whoever has it today."""
    assert (history(symbol, start="2022-06-07", end="2022-06-10") is not None) is is_known


def test_history_ends_with_the_last_session_that_is_over(
    history: Callable[..., Any], exchange: SimulatedExchange
) -> None:
    """Today's row appears at the end of its extended hours, with their volume."""
    before = history(start="2026-08-14")
    exchange.set_clock(datetime(2026, 8, 18, 0, tzinfo=UTC))
    after = history(start="2026-08-14")

    assert before["day"]["date"] == "2026-08-14"
    assert [row["date"] for row in after["day"]] == ["2026-08-14", "2026-08-17"]


@pytest.mark.parametrize("interval", ["1min", "5min", "15min"])
def test_the_bar_that_forms(sales: Callable[..., Rows], exchange: SimulatedExchange, interval: str) -> None:
    """It is the last row, opens as it will, grows with each second within what it becomes, and then is final."""
    seen: Rows = []
    for second in (1, 20, 59, 60):
        exchange.set_clock(datetime(2026, 8, 17, 18, 0, tzinfo=UTC) + timedelta(seconds=second))
        seen += sales(interval=interval, start="2026-08-17 14:00", end="2026-08-17 14:00")

    exchange.set_clock(datetime(2026, 8, 17, 19, tzinfo=UTC))
    (final,) = sales(interval=interval, start="2026-08-17 14:00", end="2026-08-17 14:00")
    volumes = [row["volume"] for row in seen]
    assert {row["open"] for row in seen} == {final["open"]}
    assert volumes == sorted(set(volumes))
    assert all(final["low"] <= row["low"] <= row["close"] <= row["high"] <= final["high"] for row in seen)
    assert (seen[-1] == final) is (interval == "1min")
    assert seen[1]["close"] == pytest.approx(seen[0]["open"] + (seen[3]["close"] - seen[0]["open"]) / 3, abs=1e-4)
    assert seen[-1]["volume"] <= final["volume"]


def test_nothing_forms_where_nobody_trades(sales: Callable[..., Rows], exchange: SimulatedExchange) -> None:
    """At a full minute, at night and in a halt the last row is a whole one."""
    exchange.set_clock(datetime(2026, 8, 17, 18, 0, tzinfo=UTC))
    assert sales(interval="1min")[-1]["time"] == "2026-08-17T13:59:00"
    exchange.set_clock(datetime(2026, 8, 18, 5, 0, 30, tzinfo=UTC))
    assert sales(interval="1min") == []


def test_xml_unless_json_is_accepted(tradier: httpx.Client, history: Callable[..., Any]) -> None:
    """The same values: a list is an element for each of its items, null an empty one."""
    asked = {"symbol": "AAPL", "start": "2026-08-11", "end": "2026-08-12"}
    rows = history(**asked)["day"]
    answers = [
        tradier.get("/v1/markets/history", params=asked, headers={"Accept": accept})
        for accept in ("", "*/*", "application/xml")
    ]
    none = tradier.get("/v1/markets/history", params={"symbol": "NOPE"}, headers={"Accept": "*/*"})

    for answer in answers:
        assert answer.headers["Content-Type"] == "application/xml; charset=utf-8"
        days = ElementTree.fromstring(answer.text).findall("day")
        assert [{field.tag: field.text for field in day} for day in days] == [
            {name: str(value) for name, value in row.items()} for row in rows
        ]
    assert ElementTree.fromstring(none.text).tag == "history"
    assert len(ElementTree.fromstring(none.text)) == 0


def test_the_sandbox_is_fifteen_minutes_late() -> None:
    """Its minutes end, and its quotes stand, a quarter of an hour before now; its clock is right."""
    config = ExchangeConfig(port=0, start_clock=NOW, clock_is_frozen=True, symbols=1)
    headers = {"Authorization": "Bearer k", "Accept": "application/json"}
    with (
        running_exchange(config) as exchange,
        httpx.Client(base_url=exchange.tradier_url, headers=headers, trust_env=False) as client,
    ):
        asked = {"symbol": "AAPL", "interval": "1min", "start": "2026-08-17 13:40"}
        rows = client.get("/v1/markets/timesales", params=asked).json()["series"]["data"]
        quote = client.get("/v1/markets/quotes?symbols=AAPL").json()["quotes"]["quote"]
        clock = client.get("/v1/markets/clock").json()["clock"]

    # Half a second of the minute has passed: it forms.
    assert [row["time"][-8:-3] for row in rows] == ["13:40", "13:41", "13:42", "13:43", "13:44", "13:45"]
    assert (quote["trade_date"][11:16], quote["delay"]) == ("13:44", 15)
    assert clock["timestamp"] == int(NOW.timestamp())

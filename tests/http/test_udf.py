"""TradingView's data feed protocol, asked as its charting library does."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.timeframe import Timeframe
from barfill.engine.tradingview import price_scale, regular_hours
from barfill.store.database import Database
from barfill.store.pages import write_derived, write_live
from tests.store.builders import START, add, minute, write

FIRST = int(START.timestamp())


@pytest.fixture
def aapl(database: Database) -> int:
    """With minutes 0, 1 and 5, and a live one."""
    (symbol_id,) = add(database, "AAPL")
    database.run(write_derived, write({symbol_id: {0: 10.0, 1: 11.0, 5: 15.0}}))
    database.run(write_live, write({symbol_id: {6: 16.0}}, data_status="live"))
    return symbol_id


def history(api: httpx.Client, **parameters: Any) -> dict[str, Any]:
    """Of AAPL's minutes, unless other parameters are given."""
    answer = api.get("/udf/history", params={"symbol": "AAPL", "resolution": "1", **parameters})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("aapl")
def test_history_is_columns_of_bars_from_the_first_instant_to_the_last_excluded(api: httpx.Client) -> None:
    """In seconds since 1970, in time order, the live bar included."""
    found = history(api, **{"from": FIRST + 60, "to": FIRST + 360})
    everything = history(api, **{"from": 0, "to": 2**40})

    assert found["s"] == "ok"
    assert found["t"] == [FIRST + 60, FIRST + 300]
    assert found["c"] == [11.0, 15.0]
    assert {name: len(found[name]) for name in "tohlcv"} == dict.fromkeys("tohlcv", 2)
    assert everything["t"] == [FIRST, FIRST + 60, FIRST + 300, FIRST + 360]


@pytest.mark.usefixtures("aapl")
def test_a_count_of_bars_goes_before_the_first_instant(api: httpx.Client) -> None:
    """`countback` asks for so many before `to`, however far back they lie."""
    assert history(api, **{"from": FIRST + 299, "to": FIRST + 301, "countback": 2})["t"] == [FIRST + 60, FIRST + 300]
    assert history(api, to=FIRST + 1, countback=500)["t"] == [FIRST]


@pytest.mark.usefixtures("aapl")
def test_where_no_bar_is_the_newest_one_before_is_named(api: httpx.Client) -> None:
    """So that a chart over a weekend knows where to go on; before the first bar there is none."""
    assert history(api, **{"from": FIRST + 120, "to": FIRST + 300}) == {"s": "no_data", "nextTime": FIRST + 60}
    assert history(api, **{"from": FIRST - 600, "to": FIRST}) == {"s": "no_data"}
    assert history(api, **{"from": FIRST + 60, "to": FIRST + 60}) == {"s": "no_data", "nextTime": FIRST}
    assert history(api, resolution="1D", to=2**40, countback=10) == {"s": "no_data"}


@pytest.mark.usefixtures("aapl")
def test_errors_are_answers(api: httpx.Client) -> None:
    """As the protocol wants them: status 200, and a text that says what is wrong."""
    unknown = history(api, symbol="ZZZZ", to=FIRST)
    resolution = history(api, resolution="7", to=FIRST)
    symbol = api.get("/udf/symbols", params={"symbol": "ZZZZ"})

    assert [unknown["s"], resolution["s"], symbol.json()["s"]] == ["error"] * 3
    assert "'ZZZZ' is not on record" in unknown["errmsg"]
    assert "resolution '7'" in resolution["errmsg"]
    assert symbol.status_code == 200


@pytest.mark.usefixtures("aapl")
@pytest.mark.parametrize("name", ["AAPL", "aapl", "XNYS:AAPL"])
def test_a_symbol_tells_its_hours_and_what_is_stored(api: httpx.Client, name: str) -> None:
    """Under the ticker, or with the exchange in front as TradingView writes it."""
    found = api.get("/udf/symbols", params={"symbol": name}).json()

    assert (found["name"], found["ticker"], found["type"], found["exchange"]) == ("AAPL", "AAPL", "stock", "XNYS")
    assert (found["timezone"], found["session"]) == ("America/New_York", "0930-1600")
    assert (found["has_intraday"], found["intraday_multipliers"], found["has_daily"]) == (True, ["1"], False)
    assert (found["minmov"], found["pricescale"], found["format"]) == (1, 100, "price")
    assert found["supported_resolutions"] == api.get("/udf/config").json()["supported_resolutions"]


def test_search_finds_tickers_and_names(api: httpx.Client, database: Database) -> None:
    """Those whose ticker begins so first; of one type; so many at most."""
    add(database, "AAPL", "AA", "BAA", "MSFT")

    def found(**parameters: Any) -> list[str]:
        return [one["symbol"] for one in api.get("/udf/search", params=parameters).json()]

    assert found(query="aa") == ["AA", "AAPL", "BAA"]
    assert found(query="aa", limit=1) == ["AA"]
    assert found(query="aa", type="crypto", exchange="") == []
    assert found(query="zz") == []
    assert set(api.get("/udf/search", params={"query": "msft"}).json()[0]) >= {
        "symbol", "full_name", "description", "exchange", "ticker", "type",
    }  # fmt: skip


def test_the_feed_says_what_it_can_do_and_what_time_it_is(api: httpx.Client) -> None:
    """By the database's clock, as a bare number."""
    config = api.get("/udf/config").json()
    now = api.get("/udf/time")

    assert config["supported_resolutions"] == ["1", "5", "15", "30", "60", "240", "1D", "1W"]
    assert (config["supports_search"], config["supports_group_request"]) == (True, False)
    assert now.headers["content-type"].startswith("text/plain")
    assert abs(int(now.text) - time.time()) < 60


@pytest.mark.parametrize(
    ("name", "zone", "hours"),
    [
        ("XNYS", "America/New_York", "0930-1600"),
        ("XHKG", "Asia/Hong_Kong", "0930-1200,1300-1600"),
        ("24/7", "Etc/UTC", "24x7"),
    ],
)
def test_hours_are_those_of_most_sessions(name: str, zone: str, hours: str) -> None:
    """Half days and daylight saving time do not show."""
    assert regular_hours(trading_calendar(name, 2027), zone, minute(0) + timedelta(days=300)) == hours


@pytest.mark.parametrize(
    ("price", "scale"), [(250.0, 100), (1.0, 100), (0.5, 10_000), (0.0123, 100_000), (1e-9, 10**8)]
)
def test_small_prices_are_shown_with_more_digits(price: float, scale: int) -> None:
    """Four that count."""
    assert price_scale(price) == scale


@pytest.mark.usefixtures("aapl")
def test_all_resolutions_can_be_asked_for(api: httpx.Client) -> None:
    """By all names that the library uses."""
    asked = ("5", "60", "240", "D", "1D", "W")
    told = {history(api, resolution=one, to=2**40, countback=3)["s"] for one in asked}

    assert told == {"no_data"}
    assert len(Timeframe) == len(api.get("/udf/config").json()["supported_resolutions"])

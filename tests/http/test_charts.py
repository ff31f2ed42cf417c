"""`GET /chart`: what is stored, and whether more will come."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.http.charts import BARS_MAX
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.pages import write_derived, write_live
from barfill.store.runs import NewRun, create_runs
from tests.http.test_guard import is_problem
from tests.store.builders import START, add, minute, write

M1 = {"symbol": "AAPL", "timeframe": "1m"}


@pytest.fixture
def aapl(database: Database) -> int:
    """With three final bars and a live one."""
    (symbol_id,) = add(database, "AAPL")
    database.run(write_derived, write({symbol_id: {0: 10.0, 1: 11.0}}))
    database.run(write_derived, write({symbol_id: {2: 12.0}}, has_vwap=False, has_trades=False))
    database.run(write_live, write({symbol_id: {3: 13.0}}, data_status="live"))
    return symbol_id


def ask(api: httpx.Client, **parameters: Any) -> httpx.Response:
    """A chart of minutes, unless other parameters are given."""
    return api.get("/api/v1/chart", params={**M1, **parameters})


def starts(answer: httpx.Response) -> list[str]:
    """Of its bars."""
    assert answer.status_code == 200, answer.text
    return [bar["ts"] for bar in answer.json()["bars"]]


def test_bars_come_in_order_the_live_one_included(api: httpx.Client, aapl: int) -> None:
    """With prices as stored, null where the provider gave nothing, instants in UTC."""
    body = ask(api, symbol="aapl", timeframe="1Min").json()

    assert (body["symbol"], body["timeframe"], body["adjustment"]) == ("AAPL", "1m", "raw")
    assert body["bars"][0] == {
        "ts": minute(0).isoformat().replace("+00:00", "Z"),
        "open": 9.75,
        "high": 11.0,
        "low": 9.0,
        "close": 10.0,
        "volume": 105.0,
        "vwap": 10.0,
        "trade_count": 7,
        "data_status": "final",
        "is_extended": False,
    }
    assert [bar["close"] for bar in body["bars"]] == [10.0, 11.0, 12.0, 13.0]
    assert (body["bars"][2]["vwap"], body["bars"][2]["trade_count"]) == (None, None)
    assert [bar["data_status"] for bar in body["bars"]] == ["final", "final", "final", "live"]
    assert (body["has_earlier"], body["warming_cache"]) == (False, False)
    assert set(body["coverage"]) == {"from_ts", "to_ts", "last_success_at", "gaps_found"}


def test_the_newest_come_where_not_all_fit(api: httpx.Client, aapl: int) -> None:
    """And the older ones by asking up to the first of them."""
    first = ask(api, limit=3)
    assert len(starts(first)) == 3
    assert first.json()["has_earlier"]

    rest = ask(api, limit=3, to=starts(first)[0])

    assert starts(rest) + starts(first) == starts(ask(api))
    assert not rest.json()["has_earlier"]


def test_a_range_holds_its_start_and_not_its_end(api: httpx.Client, aapl: int) -> None:
    """Half-open, as everywhere."""
    found = ask(api, **{"from": minute(1).isoformat(), "to": minute(3).isoformat()})

    assert [bar["close"] for bar in found.json()["bars"]] == [11.0, 12.0]


def test_it_is_warming_while_runs_bring_what_it_lacks(api: httpx.Client, database: Database, aapl: int) -> None:
    """A run of the series, or of a finer one that it is made of; not one of what lies before the chart."""
    assert not ask(api).json()["warming_cache"]
    asked = Range(START, START + timedelta(days=1))
    common: dict[str, Any] = {"symbols": ("AAPL",), "symbol_ids": (aapl,), "provider": "alpaca", "feed": "sip"}
    database.run(create_runs, [NewRun(timeframe=Timeframe.M1, range=asked, **common)])

    assert ask(api).json()["warming_cache"]
    assert ask(api, timeframe="1h").json()["warming_cache"]
    later = (asked.end + timedelta(days=1)).isoformat()
    assert not ask(api, **{"from": later}).json()["warming_cache"]


def test_it_is_warming_before_the_first_run_of_what_is_wanted(api: httpx.Client, database: Database, aapl: int) -> None:
    """A definition was made, and nobody has looked at it yet."""
    database.run(keep_series, ["AAPL"], [Timeframe.D1])

    assert ask(api, timeframe="1d").json()["warming_cache"]
    assert not ask(api, timeframe="1w").json()["warming_cache"]


def test_what_did_not_change_is_not_sent_again(api: httpx.Client, database: Database, aapl: int) -> None:
    """By ETag, until a bar is new."""
    tag = ask(api).headers["etag"]

    same = api.get("/api/v1/chart", params=M1, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)

    database.run(write_derived, write({aapl: {4: 14.0}}))
    changed = api.get("/api/v1/chart", params=M1, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_long_answers_are_compressed(api: httpx.Client, database: Database, aapl: int) -> None:
    """Where the client takes it."""
    database.run(write_derived, write({aapl: dict.fromkeys(range(10, 200), 10.0)}))

    with api.stream("GET", "/api/v1/chart", params=M1, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())

    assert answer.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))["bars"]) == 194


def test_who_is_not_on_record_is_not_found(api: httpx.Client) -> None:
    """With what to do."""
    answer = ask(api, symbol="ZZZZ")

    assert is_problem(answer, 404, "symbol-not-found")
    assert answer.json()["detail"] == "Symbol 'ZZZZ' is not on record. See: barfill symbols list"
    assert answer.json()["instance"] == "/api/v1/chart"


@pytest.mark.parametrize(
    "symbol",
    [
        "AAPL'; DROP TABLE ohlc_bars;--",
        "X' OR '1'='1",
        "../../v1/admin",
        "..",
        ".",
        "AAPL?apiKey=x",
        "A#x",
        "A%2e%2e%2fB",
        "A\r\nX: y",
        "\u0410APL",
        "<img src=x onerror=alert(1)>",
        "",
        "A" * 10_000,
    ],
)
def test_what_is_no_ticker_is_refused(api: httpx.Client, symbol: str) -> None:
    """X07, X08: before it comes near a statement or a URL."""
    answer = ask(api, symbol=symbol)

    assert is_problem(answer, 422, "invalid-input")
    assert [one["where"] for one in answer.json()["errors"]] == ["query.symbol"]
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    ("parameters", "where"),
    [
        ({"timeframe": "1m' UNION SELECT 1"}, "query.timeframe"),
        ({"timeframe": "2h"}, "query.timeframe"),
        ({"limit": 0}, "query.limit"),
        ({"limit": BARS_MAX + 1}, "query.limit"),
        ({"limit": "1e9"}, "query.limit"),
        ({"from": "2026-03-02T09:30"}, "query.from"),
        ({"from": "yesterday"}, "query.from"),
        ({"from": "2026-03-03", "to": "2026-03-02"}, "query"),
        ({"adjustment": "all"}, "query.adjustment"),
        ({"order_by": "ts;select pg_sleep(5)"}, "query.order_by"),
        ({"symbl": "AAPL"}, "query.symbl"),
    ],
)
def test_what_cannot_be_is_refused_by_name(api: httpx.Client, parameters: dict[str, Any], where: str) -> None:
    """X07, X12: unknown parameters too, which are mostly mistyped ones."""
    answer = ask(api, **parameters)

    assert is_problem(answer, 422, "invalid-input")
    assert [one["where"] for one in answer.json()["errors"]] == [where]
    assert where in answer.json()["detail"]

"""Pages as the vendor cuts them."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Drain = Callable[..., list[dict[str, Any]]]


def row_count(page: dict[str, Any]) -> int:
    return sum(map(len, page["bars"].values()))


def keys(pages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(symbol, row["t"]) for page in pages for symbol, rows in page["bars"].items() for row in rows]


def test_a_row_looks_like_the_vendors(ask: Ask) -> None:
    """Keys come in the order t o h l c v n vw, stamps end in Z, counts are whole, whole prices have no point."""
    text = ask(symbols="AAPL", limit=1).text
    row = ask(symbols="AAPL", limit=1).json()["bars"]["AAPL"][0]

    assert list(row) == ["t", "o", "h", "l", "c", "v", "n", "vw"]
    assert row["t"] == "2026-08-10T04:00:00Z"
    assert isinstance(row["v"], int)
    assert isinstance(row["n"], int)
    assert ".0," not in text
    assert text.startswith('{"bars":{"AAPL":[{"t":')


def test_the_limit_counts_rows_over_all_symbols(ask: Ask) -> None:
    """A page of 4 rows holds three of the first symbol and one of the second."""
    page = ask(limit=4).json()

    assert {symbol: len(rows) for symbol, rows in page["bars"].items()} == {"AAPL": 3, "MSFT": 1}
    assert page["next_page_token"] is not None


def test_symbols_come_in_byte_order(ask: Ask) -> None:
    """Symbols are sorted whatever the order asked, and named once."""
    page = ask(symbols="SPY,BRK.B,AAPL,SPY").json()

    assert list(page["bars"]) == ["AAPL", "BRK.B", "SPY"]


def test_the_token_names_the_last_row_sent(ask: Ask) -> None:
    """A token is base64 of symbol, letter of the timeframe and nanoseconds."""
    token = ask(symbols="AAPL", limit=1).json()["next_page_token"]

    assert base64.b64decode(token) == b"AAPL|D|1786334400000000000"


def test_a_full_last_page_leads_to_an_empty_one(drain: Drain) -> None:
    """Six rows in pages of three: two full pages, then an empty one with a null token."""
    pages = drain(limit=3)

    assert [row_count(page) for page in pages] == [3, 3, 0]
    assert pages[-1] == {"bars": {}, "next_page_token": None}


@pytest.mark.parametrize("limit", [1, 7, 100, 997])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_hold_every_row_once(drain: Drain, limit: int, sort: str) -> None:
    """Whatever the page size, the pages together are the one big page, in its order."""
    query = {
        "symbols": "THIN,AAPL,HLTD,NOSUCH",
        "timeframe": "1Hour",
        "start": "2026-08-04T00:00:00Z",
        "end": "2026-08-07T00:00:00Z",
        "sort": sort,
    }
    whole = drain(**query, limit=10_000)

    assert len(whole) == 1
    assert keys(drain(**query, limit=limit)) == keys(whole)


def test_descending_is_ascending_backwards_within_symbols(drain: Drain) -> None:
    """sort=desc turns time around, not the order of symbols."""
    ascending, descending = drain(sort="asc")[0]["bars"], drain(sort="desc")[0]["bars"]

    assert list(descending) == list(ascending)
    assert {symbol: rows[::-1] for symbol, rows in descending.items()} == ascending


@pytest.mark.parametrize("token", ["rubbish", "QUFQTA==", base64.b64encode(b"TSLA|D|1786334400000000000").decode(),
                                   base64.b64encode(b"AAPL|M|1786334400000000000").decode(),
                                   base64.b64encode(b"AAPL|D|1500000000000000000").decode()])  # fmt: skip
def test_foreign_tokens_are_refused(ask: Ask, token: str) -> None:
    """A garbled token, one of another symbol, timeframe or range is answered with 400."""
    answer = ask(page_token=token)

    assert (answer.status_code, answer.json()) == (400, {"message": "invalid page_token"})


def test_bounds_are_inclusive(ask: Ask) -> None:
    """Rows at start and at end are both in."""
    rows = ask(
        symbols="AAPL", timeframe="1Min", start="2026-08-12T14:00:00Z", end="2026-08-12T10:02:00-04:00"
    ).json()["bars"]["AAPL"]  # fmt: skip

    assert [row["t"] for row in rows] == [f"2026-08-12T14:0{minute}:00Z" for minute in range(3)]


def test_dates_are_new_york_days(ask: Ask) -> None:
    """A date as start and end gives that day of New York, the evening included."""
    rows = ask(symbols="SPY", timeframe="1Hour", start="2026-01-20", end="2026-01-20").json()["bars"]["SPY"]

    assert rows[0]["t"] == "2026-01-20T09:00:00Z"
    assert rows[-1]["t"] == "2026-01-21T00:00:00Z"


def test_start_is_today_and_end_is_now_by_default(ask: Ask) -> None:
    """Without bounds the answer is today's bars so far, a thousand at most."""
    page = ask(symbols="SPY,QQQ", timeframe="1Min", start=None, end=None).json()

    assert page["bars"]["QQQ"][0]["t"] >= "2026-08-17T08:00:00Z"
    assert row_count(page) == 1000


def test_unknown_symbols_are_absent(ask: Ask) -> None:
    """A well-formed symbol that nobody knows is simply not in the answer."""
    assert list(ask(symbols="AAPL,ZZZZ").json()["bars"]) == ["AAPL"]
    assert ask(symbols="ZZZZ").json() == {"bars": {}, "next_page_token": None}


def test_the_single_symbol_endpoint(client: httpx.Client, ask: Ask) -> None:
    """/v2/stocks/{symbol}/bars gives a list, the symbol and a token, and [] where there is nothing."""
    params = {"timeframe": "1Day", "start": "2026-08-10", "end": "2026-08-12"}
    page = client.get("/v2/stocks/BRK.B/bars", params={**params, "limit": 2}).json()
    rest = client.get("/v2/stocks/BRK.B/bars", params={**params, "page_token": page["next_page_token"]}).json()

    assert page["symbol"] == "BRK.B"
    assert page["bars"] + rest["bars"] == ask(symbols="BRK.B").json()["bars"]["BRK.B"]
    assert client.get("/v2/stocks/ZZZZ/bars", params=params).json()["bars"] == []


def test_currency_appears_when_asked_for(ask: Ask) -> None:
    """currency=USD is repeated in the answer."""
    assert ask(currency="USD").json()["currency"] == "USD"
    assert "currency" not in ask().json()


def test_splits_are_adjusted_on_request(ask: Ask) -> None:
    """adjustment=split quarters SPLT's old prices; raw and dividend leave them."""
    closes = {
        kind: ask(symbols="SPLT", start="2026-03-13", end="2026-03-13", adjustment=kind).json()["bars"]["SPLT"][0]["c"]
        for kind in ("raw", "dividend", "split", "all")
    }

    assert closes["raw"] == closes["dividend"]
    assert closes["split"] == closes["all"] == pytest.approx(closes["raw"] / 4)


def test_pages_are_the_truth(exchange: SimulatedExchange, drain: Drain) -> None:
    """What comes over the wire is what the exchange holds, to the last digit."""
    start, end = datetime.fromisoformat("2026-06-01T00:00:00Z"), datetime.fromisoformat("2026-06-05T00:00:00Z")
    pages = drain(symbols="AAPL", timeframe="5Min", start=start.isoformat(), end=end.isoformat(), limit=300)
    rows = [row for page in pages for row in page["bars"].get("AAPL", [])]
    truth = exchange.truth("AAPL", "5Min", start, end)

    for key, column in zip("ohlcvn", ("open", "high", "low", "close", "volume", "trades"), strict=True):
        assert [row[key] for row in rows] == truth[column].to_list()
    assert [row["t"] for row in rows] == truth["ts"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").to_list()


def test_bodies_are_compressed_on_request(client: httpx.Client) -> None:
    """gzip is used when asked for and the body is longer than 256 bytes."""
    query = "/v2/stocks/bars?symbols=AAPL&timeframe=1Day&start=2026-08-03&limit="

    assert client.get(query + "5").headers.get("content-encoding") == "gzip"
    assert "content-encoding" not in client.get(query + "1").headers
    assert "content-encoding" not in client.get(query + "5", headers={"Accept-Encoding": "identity"}).headers


def test_a_repeated_page_is_the_same(ask: Ask, exchange: SimulatedExchange) -> None:
    """The cache changes nothing, and gives way when the clock moves on."""
    first = ask(symbols="SPY", timeframe="1Min", start="2026-08-17T17:00:00Z", end=None)
    again = ask(symbols="SPY", timeframe="1Min", start="2026-08-17T17:00:00Z", end=None)
    exchange.clock.advance(60)
    later = ask(symbols="SPY", timeframe="1Min", start="2026-08-17T17:00:00Z", end=None)

    assert first.content == again.content
    assert len(later.json()["bars"]["SPY"]) == len(first.json()["bars"]["SPY"]) + 1

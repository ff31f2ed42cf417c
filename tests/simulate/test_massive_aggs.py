"""Massive's range of bars: windows, base bars, pages, bounds."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import polars as pl
import pytest

from barfill.simulate import SimulatedExchange

Aggs = Callable[..., httpx.Response]
Drain = Callable[..., list[dict[str, Any]]]


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def rows_of(pages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for page in pages for row in page.get("results", [])]


def test_a_page_looks_like_the_vendors(aggs: Aggs) -> None:
    """Keys of page and row, counts, and daily stamps at New York midnight in milliseconds."""
    page = aggs("AAPL", "1/day/2026-08-10/2026-08-12").json()

    assert {name: page[name] for name in ("ticker", "queryCount", "resultsCount", "adjusted", "status", "count")} == {
        "ticker": "AAPL", "queryCount": 3, "resultsCount": 3, "adjusted": True, "status": "OK", "count": 3,
    }  # fmt: skip
    assert len(page["request_id"]) == 32
    assert list(page["results"][0]) == ["v", "vw", "o", "c", "h", "l", "t", "n"]
    assert [row["t"] for row in page["results"]] == [ms(f"2026-08-{day}T04:00") for day in (10, 11, 12)]
    assert "next_url" not in page


def test_results_are_absent_where_there_is_nothing(aggs: Aggs) -> None:
    """A weekend, an unknown ticker and another case of a known one: 200 without results."""
    for ticker, window in (("AAPL", "1/day/2026-08-08/2026-08-09"), ("NOSUCH", "1/day/2026-08-10/2026-08-12"),
                           ("aapl", "1/minute/2026-08-10/2026-08-12")):  # fmt: skip
        page = aggs(ticker, window).json()
        assert (page["ticker"], page["queryCount"], page["resultsCount"], page["count"]) == (ticker, 0, 0, 0)
        assert "results" not in page


@pytest.mark.parametrize(
    ("window", "timeframe"),
    [("1/minute", "m1"), ("15/minute", "m15"), ("1/hour", "h1"), ("4/hour", "h4"), ("1/day", "d1")],
)
def test_bars_are_those_of_the_market(aggs: Aggs, exchange: SimulatedExchange, window: str, timeframe: str) -> None:
    """Minutes to days are the bars that Alpaca serves as well, extended hours included."""
    rows = aggs("THIN", f"{window}/2026-08-03/2026-08-07", adjusted="false", limit=50_000).json()["results"]

    truth = exchange.truth("THIN", timeframe, datetime(2026, 8, 3, 4, tzinfo=UTC), datetime(2026, 8, 8, 3, tzinfo=UTC))
    assert [row["t"] for row in rows] == truth["ts"].dt.epoch("ms").to_list()
    for key, column in zip("ohlcvn", ("open", "high", "low", "close", "volume", "trades"), strict=True):
        assert [row[key] for row in rows] == truth[column].to_list()
    assert [row["vw"] for row in rows] == pytest.approx(truth["vwap"].to_list(), abs=1e-4)


@pytest.mark.parametrize(
    ("window", "first", "last"),
    [
        ("1/week/2026-08-05/2026-08-10", "2026-08-02T04:00", "2026-08-09T04:00"),
        ("1/month/2026-06-17/2026-07-01", "2026-06-01T04:00", "2026-07-01T04:00"),
        ("1/quarter/2026-02-11/2026-04-01", "2026-01-01T05:00", "2026-04-01T04:00"),
        ("1/year/2024-05-05/2025-01-01", "2024-01-01T05:00", "2025-01-01T05:00"),
        ("1/hour/1786455000000/1786462200000", "2026-08-11T13:00", "2026-08-11T15:00"),
        ("1/minute/1786455059999/1786455120000", "2026-08-11T13:30", "2026-08-11T13:32"),
    ],
)
def test_bounds_snap_outward(aggs: Aggs, window: str, first: str, last: str) -> None:
    """Whole windows are given, also what lies before from and after to; weeks begin on Sunday."""
    rows = aggs("SPY", window).json()["results"]

    assert (rows[0]["t"], rows[-1]["t"]) == (ms(first), ms(last))


def test_a_window_at_the_edge_is_whole(aggs: Aggs) -> None:
    """The week that holds `to` has its whole volume."""
    week = aggs("AAPL", "1/week/2026-08-05/2026-08-05").json()["results"]
    days = aggs("AAPL", "1/day/2026-08-02/2026-08-08").json()["results"]

    assert [row["v"] for row in week] == [sum(row["v"] for row in days)]


def test_the_limit_counts_base_bars(aggs: Aggs) -> None:
    """limit=1000 minutes make some 20 hours; the window that the page cuts off starts the next one."""
    page = aggs("SPY", "1/hour/2026-08-03/2026-08-07", limit=1000).json()

    assert 950 < page["queryCount"] <= 1000
    assert 15 < page["resultsCount"] == page["count"] < 30
    path, _, cursor = page["next_url"].partition("?cursor=")
    assert int(path.split("/")[-2]) == page["results"][-1]["t"] + 3_600_000
    assert path.endswith("/2026-08-07")
    padded = cursor + "=" * (-len(cursor) % 4)
    assert base64.urlsafe_b64decode(padded) == b"adjusted=true&limit=1000&sort=asc"


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize(
    ("window", "limit"),
    [("1/minute", 333), ("7/minute", 500), ("1/hour", 700), ("5/day", 7), ("1/week", 11), ("1/hour", 1)],
)
def test_pages_hold_every_window_once_and_whole(drain_aggs: Drain, window: str, limit: int, sort: str) -> None:
    """Whatever the limit, the pages together are the one big page."""
    span = "2026-08-10/2026-08-12" if "day" not in window and "week" not in window else "2025-11-01/2026-08-12"
    whole = drain_aggs("AAPL", f"{window}/{span}", limit=50_000, sort=sort)

    pages = drain_aggs("AAPL", f"{window}/{span}", limit=limit, sort=sort)

    assert len(whole) == 1
    assert len(pages) > 2
    assert rows_of(pages) == rows_of(whole)
    stamps = [row["t"] for row in rows_of(pages)]
    assert stamps == sorted(set(stamps), reverse=sort == "desc")


def test_prices_are_adjusted_unless_asked_not_to_be(aggs: Aggs) -> None:
    """adjusted is true by default: SPLT's old prices are a quarter, its volumes fourfold."""
    window = "1/day/2026-03-13/2026-03-13"
    by_default, raw = aggs("SPLT", window).json(), aggs("SPLT", window, adjusted="false").json()

    assert (by_default["adjusted"], raw["adjusted"]) == (True, False)
    assert by_default["results"][0]["c"] == pytest.approx(raw["results"][0]["c"] / 4)
    assert by_default["results"][0]["v"] == raw["results"][0]["v"] * 4


def test_bars_follow_the_text_of_the_ticker(aggs: Aggs) -> None:
    """META was an ETF, then nobody's, then what FB had been; FB ends."""
    span = "1/day/2022-01-26/2022-06-10"
    meta, fb, metv = (aggs(ticker, span).json()["results"] for ticker in ("META", "FB", "METV"))

    assert [row["t"] for row in meta] == [ms(f"2022-{day}") for day in (
        "01-26T05:00", "01-27T05:00", "01-28T05:00", "06-09T04:00", "06-10T04:00")]  # fmt: skip
    assert meta[2]["c"] < 40
    assert meta[3]["c"] > 150
    assert fb[-1]["t"] == ms("2022-06-08T04:00")
    assert metv[0]["t"] == ms("2022-01-31T05:00")


def test_hours_are_whole_hours_of_new_york(aggs: Aggs) -> None:
    """The hour from 09:00 mixes pre-market and regular minutes, in winter, too."""
    hours = aggs("SPY", "1/hour/2026-01-20/2026-01-20").json()["results"]
    local = pl.from_epoch(pl.Series([row["t"] for row in hours]), "ms").dt.replace_time_zone("UTC")

    clocks = local.dt.convert_time_zone("America/New_York").dt.strftime("%H:%M").to_list()

    assert clocks[0] == "04:00"
    assert "09:00" in clocks
    assert all(clock.endswith(":00") for clock in clocks)


@pytest.mark.parametrize(
    ("window", "params", "text"),
    [
        ("1/day/2026-8-1/2026-08-12", {}, "'from'. Use YYYY-MM-DD or Unix MS Timestamps"),
        ("1/day/2026-08-10/soon", {}, "Could not parse the time parameter: 'to'. Use YYYY-MM-DD or Unix MS Timestamps"),
        ("1/day/2026-08-10/20260812", {}, "Could not parse the time parameter: 'to'"),
        ("1/day/2026-08-12/2026-08-10", {}, "'to' cannot be a time that occurs before 'from'"),
        ("0/day/2026-08-10/2026-08-12", {}, "multiplier"),
        ("1/days/2026-08-10/2026-08-12", {}, "timespan"),
        ("1/day/2026-08-10/2026-08-12", {"limit": 50_001}, "'limit'"),
        ("1/day/2026-08-10/2026-08-12", {"sort": "up"}, "'sort'"),
        ("1/day/2026-08-10/2026-08-12", {"adjusted": "maybe"}, "'adjusted'"),
        ("1/day/2026-08-10/2026-08-12", {"cursor": "!!"}, "cursor"),
    ],
)
def test_bad_parameters_are_refused(aggs: Aggs, window: str, params: dict[str, Any], text: str) -> None:
    """400 with status, request_id and error."""
    answer = aggs("AAPL", window, **params)

    assert answer.status_code == 400
    assert list(answer.json()) == ["status", "request_id", "error"]
    assert answer.json()["status"] == "ERROR"
    assert text in answer.json()["error"]


def test_the_window_under_way_is_there(aggs: Aggs, exchange: SimulatedExchange) -> None:
    """On the paid plan today's bars end with the minute before now, and a later request has more."""
    first = aggs("AAPL", "1/minute/2026-08-17/2026-08-17", limit=50_000).json()["results"]
    exchange.clock.advance(60)
    second = aggs("AAPL", "1/minute/2026-08-17/2026-08-17", limit=50_000).json()["results"]

    assert first[-1]["t"] == ms("2026-08-17T17:59")
    assert second[-1]["t"] == ms("2026-08-17T18:00")
    assert second[: len(first)] == first

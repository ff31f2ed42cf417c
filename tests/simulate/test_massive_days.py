"""Massive's bars of one day: all tickers, and the session before today."""

from datetime import UTC, datetime

import httpx

from barfill.simulate import SimulatedExchange

GROUPED = "/v2/aggs/grouped/locale/us/market/stocks"


def test_all_tickers_of_a_day(massive: httpx.Client, exchange: SimulatedExchange) -> None:
    """A row per ticker that traded, stamped by the end of the day, 16:00 New York; the rest is the daily bar."""
    page = massive.get(f"{GROUPED}/2026-08-05", params={"adjusted": "false"}).json()
    rows = {row["T"]: row for row in page["results"]}

    assert "ticker" not in page
    assert page["queryCount"] == page["resultsCount"] == page["count"] == len(rows) == 58
    assert "GONE" not in rows  # delisted
    assert "HLTD" not in rows  # halted all day
    assert next(iter(page["results"][0])) == "T"
    assert {row["t"] for row in rows.values()} == {int(datetime(2026, 8, 5, 20, tzinfo=UTC).timestamp() * 1000)}
    ranged = massive.get("/v2/aggs/ticker/AAPL/range/1/day/2026-08-05/2026-08-05").json()["results"][0]
    assert {**ranged, "T": "AAPL", "t": rows["AAPL"]["t"]} == rows["AAPL"]


def test_tickers_are_those_of_the_day(massive: httpx.Client) -> None:
    """In March 2022 there is FB and METV, and nobody has META."""
    tickers = {row["T"] for row in massive.get(f"{GROUPED}/2022-03-01").json()["results"]}

    assert {"FB", "METV"} <= tickers
    assert "META" not in tickers


def test_a_closed_day_has_no_results(massive: httpx.Client) -> None:
    """200, counts of 0, no results."""
    answer = massive.get(f"{GROUPED}/2026-08-08")

    assert answer.status_code == 200
    assert (answer.json()["resultsCount"], "results" in answer.json()) == (0, False)


def test_a_day_is_a_date(massive: httpx.Client) -> None:
    """Milliseconds are refused here."""
    assert massive.get(f"{GROUPED}/1786507200000").status_code == 400


def test_the_session_before_today(massive: httpx.Client) -> None:
    """One row of last Friday on this Monday, stamped 16:00."""
    page = massive.get("/v2/aggs/ticker/AAPL/prev").json()

    assert page["ticker"] == "AAPL"
    assert [(row["T"], row["t"]) for row in page["results"]] == [
        ("AAPL", int(datetime(2026, 8, 14, 20, tzinfo=UTC).timestamp() * 1000))
    ]
    assert massive.get("/v2/aggs/ticker/NOSUCH/prev").json()["resultsCount"] == 0

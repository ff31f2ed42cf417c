"""Massive's reference data: tickers, their events, splits, dividends, the state of the market."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange


def drained(client: httpx.Client, path: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of all pages."""
    page = client.get(path, params=params).json()
    rows: list[dict[str, Any]] = list(page["results"])
    while "next_url" in page:
        page = client.get(page["next_url"]).json()
        rows += page["results"]
    return rows


def test_tickers_are_listed(massive: httpx.Client) -> None:
    """Active ones by default, sorted, with the vendor's fields and a count; delisted ones on request."""
    page = massive.get("/v3/reference/tickers").json()
    delisted = massive.get("/v3/reference/tickers", params={"active": "false"}).json()["results"]

    assert (page["count"], page["status"]) == (59, "OK")
    assert [row["ticker"] for row in page["results"]] == sorted(row["ticker"] for row in page["results"])
    brk = next(row for row in page["results"] if row["ticker"] == "BRK.B")
    assert (brk["primary_exchange"], brk["type"], brk["market"], brk["active"]) == ("XNYS", "CS", "stocks", True)
    assert [(row["ticker"], row["delisted_utc"]) for row in delisted] == [("GONE", "2025-03-14T00:00:00Z")]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ticker": "AAPL"}, ["AAPL"]),
        ({"ticker": "aapl"}, []),
        ({"ticker.gte": "X", "ticker.lt": "Y"}, ["XOM"]),
        ({"type": "ETF"}, ["IWM", "METV", "QQQ", "SPY"]),
        ({"search": "splitting"}, ["SPLT"]),
        ({"exchange": "ARCX", "order": "desc"}, ["SPY", "METV", "IWM"]),
        ({"market": "crypto", "search": "bitcoin"}, ["X:BTCUSD"]),
        ({"market": "crypto", "active": "false"}, []),
    ],
)
def test_tickers_are_filtered(massive: httpx.Client, params: dict[str, str], expected: list[str]) -> None:
    """By ticker (case-sensitive), range, type, exchange, market and words."""
    rows = massive.get("/v3/reference/tickers", params=params).json()["results"]

    assert [row["ticker"] for row in rows] == expected


def test_lists_are_paged(massive: httpx.Client) -> None:
    """next_url leads through the whole list, filters and order kept, without the key."""
    whole = drained(massive, "/v3/reference/tickers", limit=1000, order="desc")
    first = massive.get("/v3/reference/tickers", params={"limit": 7, "order": "desc", "apiKey": "secret"}).json()

    assert "secret" not in first["next_url"]
    assert first["next_url"].startswith(str(massive.base_url).rstrip("/") + "/v3/reference/tickers?cursor=")
    assert drained(massive, "/v3/reference/tickers", limit=7, order="desc") == whole
    assert len(whole) == 59


def test_tickers_of_another_day(massive: httpx.Client) -> None:
    """In March 2022 the company was FB, GONE was active and NEWC not listed yet."""
    rows = massive.get("/v3/reference/tickers", params={"date": "2022-03-01", "limit": 1000}).json()["results"]

    tickers = {row["ticker"] for row in rows}
    assert {"FB", "GONE", "METV"} <= tickers
    assert not {"META", "NEWC"} & tickers


def test_details_of_one_ticker(massive: httpx.Client) -> None:
    """By ticker and day; 404 for nobody's, for another case, and for a delisted one today."""
    was = massive.get("/v3/reference/tickers/META", params={"date": "2021-12-01"}).json()["results"]
    now = massive.get("/v3/reference/tickers/META").json()["results"]

    assert (was["list_date"], was["type"]) == ("2021-06-30", "ETF")
    assert was["composite_figi"] != now["composite_figi"]
    for ticker, params in (("NOSUCH", {}), ("meta", {}), ("GONE", {}), ("META", {"date": "2022-03-01"})):
        answer = massive.get(f"/v3/reference/tickers/{ticker}", params=params)
        assert (answer.status_code, answer.json()["status"]) == (404, "NOT_FOUND")


def test_names_of_a_company(massive: httpx.Client) -> None:
    """META's events tell of FB, newest first, under either name; the ETF has its own."""
    meta = massive.get("/vX/reference/tickers/META/events", params={"types": "ticker_change"}).json()["results"]

    assert [(event["date"], event["ticker_change"]["ticker"]) for event in meta["events"]] == [
        ("2022-06-09", "META"), ("2016-01-04", "FB"),
    ]  # fmt: skip
    assert massive.get("/vX/reference/tickers/FB/events").json()["results"] == meta
    metv = massive.get("/vX/reference/tickers/METV/events").json()["results"]["events"]
    assert [event["ticker_change"]["ticker"] for event in metv] == ["METV", "META"]
    assert massive.get("/vX/reference/tickers/NOSUCH/events").status_code == 404


def test_splits_of_the_whole_market(massive: httpx.Client) -> None:
    """Without a ticker a range of dates gives all; newest first; reverse ones apart."""
    rows = drained(massive, "/v3/reference/splits", limit=2, **{"execution_date.gte": "2021-01-01"})

    assert [(row["ticker"], row["execution_date"], row["split_from"], row["split_to"]) for row in rows] == [
        ("SPLT", "2026-03-16", 1, 4), ("GE", "2024-04-02", 1000, 1253), ("GE", "2021-08-02", 8, 1),
    ]  # fmt: skip
    assert list(rows[0]) == ["execution_date", "id", "split_from", "split_to", "ticker"]
    assert rows[0]["id"].startswith("E")
    reverse = massive.get("/v3/reference/splits", params={"reverse_split": "true"}).json()["results"]
    assert [row["execution_date"] for row in reverse] == ["2021-08-02"]
    assert massive.get("/v3/reference/splits", params={"ticker": "AAPL"}).json()["results"] == []


def test_splits_in_the_newer_form(massive: httpx.Client) -> None:
    """With their kind and the factor for the prices before them."""
    rows = massive.get("/stocks/v1/splits", params={"ticker.any_of": "GE,SPLT"}).json()["results"]

    told = [(row["ticker"], row["adjustment_type"], row["historical_adjustment_factor"]) for row in rows]
    assert told == [
        ("SPLT", "forward_split", 0.25), ("GE", "forward_split", round(1 / 1.253, 6)),
        ("GE", "reverse_split", round(8 / 1.253, 6)),
    ]  # fmt: skip


def test_a_split_is_announced(massive: httpx.Client, exchange: SimulatedExchange) -> None:
    """It is listed from two weeks before its day on."""
    listed = []
    for day in (1, 2):
        exchange.set_clock(datetime(2026, 3, day, 15, tzinfo=UTC))
        listed.append(massive.get("/v3/reference/splits", params={"ticker": "SPLT"}).json()["results"])

    assert [len(rows) for rows in listed] == [0, 1]


def test_dividends(massive: httpx.Client) -> None:
    """Quarterly ones of a payer with all dates, by ticker and by range, in both forms."""
    params = {"ticker": "AAPL", "ex_dividend_date.gte": "2026-01-01", "ex_dividend_date.lt": "2026-06-01"}
    old, new = (massive.get(path, params=params).json()["results"] for path in (
        "/v3/reference/dividends", "/stocks/v1/dividends"))  # fmt: skip

    assert [row["ex_dividend_date"][:7] for row in old] == ["2026-05", "2026-02"]
    assert (old[0]["cash_amount"], old[0]["currency"], old[0]["dividend_type"], old[0]["frequency"]) == (
        0.2375, "USD", "CD", 4,
    )  # fmt: skip
    assert old[0]["declaration_date"] < old[0]["ex_dividend_date"] <= old[0]["record_date"] < old[0]["pay_date"]
    assert {row["split_adjusted_cash_amount"] for row in new} == {0.2375}
    assert all(0.99 < row["historical_adjustment_factor"] < 1 for row in new)
    cheap = massive.get("/v3/reference/dividends", params={"cash_amount.lte": "0.1", "limit": 1000}).json()["results"]
    assert cheap
    assert max(row["cash_amount"] for row in cheap) <= 0.1


def test_dividends_are_in_the_shares_of_their_time(massive: httpx.Client) -> None:
    """What GE paid per share before its reverse split was less than it is in today's shares."""
    rows = drained(massive, "/stocks/v1/dividends", ticker="GE", limit=1000)
    before = next(row for row in rows if row["ex_dividend_date"].startswith("2021-05"))

    assert before["split_adjusted_cash_amount"] == pytest.approx(0.75, rel=1e-3)
    assert before["cash_amount"] == pytest.approx(0.75 * 1.253 / 8, rel=1e-3)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v3/reference/splits", {"limit": 1001}),
        ("/v3/reference/splits", {"execution_date.gte": "soon"}),
        ("/v3/reference/splits", {"execution_date.near": "2026-01-01"}),
        ("/v3/reference/splits", {"sort": "id"}),
        ("/v3/reference/dividends", {"cash_amount.gt": "much"}),
        ("/v3/reference/tickers", {"date": "soon"}),
        ("/v3/reference/tickers", {"cursor": "!"}),
        ("/v3/reference/tickers", {"cursor": "b2Zmc2V0PXg"}),
    ],
)
def test_bad_filters_are_refused(massive: httpx.Client, path: str, params: dict[str, Any]) -> None:
    """400 with an error."""
    answer = massive.get(path, params=params)

    assert (answer.status_code, answer.json()["status"]) == (400, "ERROR")


def test_open_and_close_of_a_day(massive: httpx.Client, exchange: SimulatedExchange) -> None:
    """The daily bar with the prices of extended hours; 404 on a closed day."""
    day = massive.get("/v1/open-close/AAPL/2026-08-12").json()

    truth = exchange.truth("AAPL", "d1", datetime(2026, 8, 12, 4, tzinfo=UTC), datetime(2026, 8, 12, 5, tzinfo=UTC))
    assert [day[name] for name in ("open", "high", "low", "close", "volume")] == list(truth.row(0)[1:6])
    minutes = exchange.truth("AAPL", "m1", datetime(2026, 8, 12, 4, tzinfo=UTC), datetime(2026, 8, 13, 3, tzinfo=UTC))
    assert (day["preMarket"], day["afterHours"]) == (minutes["open"][0], minutes["close"][-1])
    assert (day["symbol"], day["from"], day["status"]) == ("AAPL", "2026-08-12", "OK")
    assert massive.get("/v1/open-close/AAPL/2026-08-15").json()["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("now", "market", "early", "late"),
    [
        ("2026-08-17T18:00:00Z", "open", False, False),
        ("2026-08-17T12:00:00Z", "extended-hours", True, False),
        ("2026-08-17T21:00:00Z", "extended-hours", False, True),
        ("2026-08-18T01:00:00Z", "closed", False, False),
        ("2026-08-15T15:00:00Z", "closed", False, False),
    ],
)
def test_the_market_now(
    massive: httpx.Client, exchange: SimulatedExchange, now: str, market: str, early: bool, late: bool
) -> None:
    """Open, extended hours or closed, by the moved clock."""
    exchange.set_clock(datetime.fromisoformat(now))

    told = massive.get("/v1/marketstatus/now").json()

    assert (told["market"], told["earlyHours"], told["afterHours"]) == (market, early, late)
    assert datetime.fromisoformat(told["serverTime"]) == datetime.fromisoformat(now)
    assert told["exchanges"] == {"nyse": market, "nasdaq": market, "otc": market}


def test_holidays_to_come(massive: httpx.Client) -> None:
    """The closed and the short days ahead, for each exchange."""
    days = massive.get("/v1/marketstatus/upcoming").json()

    nyse = [(day["date"], day["name"], day["status"]) for day in days if day["exchange"] == "NYSE"]
    assert nyse[:3] == [
        ("2026-09-07", "Labor Day", "closed"), ("2026-11-26", "Thanksgiving", "closed"),
        ("2026-11-27", "Thanksgiving", "early-close"),
    ]  # fmt: skip
    short = next(day for day in days if day["status"] == "early-close")
    assert (short["open"], short["close"]) == ("2026-11-27T14:30:00.000Z", "2026-11-27T18:00:00.000Z")
    assert len(days) == 2 * len(nyse)

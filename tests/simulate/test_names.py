"""Renamed companies, tickers used twice, and several splits, as Alpaca shows them."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange
from barfill.simulate.market.events import dividends_of
from barfill.simulate.market.listings import listings

Ask = Callable[..., httpx.Response]
AROUND = {"start": "2022-01-25", "end": "2022-06-13"}


def dates(ask: Ask, symbol: str, **params: Any) -> list[str]:
    rows = ask(symbols=symbol, **AROUND, **params).json()["bars"].get(symbol, [])
    return [row["t"][:10] for row in rows]


def test_by_default_a_ticker_stands_for_its_company(ask: Ask) -> None:
    """META reaches back to the days when it was FB; FB stands for nobody any more."""
    meta = dates(ask, "META")

    assert (meta[0], meta[-1]) == ("2022-01-25", "2022-06-13")
    assert len(meta) == 97
    assert dates(ask, "FB") == []


@pytest.mark.parametrize(
    ("symbol", "as_of", "company"),
    [("FB", "2022-06-08", "META"), ("META", "2022-06-09", "META"), ("META", "2022-01-28", "METV"),
     ("METV", "2022-01-29", "METV"), ("META", "2022-03-01", None)],
)  # fmt: skip
def test_asof_says_whose_ticker_it_was(
    ask: Ask, exchange: SimulatedExchange, symbol: str, as_of: str, company: str | None
) -> None:
    """A symbol stands for the company that had it on that day, with all of its bars."""
    closes = [row["c"] for row in ask(symbols=symbol, asof=as_of, **AROUND).json()["bars"].get(symbol, [])]

    start, end = (datetime.fromisoformat(AROUND[name]).replace(tzinfo=UTC) for name in ("start", "end"))
    truth = exchange.truth(company or "NOBODY", "d1", start, end.replace(hour=12))["close"].to_list()
    assert closes == truth
    assert bool(closes) == (company is not None)


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_without_mapping_bars_follow_the_ticker(ask: Ask, sort: str) -> None:
    """asof=- gives the bars that stood under the ticker: META was the ETF, then nobody, then Meta."""
    meta = sorted(dates(ask, "META", asof="-", sort=sort))

    assert meta[:4] == ["2022-01-25", "2022-01-26", "2022-01-27", "2022-01-28"]
    assert meta[4:] == ["2022-06-09", "2022-06-10", "2022-06-13"]
    assert dates(ask, "FB", asof="-")[-1] == "2022-06-08"


def test_assets_have_the_name_of_the_day(client: httpx.Client, exchange: SimulatedExchange) -> None:
    """Before the rename the asset is FB, with the id that it keeps."""
    later = client.get("/v2/assets/META").json()
    exchange.set_clock(datetime(2022, 3, 1, 15, tzinfo=UTC))

    asset = client.get("/v2/assets/FB").json()

    assert (asset["symbol"], asset["id"]) == ("FB", later["id"])
    assert client.get("/v2/assets/META").status_code == 404
    assert "META" not in {one["symbol"] for one in client.get("/v2/assets").json()}


def test_several_splits_multiply(ask: Ask) -> None:
    """GE's old prices are adjusted by both of its splits, one of them reverse."""

    def close(day: str, kind: str) -> float:
        rows = ask(symbols="GE", start=day, end=day, adjustment=kind).json()["bars"]["GE"]
        return float(rows[0]["c"])

    assert close("2021-07-30", "split") == pytest.approx(close("2021-07-30", "raw") * 8 / 1.253, rel=1e-4)
    assert close("2024-04-01", "split") == pytest.approx(close("2024-04-01", "raw") / 1.253, rel=1e-4)
    assert close("2024-04-02", "split") == close("2024-04-02", "raw")


@pytest.mark.parametrize("timeframe", ["1Week", "1Month"])
def test_a_split_within_a_bar_is_applied_to_its_first_days(ask: Ask, timeframe: str) -> None:
    """The week and the month of GE's split are made of adjusted days: the open is, the close needs no adjustment."""

    def rows(name: str, start: str) -> list[dict[str, Any]]:
        query = {"symbols": "GE", "timeframe": name, "start": start, "end": "2024-04-30", "adjustment": "split"}
        found: list[dict[str, Any]] = ask(**query).json()["bars"]["GE"]
        return found

    bar, days = rows(timeframe, "2024-04-01")[0], rows("1Day", "2024-04-01")[: 5 if timeframe == "1Week" else None]

    assert (bar["o"], bar["c"]) == (days[0]["o"], days[-1]["c"])
    assert (bar["h"], bar["l"]) == (max(row["h"] for row in days), min(row["l"] for row in days))


def test_a_split_is_not_applied_before_its_day(ask: Ask, exchange: SimulatedExchange) -> None:
    """The week before its split SPLT's adjusted prices are the raw ones."""
    exchange.set_clock(datetime(2026, 3, 13, 21, tzinfo=UTC))

    raw, split = (
        ask(symbols="SPLT", start="2026-03-10", end="2026-03-12", adjustment=kind).json() for kind in ("raw", "split")
    )

    assert raw == split


def test_dividends_are_quarterly() -> None:
    """A payer has four a year, on sessions, declared before and paid after; others have none."""
    table = listings(50)

    paid = [one for one in dividends_of(table["AAPL"]) if one.ex_on.year == 2025]

    assert [one.ex_on.month for one in paid] == [2, 5, 8, 11]
    assert all(one.declared_on < one.ex_on <= one.record_on < one.paid_on for one in paid)
    assert {one.amount for one in paid} == {0.2375}
    assert list(dividends_of(table["SPLT"])) == []
    assert max(one.ex_on for one in dividends_of(table["GONE"])) < date(2025, 3, 14)


def test_dividends_are_adjusted_on_request(ask: Ask, massive: httpx.Client) -> None:
    """Before each ex-date prices lose the dividend's part of the close before; volumes stay; both vendors agree."""
    query = {"symbols": "AAPL", "start": "2026-05-01", "end": "2026-05-29"}
    raw, adjusted = (ask(**query, adjustment=kind).json()["bars"]["AAPL"] for kind in ("raw", "dividend"))
    params = {"ticker": "AAPL", "ex_dividend_date.gte": "2026-05-01"}
    (later, told) = massive.get("/stocks/v1/dividends", params={**params, "sort": "ex_dividend_date.desc"}).json()[
        "results"
    ]

    ex_on = told["ex_dividend_date"]
    ratios = {row["t"][:10] < ex_on: row["c"] / old["c"] for row, old in zip(adjusted, raw, strict=True)}
    assert ratios[True] == pytest.approx(told["historical_adjustment_factor"], rel=1e-4)
    assert ratios[False] == pytest.approx(later["historical_adjustment_factor"], rel=1e-4)
    close = [row["c"] for row in raw if row["t"][:10] < ex_on][-1]
    assert ratios[True] / ratios[False] == pytest.approx(1 - told["cash_amount"] / close, rel=1e-4)
    assert [row["v"] for row in adjusted] == [row["v"] for row in raw]

"""Massive's recorded answers; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, CredentialsRejected, PlanTooSmall, RateLimited
from barfill.providers.base import HttpResponse, OfferedSymbol
from barfill.providers.massive import Massive
from barfill.providers.massive_decode import decode_typed
from barfill.providers.rows import stamped
from tests.providers.conftest import KEY, bars_query
from tests.providers.dialects import JSON, MASSIVE

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/polygon"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
LATEST_US = 2**62

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def sample(name: str) -> Any:
    """The JSON in a sample."""
    return json.loads((SAMPLES / name).read_text())


def parsed(answer: dict[str, Any], ticker: str) -> Page:
    """The page in an answer of days that was asked for as of today, so that raw prices came."""
    wanted = Range(datetime(2003, 9, 10, tzinfo=UTC), NOW)
    query = BarsQuery((ticker,), Timeframe.D1, wanted, "sip")
    body = json.dumps(answer | {"adjusted": False}).encode()
    return Massive(KEY, plan="advanced").parse_bars(query, HttpResponse(200, JSON, body, NOW))


@pytest.mark.parametrize(
    ("name", "ticker", "dates"),
    [
        ("aggs_AAPL_1day_2005.json", "AAPL", ["2005-04-01", "2005-04-04"]),
        ("aggs_X_BTCUSD_1day_2024_01.json", "X:BTCUSD", ["2024-01-04", "2024-01-05", "2024-01-06"]),
        ("aggs_empty.json", "AAPL", []),
        ("spec_aggs_stock_with_next_url.json", "AAPL", ["2020-01-02", "2020-01-03"]),
        ("prev_AAPL.json", "AAPL", ["2022-04-26"]),
        ("prev_AAPL_2026_08_10.json", "AAPL", ["2026-08-10"]),
    ],
)
def test_a_recorded_page_parses_to_its_values(name: str, ticker: str, dates: list[str]) -> None:
    """Every row is there with its values, under its session's date: of New York for stocks, in UTC for crypto."""
    sent = sample(name)

    page = parsed(sent, ticker)

    check_values(page, sent.get("results", []))
    assert [from_us(ts).date().isoformat() for ts in page.rows.ts] == dates


def check_values(page: Page, rows: list[dict[str, Any]]) -> None:
    """All values of *rows* are on the page, and nothing else."""
    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume, page.rows.vwap)
    assert page.rejected == ()
    for key, column in zip(("o", "h", "l", "c", "v", "vw"), columns, strict=True):
        assert column.tolist() == [row[key] for row in rows]
    assert page.rows.trade_count.tolist() == [row["n"] for row in rows]


def test_a_reused_ticker_has_the_rows_of_both_companies() -> None:
    """META until 2022-01-28 is another company; Massive follows the ticker, and nothing on the page says so (D28)."""
    rows = sample("aggs_META_1day_reused_ticker_excerpt.json")["results"]

    page = parsed(MASSIVE.page(*rows, ticker="META"), "META")

    check_values(page, rows)
    dates = ["2022-01-27", "2022-01-28", "2022-06-09", "2022-06-10", "2022-06-13"]
    assert [from_us(ts).date().isoformat() for ts in page.rows.ts] == dates


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("grouped_daily_2005_04_04.json", "2020-10-14"),
        ("grouped_daily_2026_08_07_excerpt.json", "2026-08-07"),
        ("spec_grouped_stocks_t_is_close.json", "2020-10-14"),
    ],
)
def test_grouped_days_mean_the_date_of_their_close(name: str, date: str) -> None:
    """Their stamp is 16:00 New York instead of midnight; both mean the same session."""
    for row in sample(name)["results"]:
        (label,) = stamped(np.array([row["t"] * 1000], np.int64), Timeframe.D1)
        assert from_us(label).date().isoformat() == date


def test_a_grouped_bar_and_one_of_a_range_are_the_same_day() -> None:
    """The two forms of TTMI's bar differ in their stamps only, not in the date that barfill gives them."""
    both = sample("grouped_vs_range_TTMI_2023_01_09.json")
    ranged = parsed(both["range"] | {"status": "OK"}, "TTMI")
    (grouped,) = both["grouped"]["results"]

    check_values(ranged, [grouped])
    assert ranged.rows.ts.tolist() == stamped(np.array([grouped["t"] * 1000], np.int64), Timeframe.D1).tolist()


def test_recorded_pages_keep_the_contract() -> None:
    """The typed path reads them, so a page in use is read at full speed; as recorded, prices were split-adjusted."""
    for name in ("aggs_AAPL_1day_2005.json", "aggs_X_BTCUSD_1day_2024_01.json", "spec_aggs_stock_with_next_url.json"):
        assert decode_typed((SAMPLES / name).read_bytes(), latest_us=LATEST_US) is not None
        with pytest.raises(BadResponse, match="adjusted"):
            parsed_as_sent(name)


def parsed_as_sent(name: str) -> Page:
    """A sample as if it were the answer to a question for raw prices."""
    body = (SAMPLES / name).read_bytes()
    query = bars_query(sample(name)["ticker"], timeframe=Timeframe.D1, start="2005-01-01", end="2024-06-01")
    return Massive(KEY).parse_bars(query, HttpResponse(200, JSON, body, NOW))


def test_the_specs_page_leads_on() -> None:
    """Its next URL is kept without the host."""
    page = parsed(sample("spec_aggs_stock_with_next_url.json"), "AAPL")

    assert page.next_token == "1578114000000/2020-01-10?cursor=bGltaXQ9MiZzb3J0PWFzYw"
    assert page.request_id == "6a7e466379af0a71039d60cc78e72282"


def test_the_recorded_tickers_are_offered() -> None:
    """Two pages of the reference, the first with a way to the second."""
    first, second = (
        HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW)
        for name in ("tickers_page1.json", "tickers_page2.json")
    )
    provider = Massive(KEY)

    assert [*provider.parse_symbols(first), *provider.parse_symbols(second)] == [
        OfferedSymbol("A", "Agilent Technologies Inc.", "stock", is_active=True),
        OfferedSymbol("AA", "Alcoa Corporation", "stock", is_active=True),
        OfferedSymbol("AAA", "AAF First Priority CLO Bond ETF", "etf", is_active=True),
        OfferedSymbol("AAAU", "Goldman Sachs Physical Gold ETF Shares", "etf", is_active=True),
    ]
    more = provider.more_symbols_request(first)
    assert more is not None
    assert more.params["cursor"].startswith("YWN0aXZlPXRydWUm")
    assert provider.more_symbols_request(second) is None


def test_every_recorded_error_maps_to_its_class() -> None:
    """All bodies of error_bodies.json are understood."""
    meanings = [type(MASSIVE.meaning(one["status"], one["body"])) for one in sample("error_bodies.json")]

    assert meanings == [CredentialsRejected, PlanTooSmall, PlanTooSmall, RateLimited, BadResponse, BadResponse]

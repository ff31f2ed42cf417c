"""Yahoo's recorded answers; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, PlanTooSmall, RateLimited, SymbolNotOffered
from barfill.providers.base import HttpResponse
from barfill.providers.yahoo import SPLIT, Yahoo
from tests.providers.dialects import JSON

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/yahoo"
NOW = datetime(2026, 11, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def response(name: str) -> HttpResponse:
    """A recorded answer."""
    return HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW)


def parsed(name: str, ticker: str, timeframe: Timeframe = Timeframe.D1, end: datetime = NOW) -> Page:
    """The page in a recorded answer to a question for everything before *end*."""
    wanted = Range(datetime(1990, 1, 1, tzinfo=UTC), end)
    return Yahoo().parse_bars(BarsQuery((ticker,), timeframe, wanted, "yahoo", SPLIT), response(name))


def quote(name: str) -> dict[str, list[Any]]:
    """The arrays of a recorded answer, its stamps too."""
    result = json.loads((SAMPLES / name).read_text())["chart"]["result"][0]
    return {**result["indicators"]["quote"][0], "timestamp": result["timestamp"]}


@pytest.mark.parametrize(
    ("name", "ticker", "count"),
    [
        ("chart_AAPL_1d_2020_01.json", "AAPL", 1),
        ("chart_AAPL_1d_split_and_dividend.json", "AAPL", 49),
        ("chart_MSFT_1d_1y_dividends.json", "MSFT", 252),
        ("chart_NVDA_1d_1y_split.json", "NVDA", 252),
        ("chart_QQQ_1d_etf.json", "QQQ", 1),
    ],
)
def test_a_recorded_page_parses_to_its_values(name: str, ticker: str, count: int) -> None:
    """Every row as sent, under the date of New York that its stamp lies in, whatever the season."""
    sent = quote(name)

    page = parsed(name, ticker)

    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume)
    assert [column.tolist() for column in columns] == [sent[key] for key in ("open", "high", "low", "close", "volume")]
    dates = [datetime.fromtimestamp(stamp, UTC).date() for stamp in sent["timestamp"]]
    assert [from_us(ts) for ts in page.rows.ts] == [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in dates]
    assert (page.received, page.basis) == (count, SPLIT)


def test_the_row_at_the_end_is_dropped() -> None:
    """Yahoo sends it though the end was excluded (7.3): recorded for bitcoin, whose days begin at 00:00Z."""
    page = parsed("chart_BTC-USD_1d_end_inclusive.json", "BTC.USD", end=datetime(2020, 1, 3, tzinfo=UTC))

    assert [from_us(ts).day for ts in page.rows.ts] == [1, 2]


def test_a_weekend_of_minutes_is_empty() -> None:
    """No `timestamp`, and an empty quote."""
    assert parsed("chart_AAPL_1m_weekend_empty.json", "AAPL", Timeframe.M1).received == 0


def test_an_answer_for_another_symbol_is_refused() -> None:
    """It says what it is of."""
    with pytest.raises(BadResponse, match="instead of 'MSFT'"):
        parsed("chart_AAPL_1d_2020_01.json", "MSFT")


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("chart_AAPL_1d_2020_01.json", ("AAPL", "Apple Inc.", "stock")),
        ("chart_QQQ_1d_etf.json", ("QQQ", "Invesco QQQ Trust", "etf")),
        ("chart_WSU.DE_1d.json", None),
        ("chart_EURUSD_1d.json", None),
        ("chart_GC=F_1d_future.json", None),
        ("chart_BTC-USD_1d_end_inclusive.json", None),
    ],
)
def test_what_is_recorded_is_offered_if_it_is_a_stock_of_new_york(
    name: str, offered: tuple[str, str, str] | None
) -> None:
    """Shares of other countries, currencies, futures and coins have other calendars."""
    found = Yahoo().parse_symbols(response(name))

    assert [(one.ticker, one.name, one.asset_type) for one in found] == ([offered] if offered else [])


def test_every_recorded_error_maps_to_its_class() -> None:
    """All bodies of error_bodies.json are understood."""
    query = BarsQuery(("AAPL",), Timeframe.D1, Range(datetime(2020, 1, 1, tzinfo=UTC), NOW), "yahoo", SPLIT)
    request = Yahoo().bars_request(query, None)
    meanings = []
    for one in json.loads((SAMPLES / "error_bodies.json").read_text()):
        body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
        meanings.append(type(Yahoo().error_of(request, HttpResponse(one["status"], JSON, body.encode(), NOW))))

    assert meanings == [SymbolNotOffered, BadResponse, PlanTooSmall, RateLimited]

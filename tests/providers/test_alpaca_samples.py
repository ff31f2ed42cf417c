"""Alpaca's recorded answers; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, CredentialsRejected, RateLimited, SymbolNotOffered, TooRecent
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from tests.providers.conftest import KEY, SECRET, bars_query

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/alpaca"
JSON = {"content-type": "application/json; charset=utf-8"}

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def parsed(name: str, timeframe: Timeframe) -> tuple[Page, dict[str, list[dict[str, Any]]]]:
    """The page in a sample, and its rows by Python's own parser."""
    body = (SAMPLES / name).read_bytes()
    sent = json.loads(body)
    bars = sent["bars"] if isinstance(sent["bars"], dict) else {sent["symbol"]: sent["bars"]}
    wanted = Range(datetime(2021, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    query = BarsQuery(tuple(sorted(bars)) or ("AAPL",), timeframe, wanted, "sip")
    page = Alpaca(KEY, SECRET).parse_bars(query, HttpResponse(200, JSON, body, datetime(2026, 1, 1, tzinfo=UTC)))
    assert page.next_token == sent["next_page_token"]
    return page, bars


@pytest.mark.parametrize(
    ("name", "timeframe"),
    [
        ("single_symbol_bars_iex_AAPL.json", Timeframe.D1),
        ("single_symbol_bars_sip_AAPL.json", Timeframe.D1),
        ("stock_bars_15min.json", Timeframe.M15),
        ("stock_bars_1day_limit2_token.json", Timeframe.D1),
        ("stock_bars_1day_multi_symbol_last_page.json", Timeframe.D1),
        ("stock_bars_1day_sort_desc.json", Timeframe.D1),
        ("stock_bars_adjustment_dividend_spinoff_GE.json", Timeframe.D1),
        ("stock_bars_asof_META_page1.json", Timeframe.D1),
        ("stock_bars_asof_META_page2.json", Timeframe.D1),
        ("stock_bars_empty.json", Timeframe.D1),
        ("stock_bars_multi_AAPL_NIO.json", Timeframe.D1),
    ],
)
def test_a_recorded_page_parses_to_its_values(name: str, timeframe: Timeframe) -> None:
    """Every row is there, in order, with its values; a day bears the date that its stamp has in New York."""
    page, bars = parsed(name, timeframe)

    flat = [(ticker, row) for ticker, rows in bars.items() for row in rows]
    assert [page.symbols[index] for index in page.rows.symbol] == [ticker for ticker, _ in flat]
    assert page.rejected == ()
    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume, page.rows.vwap)
    for key, column in zip(("o", "h", "l", "c", "v", "vw"), columns, strict=True):
        assert column.tolist() == [row[key] for _, row in flat]
    assert page.rows.trade_count.tolist() == [row["n"] for _, row in flat]
    for ts, (_, row) in zip(page.rows.ts, flat, strict=True):
        sent = row["t"][:10] + "T00:00:00Z" if timeframe is Timeframe.D1 else row["t"]
        assert from_us(ts) == datetime.fromisoformat(sent)


def test_every_recorded_error_maps_to_its_class() -> None:
    """All bodies of error_bodies.json are understood."""
    provider = Alpaca(KEY, SECRET)
    request = provider.bars_request(bars_query("AAPL", "MSFT"), None)
    meanings = [
        type(
            provider.error_of(
                request,
                HttpResponse(one["status"], JSON, json.dumps(one["body"]).encode(), datetime(2026, 1, 1, tzinfo=UTC)),
            )
        )
        for one in json.loads((SAMPLES / "error_bodies.json").read_text())
    ]

    assert meanings == [
        TooRecent,
        TooRecent,
        BadResponse,
        SymbolNotOffered,
        RateLimited,
        RateLimited,
        CredentialsRejected,
    ]

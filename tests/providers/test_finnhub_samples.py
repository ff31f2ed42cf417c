"""Finnhub's recorded answers; skipped where they are not beside the checkout."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from barfill.core.page import Page
from barfill.core.ranges import from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import CredentialsRejected, PlanTooSmall, ProviderUnavailable, RateLimited
from barfill.providers.base import HttpResponse, OfferedSymbol
from tests.providers.conftest import bars_query
from tests.providers.dialects import FINNHUB, JSON, NOW

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/finnhub"
DAYS_OF_2019 = bars_query(timeframe=Timeframe.D1, start="2019-09-16", end="2019-09-28")
DAYS_OF_2012 = bars_query(timeframe=Timeframe.D1, start="2012-01-03", end="2012-01-12")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def sample(name: str) -> Any:
    """The JSON in a sample."""
    return json.loads((SAMPLES / name).read_text())


def arrays(name: str) -> dict[str, Any]:
    """A sample of CSV as the arrays of the same answer."""
    rows = list(csv.DictReader((SAMPLES / name).read_text().splitlines()))
    return {"s": "ok", **{key: [json.loads(row[key]) for row in rows] for key in rows[0]}}


def check_values(page: Page, answer: dict[str, Any]) -> None:
    """All values of *answer* are on the page, in their order, and nothing else."""
    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume)
    assert page.rejected == ()
    for key, column in zip("ohlcv", columns, strict=True):
        assert column.tolist() == answer[key]


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("stock_candle_D.json", ["2019-09-24", "2019-09-25", "2019-09-26"]),
        ("crypto_candle_D.json", ["2019-09-16", "2019-09-17", "2019-09-18", "2019-09-19"]),
    ],
)
def test_recorded_days_parse_to_their_values(name: str, dates: list[str]) -> None:
    """Every day is there, under the date in New York of its stamp."""
    page = FINNHUB.parse(sample(name), DAYS_OF_2019)

    check_values(page, sample(name))
    assert [from_us(ts).date().isoformat() for ts in page.rows.ts] == dates
    assert page.basis == "split"


def test_recorded_minutes_parse_to_their_values() -> None:
    """One of them without volume."""
    query = bars_query("IFX.DE", start="2020-05-06T06:55", end="2020-05-07")
    answer = sample("stock_candle_1_IFX_zero_volume.json")

    page = FINNHUB.parse(answer, query)

    check_values(page, answer)
    assert page.symbols == ("IFX.DE",)
    assert [from_us(ts).strftime("%H:%M") for ts in page.rows.ts] == ["07:00", "13:30", "13:31", "13:32", "13:33"]


def test_recorded_hours_do_not_fit_the_anchors() -> None:
    """Those of 2020 begin at half past, those of 2012 at the full hour or at four: h1 is derived."""
    half = FINNHUB.parse(
        sample("stock_candle_60_AAPL_halfhour_aligned.json"),
        bars_query(timeframe=Timeframe.M30, start="2020-07-02", end="2020-07-03"),
    )
    full = FINNHUB.parse(
        arrays("stock_candle_60_AAPL_csv_unadjusted.csv"),
        bars_query(timeframe=Timeframe.M30, start="2012-01-03", end="2012-01-04"),
    )

    assert [from_us(ts).minute for ts in half.rows.ts] == [30, 30]
    assert [from_us(ts).minute for ts in full.rows.ts] == [0, 0, 0, 0]
    check_values(half, sample("stock_candle_60_AAPL_halfhour_aligned.json"))
    check_values(full, arrays("stock_candle_60_AAPL_csv_unadjusted.csv"))


def test_days_are_split_adjusted_and_minutes_are_not() -> None:
    """On the same day of 2012 the two are 28 apart: the splits 7:1 of 2014 and 4:1 of 2020."""
    days = FINNHUB.parse(arrays("stock_candle_D_AAPL_csv.csv"), DAYS_OF_2012)
    hours = arrays("stock_candle_60_AAPL_csv_unadjusted.csv")

    check_values(days, arrays("stock_candle_D_AAPL_csv.csv"))
    assert from_us(days.rows.ts[0]).date().isoformat() == "2012-01-03"
    assert hours["o"][2] / days.rows.open[0] == pytest.approx(28, rel=0.01)
    assert (days.basis, FINNHUB.provider.capabilities.basis(Timeframe.M30)) == ("split", "raw")


def test_csv_is_no_answer() -> None:
    """It is never asked for, and would be refused."""
    body = (SAMPLES / "stock_candle_D_AAPL_csv.csv").read_bytes()

    assert FINNHUB.refusal(body, DAYS_OF_2012) == "json"


def test_no_data_is_an_empty_page() -> None:
    """As recorded for SPY, which had traded: such a page proves no more than any other without rows."""
    page = FINNHUB.parse(sample("no_data.json"))

    assert (page.received, page.symbols, page.next_token) == (0, (), None)


def test_the_recorded_symbols_are_offered() -> None:
    """Three lines of the list."""
    response = HttpResponse(200, JSON, (SAMPLES / "stock_symbol_US.json").read_bytes(), NOW)

    assert FINNHUB.provider.parse_symbols(response) == [
        OfferedSymbol("UPOW", "UAN POWER CORP", "stock", is_active=True),
        OfferedSymbol("AAPL", "APPLE INC", "stock", is_active=True),
        OfferedSymbol("EXCOF", "EXCO TECHNOLOGIES LTD", "stock", is_active=True),
    ]


def test_every_recorded_error_maps_to_its_class() -> None:
    """All bodies of error_bodies.json are understood."""
    recorded = sample("error_bodies.json")
    bodies = [one["body"].encode() if isinstance(one["body"], str) else one["body"] for one in recorded]
    meanings = [FINNHUB.meaning(one["status"], body) for one, body in zip(recorded, bodies, strict=True)]

    assert [type(one) for one in meanings] == [
        CredentialsRejected,
        CredentialsRejected,
        PlanTooSmall,
        RateLimited,
        ProviderUnavailable,
    ]

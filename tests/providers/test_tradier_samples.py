"""Tradier's recorded answers; skipped where they are not beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barfill.core.page import Page
from barfill.core.ranges import from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import AnswerTooLong, CredentialsRejected, ProviderUnavailable, RateLimited, TooOld
from barfill.providers.base import HttpResponse, OfferedSymbol
from tests.providers.conftest import bars_query
from tests.providers.dialects import JSON, NOW, TRADIER

SAMPLES = Path(__file__).parents[3] / "shared/reference/provider_samples/tradier"
YEAR = bars_query(timeframe=Timeframe.D1, start="2012-05-25", end="2013-06-30")
MORNING = bars_query(timeframe=Timeframe.M15, start="2025-07-01T13:30", end="2025-07-01T20:00")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the recorded samples are not here"),
]


def sample(name: str) -> Any:
    """The JSON in a sample."""
    return json.loads((SAMPLES / name).read_text())


def check_values(page: Page, rows: list[dict[str, Any]]) -> None:
    """All values of *rows* are on the page, in their order, and nothing else."""
    columns = (page.rows.open, page.rows.high, page.rows.low, page.rows.close, page.rows.volume)
    assert page.rejected == ()
    for key, column in zip(("open", "high", "low", "close", "volume"), columns, strict=True):
        assert column.tolist() == [row[key] for row in rows]


def parsed_2025(answer: object) -> Page:
    """An answer of 2025-07-01, that arrived that night."""
    response = HttpResponse(200, JSON, json.dumps(answer).encode(), NOW.replace(year=2025, month=7, day=2))
    return TRADIER.provider.parse_bars(MORNING, response)


def test_a_recorded_year_of_days_parses_to_its_values() -> None:
    """Every day is there, under its date, from 2012-05-25 to the session before the sample was recorded."""
    days = sample("history_AAPL_daily_1y.json")["history"]["day"]

    page = TRADIER.parse((SAMPLES / "history_AAPL_daily_1y.json").read_bytes(), YEAR)

    check_values(page, days)
    assert len(days) > 250
    assert [from_us(ts).strftime("%Y-%m-%dT%H:%M") for ts in page.rows.ts] == [f"{day['date']}T00:00" for day in days]
    assert page.basis == "split"


def test_the_vendors_quarters_parse_to_their_values() -> None:
    """Three quarters from the open of 2025-07-01 on, with their vwap; `price` is nowhere."""
    answer = sample("timesales_15min.json")
    rows = answer["series"]["data"]

    page = parsed_2025(answer)

    check_values(page, rows)
    assert [from_us(ts).strftime("%H:%M") for ts in page.rows.ts] == ["13:30", "13:45", "14:00"]
    assert page.rows.vwap.tolist() == [row["vwap"] for row in rows]
    assert np.all(page.rows.trade_count == -1)


@pytest.mark.parametrize("name", ["history_none", "history_none_string", "history_one_day"])
def test_the_shapes_of_days(name: str) -> None:
    """Nothing, the text null, and one day as an object."""
    answer = sample("shapes_null_and_single.json")[name]

    page = TRADIER.parse(answer, YEAR)

    check_values(page, [answer["history"]["day"]] if name == "history_one_day" else [])


def test_the_shapes_of_quarters() -> None:
    """Nothing, one row as an object, and a row of NaN, which alone is set aside."""
    shapes = sample("shapes_null_and_single.json")

    check_values(parsed_2025(shapes["series_none"]), [])
    check_values(parsed_2025(shapes["series_one_row"]), [shapes["series_one_row"]["series"]["data"]])
    assert [one.rule for one in parsed_2025(shapes["nan_prices"]).rejected] == ["Q04"]


def test_recorded_ticks_are_no_bars() -> None:
    """They have neither prices of a bar nor a stamp, so nobody takes them for any."""
    assert TRADIER.refusal((SAMPLES / "timesales_tick_head60.json").read_bytes()) == "schema"


def test_recorded_quotes_tell_of_symbols() -> None:
    """Of two in a list, of one as an object; those of 2013 do not say what kind it is."""
    apple, microsoft = (
        OfferedSymbol(*one, "stock", is_active=True) for one in (("AAPL", "APPLE"), ("MSFT", "MICROSOFT"))
    )

    for name, offered in (("quotes_multi.json", [apple, microsoft]), ("quote_single_object.json", [apple])):
        response = HttpResponse(200, JSON, (SAMPLES / name).read_bytes(), NOW)
        assert TRADIER.provider.parse_symbols(response) == offered


def test_every_recorded_error_maps_to_its_class() -> None:
    """All bodies of error_bodies.json are understood, texts as texts."""
    recorded = sample("error_bodies.json")
    bodies = [one["body"].encode() if isinstance(one["body"], str) else one["body"] for one in recorded]
    meanings = [TRADIER.meaning(one["status"], body) for one, body in zip(recorded, bodies, strict=True)]

    assert [type(one) for one in meanings] == [
        CredentialsRejected,
        CredentialsRejected,
        ProviderUnavailable,
        AnswerTooLong,
        TooOld,
        RateLimited,
        ProviderUnavailable,
    ]

"""Stamps on Alpaca's pages: how they are read, and where they may lie."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from barfill.core.ranges import from_us, to_us
from barfill.core.timeframe import Timeframe
from tests.providers.conftest import bars_query
from tests.providers.pages import page_of, parse, refusal, row


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-03-05",
        "2024-03-05T15:00:00",
        "2024-13-05T15:00:00Z",
        "2024-02-30T15:00:00Z",
        "2024-03-05T25:00:00Z",
        "1970-01-01T00:00:00Z",
        "1989-12-31T23:59:59Z",
        "2024-06-03T00:00:00Z",
        "55840-01-01T00:00:00Z",
        1_709_650,
        17_096_508_000,
        -1_709_650_800,
        1709650800.5,
        True,
        None,
        [],
        ...,
        "\u0662024-03-05T15:00:00Z",
    ],
)
def test_a_stamp_that_can_be_none_is_set_aside(stamp: object) -> None:
    """A stamp without zone, out of any calendar, before 1990 or after tomorrow rejects its row by Q01 (D14)."""
    page = parse(page_of(row(), row(t=stamp)))

    assert len(page.rows) == 1
    assert [(one.rule, one.ts) for one in page.rejected] == [("Q01", None)]


@pytest.mark.parametrize(
    "stamp",
    [
        1_709_650_800,
        1_709_650_800_000,
        1_709_650_800_000_000,
        1_709_650_800_000_000_000,
        "1709650800",
        "2024-03-05T15:00:00.000Z",
        "2024-03-05T15:00:00.000000000Z",
        "2024-03-05T10:00:00-05:00",
        "2024-03-05T15:00:00+00:00",
    ],
)
def test_every_way_to_write_an_instant_is_read(stamp: object) -> None:
    """Numbers tell their unit by their digits; RFC 3339 may have a fraction and an offset (D14)."""
    page = parse(page_of(row(t=stamp)))

    assert page.rows.ts.tolist() == [to_us(datetime(2024, 3, 5, 15, tzinfo=UTC))]


@pytest.mark.parametrize(
    ("stamp", "is_near"),
    [
        ("2024-03-06T15:00:00Z", True),
        ("2024-03-06T14:59:00Z", True),
        ("2024-03-06T05:00:00Z", True),
        ("2024-03-07T04:59:00Z", True),
        ("2024-03-06T04:59:00Z", False),
        ("2024-03-07T05:01:00Z", False),
        ("2017-03-06T15:00:00Z", False),
        ("2024-05-30T15:00:00Z", False),
    ],
)
def test_rows_far_out_of_the_range_refuse_the_page(stamp: str, is_near: bool) -> None:
    """Out of range within the session is left to the rules (W01); farther out, the page is refused (H28, Q02)."""
    query = bars_query(start="2024-03-06T15:30", end="2024-03-06T20:00")
    page = page_of(row(t="2024-03-06T16:00:00Z"), row(t=stamp))

    if is_near:
        assert len(parse(page, query).rows) == 2
    else:
        assert refusal(page, query) == "out_of_range"


def test_a_day_before_closed_days_is_near() -> None:
    """The session before the first one asked for may lie behind a weekend; a month before is far (Q02)."""
    query = bars_query(timeframe=Timeframe.D1, start="2024-03-11", end="2024-03-16")

    assert len(parse(page_of(row(t="2024-03-08T05:00:00Z")), query).rows) == 1
    assert refusal(page_of(row(t="2024-02-08T05:00:00Z")), query) == "out_of_range"


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-03-08T05:00:00Z",
        "2024-03-08T00:00:00Z",
        "2024-03-08T04:00:00Z",
        "2024-03-08T14:30:00Z",
        "2024-03-08T21:00:00Z",
        "2024-03-09T01:00:00Z",
        "2024-03-08T05:00:00.000Z",
        1_709_874_000,
    ],
)
def test_a_day_is_stamped_by_its_session_date(stamp: object) -> None:
    """Midnight, open and close of New York and the bare date all mean 2024-03-08 (D15)."""
    query = bars_query(timeframe=Timeframe.D1, start="2024-03-04", end="2024-03-09")

    assert parse(page_of(row(t=stamp)), query).rows.ts.tolist() == [to_us(datetime(2024, 3, 8, tzinfo=UTC))]


def test_summer_days_are_stamped_by_their_session_date_too() -> None:
    """The same in daylight saving time, mixed on one page, for rejected rows as well."""
    query = bars_query(timeframe=Timeframe.D1, start="2023-07-03", end="2023-07-08")
    stamps = ["2023-07-03T04:00:00Z", "2023-07-05T00:00:00Z", "2023-07-06T13:30:00Z", "2023-07-07T20:00:00Z"]

    page = parse(page_of(*[row(t=stamp) for stamp in stamps], row(t="2023-07-07T04:00:00Z", o=None)), query)

    assert [from_us(ts).day for ts in page.rows.ts] == [3, 5, 6, 7]
    assert page.rejected[0].ts == to_us(datetime(2023, 7, 7, tzinfo=UTC))

"""Stamps on pages, whoever sends them: how they are read, and where they may lie."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from barfill.core.ranges import from_us, to_us
from barfill.core.timeframe import Timeframe
from tests.providers.conftest import bars_query
from tests.providers.dialects import DAYS_BY_INSTANT, EACH, ROW_BY_ROW, Dialect, at


@EACH
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
        "\u0662024-03-05T15:00:00Z",
    ],
)
def test_a_stamp_that_can_be_none_is_set_aside(dialect: Dialect, stamp: object) -> None:
    """A stamp without zone, out of any calendar, before 1990 or after tomorrow rejects its row by Q01 (D14)."""
    page = dialect.parse(dialect.page(dialect.row(), dialect.row(t=stamp)))

    assert len(page.rows) == 1
    assert [(one.rule, one.ts) for one in page.rejected] == [("Q01", None)]


@ROW_BY_ROW
def test_a_row_without_a_stamp_is_set_aside(dialect: Dialect) -> None:
    """A row may lack its stamp (D14)."""
    page = dialect.parse(dialect.page(dialect.row(), dialect.row(t=...)))

    assert [(one.rule, one.ts) for one in page.rejected] == [("Q01", None)]


@EACH
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
def test_every_way_to_write_an_instant_is_read(dialect: Dialect, stamp: object) -> None:
    """Numbers tell their unit by their digits; RFC 3339 may have a fraction and an offset (D14)."""
    page = dialect.parse(dialect.page(dialect.row(t=stamp)))

    assert page.rows.ts.tolist() == [to_us(at("2024-03-05T15:00"))]


@EACH
@pytest.mark.parametrize(
    ("when", "is_near"),
    [
        ("2024-03-06T15:00", True),
        ("2024-03-06T14:59", True),
        ("2024-03-06T05:00", True),
        ("2024-03-07T04:59", True),
        ("2024-03-06T04:59", False),
        ("2024-03-07T05:01", False),
        ("2017-03-06T15:00", False),
        ("2024-05-30T15:00", False),
    ],
)
def test_rows_far_out_of_the_range_refuse_the_page(dialect: Dialect, when: str, is_near: bool) -> None:
    """Out of range within the session is left to the rules (W01); farther out, the page is refused (H28, Q02)."""
    query = bars_query(start="2024-03-06T15:30", end="2024-03-06T20:00")
    page = dialect.page(dialect.row("2024-03-06T16:00"), dialect.row(when))

    if is_near:
        assert len(dialect.parse(page, query).rows) == 2
    else:
        assert dialect.refusal(page, query) == "out_of_range"


@DAYS_BY_INSTANT
def test_a_day_before_closed_days_is_near(dialect: Dialect) -> None:
    """The session before the first one asked for may lie behind a weekend; a month before is far (Q02)."""
    query = bars_query(timeframe=Timeframe.D1, start="2024-03-11", end="2024-03-16")

    assert len(dialect.parse(dialect.page(dialect.row("2024-03-08T05:00")), query).rows) == 1
    assert dialect.refusal(dialect.page(dialect.row("2024-02-08T05:00")), query) == "out_of_range"


@DAYS_BY_INSTANT
@pytest.mark.parametrize(
    "when",
    [
        "2024-03-08T05:00",
        "2024-03-08T00:00",
        "2024-03-08T04:00",
        "2024-03-08T14:30",
        "2024-03-08T21:00",
        "2024-03-09T01:00",
    ],
)
def test_a_day_is_stamped_by_its_session_date(dialect: Dialect, when: str) -> None:
    """Midnight, open and close of New York and the bare date all mean 2024-03-08 (D15)."""
    query = bars_query(timeframe=Timeframe.D1, start="2024-03-04", end="2024-03-09")

    parsed = dialect.parse(dialect.page(dialect.row(when)), query)

    assert parsed.rows.ts.tolist() == [to_us(datetime(2024, 3, 8, tzinfo=UTC))]


@DAYS_BY_INSTANT
@pytest.mark.parametrize("stamp", ["2024-03-08T05:00:00.000Z", 1_709_874_000])
def test_a_day_may_be_written_in_any_way(dialect: Dialect, stamp: object) -> None:
    """A fraction or seconds in place of milliseconds change nothing (D14, D15)."""
    query = bars_query(timeframe=Timeframe.D1, start="2024-03-04", end="2024-03-09")

    parsed = dialect.parse(dialect.page(dialect.row(t=stamp)), query)

    assert parsed.rows.ts.tolist() == [to_us(datetime(2024, 3, 8, tzinfo=UTC))]


@DAYS_BY_INSTANT
def test_summer_days_are_stamped_by_their_session_date_too(dialect: Dialect) -> None:
    """The same in daylight saving time, mixed on one page, for rejected rows as well."""
    query = bars_query(timeframe=Timeframe.D1, start="2023-07-03", end="2023-07-08")
    stamps = ["2023-07-03T04:00", "2023-07-05T00:00", "2023-07-06T13:30", "2023-07-07T20:00"]

    rows = [*map(dialect.row, stamps), dialect.row("2023-07-07T04:00", o=None)]
    page = dialect.parse(dialect.page(*rows), query)

    assert [from_us(ts).day for ts in page.rows.ts] == [3, 5, 6, 7]
    assert page.rejected[0].ts == to_us(datetime(2023, 7, 7, tzinfo=UTC))

"""Instants as people write them: one meaning each, or a refusal that says how to write it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.instants import as_instant, parse_instant
from barfill.errors import InvalidInput, NaiveTimestamp

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(instant=st.datetimes(datetime(1990, 1, 2), datetime(2100, 1, 1), timezones=ZONES))
def test_what_is_written_out_is_read_back(instant: datetime) -> None:
    """Whatever the zone: in UTC it is the same instant."""
    found = parse_instant(instant.isoformat(), "start")

    assert found == instant
    assert found.tzinfo is UTC


def test_a_date_is_its_midnight() -> None:
    """In UTC, which is how bars of a day are stamped."""
    midnight = datetime(2024, 3, 1, tzinfo=UTC)

    assert parse_instant(" 2024-03-01 ", "start") == as_instant(date(2024, 3, 1), "start") == midnight
    assert as_instant(midnight, "start") == as_instant("2024-03-01T00:00z", "start") == midnight


@pytest.mark.parametrize("text", ["", "yesterday", "2024-3-1", "1709251200", "2024-03-01T09", "2024-03-01T09:30EST"])
def test_what_is_neither_is_refused(text: str) -> None:
    """With what to write instead."""
    with pytest.raises(InvalidInput, match=r"neither a date nor an instant\. Write 2024-03-01"):
        parse_instant(text, "--start")


@pytest.mark.parametrize("text", ["2024-02-30", "2023-02-29T00:00Z", "2024-03-01T25:00Z", "0000-01-01"])
def test_what_does_not_exist_is_refused(text: str) -> None:
    """The text is named."""
    with pytest.raises(InvalidInput, match=f"--start '{text}' does not exist"):
        parse_instant(text, "--start")


@pytest.mark.parametrize("value", ["2024-03-01T09:30", datetime(2024, 3, 1, 9, 30)])
def test_a_time_without_its_zone_is_refused(value: str | datetime) -> None:
    """Nobody can tell which instant it is."""
    with pytest.raises(NaiveTimestamp):
        as_instant(value, "start")

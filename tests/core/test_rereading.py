"""Which ranges are read again, and when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range
from barfill.core.rereading import drawn, last_sessions, monday_of
from barfill.core.timeframe import Timeframe

NYSE, ALWAYS = trading_calendar("XNYS", 2027), trading_calendar("24/7", 2027)
NO_DELAY = timedelta(0)
MONDAYS = st.integers(0, 2000).map(lambda weeks: date(2000, 1, 3) + timedelta(weeks=weeks))


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("timeframe", "now", "start", "end"),
    [
        # Wednesday 2026-11-25 has closed at 21:00; Thursday is Thanksgiving, Friday a half day.
        (Timeframe.M15, "2026-11-25 21:30", "2026-11-20 14:30", "2026-11-25 14:30"),
        (Timeframe.M15, "2026-11-27 17:59", "2026-11-20 14:30", "2026-11-25 14:30"),
        (Timeframe.M15, "2026-11-27 18:00", "2026-11-23 14:30", "2026-11-27 14:30"),
        (Timeframe.D1, "2026-11-27 18:00", "2026-11-23 00:00", "2026-11-27 00:00"),
        (Timeframe.W1, "2026-11-27 18:00", None, None),
        (Timeframe.W1, "2026-11-30 22:00", "2026-11-23 00:00", "2026-11-30 00:00"),
    ],
)
def test_the_sessions_before_the_newest_final_one(
    timeframe: Timeframe, now: str, start: str | None, end: str | None
) -> None:
    """Three of them; it changes with each close, and not in between."""
    expected = None if start is None or end is None else Range(at(start), at(end))

    assert last_sessions(NYSE, timeframe, at(now), NO_DELAY, 3) == expected


def test_a_close_counts_once_it_is_final() -> None:
    """A provider that is a quarter of an hour late has the session no sooner."""
    before = last_sessions(NYSE, Timeframe.M1, at("2026-11-25 21:10"), timedelta(minutes=16), 1)

    assert before == Range(at("2026-11-23 14:30"), at("2026-11-24 14:30"))


@pytest.mark.parametrize(("timeframe", "end"), [(Timeframe.M5, "2026-11-25 20:00"), (Timeframe.D1, "2026-11-24 00:00")])
def test_around_the_clock_it_is_what_has_settled(timeframe: Timeframe, end: str) -> None:
    """Older than an hour, of days older than a day; three days back at most."""
    found = last_sessions(ALWAYS, timeframe, at("2026-11-25 21:40"), NO_DELAY, 3)

    assert found == Range(at(end) - timedelta(days=3), at(end))


@given(week=MONDAYS, timeframe=st.sampled_from([Timeframe.M1, Timeframe.M15, Timeframe.D1, Timeframe.W1]))
def test_what_is_drawn_lies_within(week: date, timeframe: Timeframe) -> None:
    """About one in a hundred sessions, the same for all who ask."""
    older = Range(at("2024-01-03"), at("2026-01-07"))

    found = drawn(NYSE, timeframe, older, week)

    assert found is not None
    assert found == drawn(NYSE, timeframe, older, week)
    assert older.start <= found.start < found.end <= older.end
    assert 1 <= NYSE.expected_count(Timeframe.D1, Range(found.start - timedelta(hours=15), found.end)) <= 8


def test_every_session_has_its_turn() -> None:
    """Those at both ends as often as those in the middle, in so many weeks; none is forgotten."""
    older = Range(at("2026-01-05"), at("2026-03-02"))
    starts = NYSE.expected_starts(Timeframe.D1, older)
    turns = dict.fromkeys(starts.tolist(), 0)
    for number in range(40 * len(starts)):
        found = drawn(NYSE, Timeframe.D1, older, date(2000, 1, 3) + timedelta(weeks=number), share=3 / len(starts))
        assert found is not None
        for start in NYSE.expected_starts(Timeframe.D1, found).tolist():
            turns[start] += 1

    assert min(turns.values()) > 60
    assert max(turns.values()) < 180


def test_where_nothing_is_nothing_is_drawn() -> None:
    """A weekend holds no session."""
    assert drawn(NYSE, Timeframe.M15, Range(at("2026-11-28"), at("2026-11-30")), date(2026, 11, 30)) is None


def test_weeks_begin_on_monday() -> None:
    """In UTC."""
    assert monday_of(at("2026-11-29 23:59")) == date(2026, 11, 23)
    assert monday_of(at("2026-11-30 00:00")) == date(2026, 11, 30)

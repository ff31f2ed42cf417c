"""How doctor puts into words what a provider says of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from barfill.cli.doctor_calendar import SHOWN_MAX, agreement, differences
from barfill.core.ranges import Range
from barfill.core.told_sessions import SessionDifference, ToldSessions
from barfill.engine.market_calendar import CalendarReport

FIRST = date(2027, 1, 8)
TOLD = ToldSessions(FIRST, date(2027, 2, 1), {})
OPEN = Range(datetime(2027, 1, 8, 14, 30, tzinfo=UTC), datetime(2027, 1, 8, 21, tzinfo=UTC))


def report(*told: ToldSessions, days: int = 0, name: str = "") -> CalendarReport:
    """Of so many days that the provider says are closed."""
    found = tuple(SessionDifference(FIRST + timedelta(days=day), name, None, OPEN) for day in range(days))
    return CalendarReport(told, found, "exchange_calendars 4.13.2", None)


def test_who_agrees_does_so_from_the_first_to_the_last_day_told() -> None:
    """Of all answers together."""
    next_month = ToldSessions(date(2027, 2, 1), date(2027, 3, 1), {})

    said = report(TOLD, next_month)

    assert list(differences("Tradier", said)) == []
    assert agreement("Tradier", said).endswith(" agree on the sessions from 2027-01-08 to 2027-02-28")


def test_who_tells_nothing_agrees_with_nothing() -> None:
    """It is said, for silence is no agreement."""
    (told,) = differences("Massive", report())

    assert told.startswith("Massive tells of no session, so nothing is compared.")


@pytest.mark.parametrize(("days", "more"), [(SHOWN_MAX, False), (SHOWN_MAX + 2, True)])
def test_no_flood_of_days(days: int, more: bool) -> None:
    """So many are listed, each with both sides; of more only their number is told, and what to do once."""
    lines = list(differences("Massive", report(TOLD, days=days, name="Day of Mourning")))

    assert lines[0] == (
        "2027-01-08 (Day of Mourning): Massive says closed, exchange_calendars 4.13.2 says 14:30 to 21:00 UTC."
    )
    assert [line.split()[0] for line in lines[SHOWN_MAX:]] == (["2", "See"] if more else ["See"])

"""What a provider says of sessions, against the calendar."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from barfill.core.ranges import Range, from_us
from barfill.core.told_sessions import SessionDifference, ToldSessions, session_differences
from tests.core.samples import at, new_york

XNYS = new_york()
HOURS = {
    from_us(label).date(): Range(from_us(opens), from_us(closes))
    for label, opens, closes in zip(XNYS.labels.tolist(), XNYS.opens.tolist(), XNYS.closes.tolist(), strict=True)
}
DAYS = st.dates(date(2012, 10, 1), date(2026, 12, 1))
AT_NOON = Range(at("2026-03-04T12:00"), at("2026-03-04T13:00"))


def told(first: date, length: int) -> ToldSessions:
    """What the calendar itself would tell, and a session on either side that was not asked for."""
    end = first + timedelta(days=length)
    around = (first - timedelta(days=1), end)
    kept = {day: hours for day, hours in HOURS.items() if first <= day < end}
    return ToldSessions(first, end, kept | dict.fromkeys(around, AT_NOON), {first: "First"})


@given(DAYS, st.integers(0, 40))
def test_who_says_the_same_differs_nowhere(first: date, length: int) -> None:
    """Nothing is told of days outside of the range, whatever stands there."""
    assert session_differences(told(first, length), XNYS) == ()


@given(DAYS, st.integers(1, 40), st.data())
def test_what_is_changed_is_what_differs(first: date, length: int, data: st.DataObject) -> None:
    """Each day that is closed, opened or shortened, and no other; in order, with both sides and its name."""
    changed = data.draw(st.sets(st.integers(0, length - 1)))
    days = sorted(first + timedelta(days=number) for number in changed)
    said = told(first, length)
    hours = dict(said.hours)
    for day in days:
        hours[day] = AT_NOON
        if day in HOURS and data.draw(st.booleans()):
            del hours[day]

    found = session_differences(ToldSessions(said.first, said.end, hours, said.names), XNYS)

    assert found == tuple(
        SessionDifference(day, "First" if day == first else "", hours.get(day), HOURS.get(day)) for day in days
    )

"""
How `barfill doctor` tells what a provider's market calendar and clock say against ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barfill.core.ranges import Range
    from barfill.core.told_sessions import SessionDifference
    from barfill.engine.market_calendar import CalendarReport

SHOWN_MAX = 10
"""Differences that are listed; more mean that something is wrong as a whole."""


def agreement(who: str, report: CalendarReport) -> str:
    """That nothing differs, and of which days."""
    assert report.days is not None
    first, last = report.days
    return f"{who} and {report.version} agree on the sessions from {first} to {last}"


def differences(who: str, report: CalendarReport) -> Iterator[str]:
    """A sentence for each day on which they do not agree, and what can be done."""
    if report.days is None:
        yield f"{who} tells of no session, so nothing is compared. It passes by itself, or the plan does not have it."
    for one in report.differences[:SHOWN_MAX]:
        yield _sentence(who, report, one)
    left = len(report.differences) - SHOWN_MAX
    if left > 0:
        yield f"{left} more days differ: {who}'s calendar, or {report.version}, is wrong as a whole."
    if report.differences:
        yield (
            f"See the exchange's own notice. If {who} is right, tell barfill of the day in a CALENDAR_FILE, or update "
            "exchange_calendars: until then barfill goes by its sessions, drops bars outside of them, and asks again "
            "for those that do not come before it settles them as gaps."
        )


def _sentence(who: str, report: CalendarReport, one: SessionDifference) -> str:
    name = f" ({one.name})" if one.name else ""
    return f"{one.on}{name}: {who} says {_hours(one.told)}, {report.version} says {_hours(one.expected)}."


def _hours(session: Range | None) -> str:
    return f"{session.start:%H:%M} to {session.end:%H:%M} UTC" if session is not None else "closed"

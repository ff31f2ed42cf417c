"""What barfill's half-open ranges are on wires whose bounds are both inclusive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from barfill.core.ranges import Range

_DAY = timedelta(days=1)


def inclusive_bounds(wanted: Range, unit: timedelta) -> tuple[datetime, datetime]:
    """The first and the last whole *unit* in *wanted*; the same one twice where there is none."""
    start = _ceiling(wanted.start, unit)
    return start, max(start, _ceiling(wanted.end, unit) - unit)


def session_dates(wanted: Range) -> tuple[date, date]:
    """The first and the last session date of a range of days, which count by the 00:00 UTC of their date."""
    first, last = inclusive_bounds(wanted, _DAY)
    return first.date(), last.date()


def _ceiling(instant: datetime, unit: timedelta) -> datetime:
    left = (instant - datetime(1970, 1, 1, tzinfo=UTC)) % unit
    return instant + (unit - left) if left else instant

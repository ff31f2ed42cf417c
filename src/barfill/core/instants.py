"""Instants as people write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from barfill.core.ranges import utc
from barfill.errors import InvalidInput

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?")
_SHOWN_LENGTH = 40


def parse_instant(text: str, name: str) -> datetime:
    """
    An instant in UTC. A date stands for 00:00 UTC, which is how bars of a day are stamped.

    Raises:
        NaiveTimestamp: A time of day without its zone.
        InvalidInput: Neither a date nor an RFC 3339 instant.
    """
    stripped = text.strip()
    match = _INSTANT.fullmatch(stripped)
    try:
        if _DATE.fullmatch(stripped):
            return datetime.combine(date.fromisoformat(stripped), time(), UTC)
        if match:
            return utc(datetime.fromisoformat(stripped.upper()), name=name)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{name} {text!r} does not exist: {error}.") from error
    raise InvalidInput(
        f"{name} {text[:_SHOWN_LENGTH]!r} is neither a date nor an instant. "
        "Write 2024-03-01, 2024-03-01T09:30Z or 2024-03-01T09:30-05:00."
    )


def as_instant(value: str | date | datetime, name: str) -> datetime:
    """
    The same of a text, a date, which stands for its 00:00 UTC, or an instant with its time zone.

    Raises:
        NaiveTimestamp, InvalidInput: As `parse_instant`.
    """
    if isinstance(value, str):
        return parse_instant(value, name)
    if isinstance(value, datetime):
        return utc(value, name=name)
    return datetime.combine(value, time(), UTC)

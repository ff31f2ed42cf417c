"""
Days of exchanges that are known better than by the installed calendar library: `core.calendar` goes by them first.

A library is as old as its release, and closures are announced at short notice. What is newer than a release stands in
`BARFILLS` with its source; what is newer than barfill, users say in a file (`CALENDAR_FILE`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from barfill.core.ranges import Range
from barfill.errors import EmptyRange, InvalidInput


@dataclass(frozen=True, slots=True)
class OwnSession:
    """
    What is known of one day of a calendar.

    Attributes:
        calendar: The exchange's code, such as `XNYS`.
        on: The session's date.
        hours: From its open to its close, UTC; None where the exchange is closed. A lunch break that the library
            knows stays if it lies inside.
        why: What happened, and who says so.
    """

    calendar: str
    on: date
    hours: Range | None
    why: str


def _closed(calendar: str, why: str, *days: date) -> tuple[OwnSession, ...]:
    return tuple(OwnSession(calendar, day, None, why) for day in days)


def _open(calendar: str, why: str, *hours: tuple[str, str]) -> tuple[OwnSession, ...]:
    """Sessions from an instant to an instant, UTC, each of the date on which it ends."""
    ranges = (Range(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in bounds)) for bounds in hours)
    return tuple(OwnSession(calendar, one.end.date(), one, why) for one in ranges)


BARFILLS: Mapping[str, tuple[OwnSession, ...]] = {
    # Reuters, 2012-10-28, of NYSE Euronext's statement; Business Wire, 2018-12-01; NYSE Group's release, 2024-12-30.
    "XNYS": (
        *_closed("XNYS", "Hurricane Sandy; NYSE notice of 2012-10-28", date(2012, 10, 29), date(2012, 10, 30)),
        *_closed("XNYS", "mourning for George H. W. Bush; NYSE notice of 2018-12-01", date(2018, 12, 5)),
        *_closed("XNYS", "mourning for Jimmy Carter; NYSE notice of 2024-12-30", date(2025, 1, 9)),
    ),
    "XBOM": _open(
        "XBOM",
        "full Saturday session: answers of exchange_calendars at 5308ce205784; 4.13.2 has none",
        ("2024-01-20T03:45", "2024-01-20T10:00"),
        ("2025-02-01T03:45", "2025-02-01T10:00"),
    ),
    "CMES": _open(
        "CMES",
        "Juneteenth, close at 12:00 in Chicago: answers of exchange_calendars at 5308ce205784; 4.13.2 has a full day",
        ("2022-06-19T22:00", "2022-06-20T17:00"),
        ("2023-06-18T22:00", "2023-06-19T17:00"),
        ("2024-06-18T22:00", "2024-06-19T17:00"),
        ("2025-06-18T22:00", "2025-06-19T17:00"),
        ("2026-06-18T22:00", "2026-06-19T17:00"),
        ("2027-06-17T22:00", "2027-06-18T17:00"),
    ),
}
"""By calendar. What the installed library has too does no harm."""


def parse_own_sessions(text: str, name: str) -> tuple[OwnSession, ...]:
    """
    The days that a user's file tells of.

    Args:
        text: TOML: a list of tables for each calendar, as `[[XNYS]]`, with `on` (a date), and either `closed = true`
            or `open` and `close` (instants with their offset from UTC), and if you like `why`.
        name: What errors call the file.

    Raises:
        InvalidInput: The text is no such file; says in which entry.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{name} is no TOML: {error}. See docs/calendars.md for what it holds.") from error
    found: list[OwnSession] = []
    for calendar, entries in tables.items():
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise InvalidInput(f"{name}: {calendar!r} is no list of days. Begin each day with [[{calendar}]].")
        if calendar == "24/7":
            raise InvalidInput(f"{name}: 24/7 has no closed days. Name an exchange's calendar, such as XNYS.")
        found += [_read(calendar, entry, f"{name}, [[{calendar}]] number {at}") for at, entry in enumerate(entries, 1)]
    doubles = {(one.calendar, one.on) for one in found}
    if len(doubles) < len(found):
        raise InvalidInput(f"{name} tells of some day of one calendar twice. Leave one of the entries out.")
    return tuple(found)


def _read(calendar: str, entry: Mapping[str, Any], where: str) -> OwnSession:
    unknown = sorted(entry.keys() - {"on", "closed", "open", "close", "why"})
    if unknown:
        raise InvalidInput(f"{where}: {', '.join(unknown)} means nothing here. Use on, closed, open, close and why.")
    on, why = entry.get("on"), entry.get("why", "")
    if not isinstance(on, date) or isinstance(on, datetime):
        raise InvalidInput(f"{where}: on is {on!r}. Give the session's date, as on = 2027-01-15.")
    if not isinstance(why, str):
        raise InvalidInput(f"{where}: why is {why!r}. Give a text in quotes.")
    if entry.get("closed") is True and not entry.keys() & {"open", "close"}:
        return OwnSession(calendar, on, None, why)
    opens, closes = _instant_in(entry, "open"), _instant_in(entry, "close")
    if "closed" in entry or opens is None or closes is None:
        raise InvalidInput(
            f"{where}: give closed = true, or open and close as instants, as open = {on}T14:30:00Z and "
            f"close = {on}T18:00:00Z."
        )
    try:
        hours = Range(opens, closes)
    except EmptyRange as error:
        raise InvalidInput(f"{where}: {error}") from error
    if abs((hours.start.date() - on).days) > 1 or hours.length.total_seconds() > 86_400:  # noqa: PLR2004  a day
        raise InvalidInput(f"{where}: {hours} is no session of {on}. Give the open and the close of that date.")
    return OwnSession(calendar, on, hours, why)


def _instant_in(entry: Mapping[str, Any], key: str) -> datetime | None:
    value = entry.get(key)
    return value if isinstance(value, datetime) and value.tzinfo is not None else None

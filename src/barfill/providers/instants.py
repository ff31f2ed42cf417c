"""
Instants as providers write them, to microseconds since 1970-01-01 UTC; and the stamps of daily bars.

Columns of one fixed layout are read arithmetically, single values with care.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from barfill.core.ranges import from_us, to_us

NEW_YORK = ZoneInfo("America/New_York")
EARLIEST_US = to_us(datetime(1990, 1, 1, tzinfo=UTC))
"""Rule Q01: nothing that barfill stores is older."""
FUTURE_MAX = timedelta(days=1)
"""Rule Q01: nothing is newer than this after now."""

DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
_SECOND_US = 1_000_000
_MONTHS, _HOURS, _SIXTY = 12, 24, 60

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_LAYOUT = "2022-02-01T05:00:00Z"
_ZERO = ord("0")
_DIGITS = [position for position, sign in enumerate(_LAYOUT) if sign.isdigit()]
_SIGNS = [position for position, sign in enumerate(_LAYOUT) if not sign.isdigit()]
_SIGN_CODES = np.frombuffer("".join(_LAYOUT[position] for position in _SIGNS).encode(), np.uint8)
# Until 2001-09-09 each unit has a digit less.
_FACTORS_OF_DIGITS = {9: 1_000_000, 10: 1_000_000, 12: 1_000, 13: 1_000, 15: 1, 16: 1}
_NANOSECOND_DIGITS = 19

# New York midnight comes as 04:00Z or 05:00Z by season, from some sources as one of them all year round.
_MIDNIGHTS_US = (0, 4 * _HOUR_US, 5 * _HOUR_US)


def read_column(texts: Sequence[str]) -> NDArray[np.int64] | None:
    """
    The instants of texts that all look like `2022-02-01T05:00:00Z`, shape (n,); None where one does not.

    A date or time that does not exist gives None, too.
    """
    if set(map(len, texts)) - {len(_LAYOUT)}:
        return None
    try:
        codes = np.frombuffer("".join(texts).encode("ascii"), np.uint8).reshape(-1, len(_LAYOUT))
    except UnicodeEncodeError:
        return None
    digits = codes[:, _DIGITS] - np.uint8(_ZERO)  # whatever is below "0" wraps around to more than 9
    if not (np.all(codes[:, _SIGNS] == _SIGN_CODES) and np.all(digits <= 9)):  # noqa: PLR2004
        return None
    d = np.ascontiguousarray(digits.T).astype(np.int64)
    year = d[0] * 1000 + d[1] * 100 + d[2] * 10 + d[3]
    month, day, hour, minute, second = (d[i] * 10 + d[i + 1] for i in range(4, 14, 2))
    months = (year - 1970) * 12 + month - 1
    first, after = _first_day(months), _first_day(months + 1)
    is_date = (year >= 1) & (month >= 1) & (month <= _MONTHS) & (day >= 1) & (day <= after - first)
    if not np.all(is_date & (hour < _HOURS) & (minute < _SIXTY) & (second < _SIXTY)):
        return None
    seconds = (((first + day - 1) * _HOURS + hour) * _SIXTY + minute) * _SIXTY + second
    stamps: NDArray[np.int64] = seconds * _SECOND_US
    return stamps


def read_instant(value: object) -> int | None:
    """
    One instant in microseconds, or None where it cannot be read.

    Args:
        value: RFC 3339 text with a zone, or a number whose digits tell its unit: 10 s, 13 ms, 16 us, 19 ns (Q01).
    """
    if isinstance(value, bool):
        return None
    text = str(value) if isinstance(value, int | str) else ""
    if text.isascii() and text.isdigit():
        if len(text) == _NANOSECOND_DIGITS:
            return int(text) // 1000
        factor = _FACTORS_OF_DIGITS.get(len(text))
        return int(text) * factor if factor is not None else None
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        return to_us(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def session_labels(stamps: NDArray[np.int64], zone: ZoneInfo = NEW_YORK) -> NDArray[np.int64]:
    """
    00:00 UTC of the session date that each daily stamp means, shape (n,).

    Providers stamp a day by New York midnight (04:00Z, 05:00Z), by its date alone (00:00Z), by the open or by the
    close (D15). 00:00Z is the previous evening in New York and still means its own date.
    """
    time_of_day = stamps % DAY_US
    labels: NDArray[np.int64] = stamps - time_of_day
    others = ~np.isin(time_of_day, _MIDNIGHTS_US)
    if np.any(others):
        distinct, position = np.unique(stamps[others], return_inverse=True)
        local = [label_of(from_us(stamp).astimezone(zone).date()) for stamp in distinct]
        labels[others] = np.array(local, np.int64)[position]
    return labels


def label_of(day: date) -> int:
    """00:00 UTC of *day*, microseconds."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))


@lru_cache(maxsize=4096)
def local_midnight(day: date, zone: ZoneInfo = NEW_YORK) -> datetime:
    """The instant at which *day* begins in *zone*, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def rfc_3339(instant: datetime) -> str:
    """A whole second in UTC as `2022-02-01T05:00:00Z`."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first_day(months: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days from 1970-01-01 to the first of each month, given in months since 1970-01."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)

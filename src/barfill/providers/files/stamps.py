"""
The stamps of a file's rows: texts, numbers and dates become the starts of barfill's bars (SPEC 5.4).

A number tells its unit by its size: from 1990 to 2100 the seconds, milliseconds, microseconds and nanoseconds since
1970, and dates written as digits (20240131, 202401310930, 20240131093000), do not overlap. A text is a date or an
instant as ISO 8601 and its relatives write it, with the year first; anything else is read by a format that is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from barfill.core.ranges import to_us
from barfill.core.timeframe import Timeframe
from barfill.providers.instants import DAY_US, EARLIEST_US, FUTURE_MAX, session_labels

_YEARS = (1990, 2100)
_UNITS_US = (1_000_000, 1_000, 1, None)
"""Of seconds, milliseconds and microseconds in microseconds; nanoseconds are divided."""
_DIGITS_OF_DATES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_TEXT = (
    r"^\s*(?P<year>\d{4})[-/.]?(?P<month>\d{2})[-/.]?(?P<day>\d{2})"
    r"(?:[T ]\s*(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_MONDAY_US = 4 * DAY_US
"""1970-01-05 was one."""
_SUNDAY = 6


class Kind(IntEnum):
    """What a stamp tells."""

    UNREADABLE = 0
    INSTANT = 1
    LOCAL = 2
    """A date and a time of day without a zone."""
    DAY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StampRule:
    """
    How stamps are to be taken.

    Attributes:
        zone: Of stamps without one; also, where given, the zone in which instants are days.
        format: As of strptime, where texts are no ISO 8601.
        is_end: Whether bars are stamped by their end.
        until: Nothing later can be a stamp (Q01).
    """

    timeframe: Timeframe
    zone: ZoneInfo | None = None
    format: str | None = None
    is_end: bool = False
    until: datetime

    @staticmethod
    def latest(now: datetime) -> datetime:
        """The latest stamp that can be at *now*."""
        return now.astimezone(UTC) + FUTURE_MAX


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """
    Stamps as they were read, each column of shape (n,).

    Attributes:
        us: int64, microseconds since 1970-01-01: UTC of an instant, by the wall clock of the others.
        kind: int8, a `Kind`.
    """

    us: NDArray[np.int64]
    kind: NDArray[np.int8]


def read_stamps(columns: list[pl.Series], text_format: str | None) -> Stamps:
    """What the column of stamps holds, or those of dates and of times."""
    column = columns[0]
    if len(columns) > 1:
        column = pl.select(pl.concat_str([one.cast(pl.String) for one in columns], separator=" ")).to_series()
    if text_format is not None:
        return _by_format(column.cast(pl.String), text_format)
    if column.dtype == pl.Date:
        return _stamps(column.cast(pl.Datetime("us")), Kind.DAY)
    if isinstance(column.dtype, pl.Datetime):
        kind = Kind.LOCAL if column.dtype.time_zone is None else Kind.INSTANT
        return _stamps(column.cast(pl.Datetime("us", column.dtype.time_zone)), kind)
    if column.dtype.is_numeric():
        return _by_size(column)
    return _by_text(column.cast(pl.String))


def starts_of(stamps: Stamps, rule: StampRule, is_around_the_clock: NDArray[np.bool_]) -> NDArray[np.int64]:
    """
    The start of the bar that each stamp means, microseconds UTC, shape (n,); -1 where there is none (Q01).

    Args:
        is_around_the_clock: By row, whether the symbol's days are those of UTC; others have the days of their exchange.
    """
    if rule.timeframe.is_intraday:
        starts = _instants(stamps, rule.zone)
        if rule.is_end:
            starts = np.where(starts >= 0, starts - rule.timeframe.length_us, -1)
    else:
        starts = _days(stamps, rule, is_around_the_clock)
        if rule.timeframe is Timeframe.W1:
            starts = _weeks(starts, rule, is_around_the_clock)
    is_possible = (starts >= EARLIEST_US) & (starts <= to_us(rule.until))
    return np.where(is_possible, starts, -1)


def _days(stamps: Stamps, rule: StampRule, is_around_the_clock: NDArray[np.bool_]) -> NDArray[np.int64]:
    """00:00 UTC of the date that each stamp means; one at midnight without a zone names its own date."""
    us = stamps.us.copy()
    is_instant = stamps.kind == Kind.INSTANT
    if rule.is_end:
        us[is_instant | (us % DAY_US != 0)] -= 1
    labels: NDArray[np.int64] = us // DAY_US * DAY_US
    if rule.zone is not None:
        labels[is_instant] = _wall_clock(us[is_instant], rule.zone) // DAY_US * DAY_US
    else:
        of_exchange = is_instant & ~is_around_the_clock
        labels[of_exchange] = session_labels(us[of_exchange])
    return np.where(stamps.kind == Kind.UNREADABLE, -1, labels)


def _weeks(days: NDArray[np.int64], rule: StampRule, is_around_the_clock: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The Monday of each day's week; a week of an exchange that is stamped by a Sunday begins on the day after."""
    weekday = (days - _MONDAY_US) // DAY_US % 7
    mondays = days - weekday * DAY_US
    if not rule.is_end:
        mondays = np.where((weekday == _SUNDAY) & ~is_around_the_clock, days + DAY_US, mondays)
        mondays = np.where(is_around_the_clock, days, mondays)  # on any other day it is another week: rule Q03
    return np.where(days >= 0, mondays, -1)


def _instants(stamps: Stamps, zone: ZoneInfo | None) -> NDArray[np.int64]:
    """The instants in UTC; -1 of a wall clock whose zone nobody knows, or that shows the time twice or never (T02)."""
    is_local = (stamps.kind == Kind.LOCAL) | (stamps.kind == Kind.DAY)
    instants = np.where(stamps.kind == Kind.INSTANT, stamps.us, -1)
    if zone is not None and is_local.any():
        local = pl.Series(stamps.us[is_local]).cast(pl.Datetime("us"))
        there = local.dt.replace_time_zone(zone.key, ambiguous="null", non_existent="null")
        instants[is_local] = there.cast(pl.Int64).fill_null(-1).to_numpy()
    return instants


def _wall_clock(us: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    there = pl.Series(us).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone.key).dt.replace_time_zone(None)
    return there.cast(pl.Int64).to_numpy()


def _by_format(column: pl.Series, text_format: str) -> Stamps:
    text = column.str.strip_chars()
    has_time = any(mark in text_format for mark in ("%H", "%I", "%T", "%R", "%X", "%c", "%+"))
    if not has_time:
        return _stamps(text.str.to_date(text_format, strict=False).cast(pl.Datetime("us")), Kind.DAY)
    read = text.str.to_datetime(text_format, strict=False, time_unit="us")
    assert isinstance(read.dtype, pl.Datetime)
    return _stamps(read, Kind.LOCAL if read.dtype.time_zone is None else Kind.INSTANT)


def _by_size(column: pl.Series) -> Stamps:
    """Of numbers; fractions of a second are taken as they are, those of anything smaller are dropped."""
    numbers = column.cast(pl.Float64, strict=False)
    whole = column.cast(pl.Int64, strict=False).fill_null(-1).to_numpy()
    us = np.full(len(column), -1, np.int64)
    first, last = (to_us(datetime(year, 1, 1, tzinfo=UTC)) for year in _YEARS)
    for factor in _UNITS_US:
        scaled = whole // 1_000 if factor is None else np.where(abs(whole) <= last // factor, whole * factor, -1)
        fits = (scaled >= first) & (scaled < last)
        us = np.where(fits, scaled, us)
        if factor == _UNITS_US[0] and numbers.dtype == column.dtype:
            us = np.where(fits, np.round(numbers.fill_null(-1).to_numpy() * 1e6).astype(np.int64), us)
    instants = Stamps(us, np.where(us >= 0, Kind.INSTANT, Kind.UNREADABLE).astype(np.int8))
    return _or_dates(instants, pl.Series(whole).cast(pl.String))


def _or_dates(stamps: Stamps, digits: pl.Series) -> Stamps:
    """*stamps*, and what is unreadable among them as dates written as digits."""
    us, kind = stamps.us.copy(), stamps.kind.copy()
    for length, text_format in _DIGITS_OF_DATES.items():
        fits = ((digits.str.len_bytes() == length).fill_null(value=False).to_numpy()) & (kind == Kind.UNREADABLE)
        if not fits.any():
            continue
        padded = digits.filter(pl.Series(fits)) + "0" * (14 - length)
        read = padded.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us").cast(pl.Int64).fill_null(-1)
        us[fits] = read.to_numpy()
        meant = Kind.DAY if text_format == _DIGITS_OF_DATES[8] else Kind.LOCAL
        kind[fits] = np.where(us[fits] >= 0, meant, Kind.UNREADABLE)
    return Stamps(us, kind)


def _by_text(column: pl.Series) -> Stamps:
    text = column.str.strip_chars()
    is_number = text.str.contains(r"^\d{8,19}(\.\d*)?$").fill_null(value=False)
    if is_number.all() and len(text):
        return _by_size(text.cast(pl.Float64 if text.str.contains(".", literal=True).any() else pl.Int64, strict=False))
    parts = text.str.extract_groups(_TEXT).struct.unnest()
    zero = pl.lit("00")
    clock = pl.concat_str(
        [
            *("year", "month", "day"),
            pl.col("hour").str.zfill(2).fill_null(zero),
            pl.col("minute").fill_null(zero),
            pl.col("second").fill_null(zero),
        ]
    ).str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")
    fraction = pl.col("fraction").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    offset = _offset_us(pl.col("zone"))
    read = parts.select(
        us=(clock.cast(pl.Int64) + fraction - offset).fill_null(-1),
        kind=pl.when(clock.is_null())
        .then(pl.lit(Kind.UNREADABLE.value))
        .when(pl.col("zone").is_not_null())
        .then(pl.lit(Kind.INSTANT.value))
        .when(pl.col("hour").is_null())
        .then(pl.lit(Kind.DAY.value))
        .otherwise(pl.lit(Kind.LOCAL.value))
        .cast(pl.Int8),
    )
    stamps = Stamps(read["us"].to_numpy().copy(), read["kind"].to_numpy().copy())
    if is_number.any():
        # Garbage stands beside numbers: each is read as what it is.
        numbers = is_number.to_numpy()
        of_numbers = _by_size(text.filter(is_number).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False))
        stamps.us[numbers], stamps.kind[numbers] = of_numbers.us, of_numbers.kind
    return stamps


def _offset_us(zone: pl.Expr) -> pl.Expr:
    """East of Greenwich, of `-05:00`, `+0530` or `Z`."""
    hours = zone.str.extract(r"^[+-](\d{2})").cast(pl.Int64).fill_null(0)
    minutes = zone.str.extract(r"^[+-]\d{2}:?(\d{2})").cast(pl.Int64).fill_null(0)
    sign = pl.when(zone.str.starts_with("-")).then(pl.lit(-1)).otherwise(pl.lit(1))
    return sign * (hours * 60 + minutes) * int(timedelta(minutes=1).total_seconds()) * 1_000_000


def _stamps(column: pl.Series, kind: Kind) -> Stamps:
    us = column.cast(pl.Int64)
    kinds = np.where(us.is_null().to_numpy(), Kind.UNREADABLE, kind).astype(np.int8)
    return Stamps(us.fill_null(-1).to_numpy().copy(), kinds)

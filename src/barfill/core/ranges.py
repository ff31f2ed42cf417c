"""
Half-open ranges of UTC instants, and sets of them.

`Range` cannot be empty; `Ranges` is what a set of them boils down to: sorted, disjoint, not touching.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from barfill.errors import EmptyRange, NaiveTimestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def utc(instant: datetime, *, name: str = "instant") -> datetime:
    """
    The same instant in UTC.

    Raises:
        NaiveTimestamp: It has no time zone; *name* says which value it was.
    """
    if instant.tzinfo is None:
        text = instant.isoformat()
        raise NaiveTimestamp(f"{name} {text!r} has no time zone. Write {text}Z, or give the offset: {text}-05:00.")
    return instant.astimezone(UTC)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return (instant - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    """The UTC instant of microseconds since 1970-01-01."""
    return _EPOCH + timedelta(microseconds=int(value))


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """
    The instants from *start* up to, not including, *end*; both aware, kept in UTC.

    Raises:
        EmptyRange: *end* is not after *start*.
        NaiveTimestamp: A bound has no time zone.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start, name="start"))
        object.__setattr__(self, "end", utc(self.end, name="end"))
        if self.end <= self.start:
            raise EmptyRange(
                f"The range from {self.start.isoformat()} to {self.end.isoformat()} is empty. "
                "Give an end after the start (the end itself is excluded)."
            )

    @property
    def length(self) -> timedelta:
        """How long it lasts."""
        return self.end - self.start

    def __contains__(self, instant: object) -> bool:
        return isinstance(instant, datetime) and self.start <= instant < self.end

    def __and__(self, other: Range) -> Range | None:
        """What both have, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Range(start, end) if start < end else None

    def __str__(self) -> str:
        return f"[{_short(self.start)}, {_short(self.end)})"


class Ranges:
    """
    A set of instants as sorted, disjoint, non-touching ranges. Immutable, hashable.

    `|`, `-` and `&` are union, difference and intersection; a Range may stand on the right.
    """

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges = _merged(ranges)

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __repr__(self) -> str:
        return f"Ranges({{{', '.join(map(str, self._ranges))}}})"

    def __contains__(self, instant: object) -> bool:
        return any(instant in one for one in self._ranges)

    @property
    def hull(self) -> Range | None:
        """The smallest single range around all of it, or None where there is nothing."""
        return Range(self._ranges[0].start, self._ranges[-1].end) if self._ranges else None

    @property
    def length(self) -> timedelta:
        """The total time covered."""
        return sum((one.length for one in self._ranges), timedelta())

    def covers(self, wanted: Range) -> bool:
        """Whether every instant of *wanted* is in the set."""
        return any(one.start <= wanted.start and wanted.end <= one.end for one in self._ranges)

    def __or__(self, other: Ranges | Range) -> Ranges:
        return Ranges((*self._ranges, *_parts(other)))

    def __and__(self, other: Ranges | Range) -> Ranges:
        mine, theirs = self._ranges, _parts(other)
        found: list[Range] = []
        i = j = 0
        while i < len(mine) and j < len(theirs):
            both = mine[i] & theirs[j]
            if both is not None:
                found.append(both)
            if mine[i].end <= theirs[j].end:
                i += 1
            else:
                j += 1
        return Ranges(found)

    def __sub__(self, other: Ranges | Range) -> Ranges:
        taken = _parts(other)
        left: list[Range] = []
        first = 0
        for one in self._ranges:
            start = one.start
            while first < len(taken) and taken[first].end <= start:
                first += 1
            i = first
            while i < len(taken) and taken[i].start < one.end:
                if start < taken[i].start:
                    left.append(Range(start, taken[i].start))
                start = max(start, taken[i].end)
                i += 1
            if start < one.end:
                left.append(Range(start, one.end))
        return Ranges(left)


def _parts(value: Ranges | Range) -> tuple[Range, ...]:
    return (value,) if isinstance(value, Range) else value._ranges


def _merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for one in sorted(ranges):
        if merged and one.start <= merged[-1].end:
            if one.end > merged[-1].end:
                merged[-1] = Range(merged[-1].start, one.end)
        else:
            merged.append(one)
    return tuple(merged)


def _short(instant: datetime) -> str:
    is_midnight = instant.time() == datetime.min.time()
    return instant.strftime("%Y-%m-%d" if is_midnight else "%Y-%m-%dT%H:%M:%SZ")

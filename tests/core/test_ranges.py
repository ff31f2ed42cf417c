"""The algebra of ranges, against plain sets of minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.ranges import Range, Ranges, from_us, to_us, utc
from barfill.errors import EmptyRange, NaiveTimestamp
from tests.core.samples import at, span

FIRST = at("2024-01-01")
LAST_MINUTE = 40
NEW_YORK_WINTER = timezone(timedelta(hours=-5))

bounds = st.tuples(st.integers(0, LAST_MINUTE - 1), st.integers(1, LAST_MINUTE)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], LAST_MINUTE))
)
pairs = st.lists(bounds, max_size=8)


def minute(number: int) -> datetime:
    return FIRST + timedelta(minutes=number)


def one_range(pair: tuple[int, int]) -> Range:
    return Range(minute(pair[0]), minute(pair[1]))


def ranges(chosen: list[tuple[int, int]]) -> Ranges:
    return Ranges(one_range(pair) for pair in chosen)


def minutes(chosen: list[tuple[int, int]]) -> set[int]:
    """The naive model: every minute by itself."""
    return {number for start, end in chosen for number in range(start, end)}


def minutes_of(value: Ranges) -> set[int]:
    return {number for number in range(LAST_MINUTE) if minute(number) in value}


@given(pairs)
def test_a_set_holds_its_minutes_in_sorted_ranges_that_do_not_touch(chosen: list[tuple[int, int]]) -> None:
    """
    However its parts overlap, a set holds exactly their minutes, as few ranges as possible, in order.
    """
    value = ranges(chosen)
    found = list(value)

    assert minutes_of(value) == minutes(chosen)
    assert all(first.end < second.start for first, second in pairwise(found))
    assert value.length == timedelta(minutes=len(minutes(chosen)))


@given(pairs, pairs)
def test_union_difference_and_intersection_are_those_of_sets(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    """
    `|`, `-` and `&` give the minutes that Python's own sets give.
    """
    left, right = ranges(one), ranges(other)

    assert minutes_of(left | right) == minutes(one) | minutes(other)
    assert minutes_of(left - right) == minutes(one) - minutes(other)
    assert minutes_of(left & right) == minutes(one) & minutes(other)


@given(pairs, pairs, pairs)
def test_laws_of_set_algebra(
    one: list[tuple[int, int]], other: list[tuple[int, int]], third: list[tuple[int, int]]
) -> None:
    """
    Equal sets compare equal whichever way they were made: De Morgan, distribution, absorption.
    """
    a, b, c = ranges(one), ranges(other), ranges(third)

    assert a - (b | c) == (a - b) & (a - c)
    assert a & (b | c) == (a & b) | (a & c)
    assert (a - b) | (a & b) == a
    assert hash(a | b) == hash(b | a)
    assert not (a - b) & b


@given(pairs, bounds)
def test_a_single_range_may_stand_on_the_right(chosen: list[tuple[int, int]], pair: tuple[int, int]) -> None:
    """
    A range means the same as the set of only this range.
    """
    value, single, alone = ranges(chosen), one_range(pair), ranges([pair])

    assert (value | single, value - single, value & single) == (value | alone, value - alone, value & alone)


@given(pairs, bounds)
def test_covers_asks_for_every_minute(chosen: list[tuple[int, int]], pair: tuple[int, int]) -> None:
    """
    A range is covered when each of its minutes is.
    """
    assert ranges(chosen).covers(one_range(pair)) == (minutes([pair]) <= minutes(chosen))


@given(pairs)
def test_hull_is_the_smallest_range_around(chosen: list[tuple[int, int]]) -> None:
    """
    The hull reaches from the first minute to the last one; of nothing there is none.
    """
    hull, held = ranges(chosen).hull, minutes(chosen)

    assert hull == (Range(minute(min(held)), minute(max(held) + 1)) if held else None)
    assert bool(ranges(chosen)) == bool(held)


@given(bounds, bounds)
def test_two_ranges_meet_where_both_are(one: tuple[int, int], other: tuple[int, int]) -> None:
    """
    `&` of two ranges is what both hold, None where they only touch.
    """
    both = one_range(one) & one_range(other)

    assert minutes_of(Ranges([both] if both else [])) == minutes([one]) & minutes([other])


def test_end_is_excluded() -> None:
    """
    A range holds its start and not its end; touching ranges become one.
    """
    wanted = span("2024-03-04", "2024-03-05")

    assert at("2024-03-04") in wanted
    assert at("2024-03-05") not in wanted
    assert "2024-03-04" not in wanted
    assert Ranges([wanted, span("2024-03-05", "2024-03-06")]) == Ranges([span("2024-03-04", "2024-03-06")])
    assert wanted.length == timedelta(days=1)


@pytest.mark.parametrize("days", [0, -1])
def test_empty_range_does_not_exist(days: int) -> None:
    """
    An end at or before the start is refused, with both bounds in the text.
    """
    with pytest.raises(EmptyRange, match=r"from 2024-03-04T00:00:00\+00:00 to .* is empty\. Give an end after"):
        Range(at("2024-03-04"), at("2024-03-04") + timedelta(days=days))


def test_naive_instant_is_refused() -> None:
    """
    T01: an instant without a zone raises at the border and says how to write it.
    """
    naive = datetime(2024, 3, 1, 9, 30)

    with pytest.raises(
        NaiveTimestamp, match=r"start '2024-03-01T09:30:00' has no time zone\. Write 2024-03-01T09:30:00Z"
    ):
        Range(naive, at("2024-03-02"))
    with pytest.raises(NaiveTimestamp, match="end '2024-03-01T09:30:00'"):
        Range(at("2024-02-01"), naive)


def test_bounds_are_kept_in_utc() -> None:
    """
    Whatever zone a bound came in, the range is the same and shows UTC.
    """
    there = Range(datetime(2024, 3, 1, 9, 30, tzinfo=NEW_YORK_WINTER), datetime(2024, 3, 2, tzinfo=UTC))

    assert there == span("2024-03-01T14:30", "2024-03-02")
    assert str(there) == "[2024-03-01T14:30:00Z, 2024-03-02)"
    assert repr(Ranges([there])) == "Ranges({[2024-03-01T14:30:00Z, 2024-03-02)})"
    assert utc(there.start).tzinfo is UTC


@given(st.datetimes(min_value=datetime(1960, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_microseconds_and_back(instant: datetime) -> None:
    """
    An instant survives the way to microseconds since 1970 and back, also before 1970.
    """
    assert from_us(to_us(instant)) == instant


def test_a_set_equals_only_sets() -> None:
    """
    A set of ranges is no tuple of them.
    """
    assert Ranges() != ()
    assert len(Ranges()) == 0

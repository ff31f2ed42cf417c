"""What is on record against what is stored, and derived bars against what their sources make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.audit import not_as_made, unaccounted, unproved, within
from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.ranges import Range, Ranges, from_us
from tests.core.samples import MINUTE, bars

MINUTES = st.sets(st.integers(0, 60))


def ranges_of(minutes: set[int]) -> Ranges:
    """The minutes as ranges."""
    return Ranges(Range(from_us(at * MINUTE), from_us((at + 1) * MINUTE)) for at in minutes)


def starts_of(minutes: set[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The minutes as starts."""
    return np.array(sorted(at * MINUTE for at in minutes), np.int64)


@given(asked=MINUTES, ranges=MINUTES)
def test_within_is_membership(asked: set[int], ranges: set[int]) -> None:
    """Half-open, as everywhere; of no ranges nothing is within."""
    found = starts_of(asked)[within(starts_of(asked), ranges_of(ranges))]

    assert found.tolist() == starts_of(asked & ranges).tolist()


@given(expected=MINUTES, stored=MINUTES, covered=MINUTES, gaps=MINUTES)
def test_each_expected_bar_is_stored_or_a_gap(
    expected: set[int], stored: set[int], covered: set[int], gaps: set[int]
) -> None:
    """What is covered and neither is unaccounted for; what is stored, expected and not covered is unproved."""
    lost = unaccounted(starts_of(expected), starts_of(stored), ranges_of(covered), ranges_of(gaps))
    loose = unproved(starts_of(expected), starts_of(stored), ranges_of(covered))

    assert lost.tolist() == starts_of((expected & covered) - stored - gaps).tolist()
    assert loose.tolist() == starts_of((stored & expected) - covered).tolist()


def made_at(*minutes: int) -> BarColumns:
    """Bars without vwap and count."""
    return bars(starts_of(set(minutes)), vwap=np.nan, trade_count=NO_TRADE_COUNT)


def test_bars_that_are_the_same_are_well() -> None:
    """NaN stands for no vwap, on both sides; sums may differ in their last digits."""
    stored = made_at(0, 1, 2)

    assert not_as_made(stored, stored) == []
    assert not_as_made(stored, replace(stored, volume=stored.volume * (1 + 1e-12))) == []


def test_each_bar_that_differs_is_told_once() -> None:
    """One that lacks, one that is too many, one of other values: the first of these is told."""
    made = made_at(0, 1, 3)
    stored = replace(made_at(0, 1, 2), close=np.array([100.5, 99.75, 100.5]), volume=np.array([1000, 900, 1000.0]))

    found = not_as_made(stored, made)

    assert [one.ts // MINUTE for one in found] == [1, 2, 3]
    assert [one.reason for one in found] == [
        "its close is 99.75, its source makes 100.5",
        "its source has no bar of it",
        "its source makes such a bar, and none is stored",
    ]


def test_a_value_on_one_side_only_differs() -> None:
    """A vwap that its source does not make is as wrong as another one."""
    (told,) = not_as_made(replace(made_at(0), vwap=np.array([1.5])), made_at(0))

    assert told.reason == "its vwap is 1.5, its source makes nan"

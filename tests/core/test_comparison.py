"""Two sources of one series: what is equal, what differs, and by how much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.bars import BarColumns
from barfill.core.comparison import Comparison, Kind, Tolerance, compare, expected_in
from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput
from tests.core.samples import MINUTE, bars, new_york, span, us

SESSION = Ranges([span("2024-03-05", "2024-03-06")])
OPEN = us("2024-03-05T14:30")
STOCK = Tolerance.of("stock", price=None, volume=None)
COIN = Tolerance.of("crypto", price=None, volume=None)


def at_m1(here: BarColumns, there: BarColumns, tolerance: Tolerance = STOCK, **more: object) -> Comparison:
    return compare(here, there, SESSION, Timeframe.M1, new_york(), tolerance=tolerance, **more)  # type: ignore[arg-type]


@st.composite
def series(draw: st.DrawFn) -> BarColumns:
    """Some of a session's minutes, with prices around 100 and any volume."""
    minutes = sorted(draw(st.sets(st.integers(0, 389), max_size=12)))
    closes = draw(st.lists(st.floats(90, 110), min_size=len(minutes), max_size=len(minutes)))
    volumes = draw(st.lists(st.floats(0, 1e6), min_size=len(minutes), max_size=len(minutes)))
    close = np.array(closes, np.float64)
    stamps = [OPEN + minute * MINUTE for minute in minutes]
    return bars(stamps, open=close, high=close + 1, low=close - 1, close=close, volume=volumes)


@given(one=series())
@settings(max_examples=25, deadline=None)
def test_a_series_equals_itself(one: BarColumns) -> None:
    """Whatever it holds, and without any tolerance."""
    found = at_m1(one, one, Tolerance(price=0, volume=0))

    assert not found.has_differences
    assert (found.expected, found.compared, found.equal, found.differences) == (390, len(one), len(one), ())


@given(here=series(), there=series())
@settings(max_examples=50, deadline=None)
def test_swapping_the_sides_swaps_what_is_missing(here: BarColumns, there: BarColumns) -> None:
    """And changes nothing about prices and volumes; every bar of either side is accounted for."""
    forth, back = at_m1(here, there, worst_max=400), at_m1(there, here, worst_max=400)
    swapped = {Kind.MISSING_HERE: Kind.MISSING_THERE, Kind.MISSING_THERE: Kind.MISSING_HERE}

    assert {swapped.get(kind, kind): count for kind, count in back.counts.items()} == forth.counts
    assert {(swapped.get(one.kind, one.kind), one.ts, one.there, one.here, one.size) for one in back.differences} == {
        (one.kind, one.ts, one.here, one.there, one.size) for one in forth.differences
    }
    assert forth.compared + forth.counts[Kind.MISSING_THERE] == len(here)
    assert forth.compared + forth.counts[Kind.MISSING_HERE] == len(there)
    assert sum(forth.counts.values()) == len(forth.differences)


@given(one=series(), noise=st.floats(-1e-10, 1e-10))
@settings(max_examples=25, deadline=None)
def test_no_float_is_compared_to_the_last_digit(one: BarColumns, noise: float) -> None:
    """What arithmetic alone changes is no difference, even with a tolerance of 0."""
    names = ("open", "high", "low", "close", "volume")
    other = replace(one, **{name: getattr(one, name) * (1 + noise) for name in names})

    assert not at_m1(one, other, Tolerance(price=0, volume=0)).has_differences


@pytest.mark.parametrize(
    ("here", "there", "tolerance", "is_equal"),
    [
        (100.0, 100.005, STOCK, True),  # rounded to cents
        (100.0, 100.01, STOCK, False),  # one tick
        (0.5, 0.505, STOCK, False),  # below a dollar a tick is a hundredth of a cent
        (0.5, 0.50005, STOCK, True),
        (100.0, float(np.float32(100.1)) - 0.1, STOCK, True),
        (0.5, 0.5005, COIN, False),  # nobody knows the tick of a pair
        (64_000.0, 64_000.06, COIN, True),
        (100.0, 100.9, Tolerance.of("stock", price=0.01, volume=None), True),
        (100.0, 100.005, Tolerance.of("stock", price=0.0, volume=None), False),  # what is given stands alone
    ],
)
def test_prices_differ_from_a_tick_on(here: float, there: float, tolerance: Tolerance, is_equal: bool) -> None:
    """Half a tick is rounding, a whole one is not; hand-calculated."""
    mine, theirs = (bars([OPEN], open=one, high=one, low=one, close=one) for one in (here, there))

    assert at_m1(mine, theirs, tolerance).has_differences is not is_equal


@pytest.mark.parametrize(
    ("here", "there", "tolerance", "is_equal"),
    [
        (10_000, 11_100, STOCK, True),
        (10_000, 11_300, STOCK, False),
        (100, 200, STOCK, True),  # one lot
        (0, 0, COIN, True),
        (0, 1, COIN, False),
        (1_000, 1_200, Tolerance.of("stock", price=None, volume=0.1), False),
        (1, 1_000_000, replace(STOCK, has_volume=False), True),
    ],
)
def test_volumes_differ_beyond_a_share_and_a_lot(
    here: float, there: float, tolerance: Tolerance, is_equal: bool
) -> None:
    """Of stocks; hand-calculated."""
    assert at_m1(bars([OPEN], volume=here), bars([OPEN], volume=there), tolerance).has_differences is not is_equal


def test_the_worst_come_first_with_both_values() -> None:
    """Of each kind, so many as are wanted; the column that differs most is named."""
    stamps = OPEN + np.arange(4) * MINUTE
    here, there = bars(stamps), bars(stamps, high=[101, 102, 105, 101.001], volume=[5_000, 1_000, 1_000, 1_000])

    found = at_m1(here, there, worst_max=1)

    assert found.counts == {Kind.PRICE: 2, Kind.MISSING_HERE: 0, Kind.MISSING_THERE: 0, Kind.VOLUME: 1}
    assert (found.compared, found.equal) == (4, 1)
    worst, volume = found.differences
    assert (worst.kind, worst.ts, worst.column, worst.here, worst.there) == (
        Kind.PRICE, OPEN + 2 * MINUTE, "high", 101, 105
    )  # fmt: skip
    assert worst.size == pytest.approx(4 / 105)
    assert (volume.kind, volume.ts, volume.here, volume.there, volume.size) == (
        Kind.VOLUME, OPEN, 1_000, 5_000, 0.8
    )  # fmt: skip


def test_only_expected_bars_in_the_scope_count() -> None:
    """Not what lies outside of sessions or of the scope, nor what is left out."""
    outside = bars([OPEN - MINUTE, us("2024-03-06T14:30")])
    nothing = BarColumns.empty()

    found = at_m1(outside, nothing)
    left_out = at_m1(bars([OPEN]), nothing, left_out=np.array([OPEN]))

    assert (found.expected, found.has_differences) == (390, False)
    assert (left_out.expected, left_out.has_differences) == (389, False)
    assert len(expected_in(Ranges(), Timeframe.M1, new_york())) == 0


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_tolerance_is_a_share(share: float) -> None:
    """From 0 up to 1; the text says how to write one."""
    with pytest.raises(InvalidInput, match=r"0\.01 is 1 %"):
        Tolerance(price=share)
    with pytest.raises(InvalidInput, match=r"0\.01 is 1 %"):
        Tolerance(volume=share)

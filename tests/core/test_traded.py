"""Whether absent bars were traded, by the volume of the coarser bars around them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from barfill.core.ranges import from_us
from barfill.core.traded import SESSIONS_MIN, Traded, Volumes, together, traded_by
from tests.core.samples import needs_real_data, real_bars

BARS = 26


def volumes(
    seed: int, absent: slice, *, is_traded: bool, outside: float = 0.1, spread: float = 0.01, sessions: int = 20
) -> Volumes:
    """Sessions of 26 bars; a day's volume is that of its bars, and a share beyond that varies by *spread*."""
    luck = np.random.default_rng(seed)
    bars = luck.lognormal(10, 0.4, (sessions + 1, BARS))
    if not is_traded:
        bars[0, absent] = 0
    whole = bars.sum(axis=1) * (1 + outside * np.exp(luck.normal(0, spread, sessions + 1)))
    parts = bars.sum(axis=1)
    parts[0] -= bars[0, absent].sum()
    return Volumes(float(whole[0]), float(parts[0]), 0.0, whole[1:], parts[1:], bars[1:, absent].sum(axis=1))


@given(st.integers(0, 2**32 - 1), st.integers(0, BARS - 3), st.integers(3, 20))
def test_withheld_bars_are_in_the_day_and_halted_ones_are_not(seed: int, first: int, length: int) -> None:
    """No hole is taken for a halt, no halt for a hole."""
    absent = slice(first, first + length)

    assert traded_by(volumes(seed, absent, is_traded=True)) is Traded.YES
    assert traded_by(volumes(seed, absent, is_traded=False)) is Traded.NO


def test_parts_that_add_up_to_their_whole_tell_a_single_bar() -> None:
    """Minutes within quarters of an hour: nothing else is in them, so one minute is enough."""
    absent = slice(4, 5)

    assert traded_by(volumes(1, absent, is_traded=True, outside=0)) is Traded.YES
    assert traded_by(volumes(1, absent, is_traded=False, outside=0)) is Traded.NO


def test_little_is_said_where_the_share_of_the_parts_varies_as_much_as_the_bars_weigh() -> None:
    """A vendor's day that counts now half as much again, now twice as much, hides a bar: no halt is read into it."""
    told = [traded_by(volumes(seed, slice(3, 4), is_traded=True, outside=0.7, spread=0.6)) for seed in range(100)]

    assert Traded.NO not in told
    assert told.count(Traded.UNKNOWN) > 95


def test_what_another_run_may_explain_is_no_proof_of_this_one() -> None:
    """A day that lacks volume, and in which two runs are absent, says of neither that it was traded."""
    one = volumes(5, slice(3, 8), is_traded=True)

    assert traded_by(one) is Traded.YES
    assert traded_by(replace(one, elsewhere=0.5 * one.whole)) is Traded.UNKNOWN


def test_nothing_is_said_of_bars_that_hardly_ever_trade() -> None:
    """Without volume in other sessions the same bars would be found nowhere."""
    one = volumes(3, slice(3, 5), is_traded=False)
    quiet = replace(one, others_absent=np.zeros(len(one.others_parts)))

    assert traded_by(quiet) is Traded.UNKNOWN


@pytest.mark.parametrize("change", ["few", "no whole", "others empty"])
def test_nothing_is_said_without_enough_to_compare_with(change: str) -> None:
    """Too few sessions, or no coarser bar."""
    one = volumes(4, slice(0, 9), is_traded=True, sessions=SESSIONS_MIN - (change == "few"))
    others = one.others_whole * (change != "others empty")
    whole = one.whole * (change != "no whole")

    told = traded_by(replace(one, whole=whole, others_whole=others))

    assert told is Traded.UNKNOWN


def test_eight_other_sessions_are_enough_and_seven_are_not() -> None:
    """How much the share of the parts varies cannot be told from fewer."""
    told = [traded_by(volumes(4, slice(0, 9), is_traded=True, sessions=count)) for count in (7, 8)]

    assert told == [Traded.UNKNOWN, Traded.YES]


HOURS = "equity_AAPL_h1_1998-2021"


def real_sessions(days: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Volumes of the hours of AAPL's full sessions, shape (n, 7), and of the days of a file, shape (n,)."""
    hours, whole = real_bars(HOURS), real_bars(days)
    zone = ZoneInfo("America/New_York")
    by_day: dict[date, list[float]] = {}
    for ts, volume in zip(hours.ts.tolist(), hours.volume.tolist(), strict=True):
        by_day.setdefault(from_us(ts).astimezone(zone).date(), []).append(volume)
    stamped = zip(whole.ts.tolist(), whole.volume.tolist(), strict=True)
    of_day = {from_us(ts).astimezone(zone).date(): volume for ts, volume in stamped}
    chosen = [day for day, volumes in by_day.items() if len(volumes) == 7 and day in of_day]
    return np.array([by_day[day] for day in chosen]), np.array([of_day[day] for day in chosen])


@needs_real_data
@pytest.mark.parametrize(
    ("days", "wrong_max"), [("equity_AAPL_d1_1998-2021", 0.0), ("equity_AAPL_d1_2004-2018_yahoo", 0.04)]
)
@pytest.mark.parametrize("absent", [slice(3, 4), slice(2, 4)])
def test_real_days_tell_of_their_hours(days: str, wrong_max: float, absent: slice) -> None:
    """
    docs/gaps.md: by the same vendor's days all is told; another's, with auctions and late trades, say little, and that
    is hardly ever wrong. Every seventh session.
    """
    parts, whole = real_sessions(days)
    told: dict[bool, list[Traded]] = {True: [], False: []}
    for at in range(15, len(parts) - 15, 7):
        others = np.r_[at - 15 : at, at + 1 : at + 16]
        taken = parts[:, absent].sum(axis=1)
        there = parts[at].sum() - taken[at]
        for is_traded in (True, False):
            day = whole[at] - (0 if is_traded else taken[at])
            one = Volumes(day, there, 0.0, whole[others], parts[others].sum(axis=1), taken[others])
            told[is_traded].append(traded_by(one))

    for is_traded, wrong in ((True, Traded.NO), (False, Traded.YES)):
        assert told[is_traded].count(wrong) <= wrong_max * len(told[is_traded])
        assert wrong_max or Traded.UNKNOWN not in told[is_traded]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([], Traded.UNKNOWN),
        ([[Traded.NO], [Traded.NO, Traded.UNKNOWN]], Traded.NO),
        ([[Traded.NO], [Traded.UNKNOWN]], Traded.UNKNOWN),
        ([[Traded.NO], []], Traded.UNKNOWN),
        ([[Traded.NO, Traded.YES], [Traded.NO]], Traded.YES),
    ],
)
def test_sessions_are_taken_together(told: list[list[Traded]], expected: Traded) -> None:
    """One that was traded is enough; that nothing was must be told of each."""
    assert together(told) is expected

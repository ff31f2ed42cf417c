"""What the current session lacks, and what brings it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.live import LOOK_BACK, LiveWish, live_wish
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from tests.core.strategies import paged_capabilities
from tests.engine.rig import NYSE

M1, M15, M30, H1, H4, D1, W1 = (
    Timeframe.M1,
    Timeframe.M15,
    Timeframe.M30,
    Timeframe.H1,
    Timeframe.H4,
    Timeframe.D1,
    Timeframe.W1,
)
NOON = datetime(2026, 9, 16, 16, 5, tzinfo=UTC)
OPEN = datetime(2026, 9, 16, 13, 30, tzinfo=UTC)
LIVE = replace(paged_capabilities(), provider="live", timeframes=frozenset({M1, Timeframe.M5, M15}))


def wish(
    *timeframes: Timeframe, now: datetime = NOON, delay: timedelta = timedelta(days=1), end: datetime | None = None
) -> LiveWish | None:
    window = Range(now - timedelta(days=30), end or now)
    final = {one: NYSE.closed_until(one, now, delay) for one in timeframes}
    return live_wish(dict.fromkeys(timeframes, window), final, LIVE, NYSE, now)


def test_the_finest_wanted_brings_the_coarser_ones() -> None:
    """One request for all of them, from the start of the oldest bar that is made of it."""
    found = wish(M15, H1, D1, W1, delay=timedelta(hours=2))

    assert found is not None
    assert (found.timeframe, found.window) == (M15, Range(OPEN, NOON))
    assert {timeframe: one.start for timeframe, one in found.targets.items()} == {
        M15: OPEN + timedelta(minutes=30),
        H1: OPEN,
        D1: datetime(2026, 9, 16, tzinfo=UTC),
    }


def test_what_is_not_offered_is_made_of_the_coarsest_that_is() -> None:
    """Hours of quarters, not of minutes."""
    found = wish(H4)

    assert found is not None
    assert found.timeframe is M15


def test_nothing_is_live_while_nothing_is_open() -> None:
    """Before the open, on a weekend, and of a window that ended before."""
    assert wish(M15, D1, now=datetime(2026, 9, 14, 12, tzinfo=UTC), delay=timedelta(minutes=16)) is None
    assert wish(M15, D1, now=datetime(2026, 9, 20, 12, tzinfo=UTC), delay=timedelta(minutes=16)) is None
    assert wish(M15, end=NOON - timedelta(days=3)) is None


@given(
    minutes=st.integers(0, 60 * 24 * 14),
    delay=st.sampled_from([timedelta(minutes=1), timedelta(minutes=16), timedelta(days=1), timedelta(days=30)]),
    timeframes=st.sets(st.sampled_from([M1, M15, M30, H1, H4, D1, W1]), min_size=1),
)
def test_live_begins_where_final_ends(minutes: int, delay: timedelta, timeframes: set[Timeframe]) -> None:
    """No expected bar between the final ones and now is left out, and none of the final ones is asked for as live."""
    now = datetime(2026, 9, 8, tzinfo=UTC) + timedelta(minutes=minutes)

    found = wish(*timeframes, now=now, delay=delay)

    for timeframe in timeframes - {W1}:
        since = max(NYSE.closed_until(timeframe, now, delay), now - LOOK_BACK)
        lacking = NYSE.expected_starts(timeframe, Range(since, now)) if since < now else np.empty(0, np.int64)
        begun = NYSE.opens[NYSE.session_of(timeframe, lacking)] < to_us(now)
        target = found.targets.get(timeframe) if found is not None else None
        if not begun.any():
            assert target is None
            continue
        assert found is not None
        assert target is not None
        assert target.start >= since
        assert len(NYSE.expected_starts(timeframe, target)) == len(lacking)
        assert found.window.end == now
        if timeframe.is_intraday:
            assert found.window.start <= target.start

"""What a provider declares, as the planner reads it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.capabilities import Capabilities
from barfill.core.timeframe import Timeframe
from tests.core.strategies import paged_capabilities

NOW = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)


def with_history(start: datetime | None, length: timedelta | None) -> Capabilities:
    """A provider with such a history."""
    return replace(paged_capabilities(), history_start=start, history_length=length)


def test_a_moving_history_begins_with_the_first_whole_day() -> None:
    """The start moves on with time, a day at a time, and is never before the wall."""
    rolling = with_history(None, timedelta(days=730))

    assert rolling.history_start_at(NOW, Timeframe.M1) == datetime(2024, 11, 27, tzinfo=UTC)
    assert rolling.history_start_at(NOW + timedelta(hours=8), Timeframe.M1) == datetime(2024, 11, 27, tzinfo=UTC)
    assert rolling.history_start_at(NOW + timedelta(days=60), Timeframe.M1) == datetime(2025, 1, 26, tzinfo=UTC)


def test_a_history_may_also_have_a_first_day() -> None:
    """The later of the two counts; without any the history is unlimited."""
    first = datetime(2025, 3, 1, tzinfo=UTC)

    assert with_history(first, None).history_start_at(NOW, Timeframe.M1) == first
    assert with_history(first, timedelta(days=730)).history_start_at(NOW, Timeframe.M1) == first
    assert with_history(None, None).history_start_at(NOW, Timeframe.M1) is None


@settings(deadline=None, max_examples=50)
@given(
    days=st.dictionaries(st.sampled_from(Timeframe), st.integers(1, 9_000)),
    common=st.one_of(st.none(), st.integers(1, 9_000)),
    timeframe=st.sampled_from(Timeframe),
)
def test_each_timeframe_may_have_a_history_of_its_own(
    days: dict[Timeframe, int], common: int | None, timeframe: Timeframe
) -> None:
    """Its own length counts, else the common one; neither reaches back farther than the provider goes."""
    lengths = {one: timedelta(days=count) for one, count in days.items()}
    length = lengths.get(timeframe, None if common is None else timedelta(days=common))
    common_length = None if common is None else timedelta(days=common)

    start = replace(with_history(None, common_length), history_length_of=lengths).history_start_at(NOW, timeframe)

    assert (start is None) == (length is None)
    assert start is None or length is None or timedelta() < start - (NOW - length) <= timedelta(days=1)


def test_prices_are_raw_unless_it_is_said() -> None:
    """Only the timeframes that are named have another basis."""
    capabilities = replace(paged_capabilities(), adjusted={Timeframe.D1: "split"})

    assert (capabilities.basis(Timeframe.D1), capabilities.basis(Timeframe.M1)) == ("split", "raw")


def test_a_history_of_so_many_bars_is_longer_the_longer_they_are() -> None:
    """It begins with a bar, moves on with each, and what is derived reaches as far as what it is made of (H19)."""
    newest = replace(
        paged_capabilities(), history_bars=718, timeframes=frozenset({Timeframe.M1, Timeframe.M15, Timeframe.D1})
    )
    starts = {one: newest.history_start_at(NOW + timedelta(seconds=7), one) for one in Timeframe}

    assert starts[Timeframe.M1] == NOW - timedelta(minutes=718)
    assert starts[Timeframe.H1] == starts[Timeframe.M15] == NOW - 718 * timedelta(minutes=15)
    assert starts[Timeframe.W1] == starts[Timeframe.D1] == datetime(2026, 11, 26, tzinfo=UTC) - timedelta(days=718)

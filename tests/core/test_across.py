"""What two timeframes of a session, or all of its bars together, tell: W12, W17 and W20."""

from __future__ import annotations

from dataclasses import replace

import pytest

from barfill.core.across import SessionTotals, warnings_across
from barfill.core.timeframe import Timeframe
from tests.core.samples import at

USUAL = SessionTotals(
    symbol_id=7,
    label=at("2024-03-05"),
    opens_at=at("2024-03-05T14:30"),
    closes_at=at("2024-03-05T21:00"),
    finer=Timeframe.M15,
    density=1.0,
    day_high=12.0,
    day_low=9.0,
    day_close=11.0,
    day_volume=1000.0,
    high=12.0,
    low=9.0,
    close=11.0,
    volume=1000.0,
    bars=26,
)


def rules(one: SessionTotals) -> list[str]:
    """The warnings about a session of 26 bars, by rule."""
    return [warning.rule for warning in warnings_across(one, 26)]


def test_a_session_that_agrees_is_no_warning() -> None:
    """Nor is one of which the day's bar, or its minutes, are not there."""
    assert rules(USUAL) == []
    assert rules(replace(USUAL, day_high=None, day_low=None, day_close=None, day_volume=None)) == []
    assert rules(replace(USUAL, high=None, low=None, close=None, volume=None, bars=0)) == []


@pytest.mark.parametrize(("volume", "told"), [(750.0, False), (749.0, True), (1250.0, False), (1251.0, True)])
def test_volumes_may_be_a_quarter_apart(volume: float, told: bool) -> None:
    """W12, in both directions; it is told of the day's bar."""
    found = list(warnings_across(replace(USUAL, volume=volume), 26))

    assert [one.rule for one in found] == ["W12"] * told
    assert {(one.symbol_id, one.timeframe, one.ts) for one in found} <= {(7, Timeframe.D1, USUAL.label)}
    assert all("1000" in one.detail and f"{volume:.10g}" in one.detail for one in found)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"high": 12.01}, "high 12 is below 12.01"),
        ({"low": 8.99}, "low 9 is above 8.99"),
        ({"close": 11.06}, "close 11 is not near 11.06"),
        ({"high": 11.0, "low": 10.0, "close": 11.05}, ""),
    ],
)
def test_a_day_spans_its_minutes(change: dict[str, float], says: str) -> None:
    """W17: high and low outright, the close within half a per cent; a day may be wider than its minutes."""
    found = list(warnings_across(replace(USUAL, **change), 26))  # type: ignore[arg-type]

    assert [one.rule for one in found] == (["W17"] if says else [])
    assert says in "".join(one.detail for one in found)


@pytest.mark.parametrize(
    ("bars", "density", "told"),
    [(24, 1.0, False), (23, 1.0, True), (13, 1.0, True), (12, 1.0, False), (20, 0.94, False), (20, None, False)],
)
def test_a_session_is_thin_by_what_the_symbol_usually_has(bars: int, density: float | None, told: bool) -> None:
    """W20, of a liquid symbol, from half of the bars to nine tenths; it is told of the session's first bar."""
    found = list(warnings_across(replace(USUAL, bars=bars, density=density), 26))

    assert [one.rule for one in found] == ["W20"] * told
    assert {(one.timeframe, one.ts) for one in found} <= {(Timeframe.M15, USUAL.opens_at)}

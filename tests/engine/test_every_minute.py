"""R17 through the engine: backfills at the minutes that matter, each with the clocks moved on, of all timeframes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.series import read_series
from tests.core.spelled_out import Bar, bars_around, session
from tests.engine.clocks import set_clock
from tests.engine.honesty import FaultyRig

TICKER = "AAPL"
FINAL = "select ts from ohlc_bars where timeframe = %s and data_status = 'final'"
FULL, HALF = date(2026, 6, 10), date(2025, 11, 28)
AFTER_SUMMER, OF_SUMMER = date(2025, 11, 3), date(2026, 3, 9)
MINUTES = {
    FULL: ["00:00", "13:30", "13:31", "13:46", "14:31", "16:07", "19:59", "20:00", "20:01", "20:17", "25:30"],
    HALF: ["00:00", "14:31", "14:46", "17:59", "18:00", "18:01", "18:02", "21:01", "25:30"],
    AFTER_SUMMER: ["00:00", "13:31", "14:29", "14:30", "14:46", "20:01", "21:00", "21:01", "26:30"],
    OF_SUMMER: ["00:00", "04:01", "13:30", "13:46", "14:31", "20:00", "20:01", "21:01", "25:30"],
}
"""UTC: midnight there and in New York, the opens of summer and winter, bars that form, the closes, and just after."""


@pytest.fixture(scope="module")
def moving() -> Iterator[SimulatedExchange]:
    """An exchange whose clock stands until it is moved; its plan bars nothing."""
    config = ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000, clock_is_frozen=True)
    with running_exchange(config) as exchange:
        yield exchange


def over(bars: list[Bar], now: datetime) -> list[datetime]:
    """The stamps of the bars that are over."""
    return [start for start, end in bars if end <= now]


def settled(timeframe: Timeframe) -> timedelta:
    """After which time a bar that is over must be there: days grow until extended hours end, weeks are made of days."""
    return timedelta(minutes=2) if timeframe.is_intraday else timedelta(hours=5)


@pytest.mark.parametrize("day", MINUTES, ids=["full day", "half day", "after summer time", "of summer time"])
def test_nothing_is_covered_before_it_is_over(moving: SimulatedExchange, database: Database, day: date) -> None:
    """Whenever a backfill runs, no bar that forms is covered or final, what is settled is there, nothing is a gap."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    wanted = Range(midnight - timedelta(days=8), midnight + timedelta(days=2))
    rig = FaultyRig(moving, database, plan="paid")
    bars = {timeframe: bars_around(day, timeframe, session) for timeframe in Timeframe}

    for text in MINUTES[day]:
        now = midnight + timedelta(hours=int(text[:2]), minutes=int(text[3:]), seconds=2)
        moving.set_clock(now)
        set_clock(database, now)
        rig.backfill([TICKER], list(Timeframe), wanted)

        assert rig.query("select * from series_gaps") == [], text
        series = {key[1]: row for key, row in database.run(read_series, None, list(Timeframe)).items()}
        for timeframe, known in bars.items():
            forming = Ranges(Range(start, start + timeframe.length) for start, end in known if end > now)
            covered = series[timeframe].covered if timeframe in series else Ranges()
            stored = {row[0] for row in rig.query(FINAL, timeframe.value)}
            assert not _starts_in(covered, forming), f"{text} {timeframe}: {covered}"
            assert stored <= set(over(known, now)), f"{text} {timeframe}"
            due = {start for start in over(known, now - settled(timeframe)) if start in wanted}
            assert due <= stored, f"{text} {timeframe}: {sorted(due - stored)}"


def _starts_in(covered: Ranges, forming: Ranges) -> bool:
    """Whether a forming bar's start, or anything behind it, is covered."""
    return any(one & bar for one in covered for bar in forming)

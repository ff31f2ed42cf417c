"""R17, the pure part: at every minute of a day the horizon lies behind what is over, and before what is not."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta

import pytest

from barfill.core.calendar import trading_calendar
from barfill.core.timeframe import Timeframe
from tests.core.spelled_out import around_the_clock, bars_around, session

XNYS, CRYPTO = trading_calendar("XNYS", 2027), trading_calendar("24/7", 2027)
DELAYS = [timedelta(), timedelta(minutes=16)]
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("delay", DELAYS, ids=["at once", "after 16 minutes"])
@pytest.mark.parametrize("timeframe", Timeframe)
@pytest.mark.parametrize(
    ("day", "is_crypto"),
    [
        (date(2026, 6, 10), False),
        (date(2025, 11, 28), False),
        (date(2025, 11, 3), False),
        (date(2026, 3, 9), False),
        (date(2026, 3, 9), True),
    ],
    ids=["full day", "half day", "Monday after summer time", "Monday of summer time", "crypto"],
)
def test_no_bar_before_the_horizon_is_open(day: date, is_crypto: bool, timeframe: Timeframe, delay: timedelta) -> None:
    """Each bar that is over lies before the horizon, and each that is not lies behind it, at all 1,440 minutes."""
    calendar, session_of = (CRYPTO, around_the_clock) if is_crypto else (XNYS, session)
    bars = bars_around(day, timeframe, session_of)
    starts, ends = [start for start, _ in bars], [end for _, end in bars]
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)

    for minute in range(1_440):
        now = midnight + minute * MINUTE
        over = bisect_right(ends, now - delay)
        horizon = calendar.closed_until(timeframe, now, delay)

        assert horizon <= starts[over], f"{now}: the bar of {starts[over]} is covered before it is over"
        assert starts[over - 1] < horizon, f"{now}: the bar of {starts[over - 1]} is over"

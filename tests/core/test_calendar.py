"""Sessions and expected bars, against the truth about the New York Stock Exchange."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.calendar import TradingCalendar, trading_calendar, week_starts
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, OutsideCalendar
from tests.core.samples import DAY, MINUTE, at, new_york, round_the_clock, span, texts, us

XNYS = new_york()
CRYPTO = round_the_clock()


def dates(text: str) -> list[str]:
    """The dates in a block of text."""
    return text.split()


HALF_DAYS = dates(
    """
    2010-11-26 2011-11-25 2012-07-03 2012-11-23 2012-12-24 2013-07-03 2013-11-29 2013-12-24 2014-07-03 2014-11-28
    2014-12-24 2015-11-27 2015-12-24 2016-11-25 2017-07-03 2017-11-24 2018-07-03 2018-11-23 2018-12-24 2019-07-03
    2019-11-29 2019-12-24 2020-11-27 2020-12-24 2021-11-26 2022-11-25 2023-07-03 2023-11-24 2024-07-03 2024-11-29
    2024-12-24 2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24
    """
)
CLOSED = dates(
    """
    2012-10-29 2012-10-30 2018-12-05 2025-01-09 2022-06-20 2023-06-19 2024-06-19 2025-06-19 2026-06-19 2027-06-18
    2012-01-02 2017-01-02 2023-01-02 2011-12-26 2016-12-26 2022-12-26 2010-12-24 2021-12-24 2015-07-03 2020-07-03
    2026-07-03 2010-07-05 2021-07-05 2012-04-06 2018-03-30 2021-04-02 2024-03-29 2025-04-18 2026-04-03
    """
)
OPEN_AND_FULL = dates(
    """
    2021-06-18 2010-12-31 2021-12-31 2015-07-02 2020-07-02 2026-07-02 2025-10-13 2025-11-11 2025-12-26 2012-10-26
    2012-10-31 2018-12-04 2018-12-06 2025-01-08 2025-01-10
    """
)
FULL_DAY = {"m1": 390, "m5": 78, "m15": 26, "m30": 13, "h1": 7, "h4": 2, "d1": 1}
HALF_DAY = {"m1": 210, "m5": 42, "m15": 14, "m30": 7, "h1": 4, "h4": 1, "d1": 1}


def day(text: str) -> Range:
    return Range(at(text), at(text) + timedelta(days=1))


def counts(calendar: TradingCalendar, wanted: Range) -> dict[str, int]:
    return {timeframe: calendar.expected_count(Timeframe(timeframe), wanted) for timeframe in FULL_DAY}


@pytest.mark.parametrize(
    ("year", "sessions", "half_days", "minutes"),
    [
        (2010, 252, 1, 98_100),
        (2012, 250, 3, 96_960),
        (2013, 252, 3, 97_740),
        (2018, 251, 3, 97_350),
        (2020, 253, 2, 98_310),
        (2022, 251, 1, 97_710),
        (2024, 252, 3, 97_740),
        (2025, 250, 3, 96_960),
        (2026, 251, 2, 97_530),
    ],
)
def test_year_has_its_sessions_half_days_and_minutes(year: int, sessions: int, half_days: int, minutes: int) -> None:
    """
    A year of the New York Stock Exchange has the sessions, early closes and minutes that were counted for it.
    """
    wanted = span(f"{year}-01-01", f"{year + 1}-01-01")
    chosen = XNYS.sessions(wanted, by_label=True)
    lengths = XNYS.closes[chosen] - XNYS.opens[chosen]

    assert len(lengths) == sessions
    assert np.count_nonzero(lengths == 210 * MINUTE) == half_days
    assert XNYS.expected_count(Timeframe.M1, wanted) == minutes


def test_half_days_are_these_36() -> None:
    """
    From 2010 to 2026 exactly the known 36 sessions end at 13:00 New York.
    """
    chosen = XNYS.sessions(span("2010-01-01", "2027-01-01"), by_label=True)
    is_short = XNYS.closes[chosen] - XNYS.opens[chosen] < 390 * MINUTE

    assert [text[:10] for text in texts(XNYS.labels[chosen][is_short])] == HALF_DAYS


@pytest.mark.parametrize("text", CLOSED)
def test_closed_day_expects_no_bar(text: str) -> None:
    """
    Holidays, and closures announced late, expect no bar of any timeframe.
    """
    assert set(counts(XNYS, day(text)).values()) == {0}


@pytest.mark.parametrize("text", OPEN_AND_FULL)
def test_open_day_expects_all_bars(text: str) -> None:
    """
    Days that look like holidays, and the days around a closure, are full sessions.
    """
    assert counts(XNYS, day(text)) == FULL_DAY


@pytest.mark.parametrize("text", HALF_DAYS)
def test_half_day_expects_half_the_bars(text: str) -> None:
    """
    A half day expects as many bars of each timeframe as fit until 13:00, the last one cut short.
    """
    assert counts(XNYS, day(text)) == HALF_DAY


@pytest.mark.parametrize(
    ("before", "after", "open_before", "open_after"),
    [
        ("2025-03-07", "2025-03-10", "14:30", "13:30"),
        ("2025-10-31", "2025-11-03", "13:30", "14:30"),
        ("2026-03-06", "2026-03-09", "14:30", "13:30"),
        ("2026-10-30", "2026-11-02", "13:30", "14:30"),
        ("2012-11-02", "2012-11-05", "13:30", "14:30"),
    ],
)
def test_session_follows_new_york_over_dst(before: str, after: str, open_before: str, open_after: str) -> None:
    """
    T04: over a DST weekend the open moves by an hour in UTC, and each session still has two h4 bars.
    """
    starts = XNYS.expected_starts(Timeframe.H4, Range(at(before), at(after) + timedelta(days=1)))

    assert texts(starts[[0, 2]]) == [f"{before}T{open_before}", f"{after}T{open_after}"]
    assert len(starts) == 4
    assert starts[1] - starts[0] == starts[3] - starts[2] == 240 * MINUTE


def test_new_york_day_of_dst_has_23_or_25_hours_and_a_utc_day_24() -> None:
    """
    T05: a crypto day is a UTC day of 1,440 minutes, also where New York's has 23 or 25 hours.
    """
    for text in ("2025-03-09", "2025-11-02"):
        assert CRYPTO.expected_count(Timeframe.M1, day(text)) == 1_440
        assert texts(CRYPTO.expected_starts(Timeframe.H4, day(text)))[1] == f"{text}T04:00"


@pytest.fixture
def library_without_closure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A calendar library from before 2025-01-09 was known to be closed."""
    sessions = pd.DatetimeIndex(["2025-01-08", "2025-01-09", "2025-01-10"])
    hours = [pd.Series(sessions.tz_localize("UTC") + pd.Timedelta(hours=hour), index=sessions) for hour in (14.5, 21)]
    none = pd.Series(pd.NaT, index=sessions).dt.tz_localize("UTC")
    old = SimpleNamespace(sessions=sessions, opens=hours[0], closes=hours[1], break_starts=none, break_ends=none)
    monkeypatch.setattr(exchange_calendars, "get_calendar", lambda name, **bounds: old)
    trading_calendar.cache_clear()
    yield
    trading_calendar.cache_clear()


@pytest.mark.usefixtures("library_without_closure")
def test_known_closure_wins_over_an_old_library() -> None:
    """
    T07: a closure in our own table holds where the installed library does not know it yet.
    """
    calendar = trading_calendar("XNYS", 2025)

    assert texts(calendar.labels) == ["2025-01-08T00:00", "2025-01-10T00:00"]
    assert calendar.version == f"exchange_calendars {exchange_calendars.__version__} + 1 of barfill"


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.D1, Timeframe.W1])
@pytest.mark.parametrize("wanted", [span("1989-12-29", "1990-01-05"), span("2027-12-01", "2028-01-05")])
def test_range_beyond_the_calendar_is_refused(timeframe: Timeframe, wanted: Range) -> None:
    """
    T08: beyond what the calendar knows is an error that names both ranges, never "closed".
    """
    with pytest.raises(OutsideCalendar, match=r"of XNYS that are known \(1990-01-01 to 2027-12-31\)"):
        XNYS.expected_starts(timeframe, wanted)


def test_calendar_can_be_asked_up_to_its_ends() -> None:
    """
    T08: the first and the last week that the calendar knows are answered, the end itself being excluded.
    """
    assert texts(XNYS.expected_starts(Timeframe.W1, span("2027-12-20", "2028-01-01"))) == [
        "2027-12-20T00:00",
        "2027-12-27T00:00",
    ]
    assert texts(XNYS.expected_starts(Timeframe.W1, span("1990-01-01", "1990-01-09")))[0] == "1990-01-01T00:00"


def test_unknown_exchange_is_refused() -> None:
    """
    An exchange that the library does not know is refused with the name and an example.
    """
    with pytest.raises(InvalidInput, match=r"'NOWHERE' is unknown\. Use an exchange's code"):
        trading_calendar("NOWHERE", 2025)


def test_bar_counts_when_it_starts_inside() -> None:
    """
    Bounds need not lie on a bar: one that starts before the range is out, one that starts inside is in.
    """
    starts = XNYS.expected_starts(Timeframe.H1, span("2024-03-05T14:31", "2024-03-05T20:30"))

    assert [text[11:] for text in texts(starts)] == ["15:30", "16:30", "17:30", "18:30", "19:30"]


def test_weeks_are_stamped_by_their_monday() -> None:
    """
    w1 bars start on the ISO Monday, also where it is a holiday, and weeks without a session have none.
    """
    assert texts(XNYS.expected_starts(Timeframe.W1, span("2024-01-01", "2024-01-16"))) == [
        "2024-01-01T00:00",
        "2024-01-08T00:00",
        "2024-01-15T00:00",
    ]
    assert week_starts(np.array([us("1969-12-31T12:00"), us("2024-03-10T23:59")])).tolist() == [
        us("1969-12-29"),
        us("2024-03-04"),
    ]


@pytest.mark.parametrize(
    ("timeframe", "start", "end"),
    [
        (Timeframe.M15, "2024-03-05T20:45", "2024-03-05T21:00"),
        (Timeframe.H1, "2024-03-05T20:30", "2024-03-05T21:00"),
        (Timeframe.H4, "2024-03-05T18:30", "2024-03-05T21:00"),
        (Timeframe.H4, "2024-07-03T13:30", "2024-07-03T17:00"),
        (Timeframe.M5, "2024-03-05T22:00", "2024-03-05T22:05"),
        (Timeframe.D1, "2024-07-03", "2024-07-03T17:00"),
        (Timeframe.W1, "2024-03-25", "2024-03-28T20:00"),
    ],
)
def test_bar_is_over_at_its_end_or_the_close(timeframe: Timeframe, start: str, end: str) -> None:
    """
    A bar is over at its nominal end or at its session's close, whichever is first; a week at its last close.
    """
    assert texts(XNYS.bar_ends(timeframe, np.array([us(start)]))) == [at(end).isoformat(timespec="minutes")[:16]]


def test_session_of_a_bar_at_the_borders() -> None:
    """
    The first minute belongs to the session, the minute of the close and the one before the open to none.
    """
    opened = us("2024-03-05T14:30")
    minutes = np.array(
        [opened - MINUTE, opened, opened + 389 * MINUTE, opened + 390 * MINUTE, 0, us("2027-12-31T23:59")]
    )
    index = XNYS.session_of(Timeframe.M1, minutes)

    assert index.tolist() == [-1, index[1], index[1], -1, -1, -1]
    assert texts(XNYS.labels[index[1:2]]) == ["2024-03-05T00:00"]


def test_session_of_days_and_weeks() -> None:
    """
    A Saturday, and the Monday of a week that the calendar does not know, have no session.
    """
    days = XNYS.session_of(Timeframe.D1, np.array([us("2024-03-08"), us("2024-03-09"), us("2028-01-03")]))
    weeks = XNYS.session_of(Timeframe.W1, np.array([us("2024-01-15"), us("2028-01-03"), us("1989-12-04")]))

    assert (days >= 0).tolist() == [True, False, False]
    assert texts(XNYS.labels[weeks[:1]]) == ["2024-01-16T00:00"]
    assert weeks[1:].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("timeframe", "now", "horizon"),
    [
        (Timeframe.M15, "2024-03-05T15:20", "2024-03-05T15:00"),
        (Timeframe.M15, "2024-03-05T15:16", "2024-03-05T15:00"),
        (Timeframe.M15, "2024-03-05T15:15", "2024-03-05T14:45"),
        (Timeframe.H4, "2024-03-05T21:16", "2024-03-05T21:00"),
        (Timeframe.M1, "2024-03-09T12:00", "2024-03-09T11:44"),
        (Timeframe.D1, "2024-03-05T21:15", "2024-03-05"),
        (Timeframe.D1, "2024-03-05T21:16", "2024-03-06"),
        (Timeframe.W1, "2024-03-08T21:16", "2024-03-11"),
    ],
)
def test_horizon_stops_at_the_bar_that_is_forming(timeframe: Timeframe, now: str, horizon: str) -> None:
    """
    With a delay of 16 minutes, the horizon is the start of the first bar that is not over, or the clock at night.
    """
    assert XNYS.closed_until(timeframe, at(now), timedelta(minutes=16)) == at(horizon)


@settings(deadline=None)
@given(minutes=st.integers(0, 366 * 1_440), timeframe=st.sampled_from(Timeframe), is_crypto=st.booleans())
def test_bars_before_the_horizon_are_over_and_no_others(minutes: int, timeframe: Timeframe, is_crypto: bool) -> None:
    """
    R17: at any minute of a year, bars before the horizon are over and the first one behind it is not.
    """
    calendar = CRYPTO if is_crypto else XNYS
    now, delay = at("2024-01-01") + timedelta(minutes=minutes), timedelta(minutes=16)
    horizon = calendar.closed_until(timeframe, now, delay)

    starts = calendar.expected_starts(timeframe, Range(now - timedelta(days=20), now + timedelta(days=20)))
    is_over = np.array([from_us(end) for end in calendar.bar_ends(timeframe, starts).tolist()]) <= now - delay

    assert is_over.tolist() == [from_us(start) < horizon for start in starts.tolist()]


def test_crypto_day_is_a_session_from_midnight_to_midnight() -> None:
    """
    Around the clock, h4 bars start at 00:00 UTC, days touch, and each is over at the next one's start.
    """
    two_days = span("2024-02-28", "2024-03-01")
    days = CRYPTO.expected_starts(Timeframe.D1, two_days)

    assert [CRYPTO.expected_count(timeframe, two_days) for timeframe in Timeframe] == [
        *(2_880, 576, 192, 96, 48, 12, 2, 0)
    ]
    assert CRYPTO.bar_ends(Timeframe.D1, days).tolist() == (days + DAY).tolist()
    assert CRYPTO.session_of(Timeframe.M1, days + DAY - 1).tolist() == CRYPTO.session_of(Timeframe.D1, days).tolist()


def test_expected_starts_are_the_calendar_spelled_out() -> None:
    """
    The expected h1 bars of a year are what a plain loop over its sessions gives.
    """
    wanted = span("2024-01-01", "2025-01-01")
    chosen = XNYS.sessions(wanted, by_label=False)
    naive: list[int] = []
    for opens, closes in zip(XNYS.opens[chosen].tolist(), XNYS.closes[chosen].tolist(), strict=True):
        naive.extend(range(opens, closes, 60 * MINUTE))

    assert XNYS.expected_starts(Timeframe.H1, wanted).tolist() == naive

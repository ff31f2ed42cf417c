"""Listing and delisting bound what is expected; known outages explain what is absent: for gaps, matrix, coverage."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import pytest

from barfill.core.calendar import use_own_sessions
from barfill.core.own_sessions import OwnSession
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.completeness import series_states
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN
from tests.engine.rig import NYSE, Rig, days


@pytest.mark.parametrize(
    ("ticker", "window", "traded"),
    [
        ("NEWC", days("2026-04-20", "2026-06-06"), days("2026-05-18", "2026-06-06")),
        ("GONE", days("2025-02-24", "2025-04-05"), days("2025-02-24", "2025-03-15")),
    ],
)
def test_days_before_listing_and_after_delisting_are_not_expected(
    rig: Rig, ticker: str, window: Range, traded: Range
) -> None:
    """
    D32: expected are the bars of the days on which the symbol was listed, in fetched and derived timeframes; the others
    are settled as unavailable, each in one gap of as many bars.
    """
    timeframes = [Timeframe.M15, Timeframe.H4, Timeframe.D1, Timeframe.W1]
    rig.backfill([ticker], timeframes, window)

    states = series_states(rig.database, [ticker])
    gaps = rig.query("select timeframe, sum(expected_bars)::int, min(kind), max(kind) from series_gaps group by 1")

    expected = {timeframe: NYSE.expected_count(timeframe, traded) for timeframe in timeframes}
    outside = {one: NYSE.expected_count(one, window) - count for one, count in expected.items()}
    assert {one.timeframe: (one.expected, one.present, one.settled) for one in states} == {
        timeframe: (count, count, outside[timeframe]) for timeframe, count in expected.items()
    }
    assert sorted(gaps) == sorted((one.value, count, "unavailable", "unavailable") for one, count in outside.items())


def test_minutes_of_a_halt_are_settled_at_once_and_nothing_is_asked_again(rig: Rig) -> None:
    """
    T11: a liquid symbol that lacks the minutes of the circuit breaker of 2020-03-09 is complete; 5m bars that these
    minutes would make are halted too, coarser ones are made of the rest, and the next backfill asks for nothing.
    """
    minutes = [f"2020-03-09T13:{minute}:00Z" for minute in range(35, 50)]
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "D20", "args": {"at": at}} for at in minutes])
    wanted = days("2020-03-09", "2020-03-10")

    timeframes = [one for one in Timeframe if one.is_intraday]
    report = rig.backfill(["SPY"], timeframes, wanted)
    asked = rig.bar_requests()
    again = rig.backfill(["SPY"], timeframes, wanted)

    assert report.exit_code == again.exit_code == EXIT_COMPLETE
    assert rig.bar_requests() == asked
    assert [len(rig.stored("SPY", one)) for one in timeframes] == [390 - 15, 78 - 3, 26, 13, 7, 2]
    assert all(one.is_complete for one in series_states(rig.database, ["SPY"]))
    gaps = rig.query(
        "select timeframe, to_char(gap_from at time zone 'UTC', 'HH24:MI'), expected_bars, kind, next_check_at "
        "from series_gaps order by 1"
    )
    assert gaps == [("m1", "13:35", 15, "halted", None), ("m5", "13:35", 3, "halted", None)]
    assert rig.query("select distinct calendar_version like 'exchange_calendars %%' from series_gaps") == [(True,)]


def test_days_after_a_delisting_on_file_are_settled_by_one_answer(rig: Rig) -> None:
    """
    An event on file says since when a symbol is delisted: what is absent after that day is asked for once.
    """
    rig.add_symbols(["GONE"])
    rig.change("update symbols set delisted_on = '2025-03-14'")
    report = rig.backfill(["GONE"], [Timeframe.D1], days("2025-02-24", "2025-04-05"))

    assert report.exit_code == EXIT_COMPLETE
    assert rig.bar_requests() == 1
    assert rig.query("select expected_bars, kind, reason from series_gaps") == [
        (15, "unavailable", "delisted on 2025-03-14; nothing after the last bar")
    ]


def test_delisting_on_file_that_bars_contradict_settles_nothing(rig: Rig) -> None:
    """
    Days between a delisting on file and bars that came are no days after the last bar: they are asked for again.
    """
    rig.add_symbols(["SPY"])
    rig.change("update symbols set delisted_on = '2026-09-09', is_active = false")
    at = "2026-09-16T04:00:00Z"
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "D20", "args": {"at": at}}])
    rig.backfill(["SPY"], [Timeframe.D1], days("2026-09-08", "2026-09-19"))

    assert rig.query("select expected_bars, kind from series_gaps") == [(1, "missing")]


@pytest.mark.parametrize(
    "wanted",
    [
        days("2024-11-25", "2024-12-28"),  # two half days, two holidays
        days("2025-01-06", "2025-01-13"),  # closed on the 9th, announced on 30 December
        days("2025-03-03", "2025-03-15"),  # the clock goes forward
        days("2025-10-27", "2025-11-08"),  # the clock goes back
        days("2026-06-15", "2026-07-11"),  # Juneteenth, and 3 July closed
    ],
    ids=str,
)
def test_no_gap_on_half_days_holidays_and_changes_of_the_clock(rig: Rig, wanted: Range) -> None:
    """
    T04, T06: two symbols that trade every minute have every bar that is expected, in all timeframes, and not one gap.
    """
    report = rig.backfill(["SPY", "AAPL"], list(Timeframe), wanted)

    assert report.exit_code == EXIT_COMPLETE
    assert rig.query("select * from series_gaps") == []
    counts = rig.query("select timeframe, count(*) from ohlc_bars group by symbol_id, timeframe")
    assert sorted(counts) == sorted((one.value, NYSE.expected_count(one, wanted)) for one in Timeframe for _ in "SA")


@pytest.fixture
def calendar_as_told() -> Iterator[None]:
    """What a test tells of days is forgotten after it."""
    yield
    use_own_sessions([])


TIMEFRAMES = [Timeframe.M15, Timeframe.H4, Timeframe.D1, Timeframe.W1]


@pytest.mark.usefixtures("calendar_as_told")
def test_closure_that_is_told_after_its_day_takes_the_gaps_of_that_day_along(rig: Rig) -> None:
    """
    T07: by a calendar that does not know of 2025-01-09 its bars are missing; once told, nothing is, without a call.
    """
    week = days("2025-01-06", "2025-01-11")
    hours = Range(*_new_york_hours(date(2025, 1, 9)))
    use_own_sessions([OwnSession("XNYS", date(2025, 1, 9), hours, "an old library")])
    before = rig.backfill(["SPY"], TIMEFRAMES, week)
    missing = rig.query("select timeframe, expected_bars, kind from series_gaps where timeframe in ('m15', 'd1')")
    asked = rig.bar_requests()

    use_own_sessions([])
    after = rig.backfill(["SPY"], TIMEFRAMES, week)

    assert before.exit_code == EXIT_GAPS_REMAIN
    assert sorted(missing) == [("d1", 1, "missing"), ("m15", 26, "missing")]
    assert after.exit_code == EXIT_COMPLETE
    assert rig.query("select * from series_gaps") == []
    assert rig.bar_requests() == asked
    assert all(one.is_complete for one in series_states(rig.database, ["SPY"]))


@pytest.mark.usefixtures("calendar_as_told")
def test_session_that_was_taken_for_a_closed_day_is_asked_for(rig: Rig) -> None:
    """
    T07: a day that was covered as closed time, and short hours that were none, are fetched once the calendar is right.
    """
    week = days("2025-01-13", "2025-01-18")
    start, end = _new_york_hours(date(2025, 1, 15))
    use_own_sessions(
        [
            OwnSession("XNYS", date(2025, 1, 14), None, "a rumour"),
            OwnSession("XNYS", date(2025, 1, 15), Range(start, end.replace(hour=18)), "another one"),
        ]
    )
    rig.backfill(["SPY"], TIMEFRAMES, week)
    assert len(rig.stored("SPY", Timeframe.M15)) == 3 * 26 + 14

    use_own_sessions([])
    after = rig.backfill(["SPY"], TIMEFRAMES, week)

    assert after.exit_code == EXIT_COMPLETE
    assert {one: len(rig.stored("SPY", one)) for one in TIMEFRAMES} == {
        one: NYSE.expected_count(one, week) for one in TIMEFRAMES
    }
    assert rig.stored("SPY", Timeframe.M15) == rig.truth("SPY", Timeframe.M15, week)
    assert rig.query("select sum(volume) from ohlc_bars where timeframe = 'h4'") == rig.query(
        "select sum(volume) from ohlc_bars where timeframe = 'm15'"
    )


def _new_york_hours(day: date) -> tuple[datetime, datetime]:
    """Open and close of a winter's day, UTC."""
    return datetime.combine(day, time(14, 30), UTC), datetime.combine(day, time(21), UTC)

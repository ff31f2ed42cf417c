"""Calendars other than New York's: lunch breaks, sessions that open the day before, short histories, own sessions."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import timedelta

import exchange_calendars
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.calendar import (
    AROUND_THE_CLOCK,
    calendar_name,
    trading_calendar,
    use_own_sessions,
)
from barfill.core.own_sessions import OwnSession, parse_own_sessions
from barfill.core.ranges import Range, from_us
from barfill.core.resample import resample
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, OutsideCalendar
from tests.core.samples import MINUTE, REAL_DATA, at, bars, needs_real_data, span, texts, us

M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
HONG_KONG = trading_calendar("XHKG", 2027)
BOMBAY = trading_calendar("XBOM", 2027)
CHICAGO = trading_calendar("CMES", 2027)
CALENDARS = {name: trading_calendar(name, 2027) for name in ("XNYS", "XHKG", "XBOM", "CMES", "XTKS", AROUND_THE_CLOCK)}


def test_lunch_break_has_no_bar_and_the_afternoon_begins_anew() -> None:
    """
    In Hong Kong bars are anchored at the open of the morning and of the afternoon, and end at noon and at the close.
    """
    monday = span("2024-03-04", "2024-03-05")
    hours = HONG_KONG.expected_starts(H1, monday)
    halves = HONG_KONG.expected_starts(H4, monday)

    assert [text[11:] for text in texts(hours)] == ["01:30", "02:30", "03:30", "05:00", "06:00", "07:00"]
    assert [text[11:] for text in texts(HONG_KONG.bar_ends(H1, hours))] == [
        *("02:30", "03:30", "04:00", "06:00", "07:00", "08:00")
    ]
    assert [text[11:] for text in texts(halves)] == ["01:30", "05:00"]
    assert [text[11:] for text in texts(HONG_KONG.bar_ends(H4, halves))] == ["04:00", "08:00"]
    assert [HONG_KONG.expected_count(one, monday) for one in Timeframe] == [330, 66, 22, 11, 6, 2, 1, 1]
    assert HONG_KONG.regular_bars_per_session(M1) == 330


def test_half_day_in_hong_kong_is_a_morning() -> None:
    """
    The last day before the lunar new year ends at noon: no afternoon is expected.
    """
    assert [HONG_KONG.expected_count(one, span("2024-02-09", "2024-02-10")) for one in Timeframe][:7] == [
        *(150, 30, 10, 5, 3, 1, 1)
    ]


def test_minute_of_the_lunch_break_is_on_no_session() -> None:
    """
    The last minute before the break and the first one after it are on the session, what lies between is not.
    """
    minutes = np.array([us(f"2024-03-04T{text}") for text in ("03:59", "04:00", "04:59", "05:00")])
    session = HONG_KONG.session_of(M1, minutes)

    assert (session >= 0).tolist() == [True, False, False, True]
    assert session[0] == session[3]


def test_bars_over_a_lunch_break_are_made_of_their_part_alone() -> None:
    """
    Minutes become the same hours and halves that are expected, and no bar holds minutes of both parts.
    """
    minutes = HONG_KONG.expected_starts(M1, span("2024-03-04", "2024-03-09"))
    for target in (M5, M15, M30, H1, H4):
        made = resample(bars(minutes), M1, target, HONG_KONG)

        assert made.ts.tolist() == HONG_KONG.expected_starts(target, span("2024-03-04", "2024-03-09")).tolist()
    assert resample(bars(minutes), M1, H4, HONG_KONG).volume.tolist() == [150_000.0, 180_000.0] * 5


@pytest.mark.parametrize("name", ["XNYS", "XHKG", "XTKS", "XBOM"])
@pytest.mark.parametrize("timeframe", [M1, M30, H1, H4])
def test_expected_starts_are_the_library_s_own(name: str, timeframe: Timeframe) -> None:
    """
    Over a year, half days and lunch breaks included, bars start where the calendar library starts its own intervals.
    """
    library = exchange_calendars.get_calendar(name, start="2023-01-01", end="2024-12-31")
    theirs = library.trading_index(
        *("2023-12-01", "2024-11-30", timeframe.length), intervals=False, closed="left", force=True
    )

    wanted = span("2023-12-01", "2024-12-01")
    ours = CALENDARS[name].expected_starts(timeframe, wanted)
    added = us("2024-01-20") if name == "XBOM" else -1  # a session that the library lacks
    ours = ours[ours // (1_440 * MINUTE) != added // (1_440 * MINUTE)]
    assert ours.tolist() == theirs.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64).tolist()


def test_session_in_chicago_opens_on_the_date_before() -> None:
    """
    CMES: the session of a Monday opens on Sunday evening, and its day is stamped by the Monday.
    """
    sunday = span("2024-03-03", "2024-03-04")

    assert texts(CHICAGO.expected_starts(H1, sunday)) == ["2024-03-03T23:00"]
    assert CHICAGO.expected_count(D1, sunday) == 0
    assert CHICAGO.session_of(M1, np.array([us("2024-03-03T23:00")])) == CHICAGO.session_of(
        D1, np.array([us("2024-03-04")])
    )


def test_calendar_that_is_recorded_for_fewer_years_is_known_for_these() -> None:
    """
    T08: Bombay is recorded from 1997 to 2026; days outside are an error that says so, never closed.
    """
    assert (BOMBAY.known.start, BOMBAY.known.end) == (at("1997-01-01"), at("2027-01-01"))
    assert BOMBAY.expected_count(M1, span("2024-03-04", "2024-03-05")) == 375
    for wanted in (span("1996-12-30", "1997-01-03"), span("2026-12-30", "2027-01-02")):
        with pytest.raises(OutsideCalendar, match=r"of XBOM that are known \(1997-01-01 to 2026-12-31\)"):
            BOMBAY.expected_count(D1, wanted)
        with pytest.raises(OutsideCalendar):
            BOMBAY.expected_starts(M15, wanted)


def test_horizon_is_told_until_the_last_day_that_is_known() -> None:
    """
    T08: shortly before a calendar's end the horizon is still told, of days and weeks; after it, it is an error.
    """
    delay = timedelta(minutes=16)

    assert BOMBAY.closed_until(D1, at("2026-12-30T09:00"), delay) == at("2026-12-30")
    assert BOMBAY.closed_until(M15, at("2026-12-31T05:00"), delay) == at("2026-12-31T04:30")
    # The week may go on in 2027, of which nothing is known: it is not over.
    assert BOMBAY.closed_until(W1, at("2026-12-31T23:00"), delay) == at("2026-12-28")
    with pytest.raises(OutsideCalendar):
        BOMBAY.closed_until(D1, at("2027-01-02"), delay)


BROKEN = {"ASEX", "XBEL", "XBSE", "XCYS", "XTAE"}
"""By exchange_calendars 4.13 on pandas 3: Orthodox Easter, and special closes in Tel Aviv that are no sessions."""


@pytest.mark.parametrize("name", ["AIXK", "BVMF", "XHKG", "XKRX", "XLON", "XSAU", "XSES", "XSHG", "XTKS", "us_futures"])
def test_sessions_are_in_order_and_their_parts_in_them(name: str) -> None:
    """
    Calendars with lunch breaks, late opens, long sessions and short histories give parts in order, in their sessions.
    """
    calendar = trading_calendar(name, 2027)

    assert len(calendar.labels) > 1_000
    assert np.all(np.diff(calendar.labels) > 0)
    assert np.all(calendar.part_opens < calendar.part_closes)
    assert np.all(calendar.part_closes[:-1] <= calendar.part_opens[1:])
    assert np.all(calendar.opens[calendar.part_session] <= calendar.part_opens)
    assert np.all(calendar.closes[calendar.part_session] >= calendar.part_closes)
    assert np.unique(calendar.part_session).tolist() == list(range(len(calendar.labels)))


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_calendar_that_the_library_fails_to_build_is_refused(name: str) -> None:
    """
    Where the library fails over its own data, that is said with what to do, and no session is guessed.
    """
    with pytest.raises(InvalidInput, match=f"cannot tell the sessions of {name}: .* Update it"):
        trading_calendar(name, 2027)


@settings(deadline=None, max_examples=200)
@given(
    name=st.sampled_from(sorted(CALENDARS)),
    timeframe=st.sampled_from(Timeframe),
    start=st.integers(us("1998-01-01") // 1_000_000, us("2026-06-01") // 1_000_000),
    length=st.integers(1, 90 * 86_400),
)
def test_bars_are_counted_as_they_are_listed(name: str, timeframe: Timeframe, start: int, length: int) -> None:
    """
    For any calendar and range, the count is the length of the list, alone and among many.
    """
    calendar = CALENDARS[name]
    wanted = Range(from_us(start * 1_000_000), from_us((start + length) * 1_000_000))
    listed = len(calendar.expected_starts(timeframe, wanted))
    bounds = np.array([start, start + length, start]) * 1_000_000
    many = calendar.expected_counts(timeframe, bounds[:1].repeat(3), np.append(bounds[1:], bounds[1]))

    assert calendar.expected_count(timeframe, wanted) == listed
    assert many.tolist() == [listed, 0, listed]


def test_counts_of_no_range_are_none() -> None:
    """
    Nothing is asked, nothing is counted; a range beyond the calendar among many is refused.
    """
    none = np.empty(0, np.int64)

    assert HONG_KONG.expected_counts(M1, none, none).tolist() == []
    with pytest.raises(OutsideCalendar):
        HONG_KONG.expected_counts(M1, np.array([us("2024-01-01"), us("2027-12-01")]), np.array([us("2028-01-03")] * 2))


@pytest.mark.parametrize(
    ("text", "name"), [("nyse", "XNYS"), ("XNAS", "XNYS"), ("XHKG", "XHKG"), ("24/7", "24/7"), ("CME", "CMES")]
)
def test_calendar_has_one_name(text: str, name: str) -> None:
    """
    Names that mean the same calendar are kept as one.
    """
    assert calendar_name(text) == name


def test_name_of_no_calendar_is_refused() -> None:
    """
    What is no calendar is refused with an example.
    """
    with pytest.raises(InvalidInput, match="'NOWHERE' is unknown"):
        calendar_name("NOWHERE")


@pytest.mark.real_data
@needs_real_data
@pytest.mark.parametrize("name", ["XNYS_1990-2023", "XHKG_1990-2025", "XBOM_1997-2026", "CMES_1990-2027"])
def test_sessions_equal_the_published_ones(name: str) -> None:
    """
    Opens, closes and lunch breaks are those of the published lists, on every day from their first to their last.
    """
    with gzip.open(REAL_DATA / f"calendar_{name}.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    calendar = CALENDARS[name[:4]]
    wanted = Range(at(rows[0]["session_date"]), at(rows[-1]["session_date"]) + timedelta(days=1))
    chosen = calendar.sessions(wanted, by_label=True)

    ours = [
        (label[:10], opens, closes)
        for label, opens, closes in zip(
            *(texts(column[chosen]) for column in (calendar.labels, calendar.opens, calendar.closes)), strict=True
        )
    ]
    assert ours == [(row["session_date"], row["open_utc"][:16], row["close_utc"][:16]) for row in rows]
    is_chosen = (calendar.part_session >= chosen.start) & (calendar.part_session < chosen.stop)
    parts = zip(texts(calendar.part_opens[is_chosen]), texts(calendar.part_closes[is_chosen]), strict=True)
    assert list(parts) == [part for row in rows for part in _parts(row)]


def _parts(row: dict[str, str]) -> list[tuple[str, str]]:
    """The parts of a published session."""
    stamps = {key: value[:16] for key, value in row.items()}
    if not row["break_start_utc"]:
        return [(stamps["open_utc"], stamps["close_utc"])]
    return [(stamps["open_utc"], stamps["break_start_utc"]), (stamps["break_end_utc"], stamps["close_utc"])]


@pytest.fixture
def own_sessions() -> Iterator[None]:
    """Three days that a user knows better."""
    hours = Range(at("2027-03-01T14:30"), at("2027-03-01T18:00"))
    morning = Range(at("2024-03-05T01:30"), at("2024-03-05T07:00"))
    use_own_sessions(
        [
            OwnSession("XNYS", at("2027-02-26").date(), None, "blizzard"),
            OwnSession("XNYS", at("2027-03-01").date(), hours, "and the day after"),
            OwnSession("XNYS", at("2027-02-27").date(), Range(at("2027-02-27T14:30"), at("2027-02-27T16:00")), "extra"),
            OwnSession("XNYS", at("2027-03-07").date(), None, "a Sunday anyway"),
            OwnSession("XHKG", at("2024-03-05").date(), morning, "typhoon"),
        ]
    )
    yield
    use_own_sessions([])


@pytest.mark.usefixtures("own_sessions")
def test_what_a_user_knows_wins_and_is_recorded() -> None:
    """
    T07: days of a user's file are closed, shortened and opened, keep their lunch break, and stand in the version.
    """
    wanted = span("2027-02-25", "2027-03-03")
    calendar = trading_calendar("XNYS", 2027)

    counts = [
        calendar.expected_count(M30, span(f"2027-{day}", f"2027-{day}T23:59")) for day in ("02-26", "02-27", "03-01")
    ]
    assert counts == [0, 3, 7]
    assert [text[:10] for text in texts(calendar.expected_starts(D1, wanted))] == [
        *("2027-02-25", "2027-02-27", "2027-03-01", "2027-03-02")
    ]
    assert calendar.version == f"exchange_calendars {exchange_calendars.__version__} + 3 of CALENDAR_FILE"
    assert trading_calendar("XHKG", 2027).expected_count(M1, span("2024-03-05", "2024-03-06")) == 270


def test_without_own_sessions_the_calendar_is_as_before() -> None:
    """
    What one user's file said does not stay behind.
    """
    assert trading_calendar("XNYS", 2027).expected_count(D1, span("2027-02-26", "2027-02-27")) == 1
    assert trading_calendar("XNYS", 2027).version == f"exchange_calendars {exchange_calendars.__version__}"


OWN = """
[[XNYS]]
on = 2027-01-15
closed = true
why = "announced on 2027-01-10"

[[XNYS]]
on = 2027-03-01
open = 2027-03-01T09:30:00-05:00
close = 2027-03-01T18:00:00Z
"""


def test_file_tells_of_closed_days_and_hours() -> None:
    """
    A file lists days by calendar: closed ones, and others with their open and close, whatever offset these have.
    """
    closed, short = parse_own_sessions(OWN, "days.toml")

    assert closed == OwnSession("XNYS", at("2027-01-15").date(), None, "announced on 2027-01-10")
    assert short.hours == Range(at("2027-03-01T14:30"), at("2027-03-01T18:00"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[[XNYS]", "days.toml is no TOML: .* See docs/calendars.md"),
        ("[['24/7']]\non = 2027-01-15\nclosed = true", "24/7 has no closed days"),
        ("XNYS = 3", r"'XNYS' is no list of days. Begin each day with \[\[XNYS\]\]"),
        ("[[XNYS]]\nclosed = true", r"number 1: on is None. Give the session's date"),
        ("[[XNYS]]\non = '2027-01-15'\nclosed = true", "Give the session's date"),
        ("[[XNYS]]\non = 2027-01-15T00:00:00Z\nclosed = true", "Give the session's date"),
        ("[[XNYS]]\non = 2027-01-15\nclose_at = 3", "close_at means nothing here"),
        ("[[XNYS]]\non = 2027-01-15\nclosed = false", "give closed = true, or open and close"),
        ("[[XNYS]]\non = 2027-01-15\nwhy = 3\nclosed = true", "why is 3. Give a text"),
        ("[[XNYS]]\non = 2027-01-15\nopen = 2027-01-15T09:30:00\nclose = 2027-01-15T18:00:00Z", "as instants"),
        ("[[XNYS]]\non = 2027-01-15\nopen = 2027-01-15T19:30:00Z\nclose = 2027-01-15T18:00:00Z", "is empty"),
        ("[[XNYS]]\non = 2027-01-15\nopen = 2027-01-18T14:30:00Z\nclose = 2027-01-18T18:00:00Z", "is no session of"),
        ("[[XNYS]]\non = 2027-01-15\nclosed = true\n" * 2, "some day of one calendar twice"),
    ],
)
def test_file_that_says_nothing_clear_is_refused(text: str, error: str) -> None:
    """
    What is not understood is refused with the entry and what to write; local times without an offset are not guessed.
    """
    with pytest.raises(InvalidInput, match=error):
        parse_own_sessions(text, "days.toml")


@pytest.mark.parametrize(
    ("name", "regular", "outside"),
    [
        (
            "XNYS",
            ["2024-03-05T14:30", "2024-03-05T20:59"],
            ["2024-03-05T14:29", "2024-03-05T21:00", "2024-03-09T15:00"],
        ),
        (
            "XHKG",
            ["2024-03-05T01:30", "2024-03-05T07:59"],
            ["2024-03-05T04:00", "2024-03-05T04:59", "2024-03-05T08:00"],
        ),
        (AROUND_THE_CLOCK, ["2024-03-05T00:00", "2024-03-09T23:59"], []),
    ],
)
def test_bars_outside_of_regular_hours_are_told_by_their_start(
    name: str, regular: list[str], outside: list[str]
) -> None:
    """Before the open, from the close on, on closed days and in lunch breaks; around the clock none is."""
    starts = np.array([us(text) for text in [*regular, *outside]], np.int64)

    assert CALENDARS[name].is_outside(starts).tolist() == [False] * len(regular) + [True] * len(outside)

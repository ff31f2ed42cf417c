"""Outages on file, holes that are found to the bar, and that every expected bar is there or in exactly one gap."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT
from barfill.core.calendar import AROUND_THE_CLOCK, TradingCalendar, trading_calendar
from barfill.core.gaps import Evidence, Gap, GapKind, Reconciled, SymbolRanges, reconcile
from barfill.core.judged import BlockedSlots
from barfill.core.known_outages import known_outages
from barfill.core.outages import reconcile_around_outages
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.timeframe import Timeframe
from tests.core.samples import MINUTE, at, needs_real_data, new_york, real_bars, round_the_clock, span, us

M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
XNYS, CRYPTO, CHICAGO = new_york(), round_the_clock(), trading_calendar("CMES", 2027)
CALENDARS = {"XNYS": XNYS, "XHKG": trading_calendar("XHKG", 2027), "CMES": CHICAGO, AROUND_THE_CLOCK: CRYPTO}
BREAKER = span("2020-03-09T13:34", "2020-03-09T13:50")


def evidence_of(
    ts: Any,
    *wanted: Range,
    density: float = 1.0,
    doubted: Sequence[Range] = (),
    blocked: BlockedSlots | None = None,
    has_older: bool = True,
) -> Evidence:
    """One symbol, of which these bars came."""
    stamps = np.asarray(ts, np.int64)
    return Evidence(
        proven=SymbolRanges.of([("A", one) for one in wanted], {"A": 0}),
        symbol=np.zeros(len(stamps), np.int32),
        ts=stamps,
        trades=np.full(len(stamps), NO_TRADE_COUNT),
        blocked=BlockedSlots.none() if blocked is None else blocked,
        doubted=SymbolRanges.of([("A", one) for one in doubted], {"A": 0}),
        is_lossy=np.zeros(1, np.bool_),
        density=np.array([density]),
        has_older=np.array([has_older]),
    )


def judged(
    ts: Any,
    *wanted: Range,
    timeframe: Timeframe = M1,
    calendar: TradingCalendar = XNYS,
    feed: str = "sip",
    **options: Any,
) -> Reconciled:
    return reconcile_around_outages(evidence_of(ts, *wanted, **options), calendar, timeframe, feed=feed)


def without(starts: NDArray[np.int64], *absent: Range) -> NDArray[np.int64]:
    """The starts that lie in none of *absent*."""
    return np.array([start for start in starts.tolist() if from_us(start) not in Ranges(absent)], np.int64)


def shown(gaps: Sequence[Gap]) -> list[tuple[Range, int, GapKind]]:
    return [(gap.range, gap.expected_bars, gap.kind) for gap in gaps]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2020-03-09T13:34", "2020-03-09T13:50"),
        ("2020-03-12T13:35", "2020-03-12T13:51"),
        ("2020-03-16T13:30", "2020-03-16T13:46"),
        ("2020-03-18T16:56", "2020-03-18T17:12"),
    ],
)
def test_minutes_of_a_market_wide_halt_are_halted(start: str, end: str) -> None:
    """
    T11: the minutes of the circuit breakers of March 2020 are settled as halted, by one answer, and covered.
    """
    halt, session = span(start, end), span(start[:10], f"{start[:10]}T23:59")
    result = judged(without(XNYS.expected_starts(M1, session), halt), session)

    assert shown(result.gaps) == [(halt, 16, GapKind.HALTED)]
    assert result.gaps[0].is_on_file
    assert result.covered.by_symbol()[0] == Ranges([session])
    assert result.density.tolist() == [1.0]


def test_same_hole_on_another_day_is_missing() -> None:
    """
    Without an outage on file, 16 absent minutes of a liquid symbol are a hole.
    """
    session, hole = span("2020-03-10", "2020-03-11"), span("2020-03-10T13:34", "2020-03-10T13:50")
    result = judged(without(XNYS.expected_starts(M1, session), hole), session)

    assert shown(result.gaps) == [(hole, 16, GapKind.MISSING)]
    assert not result.gaps[0].is_on_file


def test_hole_around_a_halt_is_missing_but_for_the_halt() -> None:
    """
    T11: what is absent before and after the halt is not explained by it, and is found with its edges.
    """
    session = span("2020-03-09", "2020-03-10")
    result = judged(without(XNYS.expected_starts(M1, session), span("2020-03-09T13:31", "2020-03-09T14:00")), session)

    assert shown(result.gaps) == [
        (span("2020-03-09T13:31", "2020-03-09T13:34"), 3, GapKind.MISSING),
        (BREAKER, 16, GapKind.HALTED),
        (span("2020-03-09T13:50", "2020-03-09T14:00"), 10, GapKind.MISSING),
    ]


def test_only_bars_that_lie_in_the_halt_are_explained() -> None:
    """
    A quarter of an hour that the halt cuts did trade: three five minutes are halted, no quarter is.
    """
    session = span("2020-03-09", "2020-03-10")
    absent = span("2020-03-09T13:35", "2020-03-09T13:50")
    fives = judged(without(XNYS.expected_starts(M5, session), absent), session, timeframe=M5)
    quarters = judged(np.delete(XNYS.expected_starts(M15, session), 1), session, timeframe=M15, density=float("nan"))

    assert shown(fives.gaps) == [(absent, 3, GapKind.HALTED)]
    assert GapKind.HALTED not in {gap.kind for gap in quarters.gaps}


def test_bars_of_another_venue_within_an_outage_are_kept() -> None:
    """
    T11: while New York was down in July 2015, what traded elsewhere is there; only what is absent is halted.
    """
    session, outage = span("2015-07-08", "2015-07-09"), span("2015-07-08T15:32", "2015-07-08T19:10")
    result = judged(without(XNYS.expected_starts(M1, session), span("2015-07-08T15:32", "2015-07-08T15:40")), session)

    assert shown(result.gaps) == [(span("2015-07-08T15:32", "2015-07-08T15:40"), 8, GapKind.HALTED)]
    assert result.covered.by_symbol()[0] == Ranges([session])
    assert known_outages(XNYS, "sip", session)[0].range == outage


def test_late_open_leaves_the_session_where_it_was() -> None:
    """
    On 2002-09-11 stocks opened at 11:00 or 12:00 in New York: absent hours are halted, h1 bars keep their anchor.
    """
    session = span("2002-09-11", "2002-09-12")
    starts = XNYS.expected_starts(M30, session)
    result = judged(starts[starts >= us("2002-09-11T15:00")], session, timeframe=M30)

    assert shown(result.gaps) == [(span("2002-09-11T13:30", "2002-09-11T15:00"), 3, GapKind.HALTED)]
    assert from_us(int(XNYS.expected_starts(H1, session)[0])) == at("2002-09-11T13:30")


def test_maintenance_of_a_venue_is_unavailable_there_alone() -> None:
    """
    T12: Binance's window of 2021-04-25 is unavailable on its feed, and a hole on another venue's.
    """
    day, window = span("2021-04-25", "2021-04-26"), span("2021-04-25T04:01", "2021-04-25T08:45")
    came = without(CRYPTO.expected_starts(M1, day), window)
    binance = judged(came, day, calendar=CRYPTO, feed="binance")
    kraken = judged(came, day, calendar=CRYPTO, feed="kraken")

    assert shown(binance.gaps) == [(window, 284, GapKind.UNAVAILABLE)]
    assert binance.gaps[0].is_on_file
    assert "Binance was under maintenance from 2021-04-25 04:01" in binance.gaps[0].reason
    assert shown(kraken.gaps) == [(window, 284, GapKind.MISSING)]


def test_silence_that_is_doubted_is_not_explained() -> None:
    """
    H11: an answer that may have lost rows explains nothing; nor do days before the symbol's first bar.
    """
    session = span("2020-03-09", "2020-03-10")
    came = without(XNYS.expected_starts(M1, session), span("2020-03-09T13:34", "2020-03-09T21:00"))
    late = without(XNYS.expected_starts(M1, session), span("2020-03-09T13:00", "2020-03-09T14:00"))

    assert [gap.kind for gap in judged(came, session, doubted=[session]).gaps] == [GapKind.MISSING]
    assert [gap.kind for gap in judged(late, session, has_older=False).gaps] == [GapKind.UNAVAILABLE]


def test_bar_whose_row_is_kept_out_is_not_covered_by_an_outage() -> None:
    """
    A row in the middle of a halt that broke a rule stays in quarantine; the minutes around it are halted.
    """
    session, at_40 = span("2020-03-09", "2020-03-10"), us("2020-03-09T13:40")
    one = np.ones(1, np.bool_)
    blocked = BlockedSlots(np.zeros(1, np.int32), np.array([at_40]), ~one, np.empty(0, np.int32))
    result = judged(without(XNYS.expected_starts(M1, session), BREAKER), session, blocked=blocked)

    assert [(gap.expected_bars, gap.kind) for gap in result.gaps] == [
        (6, GapKind.HALTED),
        (1, GapKind.QUARANTINED),
        (9, GapKind.HALTED),
    ]
    assert from_us(at_40) not in result.covered.by_symbol()[0]


def test_daily_maintenance_in_chicago_is_unavailable() -> None:
    """
    The library's sessions of Chicago last 24 hours; the hour before their close has no bars and is no hole.
    """
    week = span("2024-01-08T23:00", "2024-01-12T23:00")
    starts = CHICAGO.expected_starts(M1, week)
    came = starts[(starts - us("2024-01-08T22:00")) % (1_440 * MINUTE) >= 60 * MINUTE]
    result = judged(came, week, calendar=CHICAGO, feed="cme")

    assert shown(result.gaps) == [
        (span(f"2024-01-{day:02}T22:00", f"2024-01-{day:02}T23:00"), 60, GapKind.UNAVAILABLE) for day in (9, 10, 11, 12)
    ]


def test_perfect_source_has_no_gap_and_every_hole_is_found() -> None:
    """
    R19: every minute of 2010 to 2026 leaves no gap, over half days, closures and changes of the clock; of 500 holes
    of 3 to 400 minutes all are found, with exact edges.
    """
    years, seed = span("2010-01-01", "2027-01-01"), 19
    starts = XNYS.expected_starts(M1, years)
    assert len(starts) > 1_600_000
    assert reconcile(evidence_of(starts, years), XNYS, M1).gaps == ()
    assert judged(starts, years).gaps == ()

    random, holes, first = Random(seed), [], 0
    for _ in range(500):
        first += random.randrange(1_000, 3_000)
        holes.append((first, first + random.randrange(3, 400)))
        first = holes[-1][1]
    absent = np.concatenate([np.arange(*hole) for hole in holes])
    ends = XNYS.bar_ends(M1, starts)
    found = reconcile(evidence_of(np.delete(starts, absent), years), XNYS, M1)

    assert shown(found.gaps) == [
        (Range(from_us(int(starts[one])), from_us(int(ends[end - 1]))), end - one, GapKind.MISSING)
        for one, end in holes
    ], f"seed {seed}"


def test_outages_that_lie_over_each_other_account_for_a_bar_once() -> None:
    """
    The daily maintenance of an exchange within an outage of the venue: one gap, of the first.
    """
    wanted = span("2018-02-08T20:34", "2018-02-08T22:01")

    gaps = reconcile_around_outages(evidence_of([], wanted), CHICAGO, M1, feed="binance").gaps

    assert [(gap.range, gap.expected_bars) for gap in gaps] == [(wanted, 87)]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_expected_bar_is_there_or_in_one_gap(data: st.DataObject) -> None:
    """
    Whatever the calendar, timeframe, ranges and bars that came: expected = present + gaps, and what is covered holds
    those present and those settled.
    """
    name = data.draw(st.sampled_from(sorted(CALENDARS)))
    calendar, timeframe = CALENDARS[name], data.draw(st.sampled_from(Timeframe))
    feed = data.draw(st.sampled_from(["sip", "binance"]))
    first_day = us(data.draw(st.sampled_from(["2020-03-06", "2020-12-20", "2018-02-07", "2024-02-08", "2002-09-10"])))
    span_minutes = 8 * 1_440 if timeframe.is_intraday else 90 * 1_440
    bounds = data.draw(st.lists(st.integers(0, span_minutes), min_size=2, max_size=6, unique=True).map(sorted))
    wanted = Ranges(
        Range(from_us(first_day + one * MINUTE), from_us(first_day + other * MINUTE))
        for one, other in zip(bounds[::2], bounds[1::2], strict=False)
    )
    expected = np.concatenate([calendar.expected_starts(timeframe, one) for one in wanted])
    holes = data.draw(st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, 600)), max_size=5))
    is_present = np.ones(len(expected), np.bool_)
    for first, length in holes:
        is_present[first : first + length] = False
    came = expected[is_present]
    density = data.draw(st.sampled_from([float("nan"), 0.3, 1.0]))
    doubted = list(wanted) if data.draw(st.booleans()) else []

    result = reconcile_around_outages(
        evidence_of(came, *wanted, density=density, doubted=doubted, has_older=data.draw(st.booleans())),
        *(calendar, timeframe),
        feed=feed,
    )

    covered = result.covered.by_symbol().get(0, Ranges())
    assert not covered - wanted
    assert len(expected) == len(came) + sum(gap.expected_bars for gap in result.gaps)
    final = {GapKind.NO_TRADE, GapKind.HALTED, GapKind.QUARANTINED}
    settled = sum(gap.expected_bars for gap in result.gaps if gap.kind in final or gap.is_on_file)
    assert sum(calendar.expected_count(timeframe, one) for one in covered) == len(came) + settled
    hidden = Ranges(gap.range for gap in result.gaps if not (gap.kind in final or gap.is_on_file))
    assert not covered & hidden
    assert not any(from_us(start) in hidden for start in came.tolist())
    assert all(one.range.end <= other.range.start for one, other in zip(result.gaps, result.gaps[1:], strict=False))


@pytest.mark.real_data
@needs_real_data
def test_real_futures_have_no_hole_at_the_daily_break_and_the_weekends() -> None:
    """
    A month of real 6E minutes from Chicago: the hour before the close is unavailable on each of 21 days, and not on 15
    January, which ends early; of all other minutes those without a bar are quiet ones.
    """
    came = real_bars("future_6EH4_m1_2024-01_cme").ts
    month = span("2024-01-01T23:00", "2024-01-31T23:00")
    result = judged(came, month, calendar=CHICAGO, feed="cme", density=0.99)

    assert [gap.expected_bars for gap in result.gaps if gap.is_on_file] == [60] * 21
    assert {gap.kind for gap in result.gaps if not gap.is_on_file} == {GapKind.NO_TRADE}


@pytest.mark.real_data
@needs_real_data
def test_real_minutes_from_india_are_those_of_the_calendar() -> None:
    """
    Three sessions of YESBANK have all 375 minutes each that XBOM expects; the post-close auction lies outside.
    """
    bombay, wanted = trading_calendar("XBOM", 2027), span("2019-07-09", "2019-07-12")
    came = real_bars("equity_YESBANK_m1_2019-07").ts
    expected = bombay.expected_starts(M1, wanted)

    assert len(expected) == 3 * 375
    assert np.isin(expected, came).all()
    assert len(came) - len(expected) == 5
    assert judged(came, wanted, calendar=bombay, density=float("nan")).gaps == ()

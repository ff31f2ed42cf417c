"""Every fault of the data, D01 to D23, from the exchange to the table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.across import look_across
from tests.engine.honesty import (
    PAIR,
    QUARTER,
    TWO_DAYS,
    FaultyRig,
    fails_with,
    is_complete,
    leaves_gaps,
    line,
    nothing_is_silently_successful,
)
from tests.engine.rig import NYSE, days
from tests.engine.test_faults_http import D1, M15, heals, recovers

FIRST_BAR = to_us(TWO_DAYS.start.replace(hour=13, minute=30))
ONE_DAY = days("2026-09-14", "2026-09-15")


def is_kept_out(rig: FaultyRig, rule: str, timeframe: Timeframe = M15, *, rows: int = 1) -> None:
    """
    A row that breaks *rule*: sent once, it is replaced within the backfill; sent always, it is listed, then healed.
    """
    wanted = TWO_DAYS if timeframe is M15 else QUARTER

    report = rig.backfill(PAIR, [timeframe], wanted)

    nothing_is_silently_successful(rig, report, timeframe, wanted)
    leaves_gaps(report, "quarantined")
    assert {found for (found,) in rig.query("select rule from quarantined_bars")} == {rule}
    assert all(len(raw) > 10 for (raw,) in rig.query("select raw from quarantined_bars"))
    assert report.summary.rows_quarantined >= rows
    heals(rig, timeframe)


def stored_row(rig: FaultyRig, ticker: str, ts: int, timeframe: Timeframe = M15) -> tuple[Any, ...] | None:
    """open, high, low, close, volume, vwap and trade count of one bar."""
    rows = rig.query(
        "select open, high, low, close, volume, vwap, trade_count from ohlc_bars "
        "join symbols on symbols.id = symbol_id where ticker = %s and timeframe = %s and ts = %s",
        ticker,
        timeframe.value,
        from_us(ts),
    )
    return rows[0] if rows else None


@pytest.mark.parametrize("field", ["o", "h", "l", "c", "v"])
def test_d01_a_value_that_is_no_number_is_asked_again(faulty: FaultyRig, field: str) -> None:
    """One bad value keeps its row out; the bar is asked for again and stored."""
    faulty.page_size = 100
    faulty.inject("D01", {"times": 1}, field=field, value=None)

    recovers(faulty)

    assert faulty.query("select rule, symbol from quarantined_bars") == [("Q04", "AAPL")]


@pytest.mark.parametrize("value", ["NaN", None, "", "N/A", "Infinity", True, 10**400])
def test_d01_what_is_never_a_number_is_never_stored(faulty: FaultyRig, value: Any) -> None:
    """NaN, null, texts, true and numbers beyond all bounds as a price are quarantined by Q04, however often sent."""
    faulty.page_size = 100
    faulty.inject("D01", {"symbol": "AAPL"}, value=str(value) if value == 10**400 else value)

    is_kept_out(faulty, "Q04")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400"])
def test_d01_bare_words_are_no_json(faulty: FaultyRig, value: str) -> None:
    """A bare NaN or Infinity refuses the whole answer; nothing is covered."""
    faulty.attempts = 2
    faulty.inject("D01", {"symbol": "AAPL"}, value=value, literal=True)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    fails_with(report, "BAD_RESPONSE", "json", symbols={one for each in report.failures for one in each.symbols})
    heals(faulty)


@pytest.mark.parametrize("field", ["n", "vw"])
def test_d01_a_bad_count_or_vwap_keeps_the_row_out(faulty: FaultyRig, field: str) -> None:
    """The trade count and the vwap are numbers where they are given (Q10)."""
    faulty.page_size = 100
    faulty.inject("D01", {"symbol": "AAPL"}, field=field, value="N/A")

    is_kept_out(faulty, "Q10")


@pytest.mark.parametrize(("fault", "rule"), [("D02", "Q05"), ("D03", "Q05"), ("D04", "Q06"), ("D05", "Q07")])
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d02_to_d05_impossible_prices_are_kept_out(
    faulty: FaultyRig, timeframe: Timeframe, fault: str, rule: str
) -> None:
    """Zero and negative prices, a high below the low and a close outside of both are quarantined, never dropped."""
    faulty.page_size = 100
    faulty.inject(fault, {"symbol": "AAPL"})

    is_kept_out(faulty, rule, timeframe)


def test_d04_silence_about_a_bar_that_broke_a_rule_is_no_quiet_minute(faulty: FaultyRig) -> None:
    """A row came, so there is a bar: an empty answer to the question for it alone does not settle it."""
    faulty.page_size = 200
    faulty.exchange.set_faults(
        [line("D04", {"nth": 1, "symbol": "AAPL"}), line("H11", {"nth": 2}), line("H11", {"nth": 3})]
    )

    report = faulty.backfill(PAIR, [D1], QUARTER)

    nothing_is_silently_successful(faulty, report, D1, QUARTER)
    leaves_gaps(report, "quarantined")
    heals(faulty, D1)


@pytest.mark.parametrize(("field", "side"), [("o", "above"), ("o", "below"), ("c", "below")])
def test_d05_every_side_counts(faulty: FaultyRig, field: str, side: str) -> None:
    """Open or close one tick outside on either side is quarantined, and healed by the next answer."""
    faulty.page_size = 100
    faulty.inject("D05", {"times": 1}, field=field, side=side, row=3)

    recovers(faulty)

    assert faulty.query("select rule from quarantined_bars") == [("Q07",)]


def test_d05_a_rounding_error_is_accepted(faulty: FaultyRig) -> None:
    """A close 1e-12 above the high is the high, rounded otherwise: the bar is stored at once."""
    faulty.page_size = 100
    faulty.inject("D05", {"times": 1}, by=1e-12, row=3)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    is_complete(report)
    ts = FIRST_BAR + 3 * M15.length_us
    stored = stored_row(faulty, "AAPL", ts)
    assert stored is not None
    assert stored[3] == pytest.approx(faulty.truth("AAPL", M15, TWO_DAYS)[ts][1], abs=1e-9)
    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


@pytest.mark.parametrize(("ticker", "rule"), [("SPLT", "Q07"), ("AAPL", "Q07")])
def test_d06_todays_price_in_an_old_bar_is_kept_out(faulty: FaultyRig, ticker: str, rule: str) -> None:
    """The newest close in a bar of two years ago lies outside of that bar."""
    wanted = days("2024-09-02", "2024-10-01")
    faulty.inject("D06", {"symbol": ticker, "times": 1})

    report = faulty.backfill([ticker], [D1], wanted)

    nothing_is_silently_successful(faulty, report, D1, wanted, [ticker])
    assert faulty.query("select rule from quarantined_bars") == [(rule,)]
    is_complete(report)
    assert faulty.holds_the_truth(D1, wanted, [ticker])


def test_d07_a_vwap_outside_is_stored_as_sent(faulty: FaultyRig) -> None:
    """Vendors' vwaps leave the bar's range now and then: a warning, and the bar is complete."""
    faulty.page_size = 100
    faulty.inject("D07", by=0.05, row=3)

    recovers(faulty)

    high, vwap = faulty.query("select high, vwap from ohlc_bars where vwap > high order by ts limit 1")[0]
    assert vwap == pytest.approx(high + 0.05)
    assert set(faulty.query("select rule from run_warnings")) >= {("W10",)}
    marked = faulty.query(
        "select detail from bar_warnings join ohlc_bars using (symbol_id, timeframe, ts) "
        "where rule = 'W10' and vwap > high"
    )
    assert len(marked) == faulty.query("select count(*) from ohlc_bars where vwap > high")[0][0] > 0
    assert "outside of low" in marked[0][0]


def test_d08_a_saturdays_bar_is_kept_out_and_hurts_nobody(faulty: FaultyRig) -> None:
    """A daily bar on a Saturday is quarantined by Q14; the sessions around it are complete."""
    faulty.inject("D08")

    recovers(faulty, D1)

    rules = faulty.query("select distinct rule, extract(isodow from ts)::integer from quarantined_bars")
    assert rules == [("Q14", 6)]


@pytest.mark.parametrize("side", ["above", "below"])
def test_d09_a_long_wick_is_stored_and_marked(faulty: FaultyRig, side: str) -> None:
    """A minute that reaches a tenth beyond its neighbours is stored as it was sent, and W11 says so of it alone."""
    faulty.page_size = 1_000
    faulty.inject("D09", {"symbol": "AAPL", "times": 1}, row=3, side=side)

    report = faulty.backfill(PAIR, [Timeframe.M1], ONE_DAY)

    is_complete(report)
    ts = FIRST_BAR + 3 * Timeframe.M1.length_us
    truth, stored = (faulty.truth("AAPL", Timeframe.M1, ONE_DAY), faulty.stored("AAPL", Timeframe.M1))
    assert {one for one in truth if stored[one] != truth[one]} == {ts}
    place, factor = (1, 1.1) if side == "above" else (2, 0.9)
    assert stored[ts][place] == pytest.approx(factor * truth[ts][place])
    assert faulty.query("select ts from bar_warnings where rule = 'W11'") == [(from_us(ts),)]
    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


def test_d10_a_false_level_is_kept_out_until_it_is_withdrawn(faulty: FaultyRig) -> None:
    """Two hours at 0.0003 of the price: none of them is stored; once the prices are right again, all are."""
    faulty.page_size = 200
    start, end = (TWO_DAYS.start.replace(hour=hour).isoformat() for hour in (15, 17))
    faulty.inject("D10", {"symbol": "AAPL"}, start=start, end=end)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    nothing_is_silently_successful(faulty, report, M15, TWO_DAYS)
    leaves_gaps(report, "quarantined")
    assert faulty.query("select distinct rule, symbol from quarantined_bars") == [("Q20", "AAPL")]
    assert faulty.query("select count(distinct ts), min(ts), max(ts) from quarantined_bars") == [
        (8, TWO_DAYS.start.replace(hour=15), TWO_DAYS.start.replace(hour=16, minute=45))
    ]
    heals(faulty)


def test_d10_a_reverse_split_without_an_action_is_believed_with_the_next_session(faulty: FaultyRig) -> None:
    """Prices twenty times as high from one session on: held, then stored once the next is there, marked by W18."""
    faulty.page_size = 200
    first, both = days("2026-09-11", "2026-09-15"), days("2026-09-11", "2026-09-16")
    begins = TWO_DAYS.start.replace(hour=13, minute=30)
    faulty.inject("D10", factor=20, start=begins.isoformat())

    faulty.backfill(["AAPL"], [M15], first)
    held = faulty.stored("AAPL", M15)
    faulty.change("update series_gaps set next_check_at = now() - interval '1 second'")
    report = faulty.backfill(["AAPL"], [M15], both)

    truth, stored = faulty.truth("AAPL", M15, both), faulty.stored("AAPL", M15)
    assert held == {ts: bar for ts, bar in truth.items() if ts < to_us(begins)}
    is_complete(report)
    assert stored.keys() == truth.keys()
    assert all(stored[ts][3] == pytest.approx(20 * bar[3]) for ts, bar in truth.items() if ts >= to_us(begins))
    assert faulty.query("select ts from bar_warnings where rule = 'W18'") == [(begins,)]
    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


@pytest.mark.parametrize(("by", "sessions"), [(0.13, 0), (0.6, 2)])
def test_d19_bars_that_add_up_to_less_than_the_day_are_stored(faulty: FaultyRig, by: float, sessions: int) -> None:
    """Volumes that are short are stored as sent, nothing is kept out, and W12 alone tells what is a quarter short."""
    faulty.page_size = 200
    faulty.inject("D19", by=by)

    report = faulty.backfill(["AAPL"], [M15, D1], TWO_DAYS)
    look_across(faulty.database, None, TWO_DAYS)

    is_complete(report)
    truth, stored = faulty.truth("AAPL", M15, TWO_DAYS), faulty.stored("AAPL", M15)
    assert {ts: bar[4] for ts, bar in stored.items()} == pytest.approx({ts: (1 - by) * truth[ts][4] for ts in truth})
    assert faulty.stored("AAPL", D1) == faulty.truth("AAPL", D1, TWO_DAYS)
    told = faulty.query("select rule, count(*) from bar_warnings group by 1")
    assert told == ([("W12", sessions)] if sessions else [])
    assert faulty.query("select count(*) from quarantined_bars") == [(0,)]


@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d11_an_equal_duplicate_is_one_bar(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """A row sent twice is stored once, and counted as received twice."""
    faulty.page_size = 200
    faulty.inject("D11", form="equal", row=5)

    recovers(faulty, timeframe)

    received, pages = faulty.query("select sum(rows_received), sum(page_no) from job_runs")[0]
    assert received - pages == sum(len(rows) for rows in sent(faulty, timeframe))


@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d11_different_duplicates_are_all_kept_out(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """Of two rows that contradict each other neither is stored; the bar is asked for again."""
    faulty.page_size = 200
    faulty.inject("D11", {"symbol": "AAPL"}, form="different")

    is_kept_out(faulty, "Q11", timeframe, rows=2)


@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d12_every_row_twice_is_every_bar_once(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """Doubled rows are collapsed and the counts stay right."""
    faulty.inject("D12")

    recovers(faulty, timeframe)

    assert faulty.query("select sum(rows_written) from job_runs") == faulty.query("select count(*) from ohlc_bars")
    assert faulty.query("select sum(rows_received) from job_runs") == [
        (2 * sum(len(rows) for rows in sent(faulty, timeframe)),)
    ]


@pytest.mark.parametrize("timeframe", [Timeframe.M1, M15])
@pytest.mark.parametrize("rows", [0, 1])
def test_d13_stamps_off_the_grid_are_never_moved_onto_it(faulty: FaultyRig, timeframe: Timeframe, rows: int) -> None:
    """Rows at :14.789 are quarantined by Q03; their bars stay listed until they come as they should."""
    faulty.page_size = 150 if timeframe is M15 else 1_000
    faulty.inject("D13", rows=rows)

    report = faulty.backfill(PAIR, [timeframe], ONE_DAY)

    nothing_is_silently_successful(faulty, report, timeframe, ONE_DAY)
    leaves_gaps(report, "quarantined")
    assert faulty.query("select distinct rule from quarantined_bars") == [("Q03",)]
    assert faulty.query("select count(*) from ohlc_bars where extract(second from ts) <> 0") == [(0,)]
    faulty.heal()
    is_complete(faulty.backfill(PAIR, [timeframe], ONE_DAY))
    assert faulty.holds_the_truth(timeframe, ONE_DAY)


def test_d13_a_page_that_ends_off_the_grid_proves_no_bar_too_many(faulty: FaultyRig) -> None:
    """Small pages of rows that all lie off the grid: no bar is taken for one without a trade."""
    faulty.page_size = 7
    faulty.inject("D13")

    report = faulty.backfill(PAIR, [M15], ONE_DAY)

    nothing_is_silently_successful(faulty, report, M15, ONE_DAY)
    leaves_gaps(report, "quarantined")


@pytest.mark.parametrize("form", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d14_the_unit_of_a_stamp_is_told_by_its_digits(faulty: FaultyRig, timeframe: Timeframe, form: str) -> None:
    """Seconds, milli-, micro- and nanoseconds are all read right."""
    faulty.page_size = 100
    faulty.inject("D14", form=form)

    recovers(faulty, timeframe)


@pytest.mark.parametrize("form", ["1970", "55840"])
@pytest.mark.parametrize("timeframe", [M15, D1])
def test_d14_impossible_years_are_kept_out(faulty: FaultyRig, timeframe: Timeframe, form: str) -> None:
    """Stamps of 1970 or of the year 58,000 are quarantined by Q01, and nothing is covered by them."""
    wanted = TWO_DAYS if timeframe is M15 else QUARTER
    faulty.page_size = 100
    faulty.inject("D14", form=form)

    report = faulty.backfill(PAIR, [timeframe], wanted)

    nothing_is_silently_successful(faulty, report, timeframe, wanted)
    leaves_gaps(report, "missing")
    assert faulty.query("select distinct rule from quarantined_bars") == [("Q01",)]
    heals(faulty, timeframe)


STAMPS = ("ny_midnight", "ny_close", "utc_midnight", "utc_5", "open", "moving")


@pytest.mark.parametrize("form", STAMPS)
def test_d15_one_row_per_session_however_it_is_stamped(faulty: FaultyRig, form: str) -> None:
    """Daily bars stamped by any custom, also by one that changes, are the same sessions, in summer as in winter."""
    wanted = days("2026-02-20", "2026-03-20")
    faulty.inject("D15", form=form)

    report = faulty.backfill(PAIR, [D1], wanted)

    nothing_is_silently_successful(faulty, report, D1, wanted)
    is_complete(report)
    assert faulty.holds_the_truth(D1, wanted)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, M15])
def test_d16_extended_hours_are_dropped_and_counted(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """More rows outside of regular hours change nothing but the count of what was received."""
    faulty.page_size = 500
    faulty.inject("D16", {"times": 2}, count=30)

    report = faulty.backfill(PAIR, [timeframe], ONE_DAY)

    nothing_is_silently_successful(faulty, report, timeframe, ONE_DAY)
    is_complete(report)
    regular = 2 * NYSE.expected_count(timeframe, ONE_DAY)
    assert faulty.query("select count(*) from ohlc_bars") == [(regular,)]
    assert report.summary.rows_received > regular


def test_d16_hours_are_derived_and_never_fetched(faulty: FaultyRig) -> None:
    """The vendor's 09:00 hour mixes pre-market and session, so it is never asked for."""
    faulty.page_size = 500

    report = faulty.backfill(PAIR, [Timeframe.H1, Timeframe.H4], ONE_DAY)

    is_complete(report)
    assert {one.query["timeframe"] for one in faulty.exchange.requests if "timeframe" in one.query} == {"15Min"}
    assert len(faulty.stored("AAPL", Timeframe.H1)) == 7


@pytest.mark.parametrize("day", ["2025-11-28", "2026-09-14"], ids=["half day", "full day"])
def test_d17_a_print_at_the_close_is_no_bar_of_the_session(faulty: FaultyRig, day: str) -> None:
    """The closing auction's minute, at 16:00 or 13:00, is outside regular hours, and nothing else is lost for it."""
    wanted = days(day, f"{day[:8]}{int(day[8:]) + 1}")
    faulty.inject("D17")
    faulty.page_size = 1_000

    report = faulty.backfill(PAIR, [Timeframe.M1], wanted)

    nothing_is_silently_successful(faulty, report, Timeframe.M1, wanted)
    is_complete(report)
    assert faulty.holds_the_truth(Timeframe.M1, wanted)


def test_d17_with_extended_hours_the_close_print_is_kept(faulty: FaultyRig) -> None:
    """Where extended hours are wanted the auction's minute is stored as the first bar after the close."""
    faulty.settings = replace(faulty.settings, extended_hours=True)
    faulty.page_size = 1_000
    faulty.inject("D17", {"symbol": "AAPL", "times": 1}, volume=1_234_567)

    faulty.backfill(["AAPL"], [Timeframe.M1], TWO_DAYS)

    close = to_us(ONE_DAY.start.replace(hour=20))
    stored = stored_row(faulty, "AAPL", close, Timeframe.M1)
    assert stored is not None
    assert stored[4] == 1_234_567


@pytest.mark.parametrize(
    ("sent_as", "stored_as"), [(9099.618093, 9099.618093), ("1.300741e+06", 1_300_741.0), (0, 0.0), (1e15, 1e15)]
)
def test_d18_odd_volumes_are_stored_exactly(faulty: FaultyRig, sent_as: float | str, stored_as: float) -> None:
    """Fractions, exponents, zero and a thousand billions are volumes."""
    faulty.page_size = 100
    faulty.inject("D18", {"symbol": "AAPL", "times": 1}, value=sent_as, literal=isinstance(sent_as, str), row=4)

    report = faulty.backfill(PAIR, [M15], TWO_DAYS)

    is_complete(report)
    stored = stored_row(faulty, "AAPL", FIRST_BAR + 4 * M15.length_us)
    assert stored is not None
    assert stored[4] == stored_as


@pytest.mark.parametrize(
    ("value", "literal", "rule"), [(-1, False, "Q08"), (1e16, False, "Q09"), ("9223372036854775808", True, "Q09")]
)
def test_d18_impossible_volumes_are_kept_out(
    faulty: FaultyRig, value: float | str, rule: str, *, literal: bool
) -> None:
    """A negative volume and more than can be true are quarantined."""
    faulty.page_size = 100
    faulty.inject("D18", {"symbol": "AAPL"}, value=value, literal=literal, row=4)

    is_kept_out(faulty, rule)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, M15])
def test_d20_a_minute_without_a_trade_is_settled_and_never_invented(faulty: FaultyRig, timeframe: Timeframe) -> None:
    """One bar that is not there is no row and no alarm: it is on record as no_trade, and costs no second request."""
    faulty.page_size = 1_000
    quiet = to_us(ONE_DAY.start.replace(hour=15, minute=30))
    faulty.inject("D20", at="2026-09-14T15:30:00Z")

    report = faulty.backfill(PAIR, [timeframe], ONE_DAY)

    nothing_is_silently_successful(faulty, report, timeframe, ONE_DAY, lost=[quiet])
    is_complete(report)
    assert all(quiet not in faulty.stored(ticker, timeframe) for ticker in PAIR)
    gaps = faulty.query("select kind, expected_bars, gap_from from gaps")
    assert gaps == [("no_trade", 1, from_us(quiet))] * 2
    assert faulty.bar_requests() <= 2


def test_d20_three_minutes_in_a_row_are_not_believed(faulty: FaultyRig) -> None:
    """Three absent minutes of a liquid symbol are held and asked again: they come, and are stored."""
    faulty.page_size = 2_000
    lines = [
        {"match": {"endpoint": "bars", "times": 1}, "fault": "D20", "args": {"at": f"2026-09-14T15:3{minute}:00Z"}}
        for minute in range(3)
    ]
    faulty.exchange.set_faults(lines)

    report = faulty.backfill(PAIR, [Timeframe.M1], ONE_DAY)

    nothing_is_silently_successful(faulty, report, Timeframe.M1, ONE_DAY)
    is_complete(report)
    assert faulty.bar_requests() == 2


def sent(rig: FaultyRig, timeframe: Timeframe, tickers: Collection[str] = PAIR) -> list[list[Any]]:
    """All rows that the exchange has for what was asked for, extended hours included, by symbol."""
    wanted = TWO_DAYS if timeframe is M15 else QUARTER
    starts = NYSE.expected_starts(timeframe, wanted)
    asked = Range(from_us(int(starts[0])), from_us(int(starts[-1])) + timeframe.length)
    shift = 4 * 3_600_000_000 if timeframe is D1 else 0
    first, last = from_us(to_us(asked.start) + shift), from_us(to_us(asked.end) + shift - 1)
    return [rig.exchange.truth(ticker, timeframe.value, first, last)["ts"].to_list() for ticker in tickers]

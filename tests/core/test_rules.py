"""Each rule for rows, by the fault that it is there for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.bars import COLUMN_NAMES, BarColumns
from barfill.core.calendar import TradingCalendar, trading_calendar
from barfill.core.judged import BlockedSlots, Judged, LedgerImbalance, RowCounts
from barfill.core.jumps import KnownSplit
from barfill.core.page import BarsQuery, Page, RejectedRow
from barfill.core.ranges import Range
from barfill.core.rules import VenueTraits, judge
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, NaiveTimestamp, OutsideCalendar
from tests.core.samples import DAY, MINUTE, at, bars, new_york, priced, round_the_clock, span, texts, us

M1, M5, M15, M30, H1, H4, D1, W1 = Timeframe
XNYS, CRYPTO = new_york(), round_the_clock()
TUESDAY = span("2024-03-05", "2024-03-06")
OPEN = us("2024-03-05T14:30")
CLOSE = us("2024-03-05T21:00")
NAN = np.nan
NOW = at("2024-08-01")


def page_of(rows: BarColumns, *symbols: str, rejected: tuple[RejectedRow, ...] = (), **fields: Any) -> Page:
    usual: dict[str, Any] = {"next_token": None, "feed": "sip", "basis": "raw", "received_at": at("2024-03-06")}
    return Page(symbols or ("AAPL",), rows, rejected, **(usual | fields))


def judged(
    rows: BarColumns,
    *symbols: str,
    timeframe: Timeframe = M1,
    wanted: Range = TUESDAY,
    calendar: TradingCalendar = XNYS,
    now: datetime = NOW,
    rejected: tuple[RejectedRow, ...] = (),
    **options: Any,
) -> Judged:
    """What the rules make of a page that answers a question about its own symbols."""
    page = page_of(rows, *symbols, rejected=rejected)
    query = BarsQuery(tuple(sorted(page.symbols)), timeframe, wanted, "sip")
    return judge(page, query, calendar, now=now, grace=timedelta(minutes=16), **options)


def rules_of(result: Judged) -> list[str]:
    return [row.rule for row in result.quarantined]


def minutes(*numbers: int) -> list[int]:
    """Instants that lie these many minutes after the open."""
    return [OPEN + number * MINUTE for number in numbers]


# What the page as a whole must keep


@pytest.mark.parametrize("fields", [{"feed": "iex"}, {"basis": "split"}])
def test_answer_of_another_feed_or_basis_is_refused(fields: dict[str, Any]) -> None:
    """
    Q17, H29: another feed, or adjusted prices, never mix into a series; the text names both.
    """
    page = page_of(bars(minutes(0)), **fields)

    with pytest.raises(BadResponse, match=f"'sip' with raw prices .*{next(iter(fields.values()))}") as refusal:
        judge(page, BarsQuery(("AAPL",), M1, TUESDAY, "sip"), XNYS, now=NOW, grace=timedelta())
    assert refusal.value.reason == "wrong_variant"


def test_adjusted_prices_are_an_answer_where_they_are_asked_for() -> None:
    """
    Q17: of a provider without raw prices adjusted ones are wanted, and raw ones would be the wrong answer.
    """
    query = BarsQuery(("AAPL",), M1, TUESDAY, "sip", "split")

    judged = judge(page_of(bars(minutes(0)), basis="split"), query, XNYS, now=NOW, grace=timedelta())

    assert len(judged.accepted) == 1
    with pytest.raises(BadResponse, match=r"'sip' with split prices .*raw"):
        judge(page_of(bars(minutes(0))), query, XNYS, now=NOW, grace=timedelta())


def test_rows_of_a_symbol_that_was_not_asked_for_refuse_the_page() -> None:
    """
    Q16, H27: one strange symbol makes the whole page doubtful.
    """
    page = page_of(bars(minutes(0, 1), symbol=[0, 1]), "AAPL", "MSFT")

    with pytest.raises(BadResponse, match="MSFT, which was not asked for") as refusal:
        judge(page, BarsQuery(("AAPL",), M1, TUESDAY, "sip"), XNYS, now=NOW, grace=timedelta())
    assert refusal.value.reason == "wrong_symbol"


@pytest.mark.parametrize(
    ("ticker", "rule"),
    [
        ("A" * 21, "Q16"),
        ("aapl", "Q16"),
        (".A", "Q16"),
        ("A\nB", "Q16"),
        ("", "Q16"),
        ("^GSPC", "Q16"),
        ("A\0", "Q30"),
        ("A\ud800", "Q30"),
    ],
)
def test_rows_of_what_is_no_ticker_are_kept_out(ticker: str, rule: str) -> None:
    """
    Q16, Q30, D30: corrupted ticker text is quarantined in a form that can be stored; the other symbol is not hurt.
    """
    result = judged(bars(minutes(0, 0), symbol=[0, 1]), "AAPL", ticker)

    assert rules_of(result) == [rule]
    assert result.accepted.symbol.tolist() == [0]
    assert len(result.blocked) == 0
    result.quarantined[0].symbol.encode()
    assert "\0" not in result.quarantined[0].symbol + result.quarantined[0].raw


@pytest.mark.parametrize("ticker", ["BRK.B", "BTC/USD", "NAN", "TRUE", "1E5", "A-B", "A^B", "X:BTCUSD", "A" * 20])
def test_odd_tickers_are_tickers(ticker: str) -> None:
    """
    D29: classes of shares, pairs and words that other software trips over are accepted.
    """
    assert judged(bars(minutes(0)), ticker).counts.accepted == 1


def test_rows_far_from_the_range_refuse_the_page() -> None:
    """
    Q02, H28: a row of 2017 in a page of 2024 means that the page answers another question.
    """
    with pytest.raises(BadResponse, match="1 of 2 rows lie far outside") as refusal:
        judged(bars([us("2017-03-07T15:00"), OPEN]))
    assert refusal.value.reason == "out_of_range"


@pytest.mark.parametrize(
    ("timeframe", "wanted", "stamps"),
    [
        (M1, span("2024-03-05T15:00", "2024-03-05T16:00"), ["2024-03-05T14:59", "2024-03-05T16:00"]),
        (M1, span("2024-03-05T15:00", "2024-03-05T16:00"), ["2024-03-05T09:00", "2024-03-06T00:59"]),
        (D1, span("2024-03-11", "2024-03-16"), ["2024-03-08", "2024-03-18"]),
        (W1, span("2024-03-11", "2024-03-18"), ["2024-03-04", "2024-03-18"]),
    ],
)
def test_rows_beside_the_range_are_dropped(timeframe: Timeframe, wanted: Range, stamps: list[str]) -> None:
    """
    Q02, W01: one bar too many on either side, or the rest of a session, is dropped and counted.
    """
    result = judged(bars([us(text) for text in stamps]), timeframe=timeframe, wanted=wanted)

    assert result.counts.out_of_range == result.warnings["W01"].count == 2
    assert result.warnings["W01"].examples == (("AAPL", us(stamps[0])), ("AAPL", us(stamps[1])))
    assert result.counts.accepted == result.counts.quarantined == 0


@pytest.mark.parametrize(
    ("timeframe", "wanted", "stamp"),
    [
        (M1, span("2024-03-05T15:00", "2024-03-05T16:00"), "2024-03-05T08:59"),
        (M1, span("2024-03-05T15:00", "2024-03-05T16:00"), "2024-03-06T14:30"),
        (D1, span("2024-03-11", "2024-03-16"), "2024-03-07"),
        (D1, span("2024-03-11", "2024-03-16"), "2024-03-19"),
    ],
)
def test_rows_of_another_session_refuse_the_page(timeframe: Timeframe, wanted: Range, stamp: str) -> None:
    """
    Q02: beyond the session that the range cuts, and beyond one session for d1, is far.
    """
    with pytest.raises(BadResponse):
        judged(bars([us(stamp)]), timeframe=timeframe, wanted=wanted)


def test_question_beyond_the_calendar_is_refused() -> None:
    """
    T08: the rules do not guess what lies beyond the calendar.
    """
    with pytest.raises(OutsideCalendar):
        judged(bars([]), wanted=span("2027-12-31", "2028-01-02"))


def test_naive_clock_is_refused() -> None:
    """
    T01: `now` without a zone raises at the border.
    """
    with pytest.raises(NaiveTimestamp, match="now '2024-06-01T00:00:00' has no time zone"):
        judged(bars(minutes(0)), now=datetime(2024, 6, 1))


def test_rest_of_a_crypto_day_is_dropped() -> None:
    """
    Q02: around the clock the session that a range cuts is the UTC day.
    """
    wanted = span("2024-03-05T12:00", "2024-03-05T13:00")
    stamps = [us("2024-03-05"), us("2024-03-05T12:30"), us("2024-03-05T23:59")]

    assert judged(bars(stamps), wanted=wanted, calendar=CRYPTO).counts.out_of_range == 2
    with pytest.raises(BadResponse):
        judged(bars([us("2024-03-04T23:59")]), wanted=wanted, calendar=CRYPTO)


# Where a row lies


@pytest.mark.parametrize("ts", [0, us("1989-12-31"), us("2024-08-02T00:01"), 1_700_000_000_000_000_000, -(2**62)])
def test_impossible_instants_are_kept_out(ts: int) -> None:
    """
    Q01, D14: before 1990, or more than a day ahead, is no instant, and no bar of the symbol can be ruled out.
    """
    result = judged(bars([ts, OPEN]))

    assert rules_of(result) == ["Q01"]
    assert result.blocked.unplaced.tolist() == [0]
    assert result.accepted.ts.tolist() == [OPEN]


def test_crypto_begins_with_bitcoin() -> None:
    """
    Q01: around the clock nothing was traded before 2009-01-03.
    """
    wanted = span("2009-01-01", "2009-01-05")
    result = judged(bars([us("2009-01-02"), us("2009-01-03")]), timeframe=D1, wanted=wanted, calendar=CRYPTO)

    assert rules_of(result) == ["Q01"]


@pytest.mark.parametrize(
    ("timeframe", "stamp"),
    [
        (M1, "2024-03-05T14:30:14.789"),
        (M5, "2024-03-05T14:31"),
        (H1, "2024-03-05T15:00"),
        (H4, "2024-03-05T16:00"),
        (D1, "2024-03-05T05:00"),
        (W1, "2024-03-05"),
    ],
)
def test_rows_off_the_grid_are_kept_out_and_block_their_bar(timeframe: Timeframe, stamp: str) -> None:
    """
    Q03, D13: a stamp is never floored; the bar that it lies in stays out of coverage.
    """
    result = judged(bars([us(stamp)]), timeframe=timeframe, wanted=span("2024-03-04", "2024-03-09"))
    expected = XNYS.expected_starts(timeframe, span("2024-03-04", "2024-03-09"))

    assert rules_of(result) == ["Q03"]
    assert result.blocked.of(0).tolist() == [expected[np.searchsorted(expected, us(stamp)) - 1]]
    assert not result.blocked.is_held.any()


@pytest.mark.parametrize(
    ("timeframe", "stamp"),
    [
        (D1, "2024-03-09"),
        (D1, "2024-03-29"),
        (M1, "2024-03-29T15:00"),
        (M1, "2024-03-09T15:00"),
    ],
)
def test_rows_on_closed_days_are_kept_out(timeframe: Timeframe, stamp: str) -> None:
    """
    Q14, D08: a Saturday's d1 bar, or regular hours of a holiday, lie on no session.
    """
    wanted = Range(at(stamp) - timedelta(days=7), at(stamp) + timedelta(days=8))

    assert rules_of(judged(bars([us(stamp)]), timeframe=timeframe, wanted=wanted)) == ["Q14"]


@pytest.mark.parametrize(
    "stamp", ["2024-07-03T21:00", "2024-07-03T07:59", "2024-07-03T03:00", "2024-07-06T06:00", "2024-07-05T01:00"]
)
def test_rows_in_the_dead_of_night_are_kept_out(stamp: str) -> None:
    """
    Q15: before 04:00, after 20:00 (17:00 on a half day) New York, and at night on closed days, no bar can be.
    """
    assert rules_of(judged(bars([us(stamp)]), wanted=span("2024-07-02", "2024-07-08"))) == ["Q15"]


@pytest.mark.parametrize("extended_hours", [False, True])
def test_extended_hours_are_dropped_unless_wanted(extended_hours: bool) -> None:
    """
    D16: from 04:00 to 20:00 New York, outside regular hours, rows are counted and dropped, or kept on request.
    """
    stamps = ["2024-03-05T09:00", "2024-03-05T14:29", "2024-03-05T21:01", "2024-03-06T00:59"]
    rows = bars([us(text) for text in stamps])
    result = judged(rows, wanted=span("2024-03-05", "2024-03-07"), extended_hours=extended_hours)

    assert result.counts.out_of_session == (0 if extended_hours else 4)
    assert result.counts.accepted == (4 if extended_hours else 0)
    assert result.counts.close_prints == 0
    assert len(result.blocked) == 0


@pytest.mark.parametrize("extended_hours", [False, True])
@pytest.mark.parametrize("close", ["2024-03-05T21:00", "2024-07-03T17:00"])
def test_print_at_the_close_is_counted_apart(close: str, extended_hours: bool) -> None:
    """
    D17: a bar stamped at the close, 13:00 on a half day, starts no regular bar: dropped apart, or kept on request.
    """
    wanted = Range(at(close) - timedelta(hours=10), at(close) + timedelta(hours=2))
    result = judged(bars([us(close) - MINUTE, us(close)]), wanted=wanted, extended_hours=extended_hours)

    assert result.counts.accepted == (2 if extended_hours else 1)
    assert (result.counts.close_prints, result.counts.out_of_session) == ((0, 0) if extended_hours else (1, 1))


def test_pre_market_is_on_its_own_sessions_grid() -> None:
    """
    Q03: extended bars are measured from the open of their session; five past is off the grid of m15.
    """
    rows = bars([us("2024-03-11T08:00"), us("2024-03-11T08:05"), us("2024-03-11T20:15")])
    result = judged(rows, timeframe=M15, wanted=span("2024-03-11", "2024-03-12"), extended_hours=True)

    assert texts(result.accepted.ts) == ["2024-03-11T08:00", "2024-03-11T20:15"]
    assert rules_of(result) == ["Q03"]


def test_crypto_has_no_closed_hours() -> None:
    """
    Around the clock every minute of a weekend is regular.
    """
    wanted = span("2024-03-09", "2024-03-10")
    rows = bars(CRYPTO.expected_starts(M1, wanted))

    assert judged(rows, "BTC/USD", wanted=wanted, calendar=CRYPTO).counts.accepted == 1_440


# Several rows of one key


def test_equal_duplicates_become_one() -> None:
    """
    W02, D11, D12: every row sent twice is stored once, an unknown vwap equals an unknown one.
    """
    result = judged(bars(minutes(0, 0, 1, 1), vwap=[NAN, NAN, 100.2, 100.2]))

    assert result.accepted.ts.tolist() == minutes(0, 1)
    assert result.counts.collapsed == result.warnings["W02"].count == 2
    assert not result.ask_again


@pytest.mark.parametrize("column", [name for name in COLUMN_NAMES if name not in {"symbol", "ts"}])
def test_differing_duplicates_are_all_kept_out(column: str) -> None:
    """
    Q11, D33: of rows that contradict each other in any value none is believed, and the range is asked once more.
    """
    values = {"trade_count": [10, 10, 11]}.get(column, [100.4, 100.4, 100.3])
    result = judged(bars(minutes(5, 5, 5), **{column: values}))

    assert rules_of(result) == ["Q11"] * 3
    assert result.ask_again
    assert result.blocked.of(0).tolist() == minutes(5)


def test_unreadable_twin_makes_a_row_doubtful() -> None:
    """
    Q11: a row whose twin could not be read is not believed either; both are in the ledger.
    """
    rejected = RejectedRow("AAPL", minutes(1)[0], "Q04", "the close 'N/A' is not a number", "{}")
    result = judged(bars(minutes(0, 1)), rejected=(rejected,))

    assert rules_of(result) == ["Q04", "Q11"]
    assert result.accepted.ts.tolist() == minutes(0)
    assert result.blocked.of(0).tolist() == minutes(1)


def test_rejected_rows_block_their_bar_or_their_symbol() -> None:
    """
    A row that the parser rejected blocks its bar; without an instant, nobody knows which one of its symbol.
    """
    rejected = (
        RejectedRow("MSFT", minutes(7)[0] + 5, "Q04", "", "{}"),
        RejectedRow("AAPL", None, "Q01", "", "{}"),
        RejectedRow("NEVER", None, "Q01", "", "{}"),
    )
    result = judged(bars(minutes(0)), "AAPL", "MSFT", rejected=rejected)

    assert result.quarantined == rejected
    assert (result.blocked.symbol.tolist(), result.blocked.start.tolist()) == ([1], minutes(7))
    assert result.blocked.unplaced.tolist() == [0]
    assert result.counts.received == 4


def test_rows_out_of_order_are_sorted() -> None:
    """
    W03, H32: descending rows are sorted; the order of symbols is no disorder.
    """
    result = judged(bars(minutes(2, 1, 0, 5), symbol=[1, 1, 1, 0]), "AAPL", "MSFT")

    assert result.accepted.symbol.tolist() == [0, 1, 1, 1]
    assert result.accepted.ts.tolist() == minutes(5, 0, 1, 2)
    assert result.warnings["W03"].count == 2
    assert result.warnings["W03"].examples[0] == ("MSFT", minutes(1)[0])


# Values


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"open": NAN}, "Q04"),
        ({"high": np.inf}, "Q04"),
        ({"close": -np.inf}, "Q04"),
        ({"volume": NAN}, "Q04"),
        ({"open": 0, "high": 0, "low": 0, "close": 0}, "Q05"),
        ({"low": -0.5}, "Q05"),
        ({"high": 99.0, "low": 101.0}, "Q06"),
        ({"open": 101.01}, "Q07"),
        ({"close": 99.49}, "Q07"),
        ({"close": 2_000.0}, "Q07"),
        ({"volume": -1.0}, "Q08"),
        ({"volume": 1e16}, "Q09"),
        ({"volume": float(2**63)}, "Q09"),
        ({"trade_count": -2}, "Q10"),
        ({"vwap": np.inf}, "Q10"),
        ({"open": 1e12, "high": 1e12, "low": 1e12, "close": 1e12}, "Q18"),
    ],
)
def test_impossible_values_are_kept_out(values: dict[str, float], rule: str) -> None:
    """
    Q04 to Q10, Q18: the rule is named, the bar stays out of coverage, the row beside it is stored.
    """
    result = judged(BarColumns.concat([bars(minutes(0)), bars(minutes(1), **values)]))

    assert rules_of(result) == [rule]
    assert result.accepted.ts.tolist() == minutes(0)
    assert result.blocked.of(0).tolist() == minutes(1)


@pytest.mark.parametrize(
    "values",
    [
        {"volume": 9_099.618093},
        {"volume": 1.300741e6},
        {"volume": 1e15},
        {"vwap": NAN, "trade_count": -1},
        {"open": 242_695_146.0, "high": 242_695_146.0, "low": 242_695_146.0, "close": 242_695_146.0},
    ],
)
def test_odd_but_possible_values_are_stored_as_sent(values: dict[str, float]) -> None:
    """
    D18, D31: fractions of a share and huge prices are kept exactly.
    """
    sent = bars(minutes(0), **values)
    result = judged(sent)

    for name in COLUMN_NAMES:
        np.testing.assert_array_equal(getattr(result.accepted, name), getattr(sent, name))


@pytest.mark.parametrize(("field", "bound", "value"), [("close", "high", 101 + 1e-12), ("open", "low", 99.5 - 1e-9)])
def test_a_rounding_error_moves_the_bound_that_it_passes(field: str, bound: str, value: float) -> None:
    """
    D05, W04: the table knows no tolerance, so the high (or low) becomes the close (or open) that lies a hair beyond.
    """
    result = judged(bars(minutes(0), **{field: value}))

    assert getattr(result.accepted, field).tolist() == getattr(result.accepted, bound).tolist() == [value]
    assert result.warnings["W04"].count == 1


def test_venue_traits_allow_what_is_usual_there() -> None:
    """
    Q05, Q07, W14: float32 prices, opens at the close before and negative prices are right where they are usual.
    """
    rounded = bars(minutes(0), close=101.00001)
    jumpy = bars(minutes(0), open=104.0)
    below = bars(minutes(0), open=-1.0, high=-0.5, low=-2.0, close=-1.0, vwap=NAN)

    assert judged(rounded, traits=VenueTraits(epsilon=2e-7)).counts.accepted == 1
    assert judged(jumpy, traits=VenueTraits(open_is_prev_close=True)).warnings["W14"].count == 1
    assert judged(below, traits=VenueTraits(has_negative_prices=True)).counts.accepted == 1
    assert [rules_of(judged(rows)) for rows in (rounded, jumpy, below)] == [["Q07"], ["Q07"], ["Q05"]]


def test_quarantined_row_tells_what_came_and_why() -> None:
    """
    The reason names the values, the raw text is valid JSON of the whole row, also for what JSON has no number for.
    """
    rows = bars(minutes(0, 1), high=[99.0, np.inf], low=[101.0, 99.0], vwap=NAN, trade_count=-1)
    crossed, infinite = judged(rows).quarantined

    assert crossed.reason == "the high 99.0 is below the low 101.0"
    assert json.loads(crossed.raw) == {
        "symbol": "AAPL",
        "ts": "2024-03-05T14:30:00Z",
        "open": 100.0,
        "high": 99.0,
        "low": 101.0,
        "close": 100.5,
        "volume": 1_000.0,
        "vwap": None,
        "trade_count": None,
    }
    assert json.loads(infinite.raw)["high"] == "inf"
    assert json.loads(judged(bars([2**62])).quarantined[0].raw)["ts"] == 2**62


# Time


def test_bar_that_is_not_over_is_held() -> None:
    """
    Q12, D23, T10: a bar is stored once its end and the grace have passed; the forming one is at most live.
    """
    now = at("2024-03-05T14:48")
    result = judged(bars(minutes(0, 1, 2)), now=now)

    assert result.accepted.ts.tolist() == minutes(0, 1)
    assert [(row.symbol, row.ts, row.rule) for row in result.held] == [(0, minutes(2)[0], "Q12")]
    assert result.forming.ts.tolist() == minutes(2)
    assert result.blocked.start.tolist() == minutes(2)
    assert result.blocked.is_held.tolist() == [True]


@pytest.mark.parametrize(
    ("timeframe", "stamp", "over_at"),
    [
        (H1, "2024-03-05T20:30", "2024-03-05T21:16"),
        (D1, "2024-03-05", "2024-03-05T21:16"),
        (D1, "2024-07-03", "2024-07-03T17:16"),
        (W1, "2024-03-25", "2024-03-28T20:16"),
    ],
)
def test_last_bar_of_a_session_is_over_at_its_close(timeframe: Timeframe, stamp: str, over_at: str) -> None:
    """
    Q12: the close ends the last hour, the day and the week, a half day's and Good Friday's too.
    """
    wanted = Range(at(stamp), at(stamp) + timedelta(days=7))
    early, late = (
        judged(bars([us(stamp)]), timeframe=timeframe, wanted=wanted, now=at(over_at) - timedelta(seconds=second))
        for second in (1, 0)
    )

    assert (early.counts.held, late.counts.held) == (1, 0)


def test_row_in_the_future_alarms_the_clock() -> None:
    """
    Q13, T09: a bar that starts more than five minutes ahead means that a clock is wrong.
    """
    result = judged(bars(minutes(0, 15, 16)), now=at("2024-03-05T14:40"))

    assert rules_of(result) == ["Q13"]
    assert [row.rule for row in result.held] == ["Q12", "Q12"]
    assert result.has_clock_alarm
    assert not judged(bars(minutes(0))).has_clock_alarm


def test_label_of_a_session_that_opened_the_day_before_is_not_the_future() -> None:
    """
    Q13: a d1 bar begins with its session's open, which in Chicago is on the evening before its label.
    """
    evening = 25 * 60 * MINUTE
    opens, closes = XNYS.labels + DAY - evening, XNYS.labels + 22 * 60 * MINUTE
    chicago = TradingCalendar.of("CMES", XNYS.known, XNYS.labels, opens, closes, version="made up")
    result = judged(bars([us("2024-03-05")]), timeframe=D1, calendar=chicago, now=at("2024-03-04T23:30"))

    assert [row.rule for row in result.held] == ["Q12"]


def test_bars_around_a_lunch_break_lie_on_the_grid_of_their_part() -> None:
    """
    Q03, Q14: in Hong Kong the afternoon's hours count from 13:00; what is stamped within the break is out of session.
    """
    hong_kong = trading_calendar("XHKG", 2027)
    stamps = [us(f"2024-03-05T{text}") for text in ("03:30", "04:30", "05:00", "05:30", "07:00")]
    hours = judged(bars(stamps), timeframe=H1, calendar=hong_kong)
    minutes = judged(bars(hong_kong.expected_starts(M1, TUESDAY)), calendar=hong_kong)

    assert texts(hours.accepted.ts) == [f"2024-03-05T{text}" for text in ("03:30", "05:00", "07:00")]
    assert rules_of(hours) == ["Q03"]
    assert hours.counts.out_of_session == 1
    assert minutes.counts.accepted == 330


# Price level (Q20)


def closes(*runs: tuple[float, int]) -> list[float]:
    """(price, bars) runs, one after the other."""
    return [price for price, count in runs for _ in range(count)]


def level(*runs: tuple[float, int], **options: Any) -> Judged:
    """m1 bars from the open of Tuesday on, at the prices of these runs."""
    wanted = span("2024-03-05", "2024-03-08")
    prices = closes(*runs)
    return judged(priced(XNYS.expected_starts(M1, wanted)[: len(prices)], prices), wanted=wanted, **options)


def test_false_price_that_goes_back_is_kept_out() -> None:
    """
    Q20, D10: BRK.A at 185.10 for 100 minutes of a session: none of them is stored, all others are.
    """
    result = level((627_400.0, 20), (185.1, 100), (620_700.0, 200))

    assert rules_of(result) == ["Q20"] * 100
    assert result.counts.accepted == 220
    assert len(result.blocked) == 100


def test_new_level_that_lasts_into_the_next_session_is_accepted() -> None:
    """
    Q20, W18, D10: a reverse split that nobody filed is accepted once 30 bars and the next session are at its level.
    """
    result = level((1.0, 300), (20.0, 120))

    assert result.counts.accepted == 420
    assert result.warnings["W18"].count == 1
    assert result.warnings["W18"].examples == (("AAPL", minutes(300)[0]),)


@pytest.mark.parametrize("runs", [((1.0, 300), (20.0, 90)), ((1.0, 380), (20.0, 29)), ((1.0, 10), (0.05, 1))])
def test_new_level_at_the_pages_end_is_held(runs: tuple[tuple[float, int], ...]) -> None:
    """
    Q20: while the page ends before the next session, or before 30 bars, nothing is stored and nothing lost.
    """
    result = level(*runs)

    assert {row.rule for row in result.held} == {"Q20"}
    assert result.counts.held == runs[1][1]
    assert result.blocked.is_held.all()
    assert len(result.forming) == 0


@pytest.mark.parametrize(("later", "accepted"), [(21.0, 390), (1.1, 300)])
def test_close_stored_after_the_page_tells_whether_a_level_lasted(later: float, accepted: int) -> None:
    """
    Q20: where later bars are stored already (newest first), a level at the page's end is settled at once.
    """
    result = level((1.0, 300), (20.0, 90), later_closes={0: later})

    assert (result.counts.accepted, result.counts.held) == (accepted, 0)


@pytest.mark.parametrize(("last_close", "held"), [(9.99, 5), (10.01, 0), (100.0, 0), (999.0, 0), (1_001.0, 5)])
def test_first_row_is_judged_by_the_last_stored_close(last_close: float, held: int) -> None:
    """
    Q20: from a tenth to ten times the last accepted close is no jump.
    """
    assert level((100.0, 5), last_closes={0: last_close}).counts.held == held
    assert level((100.0, 5), last_closes=np.array([last_close])).counts.held == held


def test_first_rows_of_a_series_are_judged_by_those_after_them() -> None:
    """
    Q20: with nothing stored before, a bad first row is told by the rows that follow.
    """
    result = level((0.0003, 2), (100.0, 50))

    assert rules_of(result) == ["Q20", "Q20"]
    assert result.accepted.close.tolist() == [100.0] * 50


def test_lone_first_row_is_believed() -> None:
    """
    Q20: with nothing before and nothing after there is nothing to doubt.
    """
    assert level((5.0, 1)).counts.accepted == 1


@pytest.mark.parametrize(
    ("split", "held"),
    [
        (KnownSplit(us("2024-03-05"), 0.05), 0),
        (KnownSplit(us("2024-03-07"), 0.05), 0),
        (KnownSplit(us("2024-03-05"), 0.052), 30),
        (KnownSplit(us("2024-03-05"), 20.0), 30),
        (KnownSplit(us("2023-03-05"), 0.05), 30),
    ],
)
def test_split_on_file_explains_a_jump(split: KnownSplit, held: int) -> None:
    """
    Q20: a split within 2 % of the ratio, at most some days off, accepts the jump; an inverted or old one does not.
    """
    result = level((1.0, 300), (20.0, 30), known_splits={0: [split]})

    assert result.counts.held == held
    assert "W18" not in result.warnings


def test_split_on_file_explains_the_first_row_after_the_last_stored_close() -> None:
    """
    Q20: nobody knows how old the last stored close is, so an older split explains the first row too.
    """
    filed = KnownSplit(us("2023-03-05"), 0.05)

    assert level((20.0, 3), last_closes={0: 1.0}, known_splits={0: [filed]}).counts.accepted == 3


def test_stray_wick_is_one_row() -> None:
    """
    Q20: a low at a hundredth of the price, with a sane close, keeps this row out and no other.
    """
    rows = priced(minutes(*range(5)), 100.0)
    rows.low[2] = 1.0
    result = judged(rows)

    assert rules_of(result) == ["Q20"]
    assert result.accepted.ts.tolist() == minutes(0, 1, 3, 4)


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ({"low": 1.0}, "the low 1.0 is more than ten times away from the last accepted close, 100.0"),
        ({"high": 1_500.0}, "the high 1500.0 is more than ten times away from the last accepted close, 100.0"),
        ({"high": 1_500.0, "low": 0.5}, "the low 0.5 is more than ten times away from the last accepted close, 100.0"),
        ({"open": 2_000.0, "high": 3_000.0}, "the high 3000.0 is more"),
        ({"low": 0.5, "close": 0.5}, "the close 0.5 is more than ten times away from the last accepted close, 100.0"),
    ],
)
def test_reason_names_the_price_that_is_out(spoiled: dict[str, float], told: str) -> None:
    """
    Q20: the close where it is out itself, else the price that is farthest away, and the close that it was measured by.
    """
    rows = priced(minutes(*range(5)), 100.0)
    for name, value in spoiled.items():
        getattr(rows, name)[2] = value

    assert judged(rows).quarantined[0].reason.startswith(told)


def test_reason_of_a_row_whose_level_alone_is_out() -> None:
    """
    Q20: within a level that is not believed a price may come back to less than ten times; the reason says so.
    """
    result = level((100.0, 20), (1_001.0, 1), (990.0, 1), (9.0, 20), last_closes={0: 100.0})

    assert [row.reason for row in result.quarantined][:2] == [
        "the close 1001.0 is more than ten times away from the last accepted close, 100.0",
        "the close 990.0 belongs to prices more than ten times away from the close 100.0 before",
    ]
    assert level((1.0, 300), (20.0, 30)).held[0].reason.startswith("the close 20.0 is more than ten times away")


def test_stray_wick_of_the_very_first_row_is_told_by_the_next() -> None:
    """
    Q20: with nothing stored before, the first row's wick is measured by the close after it.
    """
    rows = priced(minutes(*range(5)), 100.0)
    rows.low[0] = 1.0

    assert judged(rows).accepted.ts.tolist() == minutes(1, 2, 3, 4)


def test_jump_of_one_symbol_is_no_other_symbols() -> None:
    """
    Q20: beside a symbol that jumps, another one at quite another price is judged by itself.
    """
    prices = [5_000.0, 5_000.0, 100.0, 100.0, 1.0, 100.0, 7.0]
    result = judged(priced(minutes(0, 1, 0, 1, 2, 3, 0), prices, symbol=[0, 0, 1, 1, 1, 1, 2]), "A", "B", "C")

    assert [(row.symbol, row.rule) for row in result.quarantined] == [("B", "Q20")]


def test_levels_are_judged_by_symbol() -> None:
    """
    Q20: the last close of one symbol says nothing about the next one's first row.
    """
    rows = priced(minutes(0, 1, 0, 1), [1.0, 1.0, 5_000.0, 5_000.0], symbol=[0, 0, 1, 1])

    assert judged(rows, "AAPL", "NVR").counts.accepted == 4


def test_days_need_three_sessions_to_believe_a_jump() -> None:
    """
    Q20: for d1 three bars at the new level are enough.
    """
    wanted = span("2024-03-04", "2024-03-16")
    ts = XNYS.expected_starts(D1, wanted)
    two, three = (
        judged(priced(ts[: 5 + count], closes((1.0, 5), (20.0, count))), timeframe=D1, wanted=wanted)
        for count in (2, 3)
    )

    assert (two.counts.held, three.counts.held) == (2, 0)
    assert three.warnings["W18"].count == 1


# Warnings


def warned(rows: BarColumns, **options: Any) -> dict[str, int]:
    return {rule: remark.count for rule, remark in judged(rows, **options).warnings.items()}


def test_plain_bars_give_no_warning() -> None:
    """
    Nothing is remarked about a session of plain bars.
    """
    rows = bars(XNYS.expected_starts(M1, TUESDAY))

    assert judged(rows).warnings == {}
    assert judged(rows).counts == RowCounts(390, 390, 0, 0, 0, 0, 0, 0)


def test_vwap_outside_is_remarked_and_stored() -> None:
    """
    W10, D07: one real bar in ten had a vwap outside of it; rounding is no reason.
    """
    assert warned(bars(minutes(0, 1, 2), vwap=[101.1, 101.00001, 99.4])) == {"W10": 2}


@pytest.mark.parametrize(("timeframe", "factor_max"), [(M1, 1.284), (M15, 1.491), (H1, 1.491), (D1, 1.648)])
def test_far_close_is_remarked(timeframe: Timeframe, factor_max: float) -> None:
    """
    W11: a close more than 0.25 (m1), 0.40 (to h1), 0.50 (d1) away in logarithms, also from the last stored one.
    """
    wanted = span("2024-03-04", "2024-03-08")
    ts = XNYS.expected_starts(timeframe, wanted)[:3]
    options: dict[str, Any] = {"timeframe": timeframe, "wanted": wanted}
    near, far = (
        warned(priced(ts, 100.0 * factor ** np.array([1, 0, 1])), last_closes={0: 100.0}, **options)
        for factor in (factor_max, factor_max + 0.002)
    )

    assert near.get("W11", 0) == 0
    assert far["W11"] == 3


def test_long_wick_is_remarked() -> None:
    """
    W11, D09: AMC at 13.94 for a minute between bars of 12.65; a wick beside another such bar is none.
    """
    rows = priced(minutes(*range(8)), 12.65)
    rows.high[[0, 3, 6, 7]] = 13.94

    assert warned(rows) == {"W11": 1}


def test_volume_that_contradicts_the_bar_is_remarked() -> None:
    """
    W13: no volume in a bar that moved, no trade with volume, one trade with a span.
    """
    rows = bars(minutes(0, 1, 2, 3), volume=[0.0, 5.0, 5.0, 5.0], trade_count=[5, 0, 1, 2])

    assert warned(rows) == {"W13": 3}


def test_loud_volume_is_remarked() -> None:
    """
    W15: more than 20 times the median of the 60 bars before, however these lie; the symbol before does not count.
    """
    random = np.random.default_rng(1)
    volume = random.lognormal(6, 1.5, 1_000)
    ts = XNYS.expected_starts(M1, span("2024-03-05", "2024-03-08"))[:500]
    rows = bars(np.tile(ts, 2), symbol=np.repeat([0, 1], 500), volume=volume)
    loud = [row for row in range(1_000) if row % 500 >= 60 and volume[row] > 20 * np.median(volume[row - 60 : row])]

    result = judged(rows, "AAPL", "MSFT", wanted=span("2024-03-05", "2024-03-08"))

    assert result.warnings["W15"].count == len(loud) > 5
    assert result.warnings["W15"].examples[0][1] == rows.ts[loud[0]]


def test_loud_volume_is_measured_by_all_60_bars_before() -> None:
    """
    W15: where the volume changed within the 60 bars, the median decides, whichever half is the quiet one.
    """
    for quiet in (slice(0, 31), slice(29, 60)):
        volume = np.full(61, 1_000.0)
        volume[quiet] = 1.0
        volume[60] = 10_000.0

        assert warned(bars(minutes(*range(61)), volume=volume)) == {"W15": 1}


@pytest.mark.parametrize(("length", "count"), [(30, 0), (31, 2), (100, 2)])
def test_stuck_price_is_remarked_once(length: int, count: int) -> None:
    """
    W16: the same price for more than 30 bars, with volume, is remarked once a run.
    """
    prices = [10.0, 11.0, *([12.0] * length), *([13.0] * length), 10.0]

    assert warned(priced(minutes(*range(len(prices))), prices)).get("W16", 0) == count


def test_split_like_night_is_remarked() -> None:
    """
    W18, D26: a session that opens at a third of the close before looks like a 3:1 split, unless that is on file.
    """
    wanted = span("2024-03-05", "2024-03-07")
    rows = priced(minutes(389, 24 * 60), [300.0, 100.5])
    filed = {0: [KnownSplit(us("2024-03-06"), 3.0)]}

    assert warned(rows, wanted=wanted)["W18"] == 1
    assert "W18" not in warned(rows, wanted=wanted, known_splits=filed)
    assert "W18" not in warned(priced(minutes(0, 1), [300.0, 100.5]))
    assert "W18" not in warned(priced(minutes(389, 24 * 60), [300.0, 115.0]), wanted=wanted)
    assert "W18" not in warned(rows, wanted=wanted, calendar=CRYPTO)


# The ledger


def test_ledger_that_does_not_balance_is_an_error_of_ours() -> None:
    """
    Q00: a row that is nowhere stops the program.
    """
    with pytest.raises(LedgerImbalance, match="3 rows were received and 2 accounted for"):
        RowCounts(3, 2, 0, 0, 0, 0, 0, 0).check()


def test_page_that_counts_more_rows_than_it_holds_stops_the_program() -> None:
    """
    Q00: every page is checked, so a row that an adapter loses is found.
    """

    class LosingPage(Page):
        @property
        def received(self) -> int:
            return len(self.rows) + 1

    page = LosingPage(("AAPL",), bars(minutes(0)), (), None, "sip", "raw", NOW)

    with pytest.raises(LedgerImbalance):
        judge(page, BarsQuery(("AAPL",), M1, TUESDAY, "sip"), XNYS, now=NOW, grace=timedelta())


def test_empty_page_is_judged() -> None:
    """
    No rows at all are no error here: what that means is for S1.
    """
    result = judged(BarColumns.empty())

    assert (len(result.accepted), result.held, result.quarantined, len(result.blocked)) == (0, (), (), 0)


def test_blocked_bars_are_renumbered_and_sorted() -> None:
    """
    Read through another numbering of the tickers, blocked bars are sorted by it.
    """
    result = judged(bars(minutes(0, 0), symbol=[0, 1], volume=-1.0), "AAPL", "MSFT")
    renumbered = result.blocked.with_symbols(np.array([5, 2], np.int32))

    assert renumbered.symbol.tolist() == [2, 5]
    assert len(BlockedSlots.none()) == 0


def test_quarantine_of_a_bar_outweighs_that_it_is_held() -> None:
    """
    A bar with a row that is held and one off the grid is blocked once, as quarantined.
    """
    result = judged(bars([OPEN, OPEN + 5]), now=at("2024-03-05T14:31"))

    assert (result.blocked.start.tolist(), result.blocked.is_held.tolist()) == ([OPEN], [False])


fuzzed_prices = st.sampled_from([100.0, 100.0, 100.0, 101.0, 0.0, -1.0, 2_000.0, 3.0, NAN, np.inf, 1e13])
fuzzed_rows = st.tuples(
    st.integers(0, 2),
    st.sampled_from([0, 1, 2, 2, 3, 389, 390, 391, 600, -1, -300, 24 * 60, 25 * 60, 3 * 24 * 60, 10**9, -(10**8)]),
    st.sampled_from([0, 0, 0, 0, 14_789_000]),
    st.tuples(*[fuzzed_prices] * 4),
    st.sampled_from([0.0, 10.0, -1.0, 1e16, NAN]),
    st.sampled_from([-2, -1, 0, 1, 5]),
)


@settings(max_examples=1_000, deadline=None)
@given(rows=st.lists(fuzzed_rows, max_size=25), extended_hours=st.booleans(), late=st.booleans())
def test_any_page_balances_and_what_is_accepted_keeps_the_rules(
    rows: list[tuple[int, int, int, tuple[float, ...], float, int]], extended_hours: bool, late: bool
) -> None:
    """
    R20, Q00: whatever comes is accounted for, and accepted bars are sorted, unique, ordered, in range and not blocked.
    """
    corners = np.array([row[3] for row in rows]).reshape(-1, 4)
    sent = bars(
        [OPEN + row[1] * MINUTE + row[2] for row in rows],
        symbol=[row[0] for row in rows],
        open=corners[:, 0],
        high=corners[:, 1],
        low=corners[:, 2],
        close=corners[:, 3],
        volume=[row[4] for row in rows],
        trade_count=[row[5] for row in rows],
    )
    now = NOW if late else at("2024-03-05T14:48")
    try:
        result = judged(sent, "AAPL", "MSFT", "bad", now=now, extended_hours=extended_hours)
    except BadResponse as refusal:
        assert refusal.reason == "out_of_range"  # noqa: PT017  the only refusal that may be
        return

    accepted, keys = (
        result.accepted,
        list(zip(result.accepted.symbol.tolist(), result.accepted.ts.tolist(), strict=True)),
    )
    blocked = set(zip(result.blocked.symbol.tolist(), result.blocked.start.tolist(), strict=True))
    counts = result.counts
    assert (counts.received, counts.accepted) == (len(rows), len(accepted))
    assert (counts.quarantined, counts.held) == (len(result.quarantined), len(result.held))
    dropped = counts.collapsed + counts.out_of_range + counts.out_of_session
    assert counts.received == counts.accepted + counts.quarantined + counts.held + dropped
    assert {(mark.symbol, mark.ts) for mark in result.marks} <= set(keys)
    assert keys == sorted(set(keys))
    assert not blocked & set(keys)
    assert np.all((accepted.low > 0) & (accepted.low <= accepted.high) & (accepted.volume >= 0))
    assert np.all((accepted.ts >= us("2024-03-05")) & (accepted.ts < us("2024-03-06")))
    assert extended_hours or np.all((accepted.ts >= OPEN) & (accepted.ts < CLOSE))


def test_warnings_about_single_bars_are_marks_with_their_values() -> None:
    """
    W10 to W18: each names its bar and what looks wrong; W01 to W04 are counted and name none.
    """
    rows = bars(minutes(5, 2, 3, 4), vwap=[100.2, 150.0, 100.2, 100.2], symbol=[0, 1, 1, 1])
    rows.volume[2], rows.trade_count[3] = 0.0, 0
    result = judged(rows, "A", "B")

    assert [(mark.rule, mark.symbol, mark.ts) for mark in result.marks] == [
        ("W10", 1, minutes(2)[0]),
        ("W13", 1, minutes(3)[0]),
        ("W13", 1, minutes(4)[0]),
    ]
    assert result.marks[0].detail == "the vwap 150 lies outside of low 99.5 to high 101"
    assert result.marks[1].detail == "a volume of 0 in 10 trades, between low 99.5 and high 101"
    reordered = judged(bars(minutes(2, 1, 1)))
    assert ({*reordered.warnings}, reordered.marks) == ({"W02", "W03"}, ())


def test_marks_of_a_page_are_bounded() -> None:
    """
    W10: a page on which every vwap is wrong gives 200 marks, and the number of all.
    """
    result = judged(bars(XNYS.expected_starts(M1, TUESDAY), vwap=150.0))

    assert (len(result.marks), result.warnings["W10"].count) == (200, 390)


def test_a_level_that_lasts_is_marked_where_it_begins() -> None:
    """
    W18, D10: with the price before, which for the very first row nobody knows.
    """
    rows = priced(minutes(*range(390), *range(1440, 1470)), closes((1.0, 300), (20.0, 120)))
    result = judged(rows, wanted=span("2024-03-05", "2024-03-07"))

    (mark,) = [one for one in result.marks if one.rule == "W18"]
    assert (mark.ts, mark.detail) == (
        minutes(300)[0],
        "the price goes from 1 to 20, and no split on file explains it",
    )

"""Backfills from start to end: what is stored, what is asked for, what is reported."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.clients import Clients
from barfill.engine.completeness import series_states
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN, EXIT_INTERRUPTED, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.limiter import SlidingQuota
from tests.engine.rig import NYSE, Rig, days

WEEK = days("2026-09-14", "2026-09-21")
FETCHED = (Timeframe.M1, Timeframe.M15, Timeframe.D1)


@pytest.mark.parametrize("timeframe", [Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.D1])
def test_stored_bars_are_the_exchanges_regular_ones(rig: Rig, timeframe: Timeframe) -> None:
    """Every regular bar of the exchange is stored with its values, and nothing else."""
    report = rig.backfill(["AAPL", "BRK.B"], [timeframe], WEEK)

    assert report.exit_code == EXIT_COMPLETE
    for ticker in ("AAPL", "BRK.B"):
        assert rig.stored(ticker, timeframe) == rig.truth(ticker, timeframe, WEEK)


def test_a_second_backfill_asks_for_nothing(rig: Rig) -> None:
    """What coverage holds is not requested again, and no row version is written."""
    rig.backfill(["AAPL"], list(Timeframe), WEEK)
    rig.exchange.forget_requests()
    before = rig.query("select ctid::text, xmin::text from ohlc_bars order by 1, 2")

    report = rig.backfill(["AAPL"], list(Timeframe), WEEK)

    assert rig.bar_requests() == 0
    assert report.summary.calls_made == 0
    assert report.exit_code == EXIT_COMPLETE
    assert rig.query("select ctid::text, xmin::text from ohlc_bars order by 1, 2") == before


def test_a_full_backfill_asks_again_and_writes_nothing(rig: Rig) -> None:
    """--full reads everything once more; equal bars are not touched."""
    first = rig.backfill(["AAPL", "MSFT"], [Timeframe.M1, Timeframe.M5], WEEK)

    again = rig.backfill(["AAPL", "MSFT"], [Timeframe.M1, Timeframe.M5], WEEK, is_full=True)

    assert again.summary.calls_made == first.summary.calls_made
    assert again.summary.bars_written == again.summary.bars_changed == 0
    assert again.summary.bars_unchanged == 2 * 5 * 390


def test_widening_asks_only_for_the_ends(rig: Rig) -> None:
    """A wider window fetches what is uncovered on both sides and nothing twice."""
    rig.backfill(["AAPL"], [Timeframe.D1], days("2026-09-15", "2026-09-17"))
    rig.exchange.forget_requests()

    rig.backfill(["AAPL"], [Timeframe.D1], WEEK)

    spans = sorted((one.query["start"][:10], one.query["end"][:10]) for one in rig.exchange.requests if one.query)
    assert spans == [("2026-09-14", "2026-09-14"), ("2026-09-17", "2026-09-18")]
    assert rig.stored("AAPL", Timeframe.D1) == rig.truth("AAPL", Timeframe.D1, WEEK)


def test_eight_timeframes_are_filled_from_two(rig: Rig) -> None:
    """Minutes and days are fetched; the rest is derived and complete."""
    report = rig.backfill(["AAPL"], list(Timeframe), WEEK)

    assert {one.query["timeframe"] for one in rig.exchange.requests if "timeframe" in one.query} == {"1Min", "1Day"}
    assert all(state.is_complete and state.present for state in report.matrix)
    assert len(rig.stored("AAPL", Timeframe.H1)) == 5 * 7
    assert len(rig.stored("AAPL", Timeframe.H4)) == 5 * 2
    assert len(rig.stored("AAPL", Timeframe.W1)) == 1


def test_derived_bars_equal_fetched_ones(rig: Rig) -> None:
    """Fifteen minutes made from minutes are those that the exchange itself makes."""
    rig.backfill(["AAPL"], [Timeframe.M1, Timeframe.M15], WEEK)

    stored, truth = rig.stored("AAPL", Timeframe.M15), rig.truth("AAPL", Timeframe.M15, WEEK)
    assert stored.keys() == truth.keys()
    assert all(stored[ts] == pytest.approx(truth[ts], rel=1e-12) for ts in truth)


def test_a_corrected_minute_corrects_what_was_made_of_it(rig: Rig) -> None:
    """When a later reading changes a minute, the coarser bars over it are made anew, whenever they are asked for."""
    with_coarser = [Timeframe.M1, Timeframe.M15, Timeframe.H4]
    rig.backfill(["AAPL"], with_coarser, WEEK)
    right = {timeframe: rig.stored("AAPL", timeframe) for timeframe in with_coarser}
    wrong = "update ohlc_bars set volume = volume + 1000 where ts = '2026-09-15T15:00Z' and timeframe in ('m1', 'm15')"
    with rig.database.connection() as conn:
        conn.execute(wrong.encode())

    rig.backfill(["AAPL"], [Timeframe.M1], WEEK, is_full=True)
    report = rig.backfill(["AAPL"], with_coarser, WEEK)

    assert report.summary.calls_made == 0
    assert {timeframe: rig.stored("AAPL", timeframe) for timeframe in with_coarser} == right


def test_an_illiquid_symbol_is_complete_with_quiet_minutes(rig: Rig) -> None:
    """Minutes without a trade are settled as no_trade, never invented, and cost no second request."""
    report = rig.backfill(["THIN"], [Timeframe.M1], WEEK)

    assert report.exit_code == EXIT_COMPLETE
    assert rig.stored("THIN", Timeframe.M1) == rig.truth("THIN", Timeframe.M1, WEEK)
    assert [row[0] for row in rig.query("select distinct kind from gaps")] == ["no_trade"]
    assert rig.bar_requests() == 1


def test_a_halt_is_asked_again_and_stays_a_gap(rig: Rig) -> None:
    """Three silent hours of a liquid symbol are not believed: they are held, asked again and reported."""
    halt_week = days("2026-07-20", "2026-07-25")

    report = rig.backfill(["HLTD"], [Timeframe.M1], halt_week)

    assert report.exit_code == EXIT_GAPS_REMAIN
    assert [(gap.kind, gap.expected_bars) for gap in report.gaps_remaining] == [("missing", 180)]
    assert rig.stored("HLTD", Timeframe.M1) == rig.truth("HLTD", Timeframe.M1, halt_week)
    assert rig.bar_requests() == 3


def test_a_gap_on_record_is_not_asked_again_before_it_is_due(rig: Rig) -> None:
    """The next backfill leaves a held gap alone until its time has come."""
    halt_week = days("2026-07-20", "2026-07-25")
    rig.backfill(["HLTD"], [Timeframe.M1], halt_week)
    rig.exchange.forget_requests()

    report = rig.backfill(["HLTD"], [Timeframe.M1], halt_week)

    assert rig.bar_requests() == 0
    assert report.exit_code == EXIT_GAPS_REMAIN


def test_before_listing_is_unavailable_after_two_answers(rig: Rig) -> None:
    """What lies before a symbol's first bar is settled by a second answer, and the series is complete."""
    wanted = days("2026-04-01", "2026-06-01")

    report = rig.backfill(["NEWC"], [Timeframe.D1, Timeframe.W1], wanted)

    assert report.exit_code == EXIT_COMPLETE
    assert {row[0] for row in rig.query("select kind from gaps")} == {"unavailable"}
    assert rig.stored("NEWC", Timeframe.D1) == rig.truth("NEWC", Timeframe.D1, wanted)


def test_after_delisting_is_unavailable(rig: Rig) -> None:
    """A symbol that the provider calls inactive has nothing to expect after its last bar."""
    report = rig.backfill(["GONE"], [Timeframe.D1], days("2025-03-03", "2025-04-01"))

    assert report.exit_code == EXIT_COMPLETE
    assert [row[0] for row in rig.query("select kind from gaps")] == ["unavailable"]


def test_many_symbols_share_full_pages(rig: Rig) -> None:
    """The calls of a batch stay within 5 % of full pages (at least one more for a last page's token)."""
    rig.page_size = 100
    tickers = [ticker for ticker in rig.exchange.listings if ticker not in {"NEWC", "GONE", "HLTD"}]

    report = rig.backfill(tickers, [Timeframe.D1], days("2026-01-01", "2026-07-01"))

    least = math.ceil(report.summary.rows_received / 100)
    assert report.exit_code == EXIT_COMPLETE
    assert report.summary.calls_made <= math.ceil(1.05 * least)
    assert report.summary.calls_made == rig.bar_requests()


def test_max_calls_bounds_a_run_and_the_next_goes_on(rig: Rig) -> None:
    """A bounded backfill stops between pages; the next one takes its run up where it stopped."""
    rig.page_size = 500
    bounded = rig.backfill(["AAPL", "MSFT"], [Timeframe.M1], WEEK, max_calls=4)
    assert bounded.exit_code == EXIT_GAPS_REMAIN
    assert rig.bar_requests() == 4

    rest = rig.backfill(["AAPL", "MSFT"], [Timeframe.M1], WEEK)

    assert rest.exit_code == EXIT_COMPLETE
    whole = math.ceil((bounded.summary.rows_received + rest.summary.rows_received) / 500)
    assert rig.bar_requests() <= whole + 1
    assert rig.stored("MSFT", Timeframe.M1) == rig.truth("MSFT", Timeframe.M1, WEEK)


def test_symbols_are_added_or_refused(rig: Rig) -> None:
    """A symbol that the provider offers is added with its name; one that it does not is refused with advice."""
    result = rig.add_symbols(["AAPL", "NOSUCH"])

    assert result.added == ("AAPL",)
    assert "NOSUCH" in result.refused["NOSUCH"]
    assert rig.query("select ticker, calendar from symbols") == [("AAPL", "XNYS")]


def test_a_wrong_key_costs_one_request(rig: Rig) -> None:
    """A rejected key stops everything at once and names the variables to set."""
    rig.add_symbols(["AAPL", "MSFT"])
    rig.exchange.forget_requests()
    rig.key = "wrong"
    rig.page_size = 10

    report = rig.backfill(["AAPL", "MSFT"], [Timeframe.M1, Timeframe.D1], WEEK)

    assert report.exit_code == EXIT_FAILED
    assert len(rig.exchange.requests) == 1
    assert report.failures[0].error_code == "UNAUTHORIZED"
    assert "ALPACA_API_KEY" in report.failures[0].message


def test_a_corrected_key_is_used_at_once(rig: Rig) -> None:
    """After a failure for want of a good key the same command fetches everything, without waiting for anything."""
    rig.add_symbols(["AAPL"])
    rig.key = "wrong"
    rig.backfill(["AAPL"], [Timeframe.D1], WEEK)
    rig.key = "right"

    report = rig.backfill(["AAPL"], [Timeframe.D1], WEEK)

    assert report.exit_code == EXIT_COMPLETE
    assert rig.stored("AAPL", Timeframe.D1) == rig.truth("AAPL", Timeframe.D1, WEEK)


def test_status_counts_only_what_was_asked_for(rig: Rig) -> None:
    """Two ranges apart are complete, each for itself: nobody asked for what lies between and after."""
    rig.backfill(["AAPL"], [Timeframe.D1], days("2024-03-04", "2024-03-09"))
    rig.backfill(["AAPL"], [Timeframe.D1], WEEK)

    (state,) = series_states(rig.database, ["AAPL"])

    assert state.is_complete
    assert state.expected == 10


def test_the_ledger_agrees_with_the_table(rig: Rig) -> None:
    """Counters, coverage and runs say what the table holds."""
    rig.backfill(["AAPL", "THIN"], list(Timeframe), WEEK)

    counted = rig.query(
        "select symbol_id, timeframe, count(*), min(ts), max(ts) from ohlc_bars group by 1, 2 order by 1, 2"
    )
    ledger = rig.query(
        "select symbol_id, timeframe, bar_count, oldest_ts, newest_ts from series where bar_count > 0 order by 1, 2"
    )
    assert ledger == counted
    assert rig.query("select count(*) from job_runs where status <> 'success'") == [(0,)]


def test_the_dry_run_asks_nothing_and_foretells_the_calls(rig: Rig) -> None:
    """The estimate is made without a request, and the backfill then takes about as many calls."""
    rig.add_symbols(["AAPL", "SPY"])
    rig.exchange.forget_requests()
    window = days("2026-03-02", "2026-06-01")
    request = BackfillRequest(tickers=("AAPL", "SPY"), windows={Timeframe.M1: window, Timeframe.D1: window})

    async def estimate() -> int:
        client = rig.client()
        try:
            return (await Backfill(rig.database, Clients(client), rig.settings, rig.listener).estimate(request)).calls
        finally:
            await client.aclose()

    calls = asyncio.run(estimate())

    assert rig.bar_requests() == 0
    made = rig.backfill(["AAPL", "SPY"], [Timeframe.M1, Timeframe.D1], window).summary.calls_made
    assert abs(made - calls) <= max(2, 0.25 * made)


def test_a_window_that_begins_on_a_holiday_leaves_no_week_behind(rig: Rig) -> None:
    """The closed day between two windows is asked for by nobody, and the week around it is derived all the same."""
    rig.backfill(["AAPL"], [Timeframe.D1], days("2025-11-27", "2025-12-20"))

    report = rig.backfill(["AAPL"], [Timeframe.D1, Timeframe.W1], days("2025-10-01", "2025-12-20"))

    assert report.exit_code == EXIT_COMPLETE
    assert {state.timeframe: state.present == state.expected for state in report.matrix} == {
        Timeframe.D1: True,
        Timeframe.W1: True,
    }


def test_stopping_does_not_sit_out_the_rate_limit(rig: Rig) -> None:
    """A request that still waits for the quota is given up; the next backfill asks for its page, once."""

    async def never(_seconds: float) -> None:
        await asyncio.Event().wait()

    async def stopped_after_one_page() -> BackfillReport:
        client = rig.client(SlidingQuota(1, sleep=never))
        backfill = Backfill(rig.database, Clients(client), rig.settings, rig.listener)
        request = BackfillRequest(tickers=("AAPL",), windows={Timeframe.M1: WEEK})
        running = asyncio.create_task(backfill.run(request))
        while not rig.listener.pages:
            await asyncio.sleep(0.01)
        backfill.stop()
        try:
            return await running
        finally:
            await client.aclose()

    rig.page_size = 1_000
    rig.add_symbols(["AAPL"])
    rig.exchange.forget_requests()

    assert asyncio.run(stopped_after_one_page()).exit_code == EXIT_INTERRUPTED
    rig.backfill(["AAPL"], [Timeframe.M1], WEEK)

    asked = [one.query.get("page_token") for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked))
    assert rig.stored("AAPL", Timeframe.M1) == rig.truth("AAPL", Timeframe.M1, WEEK)


def test_extended_hours_are_kept_where_wanted(rig: Rig) -> None:
    """With the setting on, bars outside regular hours are stored beside the regular ones."""
    rig.settings = replace(rig.settings, extended_hours=True)

    rig.backfill(["AAPL"], [Timeframe.M1], WEEK)

    regular = set(NYSE.expected_starts(Timeframe.M1, WEEK).tolist())
    assert len(rig.stored("AAPL", Timeframe.M1).keys() - regular) > 5 * 300


def test_the_window_ends_at_the_final_horizon(rig: Rig) -> None:
    """Coverage never reaches beyond what the provider can still change."""
    now = datetime.now(UTC)
    rig.backfill(["AAPL"], [Timeframe.M1, Timeframe.D1], Range(now - timedelta(days=4), now + timedelta(days=3)))

    for timeframe, covered_to in rig.query("select timeframe, to_ts from coverage_status"):
        horizon = NYSE.closed_until(Timeframe(timeframe), now, timedelta(minutes=15))
        assert to_us(covered_to) <= to_us(horizon) + Timeframe(timeframe).length_us


@pytest.mark.parametrize(
    ("finer", "coarser", "end"),
    [(Timeframe.D1, Timeframe.W1, "2024-03-14T00:00"), (Timeframe.M15, Timeframe.H4, "2024-03-13T16:00")],
)
def test_a_window_that_ends_within_a_derived_bar_is_complete_without_it(
    rig: Rig, finer: Timeframe, coarser: Timeframe, end: str
) -> None:
    """What the bar would be made of is not wanted, so it is no gap that may still fill, neither now nor again."""
    wanted = Range(datetime(2024, 3, 4, tzinfo=UTC), datetime.fromisoformat(end).replace(tzinfo=UTC))

    reports = [rig.backfill(["AAPL"], [finer, coarser], wanted) for _ in range(2)]

    assert [report.exit_code for report in reports] == [EXIT_COMPLETE, EXIT_COMPLETE]
    whole = NYSE.expected_starts(coarser, wanted)[:-1].tolist()
    assert list(rig.stored("AAPL", coarser)) == whole

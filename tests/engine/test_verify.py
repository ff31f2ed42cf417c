"""Stored bars compared with another vendor of the same market, over HTTP: each kind of difference, no trace left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from barfill.core.comparison import Kind
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN
from barfill.engine.verify import MAX_CALLS_REACHED, Verify
from barfill.engine.verify_plan import VerifyPlan, VerifyRequest
from barfill.engine.verify_report import VerifyReport
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import Provider
from barfill.providers.finnhub import Finnhub
from barfill.providers.massive import Massive
from barfill.providers.tradier import Tradier
from barfill.store.symbols import NewSymbol
from barfill.store.symbols import add_symbols as write_symbols
from tests.engine.rig import Rig, days

M1, M15, H4, D1, W1 = Timeframe.M1, Timeframe.M15, Timeframe.H4, Timeframe.D1, Timeframe.W1
WEEK = days("2026-08-03", "2026-08-08")
WEEKS = days("2026-08-03", "2026-08-29")
NOTHING = dict.fromkeys(Kind, 0)


def massive(rig: Rig, **more: Any) -> Massive:
    return Massive("key", base_url=rig.exchange.massive_url, plan="free", requests_per_minute=10_000, **more)


def verify(
    rig: Rig,
    timeframes: Sequence[Timeframe],
    window: Range = WEEK,
    *,
    provider: Provider | None = None,
    attempts: int = 2,
    concurrency: int = 1,
    **more: Any,
) -> tuple[VerifyPlan, VerifyReport]:
    """Compares all that is stored."""

    async def run() -> tuple[VerifyPlan, VerifyReport]:
        rig.attempts = attempts
        client = rig.client_of(provider or massive(rig))
        try:
            engine = Verify(rig.database, client, concurrency=concurrency)
            ids = tuple(row[0] for row in rig.query("select id from symbols order by ticker"))
            request = VerifyRequest(symbol_ids=ids, timeframes=tuple(timeframes), window=window, **more)
            plan = await engine.plan(request)
            return plan, await engine.run(plan)
        finally:
            await client.aclose()

    return asyncio.run(run())


def counts(report: VerifyReport) -> dict[Kind, int]:
    (one,) = report.series
    return dict(one.comparison.counts)


def spoil(rig: Rig, fault: str, **args: Any) -> None:
    """Massive sends bars with a fault."""
    rig.exchange.set_faults([{"match": {"provider": "massive", "endpoint": "aggs"}, "fault": fault, "args": args}])


def contents(rig: Rig) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    tables = rig.query("select tablename from pg_tables where schemaname = current_schema() order by 1")
    return {name: sorted(row[0] for row in rig.query(f"select t::text from {name} as t")) for (name,) in tables}


def test_two_vendors_of_one_market_are_equal(rig: Rig) -> None:
    """Alpaca's bars of all timeframes, asked of Massive in minutes and days alone; not a row changes in any table."""
    rig.backfill(["AAPL", "THIN"], tuple(Timeframe), WEEKS)
    before = contents(rig)

    plan, report = verify(rig, tuple(Timeframe), WEEKS, concurrency=3)

    assert contents(rig) == before
    assert report.exit_code == EXIT_COMPLETE
    assert {one.timeframe for unit in plan.units for one in unit.slices} == {M1, D1}
    assert report.calls == plan.calls == 4
    stored = rig.query("select ticker, timeframe, count(*) from ohlc_bars join symbols on id = symbol_id group by 1, 2")
    assert {(ticker, name): (count, count, 0) for ticker, name, count in stored} == {
        (one.ticker, one.timeframe.value): (one.comparison.compared, one.comparison.equal, one.unanswered)
        for one in report.series
    }
    assert [(one.source, one.notes) for one in report.series if one.timeframe is W1] == [(D1, ())] * 2


FAULTS: tuple[tuple[Timeframe, str, dict[str, Any], dict[Kind, int], int], ...] = (
    (D1, "H33", {"row": 1, "factor": 1.002}, {Kind.PRICE: 1}, 0),
    (D1, "D18", {"row": 2, "value": 5}, {Kind.VOLUME: 1}, 0),
    (M15, "D20", {"at": "2026-08-05T15:30:00Z"}, {Kind.MISSING_THERE: 1}, 0),
    (D1, "D04", {"row": 1}, {}, 1),
    (D1, "D11", {"row": 1, "form": "different"}, {}, 1),
    (D1, "D12", {}, {}, 0),
    (D1, "H11", {}, {Kind.MISSING_THERE: 5}, 0),
    (D1, "H19", {"rows": 3}, {Kind.MISSING_THERE: 2}, 0),
    (D1, "H32", {}, {}, 0),
)
"""What Massive does wrong, the differences that it makes, and how many bars it keeps out of the comparison."""


def test_a_fault_on_one_side_is_told_by_its_kind(rig: Rig) -> None:
    """One bar differs, and only in what the fault does; rows that break a rule there are not compared."""
    rig.backfill(["AAPL"], [M15, D1], WEEK)
    for timeframe, fault, args, expected, kept_out in FAULTS:
        spoil(rig, fault, **args)

        _, report = verify(rig, [timeframe])

        (one,) = report.series
        assert (fault, one.comparison.counts) == (fault, NOTHING | expected)
        assert (fault, one.kept_out, one.unanswered) == (fault, kept_out, 0)
        assert report.exit_code == (EXIT_GAPS_REMAIN if expected else EXIT_COMPLETE)
        assert len(one.comparison.differences) == sum(expected.values())
        assert any("may have left rows out" in note for note in one.notes) == (fault in ("H11", "H19")), fault


def test_a_bar_that_the_stored_series_lacks_is_missing_here(rig: Rig) -> None:
    """Alpaca left it out, where silence is usual for a minute; Massive has it. So it is for what is made of them."""
    left_out = {"match": {"endpoint": "bars"}, "fault": "D20", "args": {"at": "2026-08-05T15:30:00Z"}}
    rig.exchange.set_faults([left_out])
    rig.backfill(["AAPL"], [M1, M15], WEEK)
    rig.exchange.set_faults([])

    _, report = verify(rig, [M1, M15])

    minutes, quarters = report.series
    assert minutes.comparison.counts == NOTHING | {Kind.MISSING_HERE: 1}
    (difference,) = minutes.comparison.differences
    assert (difference.ts, difference.here) == (1_785_943_800_000_000, None)
    assert quarters.comparison.counts[Kind.MISSING_HERE] == 0
    assert quarters.comparison.equal >= quarters.comparison.compared - 1


def test_a_tolerance_hides_what_is_within_it(rig: Rig) -> None:
    """Two parts in a thousand are a difference by default, and none with three."""
    rig.backfill(["AAPL"], [D1], WEEK)
    wrong = {"row": 1, "factor": 1.002}

    spoil(rig, "H33", **wrong)
    strict = counts(verify(rig, [D1])[1])
    spoil(rig, "H33", **wrong)
    lax = counts(verify(rig, [D1], price_tolerance=0.003)[1])

    assert (strict[Kind.PRICE], lax[Kind.PRICE]) == (1, 0)


def test_only_what_was_fetched_and_lies_in_reach_is_asked_for(rig: Rig) -> None:
    """Nothing of the weeks that are not stored; what is older than the plan's two years is counted."""
    rig.backfill(["AAPL"], [D1], days("2024-11-04", "2024-12-28"))
    rig.exchange.forget_requests()

    plan, report = verify(rig, [D1], days("2024-01-01", "2026-08-29"))

    (one,) = report.series
    oldest = massive(rig).capabilities.history_start_at(plan.now, D1)
    stored = rig.query("select count(*), count(*) filter (where ts < %s) from ohlc_bars", oldest)
    assert stored[0][1] > 0
    assert (one.comparison.compared + one.out_of_reach, one.out_of_reach) == stored[0]
    assert report.exit_code == EXIT_COMPLETE
    assert len(rig.exchange.requests) == report.calls == 1


def test_bars_that_a_window_cuts_are_not_compared_in_halves(rig: Rig) -> None:
    """Four hours are made of whole ones: the one that the window begins in is left out, the one it ends in is not."""
    rig.backfill(["AAPL"], [M1, H4], WEEK)
    window = Range(WEEK.start.replace(day=4, hour=15), WEEK.start.replace(day=5, hour=14))

    _, report = verify(rig, [H4], window)

    (one,) = report.series
    assert (one.comparison.expected, one.comparison.equal, report.exit_code) == (2, 2, EXIT_COMPLETE)


@pytest.mark.parametrize(
    ("fault", "args", "code", "calls"),
    [
        ("H04", {}, "PROVIDER_UNAVAILABLE", 2),
        ("H21", {"form": "distinct"}, "BAD_RESPONSE", 22),
        ("H20", {"form": "empty"}, "BAD_RESPONSE", 24),
        ("H07", {}, "FORBIDDEN_PLAN", 2),
    ],
)
def test_a_provider_that_fails_is_a_failure(rig: Rig, fault: str, args: dict[str, Any], code: str, calls: int) -> None:
    """Nothing is called missing for it; one that is down is left alone, one that refuses a part is asked on."""
    rig.backfill(["AAPL", "MSFT"], [D1], WEEK)
    spoil(rig, fault, **args)

    _, report = verify(rig, [D1])

    assert report.exit_code == EXIT_FAILED
    assert {failure.error_code for failure in report.failures} == {code}
    assert sum(sum(one.comparison.counts.values()) for one in report.series) == 0
    assert report.calls <= calls


def test_max_calls_bounds_what_is_asked(rig: Rig) -> None:
    """What was answered by then is compared, the rest is told; a second page was to come."""
    rig.backfill(["AAPL"], [M1], WEEK)

    _, report = verify(rig, [M1], provider=massive(rig, page_size=1_000), calls_max=1)

    (one,) = report.series
    assert (report.calls, report.bound, report.exit_code) == (1, MAX_CALLS_REACHED, EXIT_GAPS_REMAIN)
    assert 0 < one.comparison.equal == one.comparison.expected
    assert one.comparison.expected + one.unanswered == 5 * 390


def test_many_pages_are_one_answer(rig: Rig) -> None:
    """Alpaca's pages over two symbols, which meet in the middle of a symbol, with a bad symbol in the batch."""
    rig.backfill(["AAPL", "MSFT"], [M15, H4], WEEK)
    rig.database.run(write_symbols, [NewSymbol("WRONG")])
    rig.change(
        "insert into series (symbol_id, timeframe, feed, covered) select id, 'm15', 'sip', "
        "(select covered from series where timeframe = 'm15' limit 1) from symbols where ticker = 'WRONG'"
    )
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H09", "args": {"symbol": "WRONG"}}])
    alpaca = Alpaca("key", "secret", base_url=rig.exchange.alpaca_url, page_size=100, requests_per_minute=10_000)

    _, report = verify(rig, [M15, H4], provider=alpaca)

    assert [(one.symbols, one.error_code) for one in report.failures] == [(("WRONG",), "SYMBOL_NOT_FOUND")]
    equal = {(one.ticker, one.timeframe): (one.comparison.equal, one.unanswered) for one in report.series}
    quarters = {("AAPL", M15): (130, 0), ("MSFT", M15): (130, 0), ("WRONG", M15): (0, 130)}
    assert equal == quarters | {("AAPL", H4): (10, 0), ("MSFT", H4): (10, 0)}
    assert report.calls > 3


def test_another_feed_is_compared_in_prices_alone(rig: Rig) -> None:
    """And says so: a fiftieth of the volume is no difference."""
    rig.backfill(["AAPL"], [D1], WEEK)
    iex = Alpaca("key", "secret", base_url=rig.exchange.alpaca_url, requests_per_minute=10_000, feed="iex")

    _, report = verify(rig, [D1], provider=iex, price_tolerance=0.5)

    (one,) = report.series
    assert one.notes == ("feed iex against sip: prices only, volumes are not comparable",)
    assert (one.comparison.compared, one.comparison.counts) == (5, NOTHING)


def test_adjusted_prices_are_refused_against_raw_ones(rig: Rig) -> None:
    """With the splits on file; nothing is asked for it, and the other timeframes go on."""
    rig.backfill(["AAPL", "SPLT"], [D1], days("2026-03-09", "2026-03-21"))
    rig.change(
        "insert into splits (symbol_id, ex_on, form, numerator, denominator, ticker, provider, filed_on, last_seen_at) "
        "select id, ex, 'split', 4, 1, ticker, 'alpaca', ex, now() "
        "from symbols, cast('2026-03-16' as date) as ex where ticker = 'SPLT'"
    )
    tradier = Tradier("key", base_url=rig.exchange.tradier_url, requests_per_minute=10_000)

    plan, report = verify(rig, [D1], days("2026-03-09", "2026-03-21"), provider=tradier)

    assert (plan.calls, report.calls, report.exit_code) == (0, 0, EXIT_FAILED)
    plain, split = (one.reason for one in report.not_compared)
    assert plain.endswith("stored are raw ones: these cannot be compared. No split since 2026-03-09 is on file.")
    assert split.endswith("On file: 4:1 on 2026-03-16.")


@pytest.mark.parametrize(
    ("symbol", "is_chosen", "reason"),
    [
        (NewSymbol("BTC/USD", asset_type="crypto"), False, "massive has no crypto symbols"),
        (NewSymbol("MSFT"), False, "Nothing of it is stored"),
        (NewSymbol("MSFT"), True, "Nothing of it is stored"),
    ],
)
def test_what_cannot_be_compared_is_told(rig: Rig, symbol: NewSymbol, is_chosen: bool, reason: str) -> None:
    """Once, and without a request."""
    rig.database.run(write_symbols, [symbol])

    plan, report = verify(rig, [D1], is_chosen=is_chosen)

    (told,) = report.not_compared
    assert told.reason.startswith(reason)
    assert (plan.calls, plan.series_count, report.exit_code) == (0, 0, EXIT_FAILED)


def test_timeframes_that_a_plan_lacks_are_told(rig: Rig) -> None:
    """Finnhub's free plan has no bars, and so no days of which weeks could be made."""
    rig.backfill(["AAPL"], [D1, W1], WEEKS)
    finnhub = Finnhub("key", base_url=rig.exchange.finnhub_url, plan="free", requests_per_minute=10_000)

    _, report = verify(rig, [D1, W1], WEEKS, provider=finnhub)

    assert [one.reason for one in report.not_compared] == [
        f"finnhub has no bars of {label}, nor finer ones to make them of." for label in ("1d", "1w")
    ]
    assert (report.calls, report.exit_code) == (0, EXIT_FAILED)

"""The current session: live bars until final ones take their place, and not one of them left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.engine.retrying import retry
from barfill.engine.schedule import Schedule
from barfill.engine.worker import QueueWorker
from barfill.providers.alpaca import Alpaca
from barfill.providers.massive import Massive
from barfill.providers.tradier import Tradier
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.pages import forget_stale_live
from barfill.store.runs import NewRun, create_runs
from tests.engine.clocks import set_clock
from tests.engine.rig import Collector, Rig, days

M15, M30, H1, D1 = Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.D1
NOON = datetime(2026, 9, 16, 16, 5, 2, tzinfo=UTC)
OPEN = datetime(2026, 9, 16, 13, 30, tzinfo=UTC)
TWO_DAYS_LATER = datetime(2026, 9, 18, 12, 0, 2, tzinfo=UTC)
WEEK = days("2026-09-10", "2026-09-19")


@pytest.fixture(scope="module")
def session() -> Iterator[SimulatedExchange]:
    """An exchange at noon of a session."""
    config = ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000, start_clock=NOON)
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def noon(session: SimulatedExchange, database: Database) -> Rig:
    """History from Massive's free plan, which has it at the end of the day; the session from Alpaca."""
    session.set_faults([])
    rig = Rig(session, database)
    go_to(rig, NOON)
    session.forget_requests()
    return rig


def go_to(rig: Rig, instant: datetime) -> None:
    """All clocks show *instant*."""
    rig.exchange.set_clock(instant)
    set_clock(rig.database, instant)


def clients(rig: Rig, feed: str | None = None) -> Clients:
    """Massive for what is final, Alpaca for what is not."""
    massive = Massive("key", base_url=rig.exchange.massive_url, requests_per_minute=10_000)
    alpaca = Alpaca(
        "key",
        "secret",
        base_url=rig.exchange.alpaca_url,
        plan="paid",
        feed=feed,
        requests_per_minute=10_000,
    )
    return Clients(rig.client_of(massive), rig.client_of(alpaca), order=["massive"], live="alpaca")


def backfill(rig: Rig, *timeframes: Timeframe, feed: str | None = None) -> BackfillReport:
    """One backfill of AAPL up to now."""

    async def run() -> BackfillReport:
        both = clients(rig, feed)
        try:
            await add_symbols(rig.database, both, ["AAPL"])
            windows = dict.fromkeys(timeframes or [M15], Range(WEEK.start, rig.database.now()))
            request = BackfillRequest(tickers=("AAPL",), windows=windows)
            return await Backfill(rig.database, both, rig.settings, rig.listener).run(request)
        finally:
            await both.aclose()

    return asyncio.run(run())


def stored(rig: Rig, timeframe: Timeframe) -> dict[datetime, tuple[Any, ...]]:
    """Status and provider of each stored bar of today."""
    rows = rig.query(
        "select ts, data_status, provider from ohlc_bars where timeframe = %s and ts >= '2026-09-16' order by ts",
        timeframe.value,
    )
    return {ts: rest for ts, *rest in rows}  # type: ignore[misc]


def counters_are_right(rig: Rig) -> bool:
    """Whether the ledger's counters are those of the table."""
    return rig.query(
        "select bool_and(bar_count = found.n and newest_ts = found.newest and oldest_ts = found.oldest) from series "
        "join (select symbol_id, timeframe, count(*) as n, min(ts) as oldest, max(ts) as newest from ohlc_bars "
        "group by 1, 2) as found using (symbol_id, timeframe)"
    ) == [(True,)]


def test_todays_bars_are_live_and_prove_nothing(noon: Rig) -> None:
    """From the open to the bar that is forming; coverage ends with yesterday."""
    report = backfill(noon)

    assert report.exit_code == EXIT_COMPLETE
    found = stored(noon, M15)
    assert list(found) == [OPEN + number * timedelta(minutes=15) for number in range(11)]
    assert {tuple(values) for values in found.values()} == {("live", "alpaca")}
    assert noon.query("select upper(covered) <= '2026-09-16' from series") == [(True,)]
    assert {row[0] for row in noon.query("select data_status from ohlc_bars where ts < '2026-09-16'")} == {"final"}
    assert noon.query("select job_type, is_live, status from job_runs where provider = 'alpaca'") == [
        ("fetch_intraday", True, "success")
    ]
    assert counters_are_right(noon)


def test_after_the_close_final_bars_take_their_place(noon: Rig) -> None:
    """Not one live bar is left, also none that has no final counterpart, and nothing of it is a revision."""
    backfill(noon, M15, H1, D1)
    stray = OPEN + timedelta(minutes=7)
    noon.change(
        "insert into ohlc_bars (symbol_id, timeframe, ts, open, high, low, close, volume, provider, feed, is_intraday, "
        f"data_status, fetched_at) select symbol_id, timeframe, '{stray.isoformat()}', open, high, low, close, volume, "
        "provider, feed, is_intraday, data_status, fetched_at from ohlc_bars where timeframe = 'm15' and ts = "
        f"'{OPEN.isoformat()}'"
    )
    noon.change("update series set bar_count = bar_count + 1 where timeframe = 'm15'")
    assert {next(iter(values)) for values in (*stored(noon, H1).values(), *stored(noon, D1).values())} == {"live"}
    go_to(noon, TWO_DAYS_LATER)

    report = backfill(noon, M15, H1, D1)

    assert report.exit_code == EXIT_COMPLETE
    assert noon.query("select count(*) from ohlc_bars where data_status = 'live'") == [(0,)]
    assert noon.query("select count(*) from series where live_from is not null") == [(0,)]
    assert noon.query("select count(*) from bar_revisions") == [(0,)]
    assert noon.stored("AAPL", M15) == noon.truth("AAPL", M15, days("2026-09-10", "2026-09-18"))
    assert noon.stored("AAPL", D1) == noon.truth("AAPL", D1, days("2026-09-10", "2026-09-18"))
    assert counters_are_right(noon)


def test_todays_bars_from_tradier_give_way_to_the_final_ones(noon: Rig) -> None:
    """Live from Tradier in the middle of the session, the forming bar with them; final after the close, none left."""
    tradier = Tradier("token", base_url=noon.exchange.tradier_url, plan="paid", requests_per_minute=10_000)
    massive = Massive("key", base_url=noon.exchange.massive_url, requests_per_minute=10_000)

    async def run() -> BackfillReport:
        both = Clients(noon.client_of(massive), noon.client_of(tradier), order=["massive"], live="tradier")
        try:
            await add_symbols(noon.database, both, ["AAPL"])
            windows = dict.fromkeys([M15, H1], Range(WEEK.start, noon.database.now()))
            request = BackfillRequest(tickers=("AAPL",), windows=windows)
            return await Backfill(noon.database, both, noon.settings, noon.listener).run(request)
        finally:
            await both.aclose()

    asyncio.run(run())
    live = stored(noon, M15)
    go_to(noon, TWO_DAYS_LATER)
    report = asyncio.run(run())

    assert list(live) == [OPEN + number * timedelta(minutes=15) for number in range(11)]
    assert {tuple(values) for values in live.values()} == {("live", "tradier")}
    assert report.exit_code == EXIT_COMPLETE
    assert noon.query("select distinct data_status, provider from ohlc_bars") == [("final", "massive")]
    assert noon.stored("AAPL", M15) == noon.truth("AAPL", M15, days("2026-09-10", "2026-09-18"))


def test_coarser_live_bars_are_made_of_finer_ones(noon: Rig) -> None:
    """One request for each symbol, whatever timeframes are wanted; the forming hour and day are there."""
    backfill(noon, M15, M30, H1, D1)

    assert list(stored(noon, H1)) == [OPEN + number * timedelta(hours=1) for number in range(3)]
    assert list(stored(noon, D1)) == [datetime(2026, 9, 16, tzinfo=UTC)]
    minutes = noon.query("select max(high), sum(volume) from ohlc_bars where timeframe = 'm15' and ts >= '2026-09-16'")
    assert minutes == noon.query("select high, volume from ohlc_bars where timeframe = 'd1' and ts >= '2026-09-16'")
    assert noon.bar_requests() == 1


def test_a_forming_bar_grows(noon: Rig) -> None:
    """A later run replaces what has changed, by one request."""
    backfill(noon)
    forming = "select volume from ohlc_bars where ts = '2026-09-16 16:00+00' and timeframe = 'm15'"
    before = noon.query(forming)
    go_to(noon, NOON + timedelta(minutes=5))

    backfill(noon)

    assert noon.query(forming) > before
    assert noon.bar_requests() == 2


def test_bars_of_another_feed_are_not_taken_live_either(noon: Rig) -> None:
    """The series is of the whole tape, the live provider has one exchange's: it is not asked."""
    backfill(noon, feed="iex")

    assert stored(noon, M15) == {}
    assert noon.bar_requests() == 0


def test_live_bars_that_do_not_come_are_told_and_lack_nowhere(noon: Rig) -> None:
    """The history is complete all the same: final bars will come."""
    noon.attempts = 2
    noon.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04"}])

    report = backfill(noon)

    assert report.exit_code == EXIT_COMPLETE
    assert [note for note in noon.listener.notes if "current session's bars did not come from alpaca" in note]
    assert noon.query("select count(*) from series_gaps where kind = 'failed'") == [(0,)]


def test_what_is_final_already_is_not_overwritten_by_a_late_live_run(noon: Rig) -> None:
    """A run that waited in the queue until the final bars were there brings nothing."""
    backfill(noon)
    go_to(noon, TWO_DAYS_LATER)
    backfill(noon)
    before = noon.query("select * from ohlc_bars order by symbol_id, timeframe, ts")
    ((symbol_id,),) = noon.query("select id from symbols")
    late = NewRun(
        symbols=("AAPL",),
        symbol_ids=(symbol_id,),
        timeframe=M15,
        range=Range(OPEN, NOON),
        provider="alpaca",
        feed="sip",
        is_live=True,
    )
    noon.database.run(create_runs, [late])

    asyncio.run(_work(noon))

    assert noon.query("select * from ohlc_bars order by symbol_id, timeframe, ts") == before
    assert noon.query("select rows_received > 0, rows_written, status from job_runs order by id desc limit 1") == [
        (True, 0, "success")
    ]


def test_a_live_run_of_long_ago_is_not_tried_again(noon: Rig) -> None:
    """Its bars would stay for ever: nobody brings final ones of them any more."""
    noon.attempts = 1
    noon.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04"}])
    backfill(noon)
    ((run_id,),) = noon.query("select id from job_runs where is_live and status = 'failed'")

    tried = retry(noon.database, [run_id], patience_s=60)

    assert tried.queued == ()
    assert "a session that is over" in tried.left[run_id]


def test_live_bars_that_nobody_replaces_are_forgotten(noon: Rig) -> None:
    """The machine was off until the window had left them behind: they are no bars, and the counters are right."""
    backfill(noon, M15, H1)
    assert noon.database.run(forget_stale_live, NOON - timedelta(days=2)) == 0

    forgotten = noon.database.run(forget_stale_live, NOON + timedelta(days=20))

    assert forgotten > 0
    assert noon.query("select count(*) from ohlc_bars where data_status = 'live'") == [(0,)]
    assert noon.query("select count(*) from series where live_from is not null") == [(0,)]
    assert counters_are_right(noon)


def test_a_coarser_series_of_another_feed_does_not_stop_the_live_bars(noon: Rig) -> None:
    """It keeps to what it holds; the others get theirs, and the backfill ends with a report."""
    backfill(noon, D1)
    noon.change("update series set feed = 'iex' where timeframe = 'd1'")

    report = backfill(noon, M15, H1, D1)

    assert {next(iter(values)) for values in stored(noon, H1).values()} == {"live"}
    assert report.summary.symbols_ok + report.summary.symbols_failed == 1


def test_schedule_and_worker_bring_todays_bars(noon: Rig) -> None:
    """Each look brings them anew; no second run is made while one waits."""
    asyncio.run(_add(noon))
    noon.database.run(keep_series, ["AAPL"], [M15, H1], window_days=5)

    asyncio.run(_look(noon))
    again = asyncio.run(_look(noon))
    asyncio.run(_work(noon))

    assert again == 0
    assert {next(iter(values)) for values in stored(noon, M15).values()} == {"live"}
    assert {next(iter(values)) for values in stored(noon, H1).values()} == {"live"}
    assert asyncio.run(_look(noon)) == 1


async def _add(rig: Rig) -> None:
    both = clients(rig)
    await add_symbols(rig.database, both, ["AAPL"])
    await both.aclose()


async def _look(rig: Rig) -> int:
    both = clients(rig)
    looking = Schedule(rig.database, both, rig.settings, Collector(), every=timedelta(minutes=15))
    found = await looking.look()
    await both.aclose()
    return len(found.runs)


async def _work(rig: Rig) -> None:
    both = clients(rig)
    await QueueWorker(rig.database, both, replace(rig.settings), Collector()).run_until_empty()
    await both.aclose()

"""Workers on the queue: what a look at the definitions finds is carried out, whatever happens to whoever does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range
from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.patience import Patience
from barfill.engine.report import EXIT_COMPLETE
from barfill.engine.schedule import Schedule, next_look
from barfill.engine.tick import Tick, tick
from barfill.engine.worker import QueueWorker
from barfill.errors import (
    BadResponse,
    CredentialsRejected,
    ProviderTimeout,
    ProviderUnavailable,
    SchemaOutdated,
    StoreCrowded,
    StoreError,
    StoreUnavailable,
)
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.database import Database
from barfill.store.definitions import keep_batches, keep_series, list_definitions
from barfill.store.runs import BY_THE_USER, cancel_runs, claim_run
from barfill.store.workers import Worker
from tests.engine.rig import NYSE, Rig, days

D1, M15, H1 = Timeframe.D1, Timeframe.M15, Timeframe.H1
TICKERS = ("AAPL", "MSFT", "SPY")


def look(rig: Rig, *, max_calls: int | None = None) -> Tick:
    """One tick, as of now."""
    client = rig.client()
    try:
        return tick(
            rig.database,
            Roster((client.provider.capabilities,)),
            rig.settings,
            now=rig.database.now(),
            max_calls=max_calls,
        )
    finally:
        asyncio.run(client.aclose())


@asynccontextmanager
async def worker_of(rig: Rig) -> AsyncIterator[QueueWorker]:
    """A worker on the rig's queue."""
    client = rig.client()
    try:
        yield QueueWorker(rig.database, Clients(client), rig.settings, rig.listener)
    finally:
        await client.aclose()


def slow_down_new_runs(rig: Rig) -> None:
    """Runs that somebody has planned take a while until they are there: time enough for another to plan the same."""
    rig.change(
        "create function slow_down() returns trigger language plpgsql as $$ begin perform pg_sleep(0.7); return null; "
        "end $$"
    )
    rig.change("create trigger slow_down before insert on job_runs for each statement execute function slow_down()")


def work(rig: Rig) -> QueueWorker:
    """Carries out what is due."""

    async def until_empty() -> QueueWorker:
        async with worker_of(rig) as worker:
            await worker.run_until_empty()
            return worker

    return asyncio.run(until_empty())


def window(rig: Rig, day_count: int) -> Range:
    """The window of a definition, up to the newest session that the exchange has whole."""
    start = rig.database.now().date() - timedelta(days=day_count)
    return days(start.isoformat(), (rig.database.now().date() - timedelta(days=4)).isoformat())


def define(rig: Rig, *timeframes: Timeframe, window_days: int = 30, priority: int = 100) -> None:
    """Definitions of the three symbols."""
    rig.add_symbols(TICKERS)
    rig.database.run(keep_series, TICKERS, timeframes, window_days=window_days, priority=priority)
    rig.exchange.forget_requests()


def test_a_look_and_a_worker_make_complete_what_is_defined(rig: Rig) -> None:
    """What definitions want is fetched and derived; the next look finds nothing to do and asks nothing."""
    define(rig, D1, M15, H1)

    found = look(rig)
    worker = work(rig)

    assert found.symbols == len(TICKERS)
    assert worker.tally.done == len(found.runs) > 0
    assert worker.tally.failed == worker.tally.postponed == 0
    for ticker in TICKERS:
        for timeframe in (D1, M15):
            stored, truth = rig.stored(ticker, timeframe), rig.truth(ticker, timeframe, window(rig, 30))
            assert truth.items() <= stored.items()
    assert len(rig.stored("AAPL", H1)) > 0
    assert rig.query("select distinct status from job_runs") == [("success",)]
    assert rig.query("select id from procrastinate_jobs where task_name = 'carry_out'") == []
    rig.exchange.forget_requests()
    assert look(rig).runs == ()
    assert work(rig).tally.calls == 0
    assert rig.bar_requests() == 0


def test_two_looks_one_after_the_other_make_no_range_twice(rig: Rig) -> None:
    """What waits in the queue is not wanted a second time."""
    define(rig, D1)

    first, second = look(rig), look(rig)

    assert len(first.runs) > 0
    assert second.runs == ()


def test_two_looks_at_once_make_no_range_twice(rig: Rig) -> None:
    """Who looks while another has planned, but not yet made its runs, waits until it has."""
    define(rig, D1)
    slow_down_new_runs(rig)

    with ThreadPoolExecutor(2) as both:
        found = [one.result() for one in [both.submit(look, rig) for _ in range(2)]]

    first, second = sorted((len(one.runs) for one in found), reverse=True)
    assert first > 0
    assert second == 0
    assert len(rig.query("select id from job_runs")) == first


def test_urgent_and_new_goes_first_and_a_bound_leaves_the_rest(rig: Rig) -> None:
    """Slices go by priority, then newest first; a bound on calls is kept, but for one slice."""
    rig.page_size = 4  # several slices of each priority
    define(rig, D1, window_days=200)
    rig.database.run(keep_series, ["SPY"], [D1], window_days=200, priority=200)

    found = look(rig, max_calls=1)

    assert len(found.runs) == 1
    assert found.left_out > 0
    assert rig.query("select symbols_array ->> 0, priority, triggered_by from job_runs") == [("SPY", 200, "cron")]
    look(rig)
    order = rig.query("select priority, slice_to from job_runs order by id")
    assert order == sorted(order, key=lambda run: (-run[0], -run[1].timestamp()))
    for priority in (100, 200):
        assert len({slice_to for found, slice_to in order if found == priority}) > 1


def test_looks_and_workers_forget_old_runs(rig: Rig) -> None:
    """What finished longer ago than is to be kept goes at a look, and once an hour where a worker lives; no other."""
    define(rig, D1)
    look(rig)
    work(rig)
    ((count,),) = rig.query("select count(*)::int from job_runs")
    assert count > 0

    rig.change("update job_runs set started_at = '2026-01-01', finished_at = now() - interval '89 days'")
    look(rig)
    assert rig.query("select count(*)::int from job_runs") == [(count,)]
    rig.change("update job_runs set finished_at = now() - interval '91 days'")
    look(rig)
    assert rig.query("select count(*)::int from job_runs") == [(0,)]

    rig.change("update series set covered = '{}'")
    look(rig)
    work(rig)
    rig.change("update job_runs set started_at = '2026-01-01', finished_at = now() - interval '91 days'")
    rig.change(
        "insert into procrastinate_jobs (queue_name, task_name, args) "
        "values ('house', 'keep_house', jsonb_build_object('timestamp', 1))"
    )
    work(rig)
    assert rig.query("select count(*)::int from job_runs") == [(0,)]


def test_a_gap_that_the_window_has_left_behind_is_not_asked_for(rig: Rig) -> None:
    """
    A due gap that ends within the window, but whose last bar lies before it, is left alone, and so are the days around.

    Found by the simulation, seed 170: such a gap was asked for at every look, and no answer could settle it.
    """
    rig.add_symbols(TICKERS)
    today = rig.database.now().date()
    since_saturday = (today.weekday() + 2) % 7 + 14
    rig.database.run(keep_series, TICKERS, [M15], window_days=since_saturday)
    look(rig)
    work(rig)
    saturday = today - timedelta(days=since_saturday)
    rig.change(
        "insert into series_gaps (symbol_id, timeframe, gap_from, gap_to, expected_bars, kind, next_check_at) "
        f"select symbols.id, 'm15', timestamptz '{saturday - timedelta(days=1)} 15:00Z', min(ts), 20, 'missing', now() "
        "from ohlc_bars join symbols on symbols.id = symbol_id where ticker = 'SPY' group by 1"
    )

    assert look(rig).runs == ()


def test_runs_name_the_definition_that_they_serve(rig: Rig) -> None:
    """A batch's runs point at the batch."""
    rig.add_symbols(TICKERS)
    rig.database.run(keep_batches, TICKERS, [D1], window_days=30)

    look(rig)

    ((definition,),) = rig.query("select id from job_definitions")
    assert rig.query("select distinct job_def_id from job_runs") == [(definition,)]


def test_a_run_that_several_definitions_share_names_them_all(rig: Rig) -> None:
    """
    Definitions of single symbols and batches, and those whose bars are derived from what it fetches; the most urgent
    one stands in job_def_id. What is cut out of it fetches for its own definitions only.
    """
    define(rig, M15, H1)
    rig.database.run(keep_batches, TICKERS, [M15], window_days=3, priority=50)
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H09", "args": {"symbol": "SPY"}}])

    look(rig)

    ids = {
        (*one.symbols, one.timeframe): one.id for one in sorted(rig.database.run(list_definitions), key=lambda d: d.id)
    }
    alone = [ids[ticker, timeframe] for ticker in ("AAPL", "MSFT") for timeframe in (M15, H1)]
    spy = [ids["SPY", timeframe] for timeframe in (M15, H1)]
    batch = ids[*TICKERS, M15]
    served = "select job_def_ids, job_def_id from job_runs left join job_run_definitions on run_id = id where "
    newest = rig.query(served + "timeframe = 'm15' order by slice_to desc limit 1")
    assert newest == [([*alone, *spy, batch], alone[0])]
    assert rig.query("select count(*) from job_runs where job_def_id is null") == [(0,)]
    assert [one.last_run_id for one in rig.database.run(list_definitions) if one.last_run_id is None] == []
    work(rig)
    cut_out = rig.query(served + "symbol = 'SPY' and timeframe = 'm15' order by slice_to desc limit 1")
    assert cut_out == [([*spy, batch], spy[0])]


def test_a_failure_that_passes_puts_the_run_off_and_then_it_succeeds(rig: Rig) -> None:
    """A server that answers 503 costs an attempt; the run waits in the queue, and succeeds when it is due again."""
    define(rig, D1)
    rig.attempts = 1
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04", "args": {}}])
    look(rig)

    worker = work(rig)

    assert worker.tally.postponed > 0
    assert worker.tally.done == worker.tally.failed == 0
    assert set(rig.query("select status, attempt, reason from job_runs")) == {("queued", 1, "provider_unavailable")}
    assert rig.query("select bool_and(scheduled_at > now()) from procrastinate_jobs where task_name = 'carry_out'") == [
        (True,)
    ]
    rig.exchange.set_faults([])
    rig.change("update procrastinate_jobs set scheduled_at = null")
    assert work(rig).tally.done > 0
    assert rig.query("select distinct status from job_runs") == [("success",)]


def test_looks_leave_what_failed_alone_for_longer_and_longer(rig: Rig) -> None:
    """
    A quarter of an hour after the first failure, half an hour after the second; a backfill that somebody types asks at
    once. What is newer than the failure waits with it.
    """
    define(rig, D1)
    rig.attempts = 1
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04", "args": {}}])
    for minutes in (15, 30, 60):
        assert len(look(rig).runs) > 0
        rig.change("update job_runs set attempt = 4 where status = 'queued'")
        work(rig)
        assert set(rig.query("select status from job_runs")) == {("failed",)}

        assert look(rig).runs == ()
        age(rig, minutes - 1)
        assert look(rig).runs == ()
        rig.change("update series_gaps set gap_to = gap_to - interval '5 days'")
        assert look(rig).runs == ()
        rig.change("update series_gaps set gap_to = gap_to + interval '5 days'")
        age(rig, 2)

    rig.change("update series_gaps set last_checked_at = now()")
    rig.exchange.set_faults([])
    rig.backfill(TICKERS, [D1], window(rig, 30))
    assert rig.truth("AAPL", D1, window(rig, 30)).items() <= rig.stored("AAPL", D1).items()


def test_looks_leave_series_of_another_feed_alone_for_a_day(rig: Rig) -> None:
    """Its bars are refused with advice; asking again every quarter of an hour would only cost calls."""
    define(rig, D1)
    look(rig)
    work(rig)
    rig.change("update series set feed = 'iex', covered = '{}'")
    assert len(look(rig).runs) > 0

    assert work(rig).tally.failed > 0

    assert rig.query("select distinct last_error_code from backfill_status") == [("VALIDATION_FAILED",)]
    assert look(rig).runs == ()
    rig.change("update series set last_run_at = now() - interval '25 hours'")
    assert len(look(rig).runs) > 0


def age(rig: Rig, minutes: int) -> None:
    """So much time passes for the gaps on record."""
    rig.change(f"update series_gaps set last_checked_at = last_checked_at - interval '{minutes} minutes'")


def test_patience_ends(rig: Rig) -> None:
    """After the fifth attempt a run has failed, and says why; so do its series."""
    define(rig, D1)
    rig.attempts = 1
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04", "args": {}}])
    look(rig)
    rig.change("update job_runs set attempt = 4")

    assert work(rig).tally.failed > 0

    found = rig.query("select distinct status, error_code from job_runs")
    assert found == [("failed", "PROVIDER_UNAVAILABLE")]
    told = rig.query("select ticker, last_result, last_error_code, last_error from backfill_status order by ticker")
    assert [series[:3] for series in told] == [(ticker, "fail", "PROVIDER_UNAVAILABLE") for ticker in TICKERS]
    assert all("run barfill backfill again later" in series[3] for series in told)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (ProviderUnavailable("x"), True),
        (ProviderTimeout("x"), True),
        (BadResponse("x", reason="body"), True),
        (BadResponse("x", reason="wrong_symbol"), False),
        (CredentialsRejected("x"), False),
    ],
)
def test_only_what_passes_is_waited_for(error: Exception, waits: bool) -> None:
    """Waits double from half a minute and stay below the hour; what does not pass has none."""
    patience = Patience(jitter=lambda: 1.0)

    waited = [patience.wait_after(error, attempt) for attempt in range(5)]  # type: ignore[arg-type]  # a BarfillError

    expected = [timedelta(seconds=30 * 2**attempt) for attempt in range(4)]
    assert waited == ([*expected, None] if waits else [None] * 5)


def test_what_failed_together_does_not_come_back_together() -> None:
    """Waits are spread around what is documented, from a half of it to one and a half."""
    error = ProviderUnavailable("x")

    waited = [Patience().wait_after(error, 1) for _ in range(200)]

    seconds = [wait.total_seconds() for wait in waited if wait is not None]
    assert len(seconds) == len(waited)
    assert 30 <= min(seconds) < 45
    assert 75 < max(seconds) <= 90


def test_permanent_failures_stop_at_once(rig: Rig) -> None:
    """A run that meets a rejected key fails with its code and advice; no attempt is spent on trying again."""
    define(rig, D1)
    look(rig)
    rig.key = "wrong"

    worker = work(rig)

    assert worker.tally.failed == 1
    found = rig.query("select status, error_code, attempt from job_runs where status <> 'queued'")
    assert found == [("failed", "UNAUTHORIZED", 0)]
    assert rig.bar_requests() == 1


@pytest.mark.parametrize(("ticker", "is_named"), [("X-1", True), ("A..B", True), ("KO", True), ("KO", False)])
def test_one_bad_symbol_of_a_batch_fails_alone(rig: Rig, ticker: str, is_named: bool) -> None:
    """
    The others of its batch are complete. It fails in a run of its own, with its code and what to do, and is not asked
    for again at the next look; so does one that cannot be sent at all.
    """
    rig.add_symbols(TICKERS)
    rig.change("alter table symbols disable trigger refuse_malformed_ticker")  # as tables of before may hold it
    rig.change(f"insert into symbols (ticker) values ('{ticker}')")
    rig.exchange.set_faults([{"match": {}, "fault": "H09", "args": {"symbol": "KO", "named": is_named}}])
    rig.database.run(keep_batches, [*TICKERS, ticker], [D1], window_days=30)
    look(rig)

    worker = work(rig)

    found = dict(rig.query("select ticker, last_error_code from backfill_status where timeframe = 'd1'"))
    assert found == {**dict.fromkeys(TICKERS), ticker: "SYMBOL_NOT_FOUND"}
    failed = rig.query("select symbol, error_code, error_message <> '', epoch from job_runs where status = 'failed'")
    assert failed == [(ticker, "SYMBOL_NOT_FOUND", True, 1)]
    assert worker.tally.failed == 1
    assert rig.query("select id from procrastinate_jobs where task_name = 'carry_out'") == []
    assert rig.query("select kind from gaps") == []
    assert all(len(rig.stored(ticker, D1)) > 0 for ticker in TICKERS)
    assert look(rig).runs == ()
    rig.change("update series set last_run_at = now() - interval '25 hours'")
    assert len(look(rig).runs) == 1


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_nothing_goes_on_in_the_place_of_a_run_that_is_no_longer_ours(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, is_cancelled: bool
) -> None:
    """P02: a refusal that comes after a cancel or a takeover splits nothing: else both would fetch the ranges."""
    rig.settings = replace(
        rig.settings, worker_patience_s=3600.0
    )  # the other lives, however long the machine stands still
    rig.add_symbols(TICKERS)
    rig.exchange.set_faults([{"match": {}, "fault": "H09", "args": {"symbol": "SPY", "named": True}}])
    rig.database.run(keep_batches, TICKERS, [D1], window_days=30)
    (run_id,) = look(rig).runs
    fetch_page = ProviderClient.fetch_page

    async def refused_late(client: ProviderClient, *query: Any, **options: Any) -> Page:
        try:
            return await fetch_page(client, *query, **options)
        finally:
            if is_cancelled:
                rig.database.run(cancel_runs, [run_id], reason=BY_THE_USER)
            else:
                rig.database.run(claim_run, run_id, Worker("another", has_lock=False))

    monkeypatch.setattr(ProviderClient, "fetch_page", refused_late)
    worker = work(rig)

    assert (worker.tally.dropped, worker.tally.split, worker.tally.failed) == (1, 0, 0)
    expected = ("cancelled", BY_THE_USER, 1) if is_cancelled else ("running", None, 2)
    assert rig.query("select status, reason, epoch from job_runs") == [expected]


def test_renamed_and_removed_symbols_do_not_fail_the_run_they_wait_in(rig: Rig) -> None:
    """What was renamed is asked for under its new ticker, what was removed not at all; the ledger says why."""
    rig.add_symbols(TICKERS)
    rig.database.run(keep_batches, TICKERS, [D1], window_days=30)
    look(rig)
    rig.change("update symbols set ticker = 'KO' where ticker = 'SPY'")
    rig.change("delete from symbols where ticker = 'AAPL'")

    worker = work(rig)

    assert worker.tally.failed == 0
    found = rig.query("select ticker, last_result, bar_count > 0 from backfill_status order by ticker")
    assert found == [("KO", "ok", True), ("MSFT", "ok", True)]
    assert rig.query("select distinct symbols_array::text, status from job_runs where reason is null") == [
        ('["KO", "MSFT"]', "success")
    ]
    assert any("Symbol 'AAPL' is gone. Symbol 'SPY' is 'KO' now." in note for note in rig.listener.notes)


def test_a_run_that_a_dead_worker_left_is_gone_on_with_at_its_page(rig: Rig) -> None:
    """Its pages are not asked for again: the chain goes on behind them."""
    define(rig, D1, window_days=60)
    rig.page_size = 10
    look(rig)
    asyncio.run(_stopped_after(rig, pages=2))
    first = rig.bar_requests()
    ((run_id, page_no),) = rig.query("select id, page_no from job_runs where page_no > 0 limit 1")
    assert page_no > 0
    rig.database.run(claim_run, run_id, Worker("dead", has_lock=False))
    rig.change("update job_runs set heartbeat_at = now() - interval '5 minutes' where worker = 'dead'")
    rig.change("delete from procrastinate_jobs")

    look(rig)
    work(rig)

    assert rig.query("select distinct status from job_runs") == [("success",)]
    for ticker in TICKERS:
        truth = rig.truth(ticker, D1, window(rig, 60))
        assert truth.items() <= rig.stored(ticker, D1).items()
    asked = [one.query for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len({tuple(sorted(query.items())) for query in asked})
    assert len(asked) > first


def test_a_backfill_and_a_worker_share_the_work(rig: Rig) -> None:
    """A backfill waits for what a worker has taken of its runs, and is complete at its end; nothing is asked twice."""
    rig.add_symbols(TICKERS)
    rig.page_size = 200
    rig.settings = replace(rig.settings, max_concurrent_jobs=1)
    rig.exchange.forget_requests()
    wanted = days("2026-08-03", "2026-09-19")

    async def both() -> int:
        async with worker_of(rig) as worker:
            carrying = asyncio.create_task(worker.run())
            report = await asyncio.to_thread(rig.backfill, TICKERS, [M15], wanted)
            worker.stop()
            await carrying
            return report.exit_code

    assert asyncio.run(both()) == EXIT_COMPLETE

    for ticker in TICKERS:
        assert rig.stored(ticker, M15) == rig.truth(ticker, M15, wanted)
    asked = [tuple(sorted(one.query.items())) for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked))
    assert rig.query("select id from procrastinate_jobs where task_name = 'carry_out'") == []


class Broken(Alpaca):
    """Alpaca, read by code with a defect."""

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """Fails as no error of ours does."""
        raise ZeroDivisionError(f"{query} and {response.status}")


def test_a_defect_fails_its_run_and_the_worker_goes_on(rig: Rig) -> None:
    """No run is left to a worker that has given it up, and the next look does not want the same at once."""
    define(rig, D1)
    look(rig)

    async def work_broken() -> QueueWorker:
        provider = Broken(rig.key, "secret", base_url=rig.exchange.alpaca_url)
        client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000))
        worker = QueueWorker(rig.database, Clients(client), rig.settings, rig.listener)
        await worker.run_until_empty()
        await client.aclose()
        return worker

    worker = asyncio.run(work_broken())

    assert worker.tally.failed == len(rig.query("select id from job_runs"))
    found = rig.query("select distinct status, error_code, reason from job_runs")
    assert found == [("failed", "INTERNAL_ERROR", "zerodivisionerror")]
    ((message,),) = rig.query("select distinct error_message from job_runs limit 1")
    assert "Please report it." in message
    states = rig.query("select ticker, last_result, last_error_code from backfill_status order by ticker")
    assert states == [(ticker, "fail", "INTERNAL_ERROR") for ticker in TICKERS]
    assert look(rig).runs == ()
    age(rig, 16)
    assert len(look(rig).runs) > 0


def test_a_lost_database_is_waited_for_and_the_work_goes_on(rig: Rig) -> None:
    """All connections are cut in the middle: the worker starts again by itself, and everything is done once."""
    define(rig, D1, M15, window_days=60)
    rig.page_size = 50
    look(rig)

    async def work_through() -> QueueWorker:
        async with worker_of(rig) as worker:
            carrying = asyncio.create_task(worker.run())
            for _ in range(3):
                seen = len(rig.listener.pages)
                while len(rig.listener.pages) < seen + 3 and unfinished(rig):
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(cut_connections, rig)
            while unfinished(rig):
                # Claimed while the lock could not be had: such a run is free when its heartbeat is a minute old.
                with suppress(StoreUnavailable):
                    rig.change("update job_runs set heartbeat_at = now() - interval '61 s' where not worker_has_lock")
                await asyncio.sleep(0.1)
            worker.stop()
            await carrying
            return worker

    worker = asyncio.run(work_through())

    assert worker.tally.restarts > 0
    for timeframe in (D1, M15):
        for ticker in TICKERS:
            assert rig.truth(ticker, timeframe, window(rig, 60)).items() <= rig.stored(ticker, timeframe).items()


@pytest.mark.parametrize(
    ("sqlstate", "told"), [("53100", "disk below the database is full"), ("25006", "takes no writes")]
)
def test_a_database_that_takes_no_bars_costs_no_run_its_workers(rig: Rig, sqlstate: str, told: str) -> None:
    """S07: however often a worker begins anew on a full disk, it says why, and no run counts it as lost or fails."""
    define(rig, D1)
    look(rig)
    rig.change(
        "create function refuse() returns trigger language plpgsql as "
        f"$$ begin raise exception 'no' using errcode = '{sqlstate}'; end $$"
    )
    rig.change("create trigger refuse before insert on ohlc_bars for each statement execute function refuse()")

    for _ in range(3):
        with pytest.raises(StoreError, match=told):
            work(rig)
    assert set(rig.query("select status, losses from job_runs")) == {("queued", 0)}
    rig.change("drop trigger refuse on ohlc_bars")
    work(rig)

    assert set(rig.query("select status, losses from job_runs")) == {("success", 0)}


def test_a_queue_that_takes_no_writes_is_told_by_its_cause(rig: Rig) -> None:
    """S07: what the queue's library hides behind an error of its own is said in the words for the database's error."""
    define(rig, D1)
    look(rig)
    role_wide = "alter database {} {} default_transaction_read_only"
    name = rig.query("select current_database()")[0][0]

    async def work_through() -> QueueWorker:
        async with worker_of(rig) as worker:
            rig.change(role_wide.format(name, "set") + " = on")
            await asyncio.to_thread(cut_connections, rig)
            carrying = asyncio.create_task(worker.run())
            while not any("takes no writes" in note for note in rig.listener.notes):
                await asyncio.sleep(0.05)
            worker.stop()
            await carrying
            return worker

    worker = asyncio.run(work_through())

    assert worker.tally.done == 0


def test_too_many_connections_are_told_at_once(rig: Rig) -> None:
    """S07: a worker that gets no second connection says so, and does not wait for the queue's pool to give up."""
    define(rig, D1)
    look(rig)
    role, owner = rig.query("select 'narrow_' || current_database(), current_user")[0]
    rig.change(f"create role {role} login connection limit 1 in role {owner}")

    begun = time.monotonic()
    narrow = psycopg.conninfo.make_conninfo(rig.database.url, user=role)
    with Database(narrow) as database, pytest.raises(StoreCrowded, match="no connection to give"):
        work(replace(rig, database=database))
    took_s = time.monotonic() - begun
    rig.change(f"drop role {role}")

    assert took_s < 25  # the pool would take 30


def unfinished(rig: Rig) -> bool:
    """Whether any run has not come to its end, as far as the database tells."""
    try:
        return rig.query("select exists (select from job_runs where status in ('queued', 'running'))") == [(True,)]
    except StoreUnavailable:
        return True


def cut_connections(rig: Rig) -> None:
    """The server hangs up on everybody but the one who asks for it."""
    with psycopg.connect(rig.database.url, autocommit=True) as conn:
        conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )


def test_each_look_derives_what_a_killed_worker_left_underived(rig: Rig) -> None:
    """A worker that dies behind a run's last page has derived nothing of it, and no run will come again."""
    define(rig, M15, H1)
    look(rig)
    work(rig)
    expected = rig.stored("AAPL", H1)

    async def schedule() -> bool:
        client = rig.client()
        looking = Schedule(rig.database, Clients(client), rig.settings, rig.listener, every=timedelta(seconds=0.1))
        running = asyncio.create_task(looking.run())
        try:
            await asyncio.to_thread(_wait_until, lambda: len(rig.listener.notes) > 0)
            await asyncio.to_thread(
                rig.change,
                "with gone as (delete from ohlc_bars where timeframe = 'h1') "
                "update series set covered = '{}', bar_count = 0, oldest_ts = null, newest_ts = null "
                "where timeframe = 'h1'",
            )
            return await asyncio.to_thread(_wait_until, lambda: rig.stored("AAPL", H1) == expected)
        finally:
            looking.stop()
            await running
            await client.aclose()

    assert len(expected) > 0
    assert asyncio.run(schedule())


def test_a_look_that_the_database_cuts_short_is_taken_again_soon(rig: Rig) -> None:
    """It is said, and tried again after growing waits; nobody waits for a quarter of an hour."""
    define(rig, D1)

    class Cut(Schedule):
        outages = 2

        async def look(self) -> Tick:
            if self.outages:
                self.outages -= 1
                raise StoreUnavailable("The database does not answer.")
            return await super().look()

    async def schedule() -> bool:
        client = rig.client()
        looking = Cut(rig.database, Clients(client), rig.settings, rig.listener, every=timedelta(minutes=15))
        running = asyncio.create_task(looking.run())
        try:
            return await asyncio.to_thread(_wait_until, lambda: len(rig.listener.notes) > 2)
        finally:
            looking.stop()
            await running
            await client.aclose()

    assert asyncio.run(schedule())
    first, second, third = rig.listener.notes
    assert first == "The look is taken again in 1 s: The database does not answer."
    assert second == "The look is taken again in 2 s: The database does not answer."
    assert third == "looked at 3 symbols: 1 new run, about 1 call"


def test_a_stop_that_comes_while_a_worker_starts_is_not_lost(rig: Rig) -> None:
    """Asked at any moment of its start, a worker ends."""

    async def stopped_after(seconds: float) -> None:
        async with worker_of(rig) as worker:
            carrying = asyncio.create_task(worker.run())
            await asyncio.sleep(seconds)
            worker.stop()
            ended, _ = await asyncio.wait({carrying}, timeout=5)
            assert ended, f"Asked {seconds:.3f} s after its start, it goes on."

    for milliseconds in range(0, 100, 4):
        asyncio.run(stopped_after(milliseconds / 1000))


@pytest.mark.parametrize("minutes_to_close", [5, 40])
def test_the_next_look_is_regular_or_soon_after_a_close(minutes_to_close: int) -> None:
    """A close within the interval is looked at once its bars can be had."""
    close = days("2026-09-14", "2026-09-15").start + timedelta(hours=20)
    delay = timedelta(minutes=16)
    now = close - timedelta(minutes=minutes_to_close)

    due = next_look(now, timedelta(minutes=30), [(NYSE, delay)])

    after_close = close + delay + timedelta(minutes=1)
    assert due == (after_close if minutes_to_close == 5 else now + timedelta(minutes=30))


def _wait_until(happened: Callable[[], bool]) -> bool:
    """Whether it happens within ten seconds."""
    deadline = time.monotonic() + 10
    while not (is_so := happened()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so


async def _stopped_after(rig: Rig, *, pages: int) -> None:
    """A worker that is told to stop once it has stored some pages."""
    async with worker_of(rig) as worker:
        carrying = asyncio.create_task(worker.run())
        while len(rig.listener.pages) < pages:
            await asyncio.sleep(0.01)
        worker.stop()
        await carrying


def test_a_process_that_stood_still_says_so(rig: Rig) -> None:
    """P03: what blocks the event loop makes a living worker look dead, and is told."""
    rig.settings = replace(rig.settings, worker_patience_s=0.4)

    async def stand_still() -> None:
        async with worker_of(rig) as worker:
            working = asyncio.create_task(worker.run())
            await asyncio.sleep(1.0)
            time.sleep(1.5)
            await asyncio.sleep(0.3)
            worker.stop()
            await working

    asyncio.run(stand_still())

    assert any(note.startswith("This process stood still for 1.") for note in rig.listener.notes)


def test_a_worker_ends_where_a_newer_barfill_has_changed_the_schema(rig: Rig) -> None:
    """P11: it touches nothing, and says what to do."""
    define(rig, D1)
    look(rig)
    rig.change("insert into schema_migrations (number, name, checksum) values (9999, '9999_new.sql', '')")

    async def work_on() -> None:
        async with worker_of(rig) as worker:
            await asyncio.wait_for(worker.run(), 20)

    with pytest.raises(SchemaOutdated, match="Update barfill"):
        asyncio.run(work_on())
    assert rig.query("select distinct status from job_runs") == [("queued",)]

"""Workers on the queue: what a look at the definitions finds is carried out, whatever happens to whoever does it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.patience import Patience
from barfill.engine.report import EXIT_COMPLETE
from barfill.engine.schedule import Schedule, next_look
from barfill.engine.tick import Tick, tick
from barfill.engine.worker import QueueWorker
from barfill.errors import BadResponse, CredentialsRejected, ProviderTimeout, ProviderUnavailable, StoreUnavailable
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.store.definitions import keep_batches, keep_series
from barfill.store.runs import claim_run
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
            client.provider.capabilities,
            rig.settings,
            provider="alpaca",
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
        yield QueueWorker(rig.database, client, rig.settings, rig.listener)
    finally:
        await client.aclose()


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


def test_two_looks_at_once_make_no_range_twice(rig: Rig) -> None:
    """What waits in the queue is not wanted a second time, by a look or by a backfill."""
    define(rig, D1)

    first, second = look(rig), look(rig)

    assert len(first.runs) > 0
    assert second.runs == ()


def test_urgent_and_new_goes_first_and_a_bound_leaves_the_rest(rig: Rig) -> None:
    """Slices go by priority, then newest first; a bound on calls is kept, but for one slice."""
    define(rig, D1, window_days=200)
    rig.database.run(keep_series, ["SPY"], [D1], window_days=200, priority=200)

    found = look(rig, max_calls=1)

    assert len(found.runs) == 1
    assert found.left_out > 0
    assert rig.query("select symbols_array ->> 0, priority, triggered_by from job_runs") == [("SPY", 200, "cron")]
    look(rig)
    order = rig.query("select priority, slice_to from job_runs order by id offset 1")
    assert order == sorted(order, key=lambda run: (-run[0], -run[1].timestamp()))


def test_runs_name_the_definition_that_they_serve(rig: Rig) -> None:
    """A batch's runs point at the batch; those that serve several definitions at none."""
    rig.add_symbols(TICKERS)
    rig.database.run(keep_batches, TICKERS, [D1], window_days=30)

    look(rig)

    ((definition,),) = rig.query("select id from job_definitions")
    assert rig.query("select distinct job_def_id from job_runs") == [(definition,)]


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


def test_patience_ends(rig: Rig) -> None:
    """After the fifth attempt a run has failed, and says why."""
    define(rig, D1)
    rig.attempts = 1
    rig.exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H04", "args": {}}])
    look(rig)
    rig.change("update job_runs set attempt = 4")

    assert work(rig).tally.failed > 0

    found = rig.query("select distinct status, error_code from job_runs")
    assert found == [("failed", "PROVIDER_UNAVAILABLE")]


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


def test_permanent_failures_stop_at_once(rig: Rig) -> None:
    """A rejected key fails the runs with its code and advice; nothing is put off."""
    define(rig, D1)
    look(rig)
    rig.key = "wrong"

    worker = work(rig)

    assert worker.tally.postponed == 0
    found = rig.query("select distinct status, error_code from job_runs")
    assert found == [("failed", "UNAUTHORIZED")]
    assert rig.bar_requests() == 1


def test_one_bad_symbol_of_a_batch_fails_alone(rig: Rig) -> None:
    """The others of its batch are complete; it fails with its code, and is not asked for again at the next look."""
    rig.add_symbols(TICKERS)
    rig.change("insert into symbols (ticker) values ('X-1')")
    rig.database.run(keep_batches, [*TICKERS, "X-1"], [D1], window_days=30)
    look(rig)

    work(rig)

    found = dict(rig.query("select ticker, last_error_code from backfill_status where timeframe = 'd1'"))
    assert found == {**dict.fromkeys(TICKERS), "X-1": "SYMBOL_NOT_FOUND"}
    assert all(len(rig.stored(ticker, D1)) > 0 for ticker in TICKERS)
    assert look(rig).runs == ()
    rig.change("update series set last_run_at = now() - interval '25 hours'")
    assert len(look(rig).runs) == 1


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
    """No run is left to a worker that has given it up."""
    define(rig, D1)
    look(rig)

    async def work_broken() -> QueueWorker:
        provider = Broken(rig.key, "secret", base_url=rig.exchange.alpaca_url)
        client = ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(10_000))
        worker = QueueWorker(rig.database, client, rig.settings, rig.listener)
        await worker.run_until_empty()
        await client.aclose()
        return worker

    worker = asyncio.run(work_broken())

    assert worker.tally.failed == len(rig.query("select id from job_runs"))
    found = rig.query("select distinct status, error_code, reason from job_runs")
    assert found == [("failed", "INTERNAL_ERROR", "zerodivisionerror")]


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
        looking = Schedule(rig.database, client, rig.settings, rig.listener, every=timedelta(seconds=0.1))
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

    due = next_look(now, timedelta(minutes=30), [NYSE], delay)

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

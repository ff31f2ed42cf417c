"""One quota for all processes: real ones against the simulated exchange, judged by the exchange's own log."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.clients import Clients
from barfill.engine.quota import SharedQuota, key_id_of
from barfill.engine.report import EXIT_COMPLETE, EXIT_GAPS_REMAIN, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.errors import CredentialsRejected, DailyBudgetSpent, RateLimited, StoreError
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.quota import QuotaTerms, read_meters
from tests.engine.quota_worker import DAY, KEY, LIMIT, SECRET, WINDOW_S, quota_client
from tests.engine.rig import Rig, days
from tests.store.fixtures import cloned_database

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
WEEK = days("2026-03-02", "2026-03-07")
TERMS = QuotaTerms(provider="alpaca", key_id=key_id_of("alpaca", KEY), requests_per_minute=LIMIT)

Workers = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def workers(exchange: SimulatedExchange, database: Database) -> Iterator[Workers]:
    """Starts processes that share one key, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        order = json.dumps({"exchange": exchange.alpaca_url, "database": database.url})
        started.append(subprocess.Popen([sys.executable, "-m", "tests.engine.quota_worker", order], cwd=ROOT))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def requests_arrived(exchange: SimulatedExchange, count: int) -> None:
    """Returns when the exchange has seen so many."""
    until = time.monotonic() + PATIENCE_S
    while len(exchange.requests) < count:
        assert time.monotonic() < until, f"{len(exchange.requests)} of {count} requests came"
        time.sleep(0.05)


def fullest_window(exchange: SimulatedExchange) -> int:
    """The most requests that arrived within one window, by the exchange's log."""
    arrivals = sorted(one.at_s for one in exchange.requests)
    most = first = 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] > WINDOW_S:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_processes_together_never_exceed_the_limit(exchange: SimulatedExchange, workers: Workers) -> None:
    """Three processes with three tasks each, several windows long, and all of the limit is used."""
    for _ in range(3):
        workers()

    requests_arrived(exchange, 6 * LIMIT)

    assert fullest_window(exchange) == LIMIT


def test_kills_and_pauses_of_holders_never_lead_over_the_limit(exchange: SimulatedExchange, workers: Workers) -> None:
    """
    R11: processes are stopped, thawed and killed in the middle of requests; the others go on within the limit.
    """
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    exchange.set_faults([{"match": {"rate": 0.3}, "fault": "H17", "args": {"where": "headers", "seconds": 0.3}}])
    running = [workers() for _ in range(3)]
    requests_arrived(exchange, LIMIT)

    for kill in range(3):
        frozen = rng.choice(running)
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.1, 1.5))
        frozen.send_signal(signal.SIGCONT)
        running.pop(rng.randrange(len(running))).send_signal(signal.SIGKILL)
        running.append(workers())
        requests_arrived(exchange, len(exchange.requests) + 3 - kill)

    assert fullest_window(exchange) <= LIMIT, f"seed {seed}"


def test_a_limit_in_the_headers_is_learned_by_all(database: Database) -> None:
    """Set to 30 a minute where the provider allows 8 and says so: three clients send 8, and none is refused."""
    with running_exchange(ExchangeConfig(port=0, requests_per_minute=8)) as exchange:

        async def main() -> None:
            clients = [quota_client(exchange.alpaca_url, database, limit=30, window_s=60) for _ in range(3)]
            await clients[0].fetch_page(DAY, None)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.gather(*(client.fetch_page(DAY, None) for client in clients for _ in range(8)))
            for client in clients:
                await client.aclose()

        asyncio.run(main())

        assert [one.status for one in exchange.requests] == [200] * 8


def test_one_process_is_told_of_a_refusal_to_another(exchange: SimulatedExchange, database: Database) -> None:
    """After a 429 with a told wait nobody sends; then one probe, and after its success all others (H01)."""
    exchange.set_faults([{"match": {"nth": 1}, "fault": "H01", "args": {"seconds": 1}}])

    async def main() -> None:
        clients = [quota_client(exchange.alpaca_url, database) for _ in range(3)]
        first = asyncio.create_task(clients[0].fetch_page(DAY, None))
        while not exchange.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        await asyncio.gather(first, *(client.fetch_page(DAY, None) for client in clients for _ in range(2)))
        for client in clients:
            await client.aclose()

    asyncio.run(main())

    refused, probe, *others = exchange.requests
    assert (refused.status, probe.status) == (429, 200)
    assert probe.at_s - refused.at_s >= 0.9
    assert {one.status for one in others} == {200}
    assert others[0].at_s > probe.at_s
    (meter,) = database.run(read_meters)
    assert (meter.refused_today, meter.used_today, meter.state) == (1, 8, "open")


def test_while_refused_all_processes_together_send_one_probe_at_a_time(
    exchange: SimulatedExchange, database: Database
) -> None:
    """Of eight callers of four clients, told to wait 1 s by a 429, one tries then and no other follows it (H03)."""
    exchange.set_faults([{"match": {}, "fault": "H01", "args": {"seconds": 1}}])

    async def main() -> None:
        clients = [quota_client(exchange.alpaca_url, database) for _ in range(4)]
        tasks = [asyncio.create_task(client.fetch_page(DAY, None)) for client in clients for _ in range(2)]
        await asyncio.sleep(4)
        exchange.set_faults([])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in clients:
            await client.aclose()

    asyncio.run(main())

    sent_at = [one.at_s - exchange.requests[0].at_s for one in exchange.requests]
    assert len([at for at in sent_at if at < 0.9]) <= 4  # one of each client was under way when it began
    assert len([at for at in sent_at if at >= 0.9]) == 1


def test_a_rejected_key_is_refused_to_running_processes_unsent(exchange: SimulatedExchange, database: Database) -> None:
    """One request is answered by 401; the other client fails with the same words and sends nothing (H05)."""

    async def main() -> None:
        one, other = (quota_client(exchange.alpaca_url, database) for _ in range(2))
        await one.fetch_page(DAY, None)
        await other.fetch_page(DAY, None)
        exchange.forget_requests()
        exchange.set_faults([{"match": {"nth": 1}, "fault": "H05", "args": {}}])
        for client in (one, other, other):
            with pytest.raises(CredentialsRejected, match="ALPACA_API_KEY"):
                await client.fetch_page(DAY, None)
        await one.aclose()
        await other.aclose()

    asyncio.run(main())

    assert len(exchange.requests) == 1


def test_a_wait_of_more_than_an_hour_pauses_the_key_for_all(exchange: SimulatedExchange, database: Database) -> None:
    """Whoever asks later fails at once, and hears why and how long (H02)."""
    exchange.set_faults([{"match": {"nth": 1}, "fault": "H01", "args": {"seconds": 7200}}])

    async def main() -> None:
        for _ in range(2):
            client = quota_client(exchange.alpaca_url, database)
            with pytest.raises(RateLimited):
                await client.fetch_page(DAY, None)
            await client.aclose()

    asyncio.run(main())

    assert len(exchange.requests) == 1
    (meter,) = database.run(read_meters)
    assert (meter.state, meter.refused_today) == ("paused", 1)


def test_a_backfill_ends_at_the_budget_of_the_day_and_goes_on_the_next(rig: Rig) -> None:
    """As a bounded one: exit code 3, every page that was paid for is kept, nothing is asked twice."""
    rig.page_size = 500
    rig.add_symbols(["AAPL"])
    rig.exchange.forget_requests()

    async def backfill() -> BackfillReport:
        quota = SharedQuota(rig.database, replace(TERMS, requests_per_minute=100, day_budget=3))
        client = rig.client(quota)
        request = BackfillRequest(tickers=("AAPL",), windows={Timeframe.M1: WEEK})
        try:
            return await Backfill(rig.database, Clients(client), rig.settings, rig.listener).run(request)
        finally:
            await client.aclose()

    first = asyncio.run(backfill())
    assert (first.exit_code, first.was_bounded, first.failures) == (EXIT_GAPS_REMAIN, True, ())
    assert "budget of 3 requests" in first.bound
    assert (rig.bar_requests(), first.summary.calls_made) == (3, 3)
    while (report := _on_the_next_day(rig, backfill)).exit_code != EXIT_COMPLETE:
        assert report.was_bounded

    asked = [one.query.get("page_token") for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked))
    assert rig.stored("AAPL", Timeframe.M1) == rig.truth("AAPL", Timeframe.M1, WEEK)


def _on_the_next_day(rig: Rig, backfill: Callable[[], Coroutine[None, None, BackfillReport]]) -> BackfillReport:
    with rig.database.connection() as conn:
        conn.execute("delete from quota_days")
    return asyncio.run(backfill())


def test_a_spent_budget_is_an_error_to_who_asks(exchange: SimulatedExchange, database: Database) -> None:
    """With how much it is and when it begins anew; nothing is sent."""

    async def main() -> None:
        client = quota_client(exchange.alpaca_url, database, day_budget=1)
        await client.fetch_page(DAY, None)
        with pytest.raises(DailyBudgetSpent, match=r"budget of 1 requests.*00:00 UTC"):
            await client.fetch_page(DAY, None)
        await client.aclose()

    asyncio.run(main())

    assert len(exchange.requests) == 1


def test_a_caller_that_gives_up_takes_no_place(database: Database) -> None:
    """Tasks that are cancelled while they ask leave the limit to the others, at whatever moment it is."""

    async def main() -> int:
        quota = SharedQuota(database, replace(TERMS, requests_per_minute=1000))
        entered = 0

        async def caller() -> None:
            nonlocal entered
            async with quota.slot():
                entered += 1
                await asyncio.Event().wait()

        for number in range(60):
            task = asyncio.create_task(caller())
            await asyncio.sleep(number / 10_000)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        return entered

    entered = asyncio.run(main())

    (meter,) = database.run(read_meters)
    assert (meter.used, meter.used_today, meter.under_way) == (entered, entered, 0)
    assert entered < 60


def test_tasks_are_served_in_the_order_in_which_they_came(database: Database) -> None:
    """At a limit of one, five tasks go one after the other, first come first served."""

    async def main() -> list[int]:
        quota = SharedQuota(database, replace(TERMS, requests_per_minute=1), window_s=0.05)
        order: list[int] = []

        async def caller(number: int) -> None:
            async with quota.slot():
                order.append(number)

        await asyncio.gather(*(caller(number) for number in range(5)))
        return order

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_a_database_that_is_lost_while_waiting_is_an_error(server_url: str) -> None:
    """The tasks that wait hear of it; none waits for ever."""

    async def main(database: Database) -> list[BaseException | None]:
        slept = asyncio.Event()

        async def sleep(_seconds: float, _reason: str) -> None:
            slept.set()
            await asyncio.sleep(0.2)

        quota = SharedQuota(database, replace(TERMS, requests_per_minute=1), sleep=sleep)

        async def caller() -> None:
            async with quota.slot():
                pass

        await caller()
        waiting = [asyncio.create_task(caller()) for _ in range(3)]
        await slept.wait()
        database.url = "host=/nowhere"
        database.close()
        return await asyncio.gather(*waiting, return_exceptions=True)

    with cloned_database(server_url) as database:
        url = database.url
        ends = asyncio.run(main(database))
        database.url = url

    assert all(isinstance(end, StoreError) for end in ends)


def test_the_key_is_nowhere_in_the_database(exchange: SimulatedExchange, database: Database) -> None:
    """After pages, a 429 and a 401 a dump of all tables holds the fingerprint, and neither key nor secret."""
    exchange.set_faults(
        [
            {"match": {"nth": 1}, "fault": "H01", "args": {"seconds": 1}},
            {"match": {"nth": 2}, "fault": "H05", "args": {}},
        ]
    )

    async def main() -> None:
        client = quota_client(exchange.alpaca_url, database)
        await client.fetch_page(DAY, None)
        with pytest.raises(CredentialsRejected):
            await client.fetch_page(DAY, None)
        await client.aclose()

    asyncio.run(main())

    dump = _dump(database)
    assert key_id_of("alpaca", KEY) in dump
    assert "rejected" in dump
    assert [secret for secret in (KEY, SECRET) if secret in dump] == []


def _dump(database: Database) -> str:
    with database.connection() as conn:
        tables = conn.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        rows = [conn.execute(f'select t::text from "{name}" as t').fetchall() for (name,) in tables]
    return "\n".join(str(row) for table in rows for row in table)

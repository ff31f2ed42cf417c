"""Everything through a transaction pooler with two connections (S09, R29); skipped where there is no pgbouncer."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from barfill.core.routing import Roster
from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.quota import SharedQuota
from barfill.engine.report import EXIT_COMPLETE
from barfill.engine.tick import tick
from barfill.engine.worker import QueueWorker
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.queue import enqueue
from barfill.store.quota import QuotaTerms
from tests.engine.rig import Collector, Rig, days
from tests.store.fixtures import short_directory

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
D1, M15 = Timeframe.D1, Timeframe.M15
WEEKS = days("2026-09-07", "2026-09-19")
TICKERS = ("AAPL", "MSFT", "SPY", "QQQ")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer in PATH")


@pytest.fixture
def pooled(database: Database) -> Iterator[Database]:
    """The test's database behind a pooler that gives each transaction one of two connections."""
    assert PGBOUNCER is not None
    server = conninfo_to_dict(database.url)
    with short_directory() as home:
        port = _free_port()
        settings = home / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{server['dbname']} = host={server['host']} user={server['user']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = transaction\n"
            "default_pool_size = 2\nquery_wait_timeout = 20\nunix_socket_dir =\nlogfile =\npidfile =\n"
        )
        for path in (home, settings):
            path.chmod(0o755)
        command = [PGBOUNCER, "-q", *_as_owner_of(Path(str(server["host"]))), str(settings)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as pooler:
            try:
                url = f"postgresql://{server['user']}@127.0.0.1:{port}/{server['dbname']}"
                with Database(url, is_pooled=True) as pooled:
                    _await(pooled)
                    yield pooled
            finally:
                pooler.terminate()


@pytest.fixture
def rig(exchange: SimulatedExchange, pooled: Database) -> Rig:
    """Backfills through the pooler."""
    rig = Rig(exchange, pooled)
    rig.page_size = 300
    rig.add_symbols(TICKERS)
    exchange.forget_requests()
    return rig


def test_two_backfills_at_once_through_the_pooler(rig: Rig) -> None:
    """They share the work and are complete; nothing is asked twice, and no lock is left."""
    other = replace(rig, listener=Collector())

    with ThreadPoolExecutor(2) as both:
        running = [both.submit(one.backfill, TICKERS, [M15, D1], WEEKS) for one in (rig, other)]
        for one in running:
            one.result()

    assert rig.backfill(TICKERS, [M15, D1], WEEKS).exit_code == EXIT_COMPLETE
    _is_true(rig)


def test_ticks_and_workers_through_the_pooler(rig: Rig) -> None:
    """
    Two workers poll the queue, share one quota, and make complete what is defined; no lock is left. Entries there are
    many of, since a driver prepares a statement only when it has come a few times.
    """
    rig.database.run(keep_series, TICKERS, [M15, D1], window_days=20)
    client = rig.client()
    capabilities = client.provider.capabilities
    asyncio.run(client.aclose())
    found = tick(rig.database, Roster((capabilities,)), rig.settings, now=rig.database.now())
    for _ in range(30):
        rig.database.run(enqueue, found.runs)

    async def work() -> None:
        terms = QuotaTerms(provider="alpaca", key_id="0123456789ab", requests_per_minute=10_000, day_budget=None)
        clients = [rig.client(SharedQuota(rig.database, terms)) for _ in range(2)]
        workers = [QueueWorker(rig.database, Clients(one), rig.settings, rig.listener) for one in clients]
        await asyncio.gather(*(worker.run_until_empty() for worker in workers))
        for one in clients:
            await one.aclose()
        assert sum(worker.tally.done for worker in workers) == len(found.runs)

    asyncio.run(work())

    assert rig.query("select distinct status from job_runs") == [("success",)]
    again = tick(rig.database, Roster((capabilities,)), rig.settings, now=rig.database.now())
    assert again.runs == ()
    _no_lock_is_left(rig.database)


def test_whoever_waits_to_plan_takes_no_connection_from_the_one_who_plans(rig: Rig) -> None:
    """Four planners at once behind two connections all come to their turn."""
    rig.database.run(keep_series, TICKERS, [D1], window_days=200)
    client = rig.client()
    asyncio.run(client.aclose())

    def look(_: int) -> int:
        capabilities = client.provider.capabilities
        found = tick(rig.database, Roster((capabilities,)), rig.settings, now=rig.database.now())
        return len(found.runs)

    with ThreadPoolExecutor(4) as four:
        made = list(four.map(look, range(4)))

    assert sorted(made)[:3] == [0, 0, 0]
    assert max(made) > 0


def _is_true(rig: Rig) -> None:
    for ticker in TICKERS:
        for timeframe in (M15, D1):
            assert rig.stored(ticker, timeframe) == rig.truth(ticker, timeframe, WEEKS)
    asked = [tuple(sorted(one.query.items())) for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked))
    _no_lock_is_left(rig.database)


def _no_lock_is_left(database: Database) -> None:
    with database.connection() as conn:
        assert conn.execute("select count(*) from pg_locks where locktype = 'advisory'").fetchone() == (0,)


def _await(database: Database) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with suppress(Exception):
            database.now()
            return
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not answer")


def _as_owner_of(directory: Path) -> list[str]:
    """It refuses to run as root, and must come to the server's socket."""
    return ["-u", pwd.getpwuid(directory.stat().st_uid).pw_name] if os.geteuid() == 0 else []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""Where one scenario takes place: an exchange, a database, and real workers between them, replaced when they die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg

from barfill.core.timeframe import Timeframe
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.events import SilentListener
from barfill.engine.schedule import Schedule
from barfill.engine.settings import EngineSettings
from barfill.errors import StoreError
from barfill.providers.alpaca import Alpaca
from barfill.providers.client import ProviderClient
from barfill.providers.http import HttpClient
from barfill.providers.limiter import SlidingQuota
from barfill.settings import SETTINGS
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from barfill.store.definitions import keep_series
from barfill.store.queue import TASK
from barfill.store.queue_schema import bring_up_to_date
from torture.proxy import CuttingProxy, cutting_proxy
from torture.server import Server

TIMEFRAMES = (Timeframe.M15, Timeframe.H1, Timeframe.D1)
"""Two are fetched, hours are derived."""
TICKERS = (
    "AAPL", "AMD", "AMZN", "BA", "BAC", "CAT", "CRM", "CSCO", "CVX", "DIS",
    "F", "GE", "GOOG", "GOOGL", "HD", "IBM", "INTC", "JNJ", "JPM", "KO",
    "MA", "MCD", "META", "MRK", "MSFT", "NFLX", "NKE", "NVDA", "ORCL", "PEP",
    "PFE", "PG", "QQQ", "SPY", "T", "TSLA", "V", "VZ", "WMT", "XOM",
    "ABBV", "ADBE", "BRK.B", "SPLT", "IWM", "SYM0002", "SYM0003", "SYM0012", "SYM0014", "SYM0015",
)  # fmt: skip
"""Symbols that trade in every quarter of an hour: of the others the store cannot know what is silence and what loss."""
WINDOW_DAYS = 60
GROUP = 4
"""So many symbols are added when work runs low, unless a scenario says otherwise."""
WAITING_MIN = 6
"""Fewer waiting runs than this is low."""
PAGE_SIZE = 60
CHAINS = 2
PATIENCE_S = 4
PATIENCE_TO_END_S = 180.0
"""Work that is left must bring a page within this time."""
AT_WORK_SHARE = 0.8
AT_WORK_S = 5.0
PAGE_S = 0.3
"""A page takes about so long on a busy machine."""
OWNER = "barfill"
"""The database's superuser."""
JUDGE = "judge"
"""Under this name the torture itself is connected to the database."""
_LISTED = 65
"""So many symbols the exchange lists, for all of the above to be among them."""
_SETTLED_LOOKS = 2
_NO_LIMIT = 100_000
_COMMAND = [sys.executable, "-m", "barfill.cli.main"]


@dataclass
class Child:
    """
    A barfill process that belongs to the yard.

    Attributes:
        is_spared: Whether it is neither killed nor replaced.
    """

    process: subprocess.Popen[bytes]
    arguments: Sequence[str]
    environment: dict[str, str]
    is_spared: bool = False
    was_killed: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or stands still."""
        return self.process.poll() is None


@dataclass
class Yard:
    """
    Attributes:
        server: Of the database.
        database: Straight to the server: what judges does not go through the proxies.
        towards_exchange, towards_database: Proxies that the workers go through.
        ended: How children ended that nobody had killed: exit codes.
        kills_at_work: Kills of workers that had runs in hand.
        tickers: What is defined so far.
        is_pooled: Whether children are told that a transaction pooler stands before the database.
        role: As whom they connect.
        window_days: How far back the symbols are wanted.
    """

    server: Server
    exchange: SimulatedExchange
    database: Database
    towards_exchange: CuttingProxy
    towards_database: CuttingProxy
    database_name: str
    home: Path
    chance: Random
    requests_per_minute: int
    is_pooled: bool = False
    role: str = OWNER
    window_days: int = WINDOW_DAYS
    children: list[Child] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    kills: int = 0
    kills_at_work: int = 0
    tickers: list[str] = field(default_factory=list)

    @property
    def workers(self) -> list[Child]:
        """Those that carry runs out."""
        return [one for one in self.children if one.arguments[0] == "worker"]

    def start(
        self, *arguments: str, exchange_url: str | None = None, is_spared: bool = False, crash_at: str | None = None
    ) -> Child:
        """
        One more `barfill` with these arguments.

        Args:
            exchange_url: Without it the exchange is reached through the proxy.
            is_spared: It is neither killed nor replaced.
            crash_at: Where it kills itself, such as `k8:3`: see `barfill.crash`.
        """
        environment = self._environment(exchange_url or f"http://127.0.0.1:{self.towards_exchange.port}/alpaca")
        if crash_at is not None:
            environment["BARFILL_CRASH_AT"] = crash_at
        child = Child(self._spawn(arguments, environment), arguments, environment, is_spared)
        self.children.append(child)
        return child

    def dismiss(self, child: Child) -> None:
        """Ends *child* at once, if it still runs, and forgets it."""
        _end(child)
        self.children.remove(child)

    def start_workers(self, count: int) -> None:
        """So many `barfill worker`."""
        for _ in range(count):
            self.start("worker", "--concurrency", str(CHAINS))

    def pause(self, seconds: float, *, until: Callable[[], bool] | None = None) -> bool:
        """Lets time go by, replaces who has died, and gives whether *until* came true."""
        deadline = time.monotonic() + seconds
        while True:
            self._keep_up()
            if until is not None and until():
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)

    def kill_one(self) -> None:
        """SIGKILL to a random child, four times out of five to one that has runs in hand; `pause` replaces it."""
        living = [one for one in self.children if one.is_alive and not one.is_spared]
        if self.chance.random() < AT_WORK_SHARE and self.pause(AT_WORK_S, until=lambda: bool(self._at_work())):
            living = self._at_work()
            time.sleep(self.chance.uniform(0.0, PAGE_S))
        if not living:
            return
        child = self.chance.choice(living)
        child.was_killed = True
        at_work = self.rows("select 1 from job_runs where status = 'running' and worker like %s", self._name_of(child))
        child.process.kill()
        child.process.wait()
        self.kills += 1
        self.kills_at_work += bool(at_work)

    def feed(self, *, group: int = GROUP, waiting_min: int = WAITING_MIN) -> None:
        """Defines *group* more symbols as long as there are any, when fewer than *waiting_min* runs are left to do."""
        (waiting,) = self.rows("select count(*) from job_runs where status in ('queued', 'running')")[0]
        if waiting < waiting_min and len(self.tickers) < len(TICKERS):
            self.define(TICKERS[len(self.tickers) : len(self.tickers) + group])

    def define(self, tickers: Sequence[str]) -> None:
        """Standing orders for these symbols, and a look at them."""
        asyncio.run(self._add(tickers))
        self.database.run(keep_series, tickers, TIMEFRAMES, window_days=self.window_days)
        self.tickers += tickers
        self.look()

    def look(self) -> int:
        """How many runs a look at the standing orders has made; it also derives what a killed worker left underived."""
        return asyncio.run(self._look())

    def settle(self) -> bool:
        """Waits until nothing is left to do and a further look finds nothing; False once pages have stopped coming."""
        quiet = 0
        while quiet < _SETTLED_LOOKS:
            before = self.pages()
            if self.pause(PATIENCE_TO_END_S, until=self._is_idle):
                quiet = quiet + 1 if self.look() == 0 else 0
            elif self.pages() == before:
                return False
        return True

    def pages(self) -> int:
        """How many pages of all runs have been stored."""
        return int(self.rows("select coalesce(sum(page_no), 0) from job_runs")[0][0])

    def end_workers(self) -> list[tuple[int, float]]:
        """SIGTERM to all at once; exit code and seconds of each."""
        begun = time.monotonic()
        living = [one for one in self.children if one.is_alive]
        for one in living:
            one.process.send_signal(signal.SIGTERM)
        ends = []
        for one in living:
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(60)
            ends.append((one.process.poll() if one.process.poll() is not None else -1, time.monotonic() - begun))
        self.children = [one for one in self.children if one.is_alive]
        return [(code if code is not None else -1, seconds) for code, seconds in ends]

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement; none while the database is away."""
        with self.database.connection() as conn:
            return conn.execute(statement, values).fetchall()

    def run_in_hand(self, child: Child) -> int | None:
        """A run that *child* carries out now."""
        found = self.rows("select id from job_runs where status = 'running' and worker like %s", self._name_of(child))
        return found[0][0] if found else None

    def said(self) -> str:
        """What all children have printed so far."""
        log = self.home / "children.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def close(self) -> None:
        """Ends all children at once."""
        for one in self.children:
            _end(one)

    def _keep_up(self) -> None:
        for child in self.children:
            if child.is_spared or child.is_alive:
                continue
            if not child.was_killed:
                self.ended[child.process.returncode] += 1
            child.was_killed = False
            child.process = self._spawn(child.arguments, child.environment)

    def _is_idle(self) -> bool:
        """No run is left, and no entry of one: those that killed workers had taken are cleared by the living."""
        with suppress(StoreError, psycopg.Error):
            runs = self.rows("select 1 from job_runs where status in ('queued', 'running') limit 1")
            return not runs and not self.rows("select 1 from procrastinate_jobs where task_name = %s limit 1", TASK)
        return False

    def _at_work(self) -> list[Child]:
        return [one for one in self.workers if not one.is_spared and self.run_in_hand(one) is not None]

    def _name_of(self, child: Child) -> str:
        return f"%-{child.process.pid}-%"

    def _spawn(self, arguments: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.home / "children.log").open("ab") as log:
            return subprocess.Popen([*_COMMAND, *arguments], env=environment, stdout=log, stderr=log, cwd=self.home)

    def _environment(self, exchange_url: str) -> dict[str, str]:
        ours = {info.name for info in SETTINGS}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        port = self.towards_database.port
        return kept | {
            "BARFILL_HOME": str(self.home),
            "DATABASE_URL": f"postgresql://{self.role}@127.0.0.1:{port}/{self.database_name}?sslmode=disable&gssencmode=disable",
            "ALPACA_BASE_URL": exchange_url,
            "ALPACA_API_KEY": "key",
            "ALPACA_API_SECRET": "secret",
            "ALPACA_REQUESTS_PER_MINUTE": str(self.requests_per_minute),
            "ALPACA_PAGE_SIZE": str(PAGE_SIZE),
            "WORKER_PATIENCE_SECONDS": str(PATIENCE_S),
            "DATABASE_POOLER": "true" if self.is_pooled else "false",
        }

    def _client(self) -> ProviderClient:
        provider = Alpaca("key", "secret", base_url=self.exchange.alpaca_url, page_size=PAGE_SIZE)
        return ProviderClient(provider, HttpClient(provider.base_urls), SlidingQuota(_NO_LIMIT))

    async def _look(self) -> int:
        client = self._client()
        settings = EngineSettings(worker_patience_s=PATIENCE_S)
        try:
            schedule = Schedule(self.database, Clients(client), settings, SilentListener(), every=timedelta(minutes=1))
            found = await schedule.look()
            await schedule.derive()
            return len(found.runs)
        finally:
            await client.aclose()

    async def _add(self, tickers: Sequence[str]) -> None:
        client = self._client()
        try:
            await add_symbols(self.database, Clients(client), tickers)
        finally:
            await client.aclose()


def _end(child: Child) -> None:
    if child.is_alive:
        child.process.send_signal(signal.SIGCONT)
        child.process.kill()
        child.process.wait()


@contextmanager
def open_yard(
    server: Server,
    seed: int,
    *,
    requests_per_minute: int = _NO_LIMIT,
    pooler_port: int | None = None,
    role: str = OWNER,
    tablespace: str | None = None,
    window_days: int = WINDOW_DAYS,
) -> Iterator[Yard]:
    """
    A yard with an exchange and an empty database, as long as the block; its children are gone afterwards.

    Args:
        pooler_port: Of a transaction pooler before *server*, through which the children go.
        role: As whom the children connect.
        tablespace: Where the database lies; None for where the server keeps its others.
        window_days: How far back the symbols are wanted.
    """
    chance = Random(seed)
    name = server.fresh_database(tablespace)
    url = f"postgresql://{OWNER}@/{name}?host={server.socket.parent}&application_name={JUDGE}"
    upstream = _to_port(pooler_port) if pooler_port is not None else _to_server(server)
    config = ExchangeConfig(port=0, seed=seed, symbols=_LISTED, requests_per_minute=requests_per_minute)
    with (
        tempfile.TemporaryDirectory(prefix="bf-yard-") as home,
        running_exchange(config) as exchange,
        Database(url) as database,
        cutting_proxy(_to_port(int(exchange.url.rsplit(":", 1)[1])), Random(chance.random())) as towards_exchange,
        cutting_proxy(upstream, Random(chance.random())) as towards_database,
    ):
        database.run(bring_up_to_date)
        yard = Yard(
            server=server,
            exchange=exchange,
            database=database,
            towards_exchange=towards_exchange,
            towards_database=towards_database,
            database_name=name,
            home=Path(home),
            chance=chance,
            requests_per_minute=requests_per_minute,
            is_pooled=pooler_port is not None,
            role=role,
            window_days=window_days,
        )
        try:
            yield yard
        finally:
            yard.close()
            if os.environ.get("TORTURE_LOG"):
                sys.stderr.write(yard.said())


def _to_port(port: int) -> Callable[[], Any]:
    return lambda: asyncio.open_connection("127.0.0.1", port)


def _to_server(server: Server) -> Callable[[], Any]:
    return lambda: asyncio.open_unix_connection(str(server.socket))

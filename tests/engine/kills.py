"""The real command as a child process that can be killed, and the accounts to settle afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.settings import SETTINGS
from barfill.store.database import Database
from tests.engine.rig import NYSE, Rig

PATIENCE_S = 60.0
_POLL_S = 0.001
_COMMAND = [sys.executable, "-m", "barfill.cli.main", "backfill"]


@dataclass(frozen=True)
class Order:
    """What one `barfill backfill` is to fetch, in pages of which size, by how many chains at a time."""

    tickers: tuple[str, ...]
    timeframe: Timeframe
    wanted: Range
    page_size: int
    chains: int

    @property
    def arguments(self) -> list[str]:
        """Of the command line."""
        start, end = (bound.date().isoformat() for bound in (self.wanted.start, self.wanted.end))
        return [*self.tickers, "--timeframe", self.timeframe.value, "--start", start, "--end", end]


@dataclass
class Kills:
    """
    Backfills by *order* from the rig's exchange in processes of their own.

    Attributes:
        home: Of the command: its settings file, and its private server where it has no other database.
        database: None takes the private server below *home*.
    """

    rig: Rig
    order: Order
    home: Path
    database: Database | None
    begun: list[subprocess.Popen[str]] = field(default_factory=list)

    def begin(self, *, crash_at: str = "") -> subprocess.Popen[str]:
        """The command, under way."""
        pipe = subprocess.PIPE
        command = [*_COMMAND, *self.order.arguments]
        environment = self._environment(crash_at)
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        self.begun.append(process)
        return process

    def finish(self) -> str:
        """The command to its good end; what it printed."""
        out, err = self.end_of(self.begin(), 0)
        return out + err

    def end_of(self, process: subprocess.Popen[str], code: int) -> tuple[str, str]:
        """Waits for the process and gives its two outputs, if it ends with *code*."""
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, out + err
        return out, err

    def kill_at(self, moment: Moment) -> bool:
        """Starts the command and kills it at *moment*; False if it had finished before."""
        before = self.rig.bar_requests()
        process = self.begin()
        self.wait_for(lambda: self.rig.bar_requests() >= before + moment.requests or process.poll() is not None)
        time.sleep(moment.delay_s)
        process.kill()
        process.communicate(timeout=PATIENCE_S)
        return process.returncode == -signal.SIGKILL

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Returns as soon as it has *happened*."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, "It does not happen."
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Ends what is still under way."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
                process.communicate(timeout=PATIENCE_S)

    def _environment(self, crash_at: str) -> dict[str, str]:
        ours = {info.name for info in SETTINGS}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        given = {
            "BARFILL_HOME": str(self.home),
            "DATABASE_URL": "" if self.database is None else _url(self.database),
            "ALPACA_BASE_URL": self.rig.exchange.alpaca_url,
            "ALPACA_API_KEY": "key",
            "ALPACA_API_SECRET": "secret",
            "ALPACA_REQUESTS_PER_MINUTE": "10000",
            "ALPACA_PAGE_SIZE": str(self.order.page_size),
            "MAX_CONCURRENT_JOBS": str(self.order.chains),
            "BARFILL_CRASH_AT": crash_at,
        }
        return kept | {name: value for name, value in given.items() if value}

    def pages_asked(self) -> Counter[tuple[tuple[str, str], ...]]:
        """How often each page was asked for: one entry per query and page token."""
        asked = [one for one in self.rig.exchange.requests if one.endpoint == "bars"]
        return Counter(tuple(sorted(one.query.items())) for one in asked)

    def repeated(self) -> int:
        """Requests for pages that had been asked for before."""
        asked = self.pages_asked()
        return asked.total() - len(asked)

    def assert_equal_to_the_source(self) -> None:
        """The table holds the exchange's regular bars and nothing else, and the ledger agrees with it."""
        order, rig = self.order, self.rig
        for ticker in order.tickers:
            assert rig.stored(ticker, order.timeframe) == rig.truth(ticker, order.timeframe, order.wanted)
        expected = len(order.tickers) * NYSE.expected_count(order.timeframe, order.wanted)
        assert rig.query("select count(*) from ohlc_bars") == [(expected,)]
        counted = rig.query("select symbol_id, count(*), min(ts), max(ts) from ohlc_bars group by 1 order by 1")
        assert rig.query("select symbol_id, bar_count, oldest_ts, newest_ts from series order by 1") == counted
        assert rig.query("select count(*) from bar_revisions") == [(0,)]
        # Every page was committed once: no row was written twice. A run of which nothing is left to do is cancelled.
        assert rig.query("select sum(rows_written) from job_runs") == [(expected,)]
        committed = rig.query("select sum(page_no) from job_runs")[0][0]
        assert (
            0
            <= len(self.pages_asked()) - committed
            <= len(rig.query("select 1 from job_runs where status = 'cancelled'"))
        )
        assert rig.query("select 1 from job_runs where status not in ('success', 'cancelled')") == []


@dataclass(frozen=True)
class Moment:
    """When to kill: after so many requests for bars, and a while longer."""

    requests: int
    delay_s: float


def _url(database: Database) -> str:
    """As the setting takes it: a URL, not the driver's text."""
    parts = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(database.url).items()}
    return f"postgresql://{parts['user']}@/{parts['dbname']}?host={parts['host']}"


def random_moments(seed: int, count: int, *, requests_max: int, delay_s_max: float) -> Sequence[Moment]:
    """*count* of them; the seed is printed, so that a failure can be repeated."""
    print(f"seed {seed}")  # noqa: T201  pytest shows it with a failure
    chance = random.Random(seed)
    return [Moment(chance.randint(0, requests_max), chance.uniform(0, delay_s_max)) for _ in range(count)]


def variable(name: str, default: int, environment: Mapping[str, str] = os.environ) -> int:
    """A number from the environment, for longer or repeated runs."""
    return int(environment.get(name, default))

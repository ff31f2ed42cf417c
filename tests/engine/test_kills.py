"""
The real command killed at random moments and at every crash point, interrupted, and run again.

`BARFILL_TEST_SEED=7` repeats the random moments of a seed; `BARFILL_TEST_KILLS=50 BARFILL_TEST_PAGES=100` is the long
form of R36.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from barfill.core.timeframe import Timeframe
from barfill.crash import POINTS
from barfill.simulate import SimulatedExchange
from barfill.store.database import Database, open_database
from tests.engine.kills import Kills, Moment, Order, random_moments, variable
from tests.engine.rig import Rig, days
from tests.store.fixtures import short_directory

WEEK = days("2026-09-14", "2026-09-21")
FOUR = ("AAPL", "AMZN", "MSFT", "NVDA")
SEED = variable("BARFILL_TEST_SEED", random.randrange(10_000))
ONE_PAGE_S = 0.03
HANGS = [{"match": {}, "fault": "H17", "args": {"seconds": 600}}]
NO_BYTE_AGAIN = {"k1", "k11", "k12"}
"""Killed here, no page is asked for again: before a page's request, or after its COMMIT was sent."""

New = Callable[[Order], Kills]


@pytest.fixture
def new(rig: Rig, tmp_path: Path) -> Iterator[New]:
    """Backfills by an order, their symbols in the table, into the rig's database."""
    with ExitStack() as stack:

        def prepare(order: Order) -> Kills:
            rig.add_symbols(order.tickers)
            rig.exchange.forget_requests()
            kills = Kills(rig, order, tmp_path, rig.database)
            stack.callback(kills.close)
            return kills

        yield prepare


@pytest.mark.timeout(300)
def test_twenty_kills_at_random_moments(new: New) -> None:
    """
    R01: killed 20 times and run again, the table equals the source; a kill repeats the requests in flight at most.
    """
    kills = new(Order(FOUR, Timeframe.M1, WEEK, page_size=100, chains=3))

    moments = random_moments(SEED, 20, requests_max=8, delay_s_max=ONE_PAGE_S)
    killed = sum(kills.kill_at(moment) for moment in moments)
    kills.finish()

    assert killed == 20
    kills.assert_equal_to_the_source()
    assert kills.repeated() <= killed * kills.order.chains


@pytest.mark.parametrize("point", POINTS)
def test_kill_at_each_crash_point(new: New, point: str) -> None:
    """
    R02: killed at any step of a page, the next run goes on there; a committed page is not asked for again.
    """
    kills = new(Order(FOUR, Timeframe.M15, WEEK, page_size=40, chains=1))

    kills.end_of(kills.begin(crash_at=f"{point}:2"), -signal.SIGKILL)
    kills.finish()

    kills.assert_equal_to_the_source()
    assert kills.repeated() == (0 if point in NO_BYTE_AGAIN else 1)


def test_ctrl_c_stops_between_pages(new: New) -> None:
    """
    Interrupted, the command finishes the pages in hand and says so; the next one asks for no page again.
    """
    kills = new(Order(FOUR, Timeframe.M1, WEEK, page_size=100, chains=2))
    process = kills.begin()
    kills.wait_for(lambda: kills.rig.bar_requests() >= 10)

    process.send_signal(signal.SIGINT)

    out, err = kills.end_of(process, 130)
    assert "Stopping after the pages in hand" in err
    assert "Run the same command again" in out
    assert kills.rig.query("select count(*) from job_runs where status = 'running'") == [(0,)]
    kills.finish()
    kills.assert_equal_to_the_source()
    assert kills.repeated() == 0


def test_a_second_ctrl_c_leaves_at_once(new: New) -> None:
    """
    A page that does not come is not waited for after the second Ctrl-C, and nothing is lost.
    """
    kills = new(Order(FOUR, Timeframe.M15, WEEK, page_size=40, chains=1))
    kills.rig.exchange.set_faults(HANGS)
    process = kills.begin()
    kills.wait_for(lambda: kills.rig.bar_requests() > 0)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Stopping after the pages in hand" not in (line := process.stderr.readline()):
        assert line, "It ended before the second Ctrl-C."
    process.send_signal(signal.SIGINT)

    kills.end_of(process, 130)
    kills.rig.exchange.set_faults([])
    kills.finish()
    kills.assert_equal_to_the_source()


def test_a_private_server_outlives_its_killed_user(exchange: SimulatedExchange, database: Database) -> None:
    """
    The command after a kill adopts the server that was left running, completes, and stops it as its last user.
    """
    with short_directory() as home:
        number = home / "postgres" / "data" / "postmaster.pid"
        order = Order(FOUR, Timeframe.M1, WEEK, page_size=200, chains=2)
        kills = Kills(Rig(exchange, database), order, home, None)
        try:
            assert kills.kill_at(Moment(requests=10, delay_s=random.Random(SEED).uniform(0, ONE_PAGE_S)))
            assert psutil.pid_exists(int(number.read_text().splitlines()[0]))

            kills.finish()
            assert not number.exists()
        finally:
            kills.close()
        with open_database(None, home) as private:
            kills.rig.database = private
            kills.assert_equal_to_the_source()


@pytest.mark.timeout(900)
def test_many_kills_cost_few_requests(new: New) -> None:
    """
    R36: killed about every other page, a backfill takes no more than 1.5 requests for each of its pages.
    """
    pages, kill_count = variable("BARFILL_TEST_PAGES", 40), variable("BARFILL_TEST_KILLS", 15)
    kills = new(Order(FOUR, Timeframe.M15, WEEK, page_size=-(-4 * 5 * 64 // pages), chains=1))

    moments = random_moments(SEED, kill_count, requests_max=2, delay_s_max=ONE_PAGE_S)
    killed = sum(kills.kill_at(moment) for moment in moments)
    kills.finish()

    asked = kills.pages_asked()
    print(f"{len(asked)} pages, {killed} kills, {asked.total()} requests")  # noqa: T201
    assert killed == kill_count
    kills.assert_equal_to_the_source()
    assert asked.total() <= 1.5 * len(asked)

"""`barfill schedule` and `barfill worker` as processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import pytest

from barfill.simulate import SimulatedExchange
from barfill.store.database import Database
from tests.cli.conftest import Shell

DEFINED = ("watchlist", "add", "tech", "AAPL", "MSFT")
FEW = {"DEFAULT_TIMEFRAMES": "15m,1h,1d", "DEFAULT_WINDOW_DAYS": "20"}
ENOUGH_S = 30.0


def counted(database: Database, statement: str) -> int:
    """The number that a statement gives."""
    with database.connection() as conn:
        row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold within half a minute."""
    until = time.monotonic() + ENOUGH_S
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_once_makes_what_is_defined_complete(shell: Shell, exchange: SimulatedExchange) -> None:
    """Its matrix on stdout, what it did on stderr, exit code 0; again it asks nothing of the provider."""
    shell(*DEFINED, **FEW)

    done = shell("schedule", "--once", **FEW)

    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["AAPL", "·", "·", "✓", "·", "✓", "·", "✓", "·"] in lines
    assert "looked at 2 symbols: " in done.stderr
    assert "new runs, about" in done.stderr
    assert "runs done" in done.stderr
    exchange.forget_requests()
    again = shell("schedule", "--once", **FEW)
    assert (again.returncode, exchange.requests) == (0, [])
    assert "looked at 2 symbols: nothing new to fetch\n" in again.stderr


def test_a_plan_says_what_waits(shell: Shell, exchange: SimulatedExchange) -> None:
    """Nothing is fetched, all is in the queue, and that is no failure; the next look counts what is there already."""
    shell(*DEFINED, **FEW)
    exchange.forget_requests()

    first, again = (shell("schedule", "--once", "--plan-only", **FEW) for _ in range(2))

    asked = [one.endpoint for one in exchange.requests if one.endpoint != "corporate_actions"]
    assert (first.returncode, again.returncode, asked) == (0, 0, [])
    assert first.stdout == again.stdout == ""
    assert "in the queue, for: barfill worker" in first.stderr
    assert "nothing new to fetch; " in again.stderr
    assert "of before in the queue" in again.stderr


def test_once_reports_as_json(shell: Shell) -> None:
    """The same as numbers."""
    shell(*DEFINED, **FEW)

    report = json.loads(shell("schedule", "--once", "--json", **FEW).stdout)

    assert report["exit_code"] == report["gaps_remaining"] == report["runs_failed"] == 0
    assert report["runs_done"] == report["runs_made"] > 0
    assert report["bars_written"] > 0
    refused = shell("schedule", "--json")
    assert refused.returncode == 2
    assert "Add --once" in refused.stderr


def test_once_says_that_nothing_is_defined(shell: Shell) -> None:
    """And what to type."""
    done = shell("schedule", "--once")

    assert done.returncode == 0
    assert "No definition is enabled. Make one: barfill watchlist add tech AAPL" in done.stderr


def test_what_sql_has_written_is_looked_up_before_it_is_fetched(shell: Shell, exchange: SimulatedExchange) -> None:
    """A ticker that the provider does not know fails alone and visibly, once a day; the others get bars and names."""
    tickers = ("AAPL", "MSFT", "ZZZZQ")
    shell("sql", "insert into symbols (ticker) values " + ", ".join(f"('{one}')" for one in tickers))
    for ticker in tickers:
        shell("sql", f"select seed_intraday_backfill_job('{ticker}', '1d', 5)")

    done = shell("schedule", "--once", "--json", **FEW)

    assert done.returncode == 1
    assert json.loads(done.stdout)["series_failed"] == ["ZZZZQ 1d"]
    assert "Symbol 'ZZZZQ' is not offered by alpaca" in done.stderr
    states = "select ticker, last_result, last_error_code, bar_count > 0, name is null from backfill_status "
    shown = shell("sql", states + "join symbols using (ticker) order by 1", "--csv").stdout.splitlines()[1:]
    assert shown == ["AAPL,ok,,true,false", "MSFT,ok,,true,false", "ZZZZQ,fail,SYMBOL_NOT_FOUND,false,true"]
    assert not any("ZZZZQ" in one.query.get("symbols", "") for one in exchange.requests)
    exchange.forget_requests()
    assert shell("schedule", "--once", **FEW).returncode == 1
    assert exchange.requests == []


def test_once_fails_visibly(shell: Shell, database: Database) -> None:
    """A rejected key is exit code 1 and a sentence, each time; no run fails for it a second time, and none is made."""
    shell(*DEFINED, **FEW)

    done = shell("schedule", "--once", **FEW, ALPACA_API_KEY="wrong")

    assert done.returncode == 1
    assert "ALPACA_API_KEY" in done.stderr
    made = counted(database, "select count(*) from job_runs")
    again = shell("schedule", "--once", **FEW, ALPACA_API_KEY="wrong")
    assert again.returncode == 1
    assert "Nothing is planned for alpaca, as nothing can be fetched from it: " in again.stderr
    assert "ALPACA_API_KEY" in again.stderr
    assert counted(database, "select count(*) from job_runs") == made
    assert counted(database, "select count(*) from job_runs where status = 'failed'") == 1


def test_a_plan_is_carried_out_by_workers_elsewhere(shell: Shell, database: Database) -> None:
    """`--plan-only` asks nothing of the provider; a worker carries its runs out, and ends when nothing is due."""
    shell(*DEFINED, **FEW)
    shell("schedule", "--once", "--plan-only", **FEW)
    assert counted(database, "select count(*) from job_runs where status = 'queued'") > 0

    done = shell("worker", "--until-empty", **FEW)

    assert done.returncode == 0, done.stderr
    assert "worker ended" in done.stderr
    assert counted(database, "select count(*) from job_runs where status <> 'success'") == 0
    assert counted(database, "select count(*) from ohlc_bars where timeframe = 'h1'") > 0


def test_a_worker_that_empties_the_queue_tells_of_failures(shell: Shell) -> None:
    """Exit code 1, and `status --unhealthy` says the same."""
    shell(*DEFINED, **FEW)
    shell("schedule", "--once", "--plan-only", **FEW)

    done = shell("worker", "--until-empty", **FEW, ALPACA_API_KEY="wrong")

    assert done.returncode == 1, done.stderr
    assert "failed" in done.stderr
    assert shell("status", "--unhealthy").returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_asked_to_stop_gives_its_runs_back(
    shell: Shell, database: Database, exchange: SimulatedExchange, number: signal.Signals
) -> None:
    """It ends with 0; nothing is left running, and another worker goes on."""
    shell(*DEFINED, **FEW)
    shell("schedule", "--once", "--plan-only", **FEW)
    exchange.set_faults([{"match": {"endpoint": "bars"}, "fault": "H17", "args": {"where": "headers", "seconds": 20}}])
    with shell.begin("worker", **FEW) as worker:
        assert eventually(lambda: counted(database, "select count(*) from job_runs where status = 'running'") > 0)
        worker.send_signal(number)
        assert worker.wait(ENOUGH_S) == 0
        assert worker.stderr is not None
        assert "stopping after the pages in hand" in worker.stderr.read()

    assert counted(database, "select count(*) from job_runs where status = 'running'") == 0
    exchange.set_faults([])
    assert shell("worker", "--until-empty", **FEW).returncode == 0
    assert counted(database, "select count(*) from job_runs where status <> 'success'") == 0


def test_a_killed_workers_runs_are_taken_over(shell: Shell, database: Database, exchange: SimulatedExchange) -> None:
    """SIGKILL in the middle: another worker that is there already finishes everything."""
    shell(*DEFINED, **FEW)
    shell("schedule", "--once", "--plan-only", **FEW)
    exchange.set_faults(
        [{"match": {"endpoint": "bars", "nth": 1}, "fault": "H17", "args": {"where": "headers", "seconds": 5}}]
    )
    with shell.begin("worker", "--concurrency", "1", **FEW) as first:
        assert eventually(lambda: counted(database, "select count(*) from job_runs where status = 'running'") > 0)
        os.kill(first.pid, signal.SIGKILL)
        with shell.begin("worker", **FEW) as second:
            is_done = eventually(
                lambda: counted(database, "select count(*) from job_runs where status <> 'success'") == 0
            )
            second.terminate()
            assert second.wait(ENOUGH_S) == 0

    assert is_done
    assert counted(database, "select sum(losses) from job_runs") == 1
    assert (
        counted(database, "select count(*) from procrastinate_jobs where task_name = 'carry_out' and status = 'todo'")
        == 0
    )


def test_a_schedule_runs_until_it_is_stopped(shell: Shell, database: Database) -> None:
    """It looks, works, looks again later, and ends clean on SIGTERM."""
    shell(*DEFINED, **FEW)

    with shell.begin("schedule", "--every", "1", **FEW) as schedule:
        assert eventually(
            lambda: (
                counted(database, "select count(*) from job_runs") > 0
                and counted(database, "select count(*) from job_runs where status <> 'success'") == 0
            )
        )
        schedule.terminate()
        assert schedule.wait(ENOUGH_S) == 0

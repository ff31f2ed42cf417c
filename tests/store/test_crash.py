"""A process killed at each crash point of a page: whole or untouched, and the next worker knows which."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from barfill.core.ranges import Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import PageDropped
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.runs import claim_run
from barfill.store.series import read_series
from tests.store.builders import WORKER, add, claimed_run, minutes, page, query, stored_closes

_WRITE = """
import sys
from barfill.store.database import Database
from barfill.store.pages import write_page
from barfill.store.runs import claim_run
from tests.store.builders import WORKER, minutes, page
url, run_id, symbol_id = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Database(url) as database:
    run = database.run(claim_run, run_id, WORKER)
    for number in range(run.page_no, 2):
        rows = {symbol_id: dict.fromkeys(range(10 * number, 10 * number + 15), 10.0 + number)}
        proved = {symbol_id: minutes(10 * number, 10 * number + 15)}
        database.run(write_page, page(run, rows, proved, page_no=number, next_token="t", final=number == 1))
"""


def write_two_pages(database: Database, run_id: int, symbol_id: int, crash_at: str = "") -> int:
    """Claims the run in a process of its own and writes its two overlapping pages; gives the exit code."""
    command = [sys.executable, "-c", _WRITE, database.url, str(run_id), str(symbol_id)]
    environment = os.environ | {"BARFILL_CRASH_AT": crash_at, "PYTHONPATH": "."}
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize("point", ["k6", "k7", "k8", "k9", "k10", "k11", "k12"])
@pytest.mark.parametrize("nth", [1, 2])
def test_page_is_whole_or_untouched_after_a_kill(database: Database, point: str, nth: int) -> None:
    """
    R02: killed at any point of any page, a page is stored with its proof and progress, or not at all.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])

    assert write_two_pages(database, run.id, a, f"{point}:{nth}") == -signal.SIGKILL
    _wait_until_alone(database)

    pages_kept = nth if point in ("k11", "k12") else nth - 1
    _assert_pages(database, a, pages_kept)
    if pages_kept < 2:
        assert write_two_pages(database, run.id, a) == 0
    _assert_pages(database, a, 2)


def test_run_of_a_killed_worker_goes_on_where_it_stopped(database: Database) -> None:
    """
    The claim after a kill tells the page that is next, and the killed worker's epoch is worth nothing.
    """
    (a,) = add(database, "A")
    run = claimed_run(database, [a])
    write_two_pages(database, run.id, a, "k12:1")

    claimed = database.run(claim_run, run.id, WORKER)

    assert claimed is not None
    assert (claimed.page_no, claimed.page_token) == (1, "t")
    with pytest.raises(PageDropped):
        database.run(write_page, page(run, {a: {0: 1}}, page_no=1))


def _assert_pages(database: Database, symbol_id: int, pages: int) -> None:
    expected = {(symbol_id, at): 10.0 for at in range(15)} if pages else {}
    expected |= {(symbol_id, at): 11.0 for at in range(10, 25)} if pages == 2 else {}
    assert stored_closes(database) == expected
    series = database.run(read_series, [symbol_id], [Timeframe.M1])
    covered = series[symbol_id, Timeframe.M1].covered if series else Ranges()
    assert covered == (Ranges([minutes(0, 10 * pages + 5)]) if pages else Ranges())
    progress = query(database, "select page_no, status, rows_written from job_runs")
    assert progress == [(pages, "success" if pages == 2 else "running", (0, 15, 30)[pages])]
    revisions = query(database, "select count(*) from bar_revisions")
    assert revisions == [(5 if pages == 2 else 0,)]


def _wait_until_alone(database: Database) -> None:
    """The killed process's session may still be finishing its COMMIT."""
    others = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    for _ in range(200):
        if not query(database, others):
            return
    raise AssertionError("The killed process's session does not end.")

"""`/jobs`: listed as the command line does, and what can be done about them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from barfill.core.timeframe import Timeframe
from barfill.http.jobs import Job, JobsAnswer
from barfill.store.database import Database
from barfill.store.runs import NewRun, claim_run, create_runs, fail_run
from barfill.store.workers import Worker
from tests.http.conftest import KEY
from tests.http.test_guard import is_problem
from tests.http.test_standing import told
from tests.store.builders import add, minutes, query

HEADERS = {"X-API-Key": KEY}
ENTRIES = "select count(*) from procrastinate_jobs where status = 'todo'"


@pytest.fixture
def runs(database: Database) -> list[int]:
    """One that failed, and one that waits."""
    a, b = add(database, "AAPL", "MSFT")
    ids = [
        database.run(create_runs, [NewRun(symbols=(ticker,), symbol_ids=(symbol_id,), timeframe=Timeframe.M1,
            range=minutes(0, 60), provider="alpaca", feed="sip")])[0]
        for ticker, symbol_id in (("AAPL", a), ("MSFT", b))
    ]  # fmt: skip
    run = database.run(claim_run, ids[0], Worker("tester", has_lock=False))
    assert run is not None
    database.run(fail_run, run.id, run.epoch, error_code="TIMEOUT", reason="read", message="slow")
    return ids


def listed(api: httpx.Client, **parameters: Any) -> list[int]:
    """The ids of the runs that fit."""
    answer = api.get("/api/v1/jobs", params=parameters)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["runs"]]


def test_runs_are_what_the_command_line_says(api: httpx.Client, database: Database, runs: list[int]) -> None:
    """All of them, one of them, and counted; with advice about an error."""
    body = api.get("/api/v1/jobs").json()
    one = api.get(f"/api/v1/jobs/{runs[0]}").json()

    assert JobsAnswer.model_validate(body) == JobsAnswer.model_validate(told(database, "jobs", "list"))
    assert Job.model_validate(one) == Job.model_validate(told(database, "jobs", "show", str(runs[0])))
    assert body["counts"] == {"queued": 1, "failed": 1}
    assert (one["error_code"], one["advice"]) == ("TIMEOUT", "run it again later")


def test_runs_are_chosen(api: httpx.Client, runs: list[int]) -> None:
    """By status, symbol and timeframe, the newest first."""
    failed, queued = runs

    assert listed(api) == [queued, failed]
    assert listed(api, limit=1) == [queued]
    assert listed(api, status="failed") == [failed]
    assert listed(api, symbol="msft", timeframe=["1m", "1d"]) == [queued]
    assert listed(api, timeframe="1d") == []


def test_a_failed_run_is_tried_again_once(api: httpx.Client, database: Database, runs: list[int]) -> None:
    """It waits again with its entry in the queue; what waits already is a conflict."""
    path = f"/api/v1/jobs/{runs[0]}/retry"
    ((before,),) = query(database, ENTRIES)

    first, second = api.post(path, headers=HEADERS), api.post(path, headers=HEADERS)

    assert (first.status_code, first.json()["status"]) == (200, "queued")
    assert is_problem(second, 409, "conflict")
    assert "only failed and cancelled runs can be tried again" in second.json()["detail"]
    assert query(database, ENTRIES) == [(before + 1,)]


def test_a_run_that_waits_is_cancelled_once(api: httpx.Client, runs: list[int]) -> None:
    """By the user, as the run says; one that is over is a conflict."""
    path = f"/api/v1/jobs/{runs[1]}/cancel"

    first, second = api.post(path, headers=HEADERS), api.post(path, headers=HEADERS)

    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    assert is_problem(second, 409, "conflict")
    assert is_problem(api.post(f"/api/v1/jobs/{runs[0]}/cancel", headers=HEADERS), 409, "conflict")


@pytest.mark.parametrize("what", ["retry", "cancel"])
def test_nobody_changes_a_run_without_the_key(api: httpx.Client, runs: list[int], what: str) -> None:
    """X05: and nothing is changed by reading."""
    path = f"/api/v1/jobs/{runs[0]}/{what}"

    assert is_problem(api.post(path), 401, "unauthorized")
    assert is_problem(api.get(path), 405, "method-not-allowed")
    assert api.get(f"/api/v1/jobs/{runs[0]}").json()["status"] == "failed"


@pytest.mark.parametrize("number", ["0", "9223372036854775808", "-1", "x"])
def test_a_number_that_can_be_no_run_is_refused(api: httpx.Client, number: str) -> None:
    """And one that is none is not found."""
    assert is_problem(api.get(f"/api/v1/jobs/{number}"), 422, "invalid-input")
    assert is_problem(api.get("/api/v1/jobs/4711"), 404, "job-run-not-found")
    assert is_problem(api.post("/api/v1/jobs/4711/retry", headers=HEADERS), 404, "job-run-not-found")

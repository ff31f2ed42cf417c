"""`GET /status` and `GET /gaps` say what the command line and SQL say."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from barfill.cli.main import barfill
from barfill.core.timeframe import Timeframe
from barfill.http.standing import GapsAnswer, StatusAnswer
from barfill.store.database import Database
from barfill.store.pages import write_derived
from barfill.store.series import note_failure
from barfill.store.writes import GapRecord
from tests.cli.conftest import url_of
from tests.http.test_guard import is_problem
from tests.store.builders import add, minutes, query, write


@pytest.fixture
def standing(database: Database) -> Database:
    """AAPL with an open gap and a settled one, MSFT of which nothing came."""
    aapl, msft = add(database, "AAPL", "MSFT")
    gaps = [
        GapRecord(symbol_id=aapl, range=minutes(2, 4), expected_bars=2, kind="missing", reason="absent"),
        GapRecord(symbol_id=aapl, range=minutes(6, 7), expected_bars=1, kind="no_trade", reason="quiet"),
    ]
    database.run(write_derived, write({aapl: {0: 10.0, 1: 11.0}}, {aapl: minutes(0, 2)}, gaps=gaps))
    database.run(note_failure, [msft], Timeframe.D1, feed="sip", error_code="TIMEOUT", message="slow")
    return database


def told(database: Database, *command: str) -> Any:
    """What the command line prints as JSON."""
    done = CliRunner().invoke(barfill, [*command, "--json"], env={"DATABASE_URL": url_of(database)})
    return json.loads(done.stdout)


def test_status_is_what_the_command_line_and_sql_say(api: httpx.Client, standing: Database) -> None:
    """To the letter, and of the shape that the description promises."""
    body = api.get("/api/v1/status").json()

    assert StatusAnswer.model_validate(body) == StatusAnswer.model_validate(told(standing, "status"))
    counted = query(standing, "select ticker, timeframe, bar_count, last_result from backfill_status order by 1")
    listed = [
        (one["symbol"], Timeframe.parse(name).value, series["bar_count"], series["last_result"])
        for one in body["symbols"]
        for name, series in one["timeframes"].items()
    ]
    assert listed == counted
    assert body["healthy"] is False


def test_status_of_some(api: httpx.Client, standing: Database) -> None:
    """Of named symbols, in any case, or of those that are unhealthy."""
    named = api.get("/api/v1/status", params={"symbol": ["msft", "MSFT"]}).json()
    unhealthy = api.get("/api/v1/status", params={"unhealthy": True}).json()

    assert [one["symbol"] for one in named["symbols"]] == ["MSFT"]
    assert named["symbols"][0]["timeframes"]["1d"]["last_error_code"] == "TIMEOUT"
    assert "MSFT" in [one["symbol"] for one in unhealthy["symbols"]]
    assert is_problem(api.get("/api/v1/status", params={"symbol": "ZZZZ"}), 404, "symbol-not-found")
    assert is_problem(api.get("/api/v1/status", params={"symbols": "AAPL"}), 422, "invalid-input")


def test_gaps_are_what_the_command_line_says(api: httpx.Client, standing: Database) -> None:
    """Open ones, settled ones on request, counted by kind whatever is listed."""
    body = api.get("/api/v1/gaps").json()
    settled = api.get("/api/v1/gaps", params={"settled": True, "symbol": "AAPL"}).json()

    assert GapsAnswer.model_validate(body) == GapsAnswer.model_validate(told(standing, "gaps", "AAPL"))
    command = told(standing, "gaps", "AAPL", "--settled")
    assert GapsAnswer.model_validate(settled) == GapsAnswer.model_validate(command)
    assert [one["kind"] for one in settled["gaps"]] == ["missing", "no_trade"]
    assert body["counts"]["no_trade"] == {"gaps": 1, "bars": 1, "open_gaps": 0, "open_bars": 0}


@pytest.mark.parametrize(
    ("parameters", "kinds"),
    [
        ({"kind": "no_trade"}, ["no_trade"]),
        ({"settled": True, "limit": 1}, ["missing"]),
        ({"timeframe": "1d"}, []),
        ({"timeframe": ["1d", "m1"]}, ["missing"]),
        ({"symbol": "MSFT"}, []),
    ],
)
def test_gaps_are_chosen(api: httpx.Client, standing: Database, parameters: dict[str, Any], kinds: list[str]) -> None:
    """By symbol, timeframe and kind."""
    assert [one["kind"] for one in api.get("/api/v1/gaps", params=parameters).json()["gaps"]] == kinds


@pytest.mark.parametrize("parameters", [{"kind": "lost"}, {"limit": 0}, {"limit": 10_001}, {"timeframe": "2h"}])
def test_what_can_not_be_is_refused(api: httpx.Client, parameters: dict[str, Any]) -> None:
    """With the parameter's name."""
    answer = api.get("/api/v1/gaps", params=parameters)

    assert is_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"][0]["where"].startswith(f"query.{next(iter(parameters))}")


def test_metrics_are_what_status_gaps_and_sql_say(api: httpx.Client, standing: Database) -> None:
    """Of the same series, gaps and runs; a request that was made counts at its key."""
    query(
        standing,
        "insert into job_runs (symbols_array, symbol_ids, timeframe, job_type, slice_from, slice_to, provider, feed, "
        "status, error_code, finished_at, started_at, rows_written, actual_cost, progress_percent) "
        "select '[\"AAPL\"]', '{1}', 'm1', 'fetch_intraday', '2024-01-01', '2024-02-01', 'alpaca', 'sip', one, "
        "case one when 'failed' then 'TIMEOUT' end, now(), now(), 7, 3, 100 "
        "from unnest(array['success', 'failed']) as one",
    )

    found = metrics(api)

    status, gaps = api.get("/api/v1/status").json(), api.get("/api/v1/gaps").json()
    series = [one for symbol in status["symbols"] for one in symbol["timeframes"].items()]
    for label in {name for name, _ in series}:
        of_label = [one for name, one in series if name == label]
        assert found["barfill_series", label] == len(of_label)
        assert found["barfill_series_bars", label] == sum(one["bar_count"] for one in of_label)
        assert found["barfill_series_failed", label] == sum(one["last_result"] == "fail" for one in of_label)
    for kind, count in gaps["counts"].items():
        assert found["barfill_gaps", kind, "open"] == count["open_gaps"]
        assert found["barfill_gap_bars", kind, "settled"] == count["bars"] - count["open_bars"]
    for name, runs, bars, calls in query(
        standing, "select status, count(*), sum(rows_written), sum(actual_cost) from job_runs group by 1"
    ):
        assert found["barfill_job_runs", name] == runs
        assert (found["barfill_job_runs_bars_written", name], found["barfill_job_runs_calls", name]) == (bars, calls)


def test_an_empty_database_has_no_numbers(api: httpx.Client) -> None:
    """And the text can be read all the same."""
    assert metrics(api) == {}


def metrics(api: httpx.Client) -> dict[tuple[str, ...], float]:
    """The samples of a scrape by name and values of labels."""
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}

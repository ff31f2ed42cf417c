"""`POST /ensure-coverage` and the progress of what it began, against the simulated exchange."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest

from barfill.core.timeframe import Timeframe
from barfill.engine.clients import Clients
from barfill.engine.worker import QueueWorker
from barfill.http import Context, coverage, create_app
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.rig import Rig
from tests.http.conftest import KEY, serving
from tests.http.test_guard import is_problem

OURS = {"X-API-Key": KEY}
DAYS = {"symbol": "AAPL", "timeframe": "1d", "window_days": 30}
HOURS = {"symbol": "AAPL", "timeframe": "1h", "window_days": 15}


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatedExchange]:
    """One without a limit that a test could run into."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def rig(exchange: SimulatedExchange, database: Database) -> Rig:
    """Whoever carries the runs out; AAPL and MSFT are known. Pages are small, so that there is progress to see."""
    rig = Rig(exchange, database, page_size=50)
    rig.add_symbols(["AAPL", "MSFT"])
    return rig


@pytest.fixture
def woken() -> list[str]:
    """A word for each time that the scheduler was told."""
    return []


@pytest.fixture
def api(context: Context, rig: Rig, woken: list[str]) -> Iterator[httpx.Client]:
    """The API of a server whose worker asks the exchange."""
    with serving(create_app(replace(context, engine=rig.settings, wake=lambda: woken.append("woken")))) as client:
        yield client


def ensured(api: httpx.Client, wanted: dict[str, Any]) -> Any:
    """What it answers to whoever knows the key."""
    answer = api.post("/api/v1/ensure-coverage", json=wanted, headers=OURS)
    assert answer.status_code == 200, answer.text
    return answer.json()


def work(rig: Rig) -> None:
    """Carries out what is due."""

    async def until_empty() -> None:
        clients = Clients(rig.client())
        await QueueWorker(rig.database, clients, rig.settings, rig.listener).run_until_empty()
        await clients.aclose()

    asyncio.run(until_empty())


def ask(api: httpx.Client, wanted: dict[str, Any]) -> Any:
    """How far it has come."""
    series = {name: wanted[name] for name in ("symbol", "timeframe")}
    return api.get("/api/v1/progress", params=series).json()


def test_what_is_wanted_is_planned_at_once_and_once(api: httpx.Client, rig: Rig, woken: list[str]) -> None:
    """Before all bulk work; asking again, or for less, changes nothing."""
    first = ensured(api, DAYS)

    assert (first["symbol"], first["timeframe"], first["status"]) == ("AAPL", "1d", "gaps_detected")
    assert first["coverage_status"] == {"from_ts": None, "to_ts": None, "last_success_at": None, "gaps_found": 0}
    progress = first["backfill_progress"]
    assert (progress["total_slices"], progress["queued_slices"], progress["progress_percent"]) == (1, 1, 0)
    assert ensured(api, DAYS) == ensured(api, {**DAYS, "window_days": 5}) == first
    assert rig.query("select id, window_days, priority from job_definitions") == [(first["job_def_id"], 30, 200)]
    assert rig.query("select status, triggered_by, priority from job_runs") == [("queued", "user", 200)]
    assert woken == []


def test_a_longer_window_asks_for_what_it_lacks(api: httpx.Client, rig: Rig) -> None:
    """And for nothing twice."""
    ensured(api, DAYS)
    work(rig)
    assert ask(api, DAYS)["status"] == "coverage_complete"

    longer = ensured(api, {**DAYS, "window_days": 60})

    assert (longer["status"], longer["window_days"]) == ("gaps_detected", 60)
    assert 0 < longer["backfill_progress"]["progress_percent"] < 100
    (first, second) = rig.query("select slice_from, slice_to from job_runs order by id")
    assert second[1] <= first[0]


def test_two_hundred_at_once_make_one_definition_and_no_run_twice(api: httpx.Client, rig: Rig) -> None:
    """However many charts are opened of one series."""
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ensured(api, HOURS), range(200)))

    assert len({answer["job_def_id"] for answer in answers}) == 1
    assert len(rig.query("select id from job_definitions")) == 1
    planned = rig.query("select symbols_array, timeframe, slice_from, slice_to from job_runs")
    assert len(planned) == len({(str(symbols), *rest) for symbols, *rest in planned}) > 0
    rig.exchange.forget_requests()
    work(rig)
    asked = [tuple(sorted(one.query.items())) for one in rig.exchange.requests if "bars" in one.path]
    assert len(asked) == len(set(asked)) > 0
    assert ensured(api, HOURS)["status"] == "coverage_complete"


@pytest.mark.parametrize("wanted", [DAYS, HOURS], ids=["fetched", "derived"])
def test_progress_never_falls_and_ends_as_the_tables_say(api: httpx.Client, rig: Rig, wanted: dict[str, Any]) -> None:
    """R30: polled while a worker is at it; the percentage, the slices and the bars agree with SQL at the end."""
    ensured(api, {**wanted, "window_days": 60})
    is_over = threading.Event()
    polled = []

    def poll() -> None:
        while not is_over.is_set():
            polled.append(ask(api, wanted)["backfill_progress"]["progress_percent"])

    poller = threading.Thread(target=poll)
    poller.start()
    work(rig)
    is_over.set()
    poller.join()

    assert polled == sorted(polled)
    assert polled[-1] <= 100
    last = ask(api, wanted)
    assert (last["status"], last["backfill_progress"]["progress_percent"]) == ("coverage_complete", 100)
    ((runs, bars),) = rig.query("select count(*), sum(rows_written) from job_runs where status = 'success'")
    progress = last["backfill_progress"]
    assert (progress["total_slices"], progress["completed_slices"], progress["bars_written"]) == (runs, runs, bars)
    timeframe = Timeframe.parse(wanted["timeframe"])
    assert len(rig.stored("AAPL", timeframe)) > 0
    chart = api.get("/api/v1/chart", params={"symbol": "AAPL", "timeframe": wanted["timeframe"]}).json()
    assert (len(chart["bars"]), chart["warming_cache"]) == (len(rig.stored("AAPL", timeframe)), False)


def test_a_symbol_never_seen_is_put_on_record_and_looked_up(api: httpx.Client, rig: Rig, woken: list[str]) -> None:
    """It returns at once; nothing is fetched before a provider was asked about it, which the scheduler is told."""
    rig.exchange.forget_requests()

    answer = ensured(api, {**DAYS, "symbol": "nvda"})

    assert (answer["symbol"], answer["status"]) == ("NVDA", "looking_up")
    assert woken == ["woken"]
    assert rig.exchange.requests == []
    assert rig.query("select id from job_runs") == []
    assert rig.query("select asset_type, confirmed_at from symbols where ticker = 'NVDA'") == [("stock", None)]


def test_progress_comes_as_events_until_all_is_there(api: httpx.Client, rig: Rig) -> None:
    """Each a document as the polled one; the last is called `done`, and the stream ends."""
    ensured(api, {**DAYS, "window_days": 60})
    worker = threading.Thread(target=work, args=(rig,))
    events: list[tuple[str, Any]] = []
    with api.stream("GET", "/api/v1/progress/stream", params={"symbol": "AAPL", "timeframe": "1d"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            if line.startswith("data: "):
                events.append((name, json.loads(line.removeprefix("data: "))))
                if len(events) == 1:
                    worker.start()
    worker.join()

    assert events[0][0] == "progress"
    assert events[0][1]["backfill_progress"]["progress_percent"] == 0
    assert events[-1] == ("done", ask(api, DAYS))
    assert events[-1][1]["status"] == "coverage_complete"


def test_no_more_streams_are_open_than_can_be_served(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """X12: the next one is told to poll, and may come once another has ended."""
    monkeypatch.setattr(coverage, "STREAMS_MAX", 1)
    ensured(api, DAYS)
    series = {"symbol": "AAPL", "timeframe": "1d"}

    with api.stream("GET", "/api/v1/progress/stream", params=series) as first:
        lines = first.iter_lines()
        next(lines)
        refused = api.get("/api/v1/progress/stream", params=series)

    assert is_problem(refused, 429, "too-many-requests")
    assert "Poll /api/v1/progress" in refused.json()["detail"]


def test_who_is_not_on_record_is_not_found(api: httpx.Client) -> None:
    """Before a stream begins."""
    for path in ("progress", "progress/stream"):
        answer = api.get(f"/api/v1/{path}", params={"symbol": "ZZZZ", "timeframe": "1d"})
        assert is_problem(answer, 404, "symbol-not-found")


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({**DAYS, "window_days": 0}, "body.window_days"),
        ({**DAYS, "window_days": 10**9}, "body.window_days"),
        ({**DAYS, "timeframe": "2h"}, "body.timeframe"),
        ({**DAYS, "symbol": "../x"}, "body.symbol"),
        ({**DAYS, "priority": 1000}, "body.priority"),
        ({"symbol": "AAPL"}, "body.timeframe"),
    ],
)
def test_what_cannot_be_wanted_is_refused(api: httpx.Client, rig: Rig, wanted: dict[str, Any], where: str) -> None:
    """X07, X12: and nothing is written."""
    answer = api.post("/api/v1/ensure-coverage", json=wanted, headers=OURS)

    assert is_problem(answer, 422, "invalid-input")
    assert [one["where"] for one in answer.json()["errors"]] == [where]
    assert rig.query("select id from job_definitions") == []


def test_whoever_does_not_know_the_key_begins_nothing(api: httpx.Client, rig: Rig) -> None:
    """X01: reading how far it has come changes nothing either."""
    assert is_problem(api.post("/api/v1/ensure-coverage", json=DAYS), 401, "unauthorized")
    never_asked_for = ask(api, DAYS)
    assert (never_asked_for["status"], never_asked_for["backfill_progress"]["progress_percent"]) == ("not_wanted", 0)
    assert rig.query("select id from job_definitions") == rig.query("select id from job_runs") == []

"""Massive's keys, limits, plans and the hosts of its next_url."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

NOW = datetime(2026, 8, 17, 18, tzinfo=UTC)
RANGE = "/v2/aggs/ticker/AAPL/range/1/day"
BEARER = {"Authorization": "Bearer k"}


def free(**settings: Any) -> ExchangeConfig:
    return ExchangeConfig(port=0, start_clock=NOW, clock_is_frozen=True, symbols=5, **settings)


@pytest.fixture(scope="module")
def free_exchange() -> Iterator[SimulatedExchange]:
    with running_exchange(free(requests_per_minute=1000)) as exchange:
        yield exchange


@pytest.fixture
def ask_free(free_exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=free_exchange.massive_url, headers=BEARER, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "params", "status"),
    [
        ({}, {}, 401),
        ({"Authorization": "Bearer wrong"}, {}, 401),
        ({"Authorization": "Basic k"}, {}, 401),
        ({}, {"apiKey": "wrong"}, 401),
        ({}, {"apiKey": ""}, 401),
        ({"Authorization": "Bearer anything"}, {}, 200),
        ({}, {"apiKey": "anything"}, 200),
    ],
)
def test_keys_are_asked_for(
    exchange: SimulatedExchange, headers: dict[str, str], params: dict[str, str], status: int
) -> None:
    """A key in the header or in the URL, any but `wrong`."""
    answer = httpx.get(f"{exchange.massive_url}{RANGE}/2026-08-10/2026-08-12", headers=headers, params=params)

    assert answer.status_code == status
    if status == 401:
        assert (answer.json()["status"], answer.json()["error"]) == ("ERROR", "Unknown API Key")


def test_the_free_plan_has_five_requests_a_minute() -> None:
    """The sixth is refused in the vendor's words, without headers; each vendor counts its own."""
    with running_exchange(free()) as exchange:
        url = f"{exchange.massive_url}{RANGE}/2026-08-10/2026-08-12"
        answers = [httpx.get(url, headers=BEARER) for _ in range(6)]
        other = httpx.get(url, params={"apiKey": "another"})
        keys = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
        alpaca = httpx.get(f"{exchange.alpaca_url}/v2/clock", headers=keys)
        summary = httpx.get(f"{exchange.url}/simulate/requests").json()

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["error"] == (
        "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."
    )
    assert not any("limit" in name.lower() or name.lower() == "retry-after" for name in answers[5].headers)
    assert (other.status_code, alpaca.status_code) == (200, 200)
    assert (summary["total"], summary["max_in_any_60s"], summary["limit_was_exceeded"]) == (8, 6, True)
    assert summary["by_endpoint"] == {"aggs": {"200": 6, "429": 1}, "clock": {"200": 1}}
    assert summary["by_vendor"]["massive"]["requests_per_minute"] == 5
    assert summary["by_vendor"]["massive"]["total"] == 7
    assert summary["by_vendor"]["alpaca"]["by_endpoint"] == {"clock": {"200": 1}}
    assert not summary["by_vendor"]["alpaca"]["limit_was_exceeded"]


@pytest.mark.parametrize("span", ["2026-08-10/2026-08-17", "2026-08-17/2026-08-17", "2026-08-10/2026-09-01"])
def test_the_free_plan_ends_yesterday(ask_free: httpx.Client, span: str) -> None:
    """A range that touches today is 403, with a message and no error."""
    answer = ask_free.get(f"{RANGE}/{span}")

    assert answer.status_code == 403
    assert list(answer.json()) == ["status", "request_id", "message"]
    assert answer.json()["status"] == "NOT_AUTHORIZED"
    assert answer.json()["message"].startswith("Your plan doesn't include this data timeframe. Please upgrade")


def test_a_straddling_range_is_cut_in_silence(ask_free: httpx.Client) -> None:
    """200, and what is older than two years is missing without a word."""
    page = ask_free.get(f"{RANGE}/2024-01-01/2024-08-23").json()

    first = datetime.fromtimestamp(page["results"][0]["t"] / 1000, UTC)
    assert (first.date().isoformat(), page["resultsCount"], page["status"]) == ("2024-08-19", 5, "OK")


@pytest.mark.parametrize(
    "path", [f"{RANGE}/2024-01-01/2024-08-16", "/v2/aggs/grouped/locale/us/market/stocks/2024-08-16"]
)
def test_what_is_wholly_older_is_refused(ask_free: httpx.Client, path: str) -> None:
    """403 for a range or a day before history begins."""
    assert ask_free.get(path).status_code == 403


def test_today_is_not_grouped_on_the_free_plan(ask_free: httpx.Client, massive: httpx.Client) -> None:
    """403 for today on the free plan, the bars so far on the paid one."""
    path = "/v2/aggs/grouped/locale/us/market/stocks/2026-08-17"

    assert ask_free.get(path).status_code == 403
    assert massive.get(path).json()["resultsCount"] > 50


def test_seconds_are_in_no_plan(massive: httpx.Client) -> None:
    """403 with the other text."""
    answer = massive.get("/v2/aggs/ticker/AAPL/range/1/second/2026-08-10/2026-08-10")

    assert answer.status_code == 403
    assert answer.json()["message"].startswith("You are not entitled to this data.")


@pytest.mark.parametrize("host", ["own", "vendor"])
def test_next_url_has_a_host_and_no_key(host: str) -> None:
    """It is absolute, on this exchange or on the vendor's own host, and never carries the key."""
    with running_exchange(free(next_url_host=host)) as exchange:
        url = f"{exchange.massive_url}{RANGE}/2026-08-03/2026-08-12"
        page = httpx.get(url, params={"apiKey": "secret", "limit": 2}).json()
        base = exchange.massive_url if host == "own" else "https://api.massive.com"
        path = page["next_url"].removeprefix(base)
        following = httpx.get(exchange.massive_url + path, headers=BEARER)

    assert path.startswith(f"{RANGE}/")
    assert "secret" not in page["next_url"]
    assert "apiKey" not in page["next_url"]
    assert following.json()["resultsCount"] == 2


def test_unknown_paths_are_not_found(massive: httpx.Client) -> None:
    """A path that is not simulated."""
    assert (massive.get("/v2/last/trade/AAPL").status_code, massive.get("/v2").text) == (404, "404 page not found\n")

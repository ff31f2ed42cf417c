"""The request limit, its headers, and the log of requests."""

import time
from typing import Any

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.simulate.limits import SECOND_S, Limit, SlidingWindow, StartedWindow

KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}


def test_a_minute_holds_as_many_requests_as_allowed() -> None:
    """In no sliding 60 seconds are more requests let through than allowed, and the first leaves after 60 seconds."""
    limit = Limit(SlidingWindow(3))

    verdicts = [limit.take(at_s).is_allowed for at_s in (0.0, 10.0, 20.0, 59.9, 60.0, 60.1, 70.0, 70.1)]

    assert verdicts == [True, True, True, False, True, False, True, False]


def test_a_second_holds_as_many_requests_as_allowed() -> None:
    """Beside the minute's limit one of any second, which is told to reset when the oldest leaves it."""
    limit = Limit(SlidingWindow(5), SlidingWindow(2, SECOND_S))

    taken = [limit.take(at_s) for at_s in (0.0, 0.5, 0.9, 1.0, 1.4, 1.5, 2.0, 3.0)]

    assert [one.is_allowed for one in taken] == [True, True, False, True, False, True, True, False]
    assert [one.resets_at_s for one in (taken[2], taken[7])] == [1.0, 60.0]
    assert limit.was_exceeded


def test_a_window_begins_with_its_first_request() -> None:
    """It ends a minute later for all of them; around its end twice as many come through in a sliding minute."""
    limit = Limit(StartedWindow(2))

    taken = [limit.take(at_s) for at_s in (10.0, 69.0, 69.5, 70.0, 71.0, 200.0)]

    assert [one.is_allowed for one in taken] == [True, True, False, True, True, True]
    assert [one.remaining for one in taken] == [1, 0, 0, 1, 0, 1]
    assert [one.resets_at_s for one in taken] == [70.0, 70.0, 70.0, 130.0, 130.0, 260.0]
    assert (limit.max_in_any_60s, limit.was_exceeded) == (4, True)


def test_requests_can_be_weighed() -> None:
    """What a request costs counts in every window, and one that is refused leaves room for a lighter one."""
    limit = Limit(SlidingWindow(10), SlidingWindow(6, SECOND_S))

    taken = [limit.take(at_s, cost) for at_s, cost in ((0.0, 4), (0.1, 4), (0.2, 2), (1.5, 5), (2.6, 1), (60.0, 5))]

    assert [one.is_allowed for one in taken] == [True, False, True, False, True, True]
    assert [one.remaining for one in taken] == [6, 6, 4, 4, 3, 2]
    assert limit.max_in_any_60s == 17


def test_the_fullest_minute_is_remembered() -> None:
    """max_in_any_60s counts arrivals, refused ones included, over the fullest sliding minute."""
    limit = Limit(SlidingWindow(2))

    for at_s in (0.0, 50.0, 59.0, 61.0, 200.0):
        limit.take(at_s)

    assert limit.max_in_any_60s == 3


def test_headers_count_down() -> None:
    """Limit, remaining and reset (seconds since 1970, when the oldest request leaves) are on each answer."""
    with running_exchange(ExchangeConfig(port=0, requests_per_minute=2, symbols=1)) as exchange:
        url = f"{exchange.alpaca_url}/v2/stocks/bars?symbols=AAPL&timeframe=1Day&start=2026-01-02&end=2026-01-05"
        began_s = time.time()
        answers = [httpx.get(url, headers=KEYS) for _ in range(3)]
        clock = httpx.get(f"{exchange.alpaca_url}/v2/clock", headers=KEYS)
        other_key = httpx.get(url, headers={**KEYS, "APCA-API-KEY-ID": "another"})
        summary = httpx.get(f"{exchange.url}/simulate/requests").json()

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert all(answer.headers["X-RateLimit-Limit"] == "2" for answer in answers)
    assert all(59 <= int(answer.headers["X-RateLimit-Reset"]) - began_s <= 62 for answer in answers)
    assert answers[2].json() == {"message": "too many requests."}
    assert (clock.status_code, other_key.status_code) == (200, 200)
    assert (summary["max_in_any_60s"], summary["limit_was_exceeded"]) == (3, True)


def test_the_trading_host_words_it_differently() -> None:
    """Above the limit the trading host answers with a code."""
    with running_exchange(ExchangeConfig(port=0, requests_per_minute=1, symbols=1)) as exchange:
        answers = [httpx.get(f"{exchange.alpaca_url}/v2/clock", headers=KEYS) for _ in range(2)]

    assert answers[1].status_code == 429
    assert answers[1].json() == {"code": 42910000, "message": "rate limit exceeded"}


def test_requests_are_counted(exchange: SimulatedExchange, client: httpx.Client) -> None:
    """/simulate/requests counts by endpoint, status and minute; the log has path and query."""
    client.get("/v2/stocks/bars", params={"symbols": "AAPL", "timeframe": "1Day", "start": "2026-08-10"})
    client.get("/v2/stocks/bars", params={"symbols": "3X", "timeframe": "1Day"})
    client.get("/v2/assets/AAPL")
    summary: dict[str, Any] = httpx.get(f"{exchange.url}/simulate/requests").json()

    assert summary["total"] == 3
    assert summary["by_endpoint"] == {"asset": {"200": 1}, "bars": {"200": 1, "400": 1}}
    assert summary["by_status"] == {"200": 2, "400": 1}
    assert sum(summary["by_minute"].values()) == 3
    assert exchange.requests[1].query == {"symbols": "3X", "timeframe": "1Day"}
    assert [request.endpoint for request in exchange.requests] == ["bars", "bars", "asset"]
    exchange.forget_requests()
    assert exchange.requests == []
    assert httpx.get(f"{exchange.url}/simulate/requests").json()["total"] == 0


def test_controls_need_no_key_and_do_not_count(exchange: SimulatedExchange) -> None:
    """What is under /simulate is outside the vendor's contract."""
    assert httpx.get(f"{exchange.url}/simulate/healthz").json()["status"] == "ok"
    assert exchange.requests == []


@pytest.mark.parametrize(
    ("body", "now"),
    [
        ({"now": "2026-08-18T14:00:00Z"}, "2026-08-18T14:00:00+00:00"),
        ({"now": "2026-08-18T10:00:00-04:00"}, "2026-08-18T14:00:00+00:00"),
        ({"advance_seconds": 90}, "2026-08-17T18:01:30.500000+00:00"),
        ({"advance_seconds": -0.5}, "2026-08-17T18:00:00+00:00"),
    ],
)
def test_the_clock_can_be_moved(exchange: SimulatedExchange, body: dict[str, Any], now: str) -> None:
    """POST /simulate/clock sets the clock or lets it jump."""
    answer = httpx.post(f"{exchange.url}/simulate/clock", json=body)

    assert (answer.status_code, answer.json()) == (200, {"now": now})


@pytest.mark.parametrize("body", [{"now": "2026-08-18T14:00:00"}, {"now": "soon"}, {"then": 1}, {}, []])
def test_a_bad_clock_is_refused(exchange: SimulatedExchange, body: Any) -> None:
    """An instant without zone, an unknown key or no object is answered with 400 and leaves the clock alone."""
    before = exchange.clock.now()

    assert httpx.post(f"{exchange.url}/simulate/clock", json=body).status_code == 400
    assert exchange.clock.now() == before

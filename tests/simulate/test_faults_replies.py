"""Faults that answer instead of the endpoint, as they look on the wire."""

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]
TOO_MANY = {"message": "too many requests."}


@pytest.mark.parametrize("header", ["retry_after", "http_date", "reset_s", "reset_ms"])
def test_h01_tells_how_long_to_wait(ask: Ask, spoil: Spoil, header: str) -> None:
    """429 with the wait as seconds, as an HTTP date, or as the instant of the reset in s or ms."""
    spoil("H01", header=header, seconds=40)
    now_s = time.time()

    answer = ask()
    headers = answer.headers
    wait_s = {
        "retry_after": lambda: float(headers["Retry-After"]),
        "http_date": lambda: parsedate_to_datetime(headers["Retry-After"]).timestamp() - now_s,
        "reset_s": lambda: int(headers["X-RateLimit-Reset"]) - now_s,
        "reset_ms": lambda: int(headers["X-RateLimit-Reset"]) / 1000 - now_s,
    }[header]()

    assert (answer.status_code, answer.json()) == (429, TOO_MANY)
    assert wait_s == pytest.approx(40, abs=2)


@pytest.mark.parametrize("told", ["none", "-1", "abc", "999999"])
@pytest.mark.parametrize(
    ("body", "text"),
    [("json", '{"message":"too many requests."}'), ("empty", ""), ("text", "too many requests")],
)
def test_h02_tells_nothing_useful(ask: Ask, spoil: Spoil, told: str, body: str, text: str) -> None:
    """429 without any header of the limit, or with an unusable Retry-After, and with any body."""
    spoil("H02", retry_after=told, body=body)

    answer = ask()

    assert (answer.status_code, answer.text) == (429, text)
    assert answer.headers.get("Retry-After", "none") == told
    assert not any(name.lower().startswith("x-ratelimit") for name in answer.headers)


def test_h03_lasts_for_a_while(ask: Ask, spoil: Spoil) -> None:
    """429 to all, from the first request on, until the time is over; then all is well."""
    spoil("H03", seconds=0.4)

    during = [ask().status_code for _ in range(3)]
    time.sleep(0.45)

    assert during == [429, 429, 429]
    assert [ask().status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", ["html", "json", "text", "empty"])
def test_h04_breaks(ask: Ask, spoil: Spoil, status: int, body: str) -> None:
    """5xx once (times 1), with any kind of body."""
    spoil("H04", {"times": 1}, status=status, body=body)

    answer = ask()

    assert answer.status_code == status
    assert answer.text.startswith({"html": "<html>", "json": '{"message"', "text": "upstream", "empty": ""}[body])
    assert ask().status_code == 200


@pytest.mark.parametrize(("status", "message"), [(401, "unauthorized."), (403, "forbidden.")])
def test_h05_rejects_the_key(ask: Ask, spoil: Spoil, status: int, message: str) -> None:
    """A good key is rejected."""
    spoil("H05", status=status)

    assert (ask().status_code, ask().json()) == (status, {"message": message})


@pytest.mark.parametrize(("form", "code"), [("new", {}), ("old", {"code": 42210000})])
def test_h06_bars_recent_sip(ask: Ask, spoil: Spoil, form: str, code: dict[str, int]) -> None:
    """403 with the vendor's text on recent SIP data."""
    spoil("H06", form=form)

    assert ask().status_code == 403
    assert ask().json() == {**code, "message": "subscription does not permit querying recent SIP data"}


def test_h08_finds_nothing(ask: Ask, spoil: Spoil, client: httpx.Client) -> None:
    """404 on both hosts, naming the asset on the trading host."""
    spoil("H08")

    assert (ask().status_code, ask().json()) == (404, {"message": "Not Found"})
    assert client.get("/v2/assets/AAPL").json() == {"code": 40410000, "message": "asset not found for AAPL"}


@pytest.mark.parametrize(("named", "message"), [(True, "invalid symbol: MSFT"), (False, "invalid symbol")])
@pytest.mark.parametrize("how", ["match", "args"])
def test_h09_refuses_one_bad_symbol(ask: Ask, spoil: Spoil, how: str, named: bool, message: str) -> None:
    """400 as long as the bad symbol is asked for, named or not; without it the others are served."""
    if how == "match":
        spoil("H09", {"symbol": "MSFT"}, named=named)
    else:
        spoil("H09", symbol="MSFT", named=named)

    assert (ask().status_code, ask().json()) == (400, {"message": message})
    assert list(ask(symbols="AAPL,SPY").json()["bars"]) == ["AAPL", "SPY"]


@pytest.mark.parametrize(
    ("form", "content_type", "text"),
    [
        ("error", "application/json", '{"error":'),
        ("status_error", "application/json", '{"status":"ERROR"'),
        ("html", "text/html", "<html>"),
        ("content_type", "text/plain", "OK"),
        ("empty", "application/json", ""),
    ],
)
def test_h10_is_no_success(ask: Ask, spoil: Spoil, form: str, content_type: str, text: str) -> None:
    """200 with an error, HTML, another content type or nothing."""
    spoil("H10", form=form)

    answer = ask()

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(content_type)
    assert answer.text.startswith(text)
    assert text or not answer.text


def test_h24_forgets_tokens(ask: Ask, spoil: Spoil) -> None:
    """400 to a request with a token, once; requests without one pass and do not count."""
    spoil("H24", {"times": 1})
    token = ask(limit=2).json()["next_page_token"]

    refused = ask(limit=2, page_token=token)

    assert (refused.status_code, refused.json()) == (400, {"message": "invalid page_token"})
    assert ask(limit=2, page_token=token).status_code == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_h26_redirects(ask: Ask, spoil: Spoil, exchange: SimulatedExchange, status: int) -> None:
    """A redirect to wherever args say."""
    spoil("H26", status=status, location="http://elsewhere.invalid/path")

    answer = ask()

    assert (answer.status_code, answer.headers["Location"]) == (status, "http://elsewhere.invalid/path")


def test_h34_is_too_long(ask: Ask, spoil: Spoil) -> None:
    """414 for more symbols than let through, so that halving the batch helps."""
    spoil("H34", longer_than=2)

    assert ask(symbols="AAPL,MSFT,SPY").status_code == 414
    assert ask(symbols="AAPL,MSFT").status_code == 200


def test_the_trading_host_has_its_own_words(client: httpx.Client, spoil: Spoil) -> None:
    """A 429 on the trading host has the code."""
    spoil("H02")

    answer: Any = client.get("/v2/clock").json()

    assert answer == {"code": 42910000, "message": "rate limit exceeded"}

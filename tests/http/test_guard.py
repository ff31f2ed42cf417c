"""X01, X03 to X06, X12, X13: who is let through, and what the others are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from barfill.http import problems
from barfill.http.app import BODY_BYTES_MAX
from barfill.http.guard import WRITES_MAX, WRONG_KEYS_MAX, Guard
from tests.http.conftest import KEY, Serve, serving

JSON = {"Content-Type": "application/json"}
OURS = {"X-API-Key": KEY}


class Clock:
    """Seconds that go on when the test says so."""

    now = 1_000.0

    def __call__(self) -> float:
        """Now."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The guard's."""
    return Clock()


@pytest.fixture
def guarded(clock: Clock) -> Iterator[httpx.Client]:
    """A small application behind the guard that counts what was written."""
    app = FastAPI(max_body_size=BODY_BYTES_MAX)
    app.state.written = 0

    @app.get("/written")
    def written() -> int:
        """How often."""
        return int(app.state.written)

    @app.post("/write")
    def write(body: dict[str, Any] | None = None) -> int:
        """Once more."""
        app.state.written += 1
        return len(body or {})

    problems.install(app)
    app.add_middleware(Guard, key=KEY, hosts=("barfill.example.com",), clock=clock)
    with serving(app) as client:
        yield client


def is_problem(answer: httpx.Response, status: int, kind: str) -> bool:
    """Whether it is the problem document of that kind."""
    assert answer.headers["content-type"] == problems.MEDIA_TYPE, answer.text
    body = answer.json()
    return (answer.status_code, body["status"], body["type"]) == (status, status, problems.TYPE_PREFIX + kind)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-API-Key", "wrong")],
        [("X-API-Key", "")],
        [("X-API-Key", b"\xe9\xff")],
        [("X-API-Key", KEY), ("X-API-Key", KEY)],
        [("Authorization", f"Bearer {KEY}")],
        [("X-API-Key", "k" * 50_000)],
    ],
    ids=["none", "wrong", "empty", "non-ascii", "twice", "elsewhere", "long"],
)
def test_nobody_writes_without_the_key(guarded: httpx.Client, headers: list[tuple[str, Any]]) -> None:
    """X01: one answer to all of them, and nothing is written."""
    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]

    answer = guarded.post("/write", json={}, headers=raw)

    assert is_problem(answer, 401, "unauthorized")
    assert answer.json()["detail"].startswith("Writing needs the header X-API-Key, once")
    assert guarded.get("/written").json() == 0


def test_a_key_in_the_query_is_none(guarded: httpx.Client) -> None:
    """X01: it would stand in logs and histories."""
    assert is_problem(guarded.post(f"/write?X-API-Key={KEY}&api_key={KEY}", json={}), 401, "unauthorized")


def test_whoever_knows_the_key_writes(guarded: httpx.Client) -> None:
    """With a body of JSON, or without any."""
    assert guarded.post("/write", json={"a": 1}, headers=OURS).json() == 1
    assert guarded.post("/write", headers=OURS).json() == 0
    assert guarded.get("/written").json() == 2


def test_an_address_with_many_wrong_keys_is_left_waiting(guarded: httpx.Client, clock: Clock) -> None:
    """X03: the right key does not help it either, reading does, and after a minute it may try again."""
    for _ in range(WRONG_KEYS_MAX):
        assert guarded.post("/write", headers={"X-API-Key": "guess"}).status_code == 401

    refused = guarded.post("/write", headers=OURS)

    assert is_problem(refused, 429, "too-many-wrong-keys")
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert guarded.get("/written").json() == 0
    clock.now += 61
    assert guarded.post("/write", headers=OURS).status_code == 200


def test_writes_are_limited(guarded: httpx.Client, clock: Clock) -> None:
    """So many a minute from one address."""
    for _ in range(WRITES_MAX):
        assert guarded.post("/write", headers=OURS).status_code == 200

    assert is_problem(guarded.post("/write", headers=OURS), 429, "too-many-writes")
    clock.now += 61
    assert guarded.post("/write", headers=OURS).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.", "a" * 500]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_known_hosts_are_answered(guarded: httpx.Client, host: str, method: str) -> None:
    """X04: DNS rebinding makes a browser ask this machine under a foreign name; reads are refused, too."""
    answer = guarded.request(method, "/write" if method == "POST" else "/written", headers={"Host": host, **OURS})

    assert is_problem(answer, 421, "unknown-host")
    assert guarded.get("/written").json() == 0


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "[::1]:8480", "barfill.example.com", "127.0.0.1"])
def test_hosts_that_are_ours_are_answered(guarded: httpx.Client, host: str) -> None:
    """This machine's own names, and those that the settings name."""
    assert guarded.get("/written", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_writes_nothing(guarded: httpx.Client, site: str) -> None:
    """X05: even if it knew the key."""
    answer = guarded.post("/write", json={}, headers={"Sec-Fetch-Site": site, **OURS})

    assert is_problem(answer, 403, "cross-site")
    assert guarded.get("/written").json() == 0


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_form_is_no_write(guarded: httpx.Client, media_type: str) -> None:
    """X05: what a form can send without being asked."""
    answer = guarded.post("/write", content=b"{}", headers={"Content-Type": media_type, **OURS})

    assert is_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_foreign_origin_may_not_read(serve: Serve, origin: str) -> None:
    """X06: no answer carries a header that would let it, and never one for everybody."""
    api = serve(origins=("https://charts.example.com",))

    answers = [
        api.get("/healthz", headers={"Origin": origin}),
        api.options("/api/v1/chart", headers={"Origin": origin, "Access-Control-Request-Method": "GET"}),
    ]

    assert [one.headers.get("access-control-allow-origin") for one in answers] == [None, None]
    ours = api.get("/healthz", headers={"Origin": "https://charts.example.com"})
    assert ours.headers["access-control-allow-origin"] == "https://charts.example.com"
    assert "access-control-allow-credentials" not in ours.headers


def test_a_large_body_is_refused(guarded: httpx.Client) -> None:
    """X12: before it is read whole."""
    answer = guarded.post("/write", content=b"[" * (BODY_BYTES_MAX + 1), headers={**JSON, **OURS})

    assert answer.status_code == 413
    assert guarded.get("/written").json() == 0


@pytest.mark.parametrize("path", ["//healthz", "/healthz/..;/", "/healthz/", "/HEALTHZ", "/api/v1/../../etc/passwd"])
def test_other_spellings_of_a_path_lead_nowhere(serve: Serve, path: str) -> None:
    """X13."""
    answer = serve().get(path)

    assert is_problem(answer, 404, "not-found")


def test_a_method_override_is_ignored(guarded: httpx.Client) -> None:
    """X13: a read stays one."""
    answer = guarded.get("/write", headers={"X-HTTP-Method-Override": "POST", **OURS})

    assert is_problem(answer, 405, "method-not-allowed")
    assert guarded.get("/written").json() == 0

"""One attempt at a GET: every way in which the wire can fail, and what is never sent."""

from __future__ import annotations

import asyncio
import gzip
import logging
import tracemalloc
import zlib
from pathlib import Path

import httpx
import pytest

from barfill.errors import (
    BadResponse,
    BarfillError,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
)
from barfill.providers.base import HttpRequest
from barfill.providers.http import HttpClient, Timeouts
from barfill.providers.http_errors import FOREIGN, Phase, is_mapped, translated
from tests.providers.servers import HEAD, Answer, Exchange, endless, raw, reset, then_hang, wire_server

KEY_HEADERS = {"APCA-API-KEY-ID": "PKCANARYCANARY000001"}
QUICK = Timeouts(read_s=0.8, total_s=1.2)


def request_to(url: str, **params: str) -> HttpRequest:
    """A request with a key in its headers."""
    return HttpRequest(url, params, KEY_HEADERS, "/bars AAPL")


async def failure_at(base_url: str) -> ProviderError:
    """The error of one attempt there."""
    async with HttpClient([base_url], timeouts=QUICK) as http:
        with pytest.raises(ProviderError) as caught:
            await http.get(request_to(base_url + "/bars"))
    return caught.value


async def test_an_answer_comes_with_everything_read(exchange: Exchange) -> None:
    """Status, lower-case headers, body and the instant of arrival are there, whatever the status."""
    exchange.answers(Answer(b"[1]", 418, {"X-Request-ID": "abc"}))

    async with HttpClient([exchange.base_url]) as http:
        response = await http.get(
            request_to(exchange.base_url + "/bars", symbols="AAPL,BRK.B", start="2024-01-02T00:00:00Z")
        )

    assert (response.status, response.body, response.request_id) == (418, b"[1]", "abc")
    assert response.headers["content-type"] == "application/json"
    assert response.received_at.tzinfo is not None
    assert exchange.requests[0].raw_path == "/alpaca/bars?symbols=AAPL,BRK.B&start=2024-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("identity", b"[1,2]"),
        ("gzip", gzip.compress(b"[1,2]", mtime=0)),
        ("deflate", zlib.compress(b"[1,2]")),
        ("deflate", zlib.compress(b"[1,2]", wbits=-15)),
    ],
)
async def test_every_encoding_that_is_asked_for_is_read(encoding: str, sent: bytes) -> None:
    """Plain, gzip, zlib and raw deflate give the same body, even byte by byte."""
    parts = [b"1\r\n" + sent[i : i + 1] + b"\r\n" for i in range(len(sent))]
    head = HEAD + b"Transfer-Encoding: chunked\r\nContent-Encoding: " + encoding.encode() + b"\r\n\r\n"

    async with wire_server(raw(head, *parts, b"0\r\n\r\n")) as url, HttpClient([url]) as http:
        assert (await http.get(request_to(url))).body == b"[1,2]"


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (then_hang(), "read"),
        (then_hang(HEAD), "read"),
        (then_hang(HEAD + b"Content-Length: 100\r\n\r\n{"), "read"),
        (endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", pause_s=0.1), "total"),
        (raw(HEAD + b"Content-Length: 100\r\n\r\n{}"), "cut"),
        (raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"), "cut"),
        (raw(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}" * 999, mtime=0)[:-9]), "cut"),
    ],
    ids=["hang", "hang after headers", "hang in body", "drip", "short", "no last chunk", "half a gzip"],
)
async def test_silence_and_cuts_are_timeouts(wire: object, reason: str) -> None:
    """A server that stalls or stops before the end of its answer is a timeout, with the kind as reason (H14, H17)."""
    async with wire_server(wire) as url:  # type: ignore[arg-type]
        error = await failure_at(url)

    assert isinstance(error, ProviderTimeout)
    assert (error.code, error.reason, error.request) == ("TIMEOUT", reason, "/bars AAPL")


async def test_no_connection_says_what_to_check() -> None:
    """A refused port, a broken connection, an unknown name and a server without TLS are told apart (H18)."""
    async with wire_server(reset()) as url:
        broken = await failure_at(url)
    async with wire_server(reset(HEAD + b"Content-Length: 9\r\n\r\n{")) as url:
        broken_later = await failure_at(url)
    refused = await failure_at(url)
    unknown = await failure_at("http://no-such-host.invalid")
    async with wire_server(raw(b"SSH-2.0-OpenSSH\r\n\r\n")) as url:
        no_http = await failure_at(url)
        no_tls = await failure_at(url.replace("http:", "https:"))

    failures = [refused, broken, broken_later, unknown, no_tls, no_http]
    assert [error.reason for error in failures] == ["refused", "reset", "reset", "dns", "tls", "protocol"]
    assert all(isinstance(error, ProviderUnavailable) and error.is_transient for error in failures)
    assert "port" in str(refused)
    assert "DNS" in str(unknown)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(exchange: Exchange, status: int) -> None:
    """Nothing is sent to the target, and the text names its host only (H26, X19)."""
    target = f"{exchange.base_url.replace('127.0.0.1', '127.0.0.2')}/steal?apiKey=SECRET"
    exchange.answers(Answer(b"", status, {"Location": target}))

    error = await failure_at(exchange.base_url)

    assert isinstance(error, BadResponse)
    assert (error.reason, error.status) == ("redirect", status)
    assert "127.0.0.2" in str(error)
    assert "SECRET" not in str(error)
    assert len(exchange.requests) == 1


BOMB = gzip.compress(b"0" * 50_000_000)


@pytest.mark.parametrize(
    "wire",
    [
        raw(HEAD + b"Content-Encoding: gzip\r\n\r\n" + BOMB),
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"0" * 65536 + b"\r\n"),
        endless(HEAD + b"\r\n", b"0" * 65536),
        endless(HEAD + b"Content-Encoding: deflate\r\n\r\n", b"\x00\x00\x00\xff\xff" * 999),
        then_hang(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
    ],
    ids=["gzip bomb", "endless chunks", "endless", "endless nothing", "declared"],
)
async def test_an_answer_above_the_cap_is_cut(wire: object) -> None:
    """Bombs and endless bodies are given up at the cap, with little more than the cap in memory (H31)."""
    cap = 4_000_000
    async with wire_server(wire) as url:  # type: ignore[arg-type]
        tracemalloc.start()
        try:
            async with HttpClient([url], body_bytes_max=cap) as http:
                with pytest.raises(BadResponse, match="larger than 4,000,000 bytes") as caught:
                    await http.get(request_to(url))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert caught.value.reason == "too_large"
    assert peak < 2 * cap + 4_000_000


async def test_the_cap_is_64_megabytes() -> None:
    """By default, 50 MB pass and 70 MB do not."""
    head = HEAD + b"Content-Encoding: gzip\r\n\r\n"
    async with wire_server(raw(head + BOMB)) as url, HttpClient([url]) as http:
        assert len((await http.get(request_to(url))).body) == 50_000_000
    async with wire_server(raw(head + gzip.compress(b"0" * 70_000_000, 1))) as url, HttpClient([url]) as http:
        with pytest.raises(BadResponse, match="67,108,864"):
            await http.get(request_to(url))


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        (b"br", b"xx"),
        (b"gzip", b"not gzip at all"),
        (b"gzip", gzip.compress(b"{}", mtime=0) + b"more"),
        (b"gzip", gzip.compress(b"{}", mtime=0)[:-8] + b"\0" * 8),
    ],
    ids=["never asked for", "not gzip", "trailing bytes", "wrong checksum"],
)
async def test_damaged_compression_is_a_bad_body(encoding: bytes, sent: bytes) -> None:
    """What cannot be decompressed faithfully is refused, and worth another attempt."""
    async with wire_server(raw(HEAD + b"Content-Encoding: " + encoding + b"\r\n\r\n" + sent)) as url:
        error = await failure_at(url)

    assert isinstance(error, BadResponse)
    assert error.reason == "body"


async def test_the_status_of_an_error_counts_even_if_its_body_breaks() -> None:
    """A 401 whose body is cut, endless or damaged is still a 401."""
    head = b"HTTP/1.1 401 No\r\nContent-Encoding: gzip\r\n"
    for wire in (
        raw(head + b"Content-Length: 99\r\n\r\nx"),
        endless(head + b"\r\n", BOMB[:40000]),
        then_hang(head + b"\r\n"),
    ):
        async with wire_server(wire) as url, HttpClient([url], timeouts=Timeouts(read_s=0.2)) as http:
            assert (await http.get(request_to(url))).status == 401


async def test_the_environment_is_ignored(exchange: Exchange, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Proxies, netrc and certificate settings of the environment change nothing (X21)."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password hunter2\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    async with HttpClient([exchange.base_url]) as http:
        response = await http.get(request_to(exchange.base_url))

    assert response.status == 200
    assert "Authorization" not in exchange.requests[0].headers


async def test_no_cookie_is_kept(exchange: Exchange) -> None:
    """What a server sets is not sent back: requests have no state but their key."""
    exchange.answers(Answer(b"{}", headers={"Set-Cookie": "track=1; Path=/"}))

    async with HttpClient([exchange.base_url]) as http:
        for _ in range(2):
            await http.get(request_to(exchange.base_url))

    assert "Cookie" not in exchange.requests[1].headers


async def test_the_http_library_logs_nothing_below_a_warning(
    exchange: Exchange, caplog: pytest.LogCaptureFixture
) -> None:
    """httpx and httpcore, which log whole URLs, stay silent at DEBUG (X15)."""
    caplog.set_level(logging.DEBUG)

    async with HttpClient([exchange.base_url]) as http:
        await http.get(request_to(exchange.base_url))

    assert not [record for record in caplog.records if record.name.startswith("http")]


async def test_a_connection_is_used_again(exchange: Exchange) -> None:
    """Requests one after the other share a connection."""
    async with HttpClient([exchange.base_url]) as http:
        for _ in range(3):
            await http.get(request_to(exchange.base_url))

    assert (
        len({request.transport and request.transport.get_extra_info("peername") for request in exchange.requests}) == 1
    )


async def test_a_cancelled_request_leaves_no_connection_behind(exchange: Exchange) -> None:
    """A caller that goes away in the middle can be followed by another one."""

    async def slow(_request: object) -> Answer:
        await asyncio.sleep(0.2)
        return Answer(b"{}")

    exchange.handler = slow
    async with HttpClient([exchange.base_url]) as http:
        task = asyncio.create_task(http.get(request_to(exchange.base_url)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await http.get(request_to(exchange.base_url))).status == 200


EXPORTED = [getattr(httpx, name) for name in httpx.__all__]


@pytest.mark.parametrize("foreign", [one for one in EXPORTED if isinstance(one, type) and issubclass(one, Exception)])
def test_every_error_of_httpx_is_translated(foreign: type[Exception]) -> None:
    """Whatever httpx may raise is caught and has a meaning of its own or of its nearest base (none is left out)."""
    abstract = {httpx.HTTPError, httpx.RequestError, httpx.TransportError, httpx.ProtocolError}

    assert issubclass(foreign, FOREIGN)
    assert is_mapped(foreign) or foreign in abstract


@pytest.mark.parametrize("foreign", [httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol])
def test_an_error_that_quotes_the_request_is_no_cause(foreign: type[Exception]) -> None:
    """httpx's text may hold the header that it could not write; nothing of it is shown."""
    error, cause = translated(foreign("Illegal header value b'SECRET'"), Phase.HEAD, "host")

    assert isinstance(error, BarfillError)
    assert cause is None
    assert "SECRET" not in str(error)

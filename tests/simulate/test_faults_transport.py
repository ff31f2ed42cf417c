"""Faults of the transport, as a client on a socket meets them."""

import gzip
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from barfill.simulate import SimulatedExchange

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]
QUERY = "symbols=AAPL&timeframe=1Day&start=2026-08-03&end=2026-08-12"


def raw(exchange: SimulatedExchange, timeout_s: float = 5.0, most: int = 10_000_000) -> tuple[bytes, bytes]:
    """Head and body of an answer as bytes, read until the connection closes or the time is over."""
    host, port = exchange.url.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        request = f"GET /alpaca/v2/stocks/bars?{QUERY} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        connection.sendall(f"{request}APCA-API-KEY-ID: k\r\nAPCA-API-SECRET-KEY: s\r\n\r\n".encode())
        try:
            while len(received) < most and (some := connection.recv(65_536)):
                received += some
        except TimeoutError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def test_h14_less_than_declared(exchange: SimulatedExchange, ask: Ask, spoil: Spoil) -> None:
    """Half of the declared bytes come, then the connection closes; a client sees a protocol error."""
    spoil("H14", fraction=0.5)

    head, body = raw(exchange)
    declared = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])

    assert len(body) == declared // 2
    assert b"X-RateLimit-Remaining" in head
    with pytest.raises(httpx.RemoteProtocolError):
        ask()


def test_h15_cut_but_valid(exchange: SimulatedExchange, ask: Ask, spoil: Spoil) -> None:
    """No Content-Length, half of the rows, a null token, valid JSON: it looks like a normal answer."""
    whole = ask(symbols="AAPL,MSFT").json()["bars"]
    spoil("H15", fraction=0.5)

    answer = ask(symbols="AAPL,MSFT")
    head, _ = raw(exchange)

    assert answer.json() == {"bars": {"AAPL": whole["AAPL"]}, "next_page_token": None}
    assert b"content-length" not in head.lower()
    assert b"chunked" not in head.lower()


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ("cut", None),
        ("trailing", '}{"bars":{}}'),
        ("NaN", '"c":NaN'),
        ("Infinity", '"c":Infinity'),
        ("1e400", '"c":1e400'),
        ("duplicate", '{"bars":{},"bars":{"AAPL"'),
    ],
)
def test_h16_bad_json(ask: Ask, spoil: Spoil, form: str, part: str | None) -> None:
    """The body is cut (at its declared length), or holds what strict JSON forbids."""
    spoil("H16", form=form)

    text = ask().text

    if part is not None:
        assert part in text
    if form in {"cut", "trailing"}:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(("where", "expected"), [("accept", b""), ("headers", b"HTTP/1.1 200 OK")])
def test_h17_hangs(exchange: SimulatedExchange, spoil: Spoil, where: str, expected: bytes) -> None:
    """No byte, or only the headers, until the connection closes."""
    spoil("H17", where=where, seconds=0.4)
    began_s = time.monotonic()

    head, body = raw(exchange)

    assert time.monotonic() - began_s >= 0.4
    assert head[:15] == expected
    assert body == b""


def test_h17_drips(exchange: SimulatedExchange, spoil: Spoil) -> None:
    """After the headers come single bytes at the interval."""
    spoil("H17", where="drip", seconds=0.5, interval_s=0.1)

    head, body = raw(exchange)

    assert head.startswith(b"HTTP/1.1 200")
    assert body == b'{"bar'


def test_a_hang_holds_nobody_else_up(exchange: SimulatedExchange, ask: Ask, client: httpx.Client, spoil: Spoil) -> None:
    """While one request hangs, others are answered, and a client that leaves ends the hang."""
    spoil("H17", {"times": 1}, where="accept", seconds=600)

    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/v2/stocks/bars?{QUERY}", timeout=0.2)

    assert ask().status_code == 200


@pytest.mark.parametrize(("form", "error"), [("reset", ConnectionResetError), ("closed", None)])
def test_h18_breaks_the_connection(
    exchange: SimulatedExchange, ask: Ask, spoil: Spoil, form: str, error: type[Exception] | None
) -> None:
    """The connection is reset, or closed without a byte."""
    spoil("H18", form=form)

    if error is None:
        assert raw(exchange) == (b"", b"")
    else:
        with pytest.raises(error):
            raw(exchange)
    with pytest.raises(httpx.TransportError):
        ask()
    assert exchange.requests[-1].status == 0


def test_h31_a_gzip_bomb(exchange: SimulatedExchange, spoil: Spoil) -> None:
    """A few kB unpack to megabytes of valid JSON."""
    spoil("H31", form="gzip_bomb", megabytes=5)

    head, body = raw(exchange)
    unpacked = gzip.decompress(body)

    assert b"Content-Encoding: gzip" in head
    assert len(body) < 10_000
    assert len(unpacked) > 5_000_000
    assert json.loads(unpacked)["bars"]["AAPL"]


def test_h31_a_body_without_end(exchange: SimulatedExchange, ask: Ask, spoil: Spoil) -> None:
    """Chunks come on and on; who leaves is not followed."""
    spoil("H31", {"times": 1}, form="endless")

    head, body = raw(exchange, most=3_000_000)

    assert b"chunked" in head
    assert len(body) > 2_900_000
    assert ask().status_code == 200


def test_h31_deep_nesting(ask: Ask, spoil: Spoil) -> None:
    """A hundred thousand brackets that Python's own parser gives up on."""
    spoil("H31", form="nesting", depth=100_000)

    text = ask().text

    assert text.count("[") == text.count("]") == 100_000
    with pytest.raises(RecursionError):
        json.loads(text)


def test_h31_more_rows_than_asked(ask: Ask, spoil: Spoil) -> None:
    """Twice as many rows as the limit."""
    spoil("H31", form="rows", times=2)

    rows: list[Any] = ask(symbols="AAPL", start="2026-07-01", limit=5).json()["bars"]["AAPL"]

    assert len(rows) == 10


def test_faults_of_the_wire_reach_every_endpoint(client: httpx.Client, spoil: Spoil) -> None:
    """The trading host's answers can be cut, too."""
    spoil("H14", {"endpoint": "assets"})

    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/v2/assets")
    assert client.get("/v2/clock").status_code == 200

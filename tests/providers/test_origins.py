"""Credential-bearing requests go to the pinned places only."""

from __future__ import annotations

import pytest

from barfill.errors import BadResponse, SettingsError
from barfill.providers.base import HttpRequest
from barfill.providers.http import HttpClient
from barfill.providers.origins import Origin
from tests.providers.servers import Exchange

BASE = "https://good.example/v2"

ATTACKS = [
    "https://good@evil/v2/x",
    "https://good.example@evil.example/v2/x",
    "https://good.example\\@evil/v2/x",
    "https://good.example.evil/v2/x",
    "//evil/v2/x",
    "http://good.example/v2/x",
    "https://good.example:8443/v2/x",
    "https://good.example./v2/x",
    "https://good%2eexample/v2/x",
    "https://evil#@good.example/v2/x",
    "https://evil?@good.example/v2/x",
    "http://[::ffff:169.254.169.254]/v2/x",
    "http://0x7f000001/v2/x",
    "http://2130706433/v2/x",
    "file:///etc/passwd",
    "ftp://good.example/v2/x",
    "https://good.example/v1/x",
    "https://good.example/v22/x",
    "https://good.example/v2/../v1/x",
    "https://good.example/v2/%2e%2e/v1/x",
    "https://good.example/v2/.%2E/v1/x",
    "https://good.example/v2\\..\\v1",
    "https://good.example/v2/x\r\nX-Injected: 1",
    "https://good.example/v2/x y",
    "https://good.example/v2/\u0430",
    "https://user:pass@good.example/v2/x",
    "https://@good.example/v2/x",
    "https://good.example/v2/x#fragment",
    "https:good.example/v2/x",
    "https:///good.example/v2/x",
    "https://good.example:443x/v2/x",
    "https://[good.example/v2/x",
    "https://good.example/v2/" + "x" * 100_000,
    "",
]


@pytest.mark.parametrize("url", ATTACKS, ids=lambda url: url[:40])
def test_nothing_outside_of_the_pinned_place_is_admitted(url: str) -> None:
    """Another scheme, host, port or path, and whatever two parsers may read differently, is refused (X20)."""
    assert not Origin.parse(BASE).admits(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://good.example/v2",
        "https://good.example/v2/stocks/bars?symbols=AAPL,BRK.B&start=2024-01-02T00:00:00Z",
        "https://GOOD.example:443/v2/assets/BTC%2FUSD",
        "https://good.example/v2/x?page_token=QUFQTHxEfA%3D%3D",
    ],
)
def test_the_pinned_place_is_admitted(url: str) -> None:
    """What lies below the base URL passes, in whatever case the host and however the default port is written."""
    assert Origin.parse(BASE).admits(url)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "data.example",
        "file:///etc",
        "https://user:hunter2@good.example",
        "https://good.example?apiKey=hunter2",
        "https://good.example/#hunter2",
        "https://good.example/v2/..",
        "https://good example",
    ],
)
def test_a_base_url_with_anything_but_a_place_is_refused(base_url: str) -> None:
    """User-info, a query or a key inside a base URL is an error of the settings that does not repeat the secret."""
    with pytest.raises(SettingsError) as caught:
        Origin.parse(base_url)

    assert "hunter2" not in str(caught.value)


async def test_a_foreign_url_is_not_sent(exchange: Exchange) -> None:
    """A URL that leaves the pinned path raises before anything reaches the network (H25)."""
    outside = exchange.base_url.removesuffix("/alpaca") + "/elsewhere?apiKey=hunter2"

    async with HttpClient([exchange.base_url]) as http:
        with pytest.raises(BadResponse) as caught:
            await http.get(HttpRequest(outside, {}, {}, "/elsewhere"))

    assert caught.value.reason == "foreign_next_url"
    assert "hunter2" not in str(caught.value)
    assert exchange.requests == []

"""What each of Alpaca's refusals means."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from barfill.errors import (
    BadResponse,
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooRecent,
)
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import HttpResponse
from tests.providers.conftest import KEY, SECRET, bars_query

PROVIDER = Alpaca(KEY, SECRET)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
RECENT = "subscription does not permit querying recent SIP data"


def meaning(
    status: int, body: object, *, symbols: tuple[str, ...] = ("AAPL", "MSFT"), token: str | None = None
) -> ProviderError:
    """The error for such an answer to a request for bars."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = PROVIDER.bars_request(bars_query(*symbols), token)
    return PROVIDER.error_of(request, HttpResponse(status, {}, sent, NOW))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"message": "invalid symbol: MSFT"}, SymbolNotOffered),
        (400, {"message": "symbols is required"}, SymbolNotOffered),
        (400, {"message": "too many symbols: 5000"}, RequestTooLong),
        (400, {"message": "invalid end"}, BadResponse),
        (401, {"message": "unauthorized"}, CredentialsRejected),
        (401, b"", CredentialsRejected),
        (403, {"message": RECENT}, TooRecent),
        (403, {"code": 42210000, "message": RECENT}, TooRecent),
        (403, RECENT.encode(), TooRecent),
        (422, {"code": 42210000, "message": RECENT}, TooRecent),
        (403, {"message": "forbidden."}, CredentialsRejected),
        (403, b"Forbidden", CredentialsRejected),
        (403, {"message": "subscription does not permit querying this feed"}, PlanTooSmall),
        (404, {"message": "Not Found"}, SymbolNotOffered),
        (408, b"", ProviderUnavailable),
        (414, b"<html>414 Request-URI Too Large</html>", RequestTooLong),
        (422, {"code": 42210000, "message": "invalid timeframe"}, BadResponse),
        (429, {"message": "too many requests."}, RateLimited),
        (429, {"code": 42910000, "message": "rate limit exceeded"}, RateLimited),
        (429, b"too many requests", RateLimited),
        (500, b"internal server error", ProviderUnavailable),
        (504, b"<html>504</html>", ProviderUnavailable),
        (418, {"message": ["odd"]}, BadResponse),
    ],
)
def test_each_refusal_has_its_class(status: int, body: object, error: type[ProviderError]) -> None:
    """Status and words decide; plain text and HTML are understood as well as JSON."""
    assert type(meaning(status, body)) is error


@pytest.mark.parametrize(
    ("message", "symbols", "named"),
    [
        ("invalid symbol: MSFT", ("AAPL", "MSFT"), "MSFT"),
        ("invalid symbol: BRK.B", ("AAPL", "BRK.B"), "BRK.B"),
        ('invalid symbols: "MSFT", "X"', ("AAPL", "MSFT"), "MSFT"),
        ("invalid symbol: OTHER", ("AAPL", "MSFT"), None),
        ("one symbol is bad", ("AAPL", "MSFT"), None),
        ("one symbol is bad", ("AAPL",), "AAPL"),
    ],
)
def test_the_offender_is_named_where_the_provider_names_it(
    message: str, symbols: tuple[str, ...], named: str | None
) -> None:
    """A name that was asked for can be cut out of its batch; without one the batch is bisected (H09)."""
    error = meaning(400, {"message": message}, symbols=symbols)

    assert isinstance(error, SymbolNotOffered)
    assert error.symbol == named


@pytest.mark.parametrize("status", [400, 422])
def test_a_stale_token_is_told_from_other_bad_requests(status: int) -> None:
    """Only a request that had a page token can be refused for it (H24)."""
    assert type(meaning(status, {"message": "invalid page_token"}, token="old")) is StalePageToken
    assert type(meaning(status, {"message": "invalid page_token"})) is BadResponse


def test_a_rejected_key_says_what_to_set() -> None:
    """Both variables are named, and how to check them."""
    assert str(meaning(401, b"")) == (
        "Alpaca rejected the key (HTTP 401). Check ALPACA_API_KEY and ALPACA_API_SECRET with: barfill doctor"
    )


def test_an_unknown_asset_is_named() -> None:
    """A 404 of the assets names the ticker of its path, unquoted."""
    (request,) = PROVIDER.symbol_requests(["BTC/USD"])

    error = PROVIDER.error_of(request, HttpResponse(404, {}, b"", NOW))

    assert isinstance(error, SymbolNotOffered)
    assert error.symbol == "BTC/USD"


def test_an_address_without_assets_is_no_unknown_symbol() -> None:
    """A server that lacks the path itself is told as a wrong address, not as a wrong ticker."""
    (request,) = PROVIDER.symbol_requests(["SPY"])

    error = PROVIDER.error_of(request, HttpResponse(404, {}, b'{"message":"Not Found"}', NOW))

    assert isinstance(error, BadResponse)
    assert error.reason == "address"
    assert "Check ALPACA_BASE_URL" in str(error)

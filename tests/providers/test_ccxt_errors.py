"""What the refusals of crypto venues mean (providers.md 8.2)."""

from __future__ import annotations

import ccxt
import pytest

from barfill.errors import (
    BadResponse,
    CredentialsRejected,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    SymbolNotOffered,
)
from barfill.providers.base import HttpResponse
from barfill.providers.ccxt_venue_errors import Asked, meaning_of
from barfill.providers.retries import Retry, retry_of
from tests.providers.servers import Answer
from tests.providers.test_ccxt_requests import query_of
from tests.providers.venues import JSON, NOW, WIRES, prepared

WEIGHT = {"code": -1003, "msg": "Too much request weight used; current limit is 6000 request weight per 1 MINUTE."}
BANNED = {"code": -1003, "msg": "Way too much request weight used; IP banned until 1620286253180."}
HTML = b"<html><head><title>403 Forbidden</title></head></html>"


def meaning(venue: str, status: int, body: object, **headers: str) -> ProviderError:
    """The error for such an answer to a request for bars."""
    provider, query = prepared(venue), query_of(venue)
    sent = Answer(body).response().body
    assert isinstance(sent, bytes)
    response = HttpResponse(status, {**JSON, **headers}, sent, NOW)
    if status != 200:
        return provider.error_of(provider.bars_request(query, None), response)
    with pytest.raises(ProviderError) as caught:
        provider.parse_bars(query, response)
    return caught.value


@pytest.mark.parametrize(
    ("venue", "status", "body", "kind", "retry"),
    [
        ("binance", 429, WEIGHT, RateLimited, Retry.WAIT),
        ("binance", 418, BANNED, RateLimited, Retry.WAIT),
        ("binance", 400, {"code": -1121, "msg": "Invalid symbol."}, SymbolNotOffered, Retry.NEVER),
        ("binance", 400, {"code": -1120, "msg": "Invalid interval."}, BadResponse, Retry.NEVER),
        (
            "binance",
            451,
            {"code": 0, "msg": "Service unavailable from a restricted location"},
            CredentialsRejected,
            Retry.NEVER,
        ),
        ("binance", 403, HTML, ProviderUnavailable, Retry.ALL),
        ("binance", 404, HTML, BadResponse, Retry.NEVER),
        ("binance", 200, {"code": -1003, "msg": "Too many requests."}, RateLimited, Retry.WAIT),
        (
            "coinbase",
            404,
            {"error": "NOT_FOUND", "error_details": "valid product_id is required"},
            SymbolNotOffered,
            Retry.NEVER,
        ),
        ("coinbase", 429, {"error": "rate_limit_exceeded", "message": "too many"}, RateLimited, Retry.WAIT),
        ("coinbase", 401, b"Unauthorized", CredentialsRejected, Retry.NEVER),
        ("coinbaseexchange", 404, {"message": "NotFound"}, SymbolNotOffered, Retry.NEVER),
        (
            "coinbaseexchange",
            400,
            {"message": "granularity too small for the requested time range."},
            BadResponse,
            Retry.NEVER,
        ),
        ("coinbaseexchange", 429, {"message": "Public rate limit exceeded"}, RateLimited, Retry.WAIT),
        ("coinbaseexchange", 404, b"", BadResponse, Retry.NEVER),
        ("kraken", 200, {"error": ["EGeneral:Too many requests"]}, RateLimited, Retry.WAIT),
        ("kraken", 200, {"error": ["EAPI:Rate limit exceeded"]}, RateLimited, Retry.WAIT),
        ("kraken", 200, {"error": ["EQuery:Unknown asset pair"]}, BadResponse, Retry.NEVER),
        ("kraken", 200, {"error": ["EService:Unavailable"]}, ProviderUnavailable, Retry.ALL),
        ("kraken", 200, {"error": ["EGeneral:Internal error"]}, ProviderUnavailable, Retry.ALL),
        ("kraken", 200, {"error": ["ENew:Words"]}, BadResponse, Retry.NEVER),
        ("kraken", 520, b"", ProviderUnavailable, Retry.ALL),
    ],
)
def test_each_refusal_has_its_class(
    venue: str, status: int, body: object, kind: type[ProviderError], retry: Retry
) -> None:
    """Errors with status 200 too; a ban waits, a blocked country does not ask again, and a bad symbol is named."""
    error = meaning(venue, status, body)

    assert type(error) is kind
    assert retry_of(error) is retry
    assert (error.provider, error.status) == (venue, status)
    if isinstance(error, SymbolNotOffered):
        assert error.symbol == WIRES[venue].symbol


@pytest.mark.parametrize("venue", WIRES)
@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("body", [b"", HTML, {"msg": "x"}])
def test_a_venue_that_cannot_answer_is_asked_again(venue: str, status: int, body: object) -> None:
    """With any body, and whatever ccxt makes of it."""
    assert retry_of(meaning(venue, status, body)) is Retry.ALL


@pytest.mark.parametrize(
    ("status", "headers", "wait_s"),
    [
        (429, {"retry-after": "7"}, 7),
        (418, {"retry-after": "120"}, 120),
        (418, {}, None),
        (429, {"retry-after": "x"}, None),
    ],
)
def test_how_long_to_wait_is_read_from_the_headers(status: int, headers: dict[str, str], wait_s: float | None) -> None:
    """Of a ban as well: the exception of ccxt does not hold it."""
    error = meaning("binance", status, BANNED, **headers)

    assert isinstance(error, RateLimited)
    assert error.retry_after_s == wait_s


def test_every_error_of_ccxt_has_a_meaning() -> None:
    """What ccxt may raise for a 200 or a 400 becomes an error of barfill's, none of which is tried again by mistake."""
    kinds = [kind for kind in vars(ccxt).values() if isinstance(kind, type) and issubclass(kind, ccxt.BaseError)]
    assert len(kinds) > 30
    for kind in kinds:
        found = [
            retry_of(meaning_of(kind("x"), "kraken", Asked("/x", "BTC/USD"), HttpResponse(status, {}, b"{}", NOW)))
            for status in (200, 400)
        ]
        assert isinstance(kind("x"), ccxt.OperationFailed) or Retry.ALL not in found[1:]


def test_messages_name_no_url_and_say_what_to_do() -> None:
    """A blocked country is told to use another venue."""
    text = str(meaning("binance", 451, {"code": 0, "msg": "Service unavailable from a restricted location"}))

    assert "another venue" in text
    assert "https://" not in text

"""
What Alpaca's refusals mean.

Source:
    error_bodies.json of the recorded samples; vendor OpenAPI (400, 401, 403, 429, 500). Bodies are `{"message": ...}`,
    with a `code` on the trading host, and plain text or HTML when something in between answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypedDict
from urllib.parse import unquote

import msgspec

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
    excerpt,
)
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.rate_headers import told_wait_s

PROVIDER = "alpaca"

_NAMED_SYMBOL = re.compile(r"invalid symbols?\s*[:=]\s*[\"']?([^\s\"',]+)", re.IGNORECASE)
_NO_SUCH_PATH = "Not Found"
"""What a server says that does not have the path at all; of an asset that it does not know Alpaca says more."""
_SERVER_ERRORS_FROM = 500
_REDIRECTS_FROM = 300
_TRANSIENT = (408, 425)


class _Facts(TypedDict):
    provider: str
    request: str
    status: int
    request_id: str


def error_of(request: HttpRequest, response: HttpResponse) -> ProviderError:
    """What an answer that is not 200 means."""
    facts = _Facts(provider=PROVIDER, request=request.shown, status=response.status, request_id=response.request_id)
    if response.status >= _SERVER_ERRORS_FROM or response.status in _TRANSIENT:
        return ProviderUnavailable(f"Alpaca cannot answer now ({_told(response)}).", **facts)
    if response.status < _REDIRECTS_FROM:
        return BadResponse(f"Alpaca answered without a page (HTTP {response.status}).", reason="body", **facts)
    meaning = _MEANINGS.get(response.status)
    return (meaning or _refused)(request, response, facts)


def _bad_request(request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    message = _message(response).lower()
    if "recent sip" in message:
        return _too_recent(response, facts)
    if "token" in message and "page_token" in request.params:
        return StalePageToken(f"Alpaca no longer accepts the page token ({_told(response)}).", **facts)
    if "too many symbols" in message:
        return _too_long(request, response, facts)
    if "symbol" in message:
        return _bad_symbol(request, response, facts)
    return _refused(request, response, facts)


def _bad_symbol(request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    """400 names the first offender only; one that was not asked for cannot be cut out, so it counts as unnamed."""
    asked = _asked(request)
    named = _NAMED_SYMBOL.search(_message(response))
    symbol = named[1] if named is not None and named[1] in asked else None
    if symbol is None and len(asked) == 1:
        symbol = asked[0]
    who = f"symbol '{excerpt(symbol)}'" if symbol is not None else "one of the symbols"
    return SymbolNotOffered(f"Alpaca refuses {who} ({_told(response)}). Check its spelling.", symbol=symbol, **facts)


def _unauthorized(_request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    return CredentialsRejected(
        f"Alpaca rejected the key (HTTP {response.status}). Check ALPACA_API_KEY and ALPACA_API_SECRET with: "
        "barfill doctor",
        **facts,
    )


def _forbidden(request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    message = _message(response).lower()
    if "recent sip" in message:
        return _too_recent(response, facts)
    if message.strip(" .!") == "forbidden":
        return _unauthorized(request, response, facts)
    return PlanTooSmall(
        f"Alpaca's plan does not include this ({_told(response)}). Check the plan and feed that are set for alpaca.",
        **facts,
    )


def _too_recent(response: HttpResponse, facts: _Facts) -> ProviderError:
    return TooRecent(
        f"Alpaca bars the newest 15 minutes of the SIP feed on the free plan ({_told(response)}). "
        "They are fetched later; the IEX feed or the paid plan has them at once.",
        **facts,
    )


def _not_found(request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    if "/assets" in request.url and _message(response) == _NO_SUCH_PATH:
        return BadResponse(
            f"There is nothing at {request.shown} ({_told(response)}), so this is not Alpaca's address. Check "
            "ALPACA_BASE_URL with: barfill doctor",
            reason="address",
            **facts,
        )
    asked = _asked(request)
    symbol = asked[0] if len(asked) == 1 else None
    who = f"'{excerpt(symbol)}'" if symbol is not None else "what was asked for"
    return SymbolNotOffered(
        f"Alpaca does not know {who} ({_told(response)}). Check its spelling.", symbol=symbol, **facts
    )


def _too_long(_request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    return RequestTooLong(f"The list of symbols is too long for Alpaca ({_told(response)}).", **facts)


def _too_many(_request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    wait_s = told_wait_s(response)
    until = f"told to wait {wait_s:.0f} s" if wait_s is not None else "not told how long to wait"
    return RateLimited(
        f"Alpaca's limit of requests per minute is used up ({until}). Check that no other program uses the key, and "
        "the requests per minute that are set for alpaca.",
        retry_after_s=wait_s,
        **facts,
    )


def _refused(_request: HttpRequest, response: HttpResponse, facts: _Facts) -> ProviderError:
    return BadResponse(f"Alpaca refused the request ({_told(response)}).", reason="refused", **facts)


_MEANINGS: dict[int, Callable[[HttpRequest, HttpResponse, _Facts], ProviderError]] = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    414: _too_long,
    422: _bad_request,
    429: _too_many,
}


def _asked(request: HttpRequest) -> list[str]:
    """The symbols in a request: a parameter of bars, the last part of the path of an asset."""
    if "symbols" in request.params:
        return request.params["symbols"].split(",")
    return [unquote(request.url.rpartition("/")[2])]


def _told(response: HttpResponse) -> str:
    words = excerpt(_message(response))
    return f"HTTP {response.status}: {words}" if words else f"HTTP {response.status}"


def _message(response: HttpResponse) -> str:
    """The provider's own words."""
    try:
        body = msgspec.json.decode(response.body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        body = None
    if isinstance(body, dict):
        for key in ("message", "error"):
            if isinstance(body.get(key), str):
                return str(body[key])
    return response.body[:1000].decode(errors="replace").strip()

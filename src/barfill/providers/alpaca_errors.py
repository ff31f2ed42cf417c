"""
What Alpaca's refusals mean.

Source:
    error_bodies.json of the recorded samples; vendor OpenAPI (400, 401, 403, 429, 500). Bodies are `{"message": ...}`,
    with a `code` on the trading host, and plain text or HTML when something in between answers.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from barfill.errors import (
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    RequestTooLong,
    StalePageToken,
    SymbolNotOffered,
    TooRecent,
    excerpt,
)
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.refusals import Facts, Refusals, message_of, refused, told, unknown_symbol, wrong_address

PROVIDER = "alpaca"
CALENDAR_PATH = "/v2/calendar"
"""A path that names no symbol, so that a server which does not find it is not Alpaca."""

_VENDOR = "Alpaca"

_NAMED_SYMBOL = re.compile(r"invalid symbols?\s*[:=]\s*[\"']?([^\s\"',]+)", re.IGNORECASE)
_NO_SUCH_PATH = "Not Found"
"""What a server says that does not have the path at all; of an asset that it does not know Alpaca says more."""


def _bad_request(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    message = message_of(response).lower()
    if "recent sip" in message:
        return _too_recent(response, facts)
    if "token" in message and "page_token" in request.params:
        return StalePageToken(f"Alpaca no longer accepts the page token ({told(response)}).", **facts)
    if "too many symbols" in message:
        return _too_long(request, response, facts)
    if "symbol" in message:
        return _bad_symbol(request, response, facts)
    return refused(_VENDOR, response, facts)


def _bad_symbol(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """400 names the first offender only; one that was not asked for cannot be cut out, so it counts as unnamed."""
    asked = _asked(request)
    named = _NAMED_SYMBOL.search(message_of(response))
    symbol = named[1] if named is not None and named[1] in asked else None
    if symbol is None and len(asked) == 1:
        symbol = asked[0]
    who = f"symbol '{excerpt(symbol)}'" if symbol is not None else "one of the symbols"
    return SymbolNotOffered(f"Alpaca refuses {who} ({told(response)}). Check its spelling.", symbol=symbol, **facts)


def _unauthorized(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"Alpaca rejected the key (HTTP {response.status}). Check ALPACA_API_KEY and ALPACA_API_SECRET with: "
        "barfill doctor",
        **facts,
    )


def _forbidden(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    message = message_of(response).lower()
    if "recent sip" in message:
        return _too_recent(response, facts)
    if message.strip(" .!") == "forbidden":
        return _unauthorized(request, response, facts)
    return PlanTooSmall(
        f"Alpaca's plan does not include this ({told(response)}). Check the plan and feed that are set for alpaca.",
        **facts,
    )


def _too_recent(response: HttpResponse, facts: Facts) -> ProviderError:
    return TooRecent(
        f"Alpaca bars the newest 15 minutes of the SIP feed on the free plan ({told(response)}). "
        "They are fetched later; the IEX feed or the paid plan has them at once.",
        **facts,
    )


def _not_found(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    is_no_path = "/assets" in request.url and message_of(response) == _NO_SUCH_PATH
    if is_no_path or request.url.endswith(CALENDAR_PATH):
        return wrong_address(_VENDOR, "ALPACA_BASE_URL", response, facts)
    asked = _asked(request)
    return unknown_symbol(_VENDOR, asked[0] if len(asked) == 1 else None, response, facts)


def _too_long(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return RequestTooLong(f"The list of symbols is too long for Alpaca ({told(response)}).", **facts)


REFUSALS = Refusals(
    PROVIDER,
    _VENDOR,
    {
        400: _bad_request,
        401: _unauthorized,
        403: _forbidden,
        404: _not_found,
        414: _too_long,
        422: _bad_request,
    },
)


def _asked(request: HttpRequest) -> list[str]:
    """The symbols in a request: a parameter of bars, the last part of the path of an asset."""
    if "symbols" in request.params:
        return request.params["symbols"].split(",")
    return [unquote(request.url.rpartition("/")[2])]

"""
What Massive's refusals mean.

Source:
    error_bodies.json of the recorded samples; providers.md 4.4. Bodies are `{"status": ..., "error": ...}`, or with
    `message` for 403; HTML when something in between answers.
"""

from __future__ import annotations

from urllib.parse import unquote

from barfill.core.ranges import to_us
from barfill.errors import (
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    StalePageToken,
    TooRecent,
)
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import NEW_YORK, local_midnight
from barfill.providers.refusals import Facts, Refusals, message_of, refused, told, unknown_symbol, wrong_address

PROVIDER = "massive"
_VENDOR = "Massive"
CURSOR = "cursor"
"""The parameter of later pages."""

_MARK_OF_JSON = b"{"
_TICKER_PATH = "/ticker/"


def _bad_request(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    if CURSOR in request.params:  # the first page of the same chain was not refused
        return StalePageToken(f"Massive no longer accepts the page token ({told(response)}).", **facts)
    return refused(_VENDOR, response, facts)


def _unauthorized(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"Massive rejected the key (HTTP {response.status}). Check MASSIVE_API_KEY with: barfill doctor", **facts
    )


def _forbidden(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """One sentence stands for two things: a range older than the plan's history, and one that is not over yet."""
    if "timeframe" in message_of(response).lower() and _reaches_today(request, response):
        return TooRecent(
            f"Massive's plan has no bars of a day that is not over ({told(response)}). They are fetched later; check "
            "that MASSIVE_PLAN is the plan you have.",
            **facts,
        )
    return PlanTooSmall(
        f"Massive's plan does not include this ({told(response)}). Check that MASSIVE_PLAN is the plan you have.",
        **facts,
    )


def _reaches_today(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether a range of aggregates goes on into the day, in New York, on which it was asked for."""
    end_ms = request.url.rpartition("/")[2]
    today = local_midnight(response.received_at.astimezone(NEW_YORK).date())
    return end_ms.isdigit() and int(end_ms) * 1000 >= to_us(today)


def _not_found(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """What Massive says itself is JSON; a server that does not have the path says it in other words."""
    if not response.body.lstrip().startswith(_MARK_OF_JSON):
        return wrong_address(_VENDOR, "MASSIVE_BASE_URL", response, facts)
    return unknown_symbol(_VENDOR, _asked(request), response, facts)


REFUSALS = Refusals(
    PROVIDER,
    _VENDOR,
    {
        400: _bad_request,
        401: _unauthorized,
        403: _forbidden,
        404: _not_found,
    },
)


def _asked(request: HttpRequest) -> str | None:
    """The one symbol that a request names, in its path or as a parameter."""
    _, marker, rest = request.url.partition(_TICKER_PATH)
    return unquote(rest.split("/")[0]) if marker else request.params.get("ticker")

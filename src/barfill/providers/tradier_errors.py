"""
What Tradier's refusals mean.

Source:
    error_bodies.json of the recorded samples; providers.md 5.5. Bodies are `{"fault": {"faultstring": ...}}` from its
    gateway, `{"errors": {"error": ...}}` or plain text from what is behind it, and HTML in outages. The status of the
    quota's text and of the fault `TooBigBody` was never confirmed, so these go by their words.
"""

from __future__ import annotations

import re
from datetime import datetime

from barfill.errors import AnswerTooLong, CredentialsRejected, ProviderError, ProviderUnavailable, RateLimited, TooOld
from barfill.providers import rate_headers
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.instants import NEW_YORK
from barfill.providers.refusals import Facts, Refusals, refused, told, too_many

PROVIDER = "tradier"
VENDOR = "Tradier"

_QUOTA = re.compile(rb"quota ?violation", re.IGNORECASE)
"""The text that begins with it, and the error code of the gateway."""
_RESET = re.compile(rb"\b(\d{10,13})\s*$")
"""The last word of the text: the end of the window in epoch milliseconds."""
_WORDS_BYTES_MAX = 1000
_TOO_BIG = b"protocol.http.TooBigBody"
_OFFERED_FROM = re.compile(r"start: must be on or after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


def told_wait_s(response: HttpResponse) -> float | None:
    """How long the text of the quota, or the headers, ask to wait: `X-Ratelimit-Expiry` is in ms, or in s."""
    reset = _RESET.search(response.body[:_WORDS_BYTES_MAX]) if _is_over_quota(response) else None
    if reset is not None:
        return rate_headers.wait_until_s(reset[1].decode(), response)
    return rate_headers.told_wait_s(response, remaining="x-ratelimit-available", reset="x-ratelimit-expiry")


def refuse_the_quota(response: HttpResponse) -> None:
    """
    Refuses an answer that says in words, with whatever status, that the quota is used up.

    Raises:
        RateLimited: It does.
    """
    if _is_over_quota(response):
        facts = Facts(provider=PROVIDER, request="", status=response.status, request_id=response.request_id)
        raise too_many(VENDOR, told_wait_s(response), facts)


def _is_over_quota(response: HttpResponse) -> bool:
    return _QUOTA.search(response.body[:_WORDS_BYTES_MAX]) is not None


def _by_words(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError | None:
    try:
        refuse_the_quota(response)
    except RateLimited as error:
        return error
    if _TOO_BIG in response.body[:_WORDS_BYTES_MAX]:
        return AnswerTooLong(f"The range holds more than Tradier sends at once ({told(response)}).", **facts)
    return None


def _bad_request(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    offered = _OFFERED_FROM.search(response.body[:_WORDS_BYTES_MAX].decode(errors="replace"))
    try:
        first = datetime.fromisoformat(offered[1]) if offered is not None else None
    except ValueError:
        first = None
    if first is None:
        return refused(VENDOR, response, facts)
    return TooOld(
        f"Tradier's history of such bars begins later ({told(response)}).",
        offered_from=first.replace(tzinfo=NEW_YORK),
        **facts,
    )


def _unauthorized(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"Tradier rejected the token ({told(response)}). Check TRADIER_API_TOKEN with: barfill doctor. A token of the "
        "sandbox is for TRADIER_PLAN=free, one of a brokerage account for paid.",
        **facts,
    )


def _not_found(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """It passes by itself (H08): an unknown symbol is answered with 200 and no rows."""
    return ProviderUnavailable(
        f"Tradier does not find what it has ({told(response)}), which passes. If it does not, check TRADIER_BASE_URL "
        "with: barfill doctor",
        **facts,
    )


REFUSALS = Refusals(
    PROVIDER,
    VENDOR,
    {
        400: _bad_request,
        401: _unauthorized,
        404: _not_found,
    },
    by_words=_by_words,
    told_wait_s=told_wait_s,
)

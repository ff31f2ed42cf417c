"""
What Finnhub's refusals mean.

Source:
    error_bodies.json of the recorded samples; providers.md 6.4. Bodies are `{"error": ...}`, and HTML in outages.
"""

from __future__ import annotations

from barfill.errors import CredentialsRejected, PlanTooSmall, ProviderError
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.refusals import Facts, Refusals, message_of, told, wrong_address

PROVIDER = "finnhub"
VENDOR = "Finnhub"

_TOO_MANY_REQUESTS = 429
_NO_KEY = "sign up"
"""In the text for a request whose key has got lost on the way, which comes as if the limit were used up."""


def _by_words(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError | None:
    if response.status == _TOO_MANY_REQUESTS and _NO_KEY in message_of(response).lower():
        return _unauthorized(_request, response, facts)
    return None


def _unauthorized(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"Finnhub rejected the key ({told(response)}). Check FINNHUB_API_KEY with: barfill doctor", **facts
    )


def _forbidden(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return PlanTooSmall(
        f"Finnhub's plan does not include this ({told(response)}): the free plan has no bars, and others may lack the "
        "market of the symbol. Check that FINNHUB_PLAN is the plan you have.",
        **facts,
    )


def _not_found(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return wrong_address(VENDOR, "FINNHUB_BASE_URL", response, facts)


REFUSALS = Refusals(
    PROVIDER,
    VENDOR,
    {
        401: _unauthorized,
        403: _forbidden,
        404: _not_found,
    },
    by_words=_by_words,
)

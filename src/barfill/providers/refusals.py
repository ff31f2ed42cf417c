"""
What answers that are no success have in common, whoever sends them; a vendor's module knows its own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from barfill.errors import BadResponse, ProviderError, ProviderUnavailable, RateLimited, SymbolNotOffered, excerpt
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.rate_headers import told_wait_s

_SERVER_ERRORS_FROM = 500
_REDIRECTS_FROM = 300
_TRANSIENT = (408, 425)
_TOO_MANY_REQUESTS = 429


class Facts(TypedDict):
    """What every error knows of the exchange that failed."""

    provider: str
    request: str
    status: int
    request_id: str


Meaning = Callable[[HttpRequest, HttpResponse, Facts], ProviderError]
MeaningOfWords = Callable[[HttpRequest, HttpResponse, Facts], ProviderError | None]


def _says_nothing(_request: HttpRequest, _response: HttpResponse, _facts: Facts) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Refusals:
    """
    What the refusals of one vendor mean.

    Attributes:
        provider: Its name in settings and tables.
        vendor: Its name in sentences.
        meanings: By status, of those that mean what the vendor's own words say.
        by_words: What an answer means by its words, whatever its status; None where these are no such words.
        told_wait_s: How long an answer asks to wait.
    """

    provider: str
    vendor: str
    meanings: Mapping[int, Meaning]
    by_words: MeaningOfWords = _says_nothing
    told_wait_s: Callable[[HttpResponse], float | None] = told_wait_s

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """What an answer that is not 200 means."""
        status = response.status
        facts = Facts(provider=self.provider, request=request.shown, status=status, request_id=response.request_id)
        by_words = self.by_words(request, response, facts)
        if by_words is not None:
            return by_words
        if status >= _SERVER_ERRORS_FROM or status in _TRANSIENT:
            return ProviderUnavailable(f"{self.vendor} cannot answer now ({told(response)}).", **facts)
        if status < _REDIRECTS_FROM:
            return BadResponse(f"{self.vendor} answered without a page (HTTP {status}).", reason="body", **facts)
        if status == _TOO_MANY_REQUESTS:
            return too_many(self.vendor, self.told_wait_s(response), facts)
        meaning = self.meanings.get(status)
        return refused(self.vendor, response, facts) if meaning is None else meaning(request, response, facts)


def refused(vendor: str, response: HttpResponse, facts: Facts) -> BadResponse:
    """A refusal for which there is no better word."""
    return BadResponse(f"{vendor} refused the request ({told(response)}).", reason="refused", **facts)


def unknown_symbol(vendor: str, symbol: str | None, response: HttpResponse, facts: Facts) -> SymbolNotOffered:
    """The vendor does not know *symbol*, or one of several where that is None."""
    who = f"'{excerpt(symbol)}'" if symbol is not None else "what was asked for"
    return SymbolNotOffered(
        f"{vendor} does not know {who} ({told(response)}). Check its spelling.", symbol=symbol, **facts
    )


def too_many(vendor: str, wait_s: float | None, facts: Facts) -> RateLimited:
    """The limit of requests per minute is used up for *wait_s*, or for nobody says how long."""
    until = f"told to wait {wait_s:.0f} s" if wait_s is not None else "not told how long to wait"
    return RateLimited(
        f"{vendor}'s limit of requests per minute is used up ({until}). Check that no other program uses the key, and "
        f"the requests per minute that are set for {facts['provider']}.",
        retry_after_s=wait_s,
        **facts,
    )


def wrong_address(vendor: str, setting: str, response: HttpResponse, facts: Facts) -> BadResponse:
    """A server that does not have the path at all."""
    return BadResponse(
        f"There is nothing at {facts['request']} ({told(response)}), so this is not {vendor}'s address. Check "
        f"{setting} with: barfill doctor",
        reason="address",
        **facts,
    )


def told(response: HttpResponse) -> str:
    """Status and the provider's own words, fit for a message."""
    words = excerpt(message_of(response))
    return f"HTTP {response.status}: {words}" if words else f"HTTP {response.status}"


def message_of(response: HttpResponse) -> str:
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

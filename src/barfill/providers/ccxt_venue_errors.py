"""
What ccxt's errors mean.

Source:
    providers.md 8.2, seen again with ccxt 4.5.90. ccxt takes a blocked country (451) and an address that is not there
    (404) for an outage, which would be tried again for nothing; those are told apart by their status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import ccxt

from barfill.errors import (
    BadResponse,
    CredentialsRejected,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    SymbolNotOffered,
)
from barfill.providers.base import HttpResponse
from barfill.providers.rate_headers import told_wait_s
from barfill.providers.refusals import Facts, refused, told, unknown_symbol, wrong_address

_BLOCKED = 451
_WRONG_ADDRESS = (404, 405, 410)
# Their bodies name no error that ccxt knows: what is wrong lies in the request.
_REFUSALS = (400, 409, 422)
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What was refused.

    Attributes:
        shown: For messages.
        symbol: Whose bars were asked for; None where none's were.
    """

    shown: str
    symbol: str | None


def meaning_of(error: ccxt.BaseError | None, venue: str, asked: Asked, response: HttpResponse) -> ProviderError:
    """
    barfill's error for a refusal.

    Args:
        error: What ccxt makes of it; None where it makes nothing of it.
    """
    status = response.status
    facts = Facts(provider=venue, request=asked.shown, status=status, request_id=response.request_id)
    if status == _BLOCKED:
        return _blocked(venue, asked, response, facts)
    for kinds, meaning in _MEANINGS:
        if isinstance(error, kinds):
            return meaning(venue, asked, response, facts)
    if status in _WRONG_ADDRESS:
        return _not_there(venue, asked, response, facts)
    if status in _REFUSALS or isinstance(error, ccxt.ExchangeError):
        return refused(venue, response, facts)
    if isinstance(error, ccxt.BadResponse):
        return BadResponse(f"{venue} answered with an error ({told(response)}).", reason="body", **facts)
    return ProviderUnavailable(f"{venue} cannot answer now ({told(response)}).", **facts)


def _blocked(venue: str, _asked: Asked, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"{venue} does not serve this country or network ({told(response)}), so nothing more is asked of it. Use "
        "another venue, for instance that of your own country.",
        reason="blocked",
        **facts,
    )


def _wants_a_key(venue: str, _asked: Asked, response: HttpResponse, facts: Facts) -> ProviderError:
    return CredentialsRejected(
        f"{venue} wants a key for this ({told(response)}); barfill asks it without. Use another venue.", **facts
    )


def _no_such_symbol(venue: str, asked: Asked, response: HttpResponse, facts: Facts) -> ProviderError:
    return unknown_symbol(venue, asked.symbol, response, facts)


def _not_there(venue: str, asked: Asked, response: HttpResponse, facts: Facts) -> ProviderError:
    """A venue says in JSON that it has no such market; whoever else stands there says it in other words."""
    if asked.symbol is not None and response.body.lstrip().startswith(b"{"):
        return unknown_symbol(venue, asked.symbol, response, facts)
    return wrong_address(venue, "its base URL", response, facts)


def _too_many(venue: str, _asked: Asked, response: HttpResponse, facts: Facts) -> ProviderError:
    """Also a ban (418), and a refusal with status 200: both are as good as a 429, and told waits are read as of one."""
    wait_s = told_wait_s(replace(response, status=_TOO_MANY_REQUESTS))
    until = f"told to wait {wait_s:.0f} s" if wait_s is not None else "not told how long to wait"
    return RateLimited(
        f"{venue}'s limit of requests is used up ({until}). Check that no other program asks it from this address, and "
        f"the requests per minute that are set for {venue}.",
        retry_after_s=wait_s,
        **facts,
    )


def not_offered(venue: str, symbol: str) -> SymbolNotOffered:
    """The error for a symbol that is not among the venue's spot markets."""
    return SymbolNotOffered(
        f"{venue} has no spot market '{symbol}'. Check its spelling: base and quote with a slash, such as BTC/USD.",
        symbol=symbol,
        provider=venue,
    )


_Meaning = Callable[[str, Asked, HttpResponse, Facts], ProviderError]

# The first that fits decides: ccxt counts a refused location and a bad symbol among its more general errors.
_MEANINGS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], _Meaning], ...] = (
    (ccxt.RestrictedLocation, _blocked),
    ((ccxt.DDoSProtection, ccxt.RateLimitExceeded), _too_many),
    (ccxt.BadSymbol, _no_such_symbol),
    (ccxt.AuthenticationError, _wants_a_key),
)

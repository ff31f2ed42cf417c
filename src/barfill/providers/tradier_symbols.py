"""
Symbols at Tradier: how they are spelled, and which of them it knows.

It has no list of symbols, and answers without rows for those that it does not know. Quotes tell: many symbols in a
call, those that are unknown under `unmatched_symbols`. Nothing tells of symbols that no longer trade.

Source:
    providers.md 5.3, 5.4 and the recorded quotes; `unmatched_symbols` and `type` of the vendor's public documentation
    (`/v1/markets/quotes`), which the quotes recorded in 2013 do not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from barfill.core.ticker import is_ticker
from barfill.errors import BadResponse, SymbolNotOffered, excerpt
from barfill.providers.bar_pages import as_list, refuse_a_renamed_list
from barfill.providers.base import OfferedSymbol
from barfill.providers.tradier_decode import held_in

PATH = "/v1/markets/quotes"
LOOKUPS_MAX = 100
"""Symbols in one call: a URL of about 1 kB."""

_OFFERED_TYPES = ("stock", "etf")
"""Others are options, indices and mutual funds."""


def to_wire(ticker: str) -> str:
    """
    *ticker* as Tradier writes it: class shares have a slash, `BRK/B`.

    Raises:
        SymbolNotOffered: It has a slash itself, as pairs of currencies do: no two tickers may mean the same.
    """
    if "/" in ticker:
        raise SymbolNotOffered(f"Tradier has no symbol with a slash: '{excerpt(ticker)}'.", symbol=ticker)
    return ticker.replace(".", "/")


def from_wire(symbol: str) -> str:
    """Tradier's *symbol* in barfill's spelling."""
    return symbol.replace("/", ".")


def lookups(tickers: Iterable[str]) -> list[str]:
    """The `symbols` of the requests that tell of *tickers*; of texts that can be no symbol nothing is asked."""
    asked = sorted(to_wire(one) for one in tickers if is_ticker(one) and "/" not in one)
    return [",".join(asked[first : first + LOOKUPS_MAX]) for first in range(0, len(asked), LOOKUPS_MAX)]


def read_symbols(body: bytes) -> Sequence[OfferedSymbol]:
    """
    The stocks and funds among the quotes of an answer.

    Raises:
        BadResponse: There are no quotes in it (`json`, `body`, `schema`).
    """
    held = held_in(body, "quotes")
    if "unmatched_symbols" not in held:
        refuse_a_renamed_list(held, "quote")
    offered = (_offered(quote) for quote in as_list(held.get("quote"), "'quotes.quote'"))
    return [one for one in offered if one is not None]


def _offered(quote: object) -> OfferedSymbol | None:
    if not isinstance(quote, dict) or not isinstance(quote.get("symbol"), str):
        raise BadResponse(f"A quote has no 'symbol': {excerpt(repr(quote))}.", reason="schema")
    ticker, kind = from_wire(quote["symbol"]), str(quote.get("type", "stock"))
    if not is_ticker(ticker) or kind not in _OFFERED_TYPES:
        return None
    return OfferedSymbol(ticker, str(quote.get("description") or ""), kind, is_active=True)

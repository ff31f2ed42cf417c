"""
Finnhub's list of US symbols: what it says of a symbol.

One call tells of all of them, in several megabytes without pages, and symbols are looked up once. A search (`/search`)
would be smaller; it costs a call for each symbol, ranks by likeness, and need not name the one that was meant.

Source:
    Vendor OpenAPI (`/stock/symbol?exchange=US`) and the recorded answer; providers.md 6.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from barfill.core.ticker import is_ticker
from barfill.providers.base import OfferedSymbol
from barfill.providers.strict_json import read_json

PATH = "/api/v1/stock/symbol"
PARAMS = {"exchange": "US"}

_FUND = "ETP"


class _Symbol(msgspec.Struct, gc=False):
    symbol: str
    description: str | None = None
    type: str | None = None


_SYMBOLS = msgspec.json.Decoder(list[_Symbol])


def read_symbols(body: bytes) -> Sequence[OfferedSymbol]:
    """
    The symbols of the list that barfill can hold.

    Raises:
        BadResponse: It is no list of symbols (`json`, `schema`).
    """
    listed = read_json(body, _SYMBOLS, "list of symbols")
    return [
        OfferedSymbol(one.symbol, one.description or "", "etf" if one.type == _FUND else "stock", is_active=True)
        for one in listed
        if is_ticker(one.symbol)
    ]

"""
Massive's reference of tickers: what is asked of it, and what it says of a symbol.

One call tells of one ticker, or of 1,000 that follow each other. About 12,000 tickers of the stock market are active,
so up to a dozen symbols are asked for one by one, and more by paging from the first to the last: never more than some
13 calls, which is what counts at 5 a minute. Who no longer trades is on a list of its own (`active=false`).

Tickers with small letters (`KIMpL`, a preferred share) are left out: barfill's are upper-case, and `KIMPL` may be
another company's.

Source:
    Vendor OpenAPI, `/v3/reference/tickers`; providers.md 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from barfill.core.ticker import is_ticker
from barfill.errors import BadResponse, excerpt
from barfill.providers.base import OfferedSymbol
from barfill.providers.strict_json import read_json

PATH = "/v3/reference/tickers"
LOOKUPS_MAX = 12
"""Up to so many symbols are looked up one by one."""

_PAGE_SIZE = "1000"
_STOCKS = "stocks"
_FUNDS = frozenset({"ETF", "ETN", "ETS", "ETV"})
"""Exchange-traded funds and notes, among the codes of `/v3/reference/tickers/types`."""


class _Ticker(msgspec.Struct, gc=False):
    ticker: str
    active: bool
    market: str
    name: str | None = None
    type: str | None = None


class _Tickers(msgspec.Struct, gc=False):
    status: str
    results: list[_Ticker] | None = None
    next_url: str | None = None


_TICKERS = msgspec.json.Decoder(_Tickers)


def lookups(tickers: Sequence[str], *, is_active: bool) -> list[dict[str, str]]:
    """
    The parameters of the requests that tell of *tickers*, in the fewest calls; none for texts that are no tickers.
    """
    checked = sorted(filter(is_ticker, tickers), key=str.encode)
    common = {"market": _STOCKS, "active": "true" if is_active else "false", "sort": "ticker", "order": "asc"}
    if len(checked) <= LOOKUPS_MAX:
        return [{"ticker": one, **common, "limit": _PAGE_SIZE} for one in checked]
    return [{"ticker.gte": checked[0], "ticker.lte": checked[-1], **common, "limit": _PAGE_SIZE}]


def read_symbols(body: bytes) -> tuple[Sequence[OfferedSymbol], str | None]:
    """
    The symbols on a page that barfill can hold, and the URL of the page that follows.

    Raises:
        BadResponse: It is no list of tickers (`json`, `schema`), or an error (`body`).
    """
    page = read_json(body, _TICKERS, "list of tickers")
    if page.status != "OK":
        raise BadResponse(f"The answer calls itself '{excerpt(page.status)}' instead of OK.", reason="body")
    listed = [one for one in page.results or () if one.market == _STOCKS and is_ticker(one.ticker)]
    return [_offered(one) for one in listed], page.next_url


def _offered(one: _Ticker) -> OfferedSymbol:
    return OfferedSymbol(one.ticker, one.name or "", "etf" if one.type in _FUNDS else "stock", one.active)

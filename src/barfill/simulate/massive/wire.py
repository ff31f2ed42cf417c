"""
Pages as they go over the wire (providers.md 4.1 and 4.2): ``results`` is absent where there is nothing.
"""

import hashlib
from typing import Any

import msgspec

from barfill.simulate.json_text import encode_json
from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto_minutes import LOTS_PER_COIN
from barfill.simulate.massive.queries import MassiveQuery
from barfill.simulate.massive.windows import MILLISECOND_NS
from barfill.simulate.queries import Page

VWAP_DECIMALS = 4


class Row(msgspec.Struct, gc=False):
    """One bar in the vendor's order of keys; *t* is in milliseconds."""

    v: float
    vw: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 -- the vendor's key
    t: int
    n: int


class TickerRow(msgspec.Struct, gc=False):
    """One bar of one ticker among others."""

    T: str
    v: float
    vw: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 -- the vendor's key
    t: int
    n: int


def page_document(query: MassiveQuery, page: Page, next_url: str | None) -> dict[str, Any]:
    """The page with its rows as plain values."""
    document = _head(query, page)
    if page.row_count:
        document["results"] = msgspec.to_builtins(_rows(query, page))
    return document if next_url is None else {**document, "next_url": next_url}


def encode_page(query: MassiveQuery, page: Page, next_url: str | None) -> bytes:
    """The page as the vendor writes it."""
    document = _head(query, page)
    if page.row_count:
        document["results"] = _rows(query, page)
    return encode_json(document if next_url is None else {**document, "next_url": next_url})


def _head(query: MassiveQuery, page: Page) -> dict[str, Any]:
    head: dict[str, Any] = {} if query.form == "grouped" else {"ticker": query.symbols[0]}
    return {
        **head,
        "queryCount": page.base_count,
        "resultsCount": page.row_count,
        "adjusted": query.is_split_adjusted,
        "status": "OK",
        # The same for the same page: a repeated request may be answered from a cache.
        "request_id": hashlib.blake2b(repr(query).encode(), digest_size=16).hexdigest(),
        "count": page.row_count,
    }


def _rows(query: MassiveQuery, page: Page) -> list[Any]:
    if query.form == "range":
        return [Row(*values) for _, bars in page.bars for values in _values(query, bars)]
    return [TickerRow(ticker, *values) for ticker, bars in page.bars for values in _values(query, bars)]


def _values(query: MassiveQuery, bars: Bars) -> Any:
    columns = (
        bars.volume / LOTS_PER_COIN if query.is_of_crypto else bars.volume,
        bars.vwap.round(VWAP_DECIMALS),
        bars.open,
        bars.close,
        bars.high,
        bars.low,
        bars.ts // MILLISECOND_NS,
        bars.trades,
    )
    return zip(*(column.tolist() for column in columns), strict=True)

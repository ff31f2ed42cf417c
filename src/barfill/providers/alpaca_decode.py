"""
Alpaca's page of bars as columns: what its two paths read; see `bar_pages`.

Measured on a page of 10,000 one-minute bars (111 bytes each) on two shared cores: typed 1.1 to 1.4 M rows/s, of which
msgspec alone takes a third; 5,000 symbols with one row each 1.1 M; the general path 0.15 M. A flat parser of numbers
would be worth a factor of 1.2 end to end (performance.md 5), so the plain path stays.

Source:
    Vendor OpenAPI, `stock_bars_resp` and `stock_bars_resp_single`, and the recorded pages. Other shapes (`null`,
    absent, an object for a list) are older replies and faults (H12).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from barfill.core.bars import BarColumns
from barfill.core.page import BarsQuery
from barfill.errors import BadResponse, excerpt
from barfill.providers.bar_pages import Contents, answer_object, as_list, read_rows, refuse_a_renamed_list, token_in
from barfill.providers.instants import read_column
from barfill.providers.typed_rows import QUOTES_OF_A_TEXT, WireBar, texts_in, typed_columns


class _Bar(WireBar, gc=False):
    t: str


class _Page(msgspec.Struct, gc=False):
    bars: dict[str, list[_Bar]]
    next_page_token: str | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET


_PAGE = msgspec.json.Decoder(_Page)


def decode_typed(body: bytes, *, latest_us: int) -> Contents | None:
    """The rows of a page that keeps the contract in every row; None for any other."""
    try:
        page = _PAGE.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    lists = {ticker: bars for ticker, bars in page.bars.items() if bars}
    flat = list(chain.from_iterable(lists.values()))
    symbol = np.repeat(np.arange(len(lists), dtype=np.int32), [len(bars) for bars in lists.values()])
    rows = typed_columns(flat, symbol, read_column([bar.t for bar in flat]), latest_us=latest_us)
    if rows is None or body.count(b'"') != _quotes(page, rows):
        return None
    echo = {} if page.currency is UNSET else {"currency": page.currency}
    token = None if page.next_page_token is UNSET else page.next_page_token
    return Contents(tuple(lists), rows, (), token or None, echo)


def _quotes(page: _Page, rows: BarColumns) -> int:
    """How many quotes a body has that holds nothing but what was read: `bars`, the tickers, and in rows a text `t`."""
    texts = 1 + len(page.bars) + texts_in(rows) + len(rows)
    if page.next_page_token is not UNSET:
        texts += 1 + (page.next_page_token is not None)
    if page.currency is not UNSET:
        texts += 2
    return texts * QUOTES_OF_A_TEXT


def decode_general(body: bytes, query: BarsQuery, *, latest_us: int) -> Contents:
    """
    The rows of any page that can be understood.

    Raises:
        BadResponse: No strict JSON (`json`), no answer with bars (`body`) or another schema (`schema`).
    """
    page = answer_object(body)
    token = token_in(page, "next_page_token", likeness="token")
    lists = _lists(page, query)
    rows, rejected = read_rows(lists, query, latest_us=latest_us, raw_rows=lambda: _raw_rows(body))
    echo = {key: value for key, value in page.items() if key not in ("bars", "next_page_token")}
    bars = page.get("bars")
    is_odd = isinstance(bars, dict) and any(isinstance(rows, dict) and rows for rows in bars.values())
    return Contents(tuple(lists), rows, rejected, token, echo, may_lack_rows=is_odd)


def _lists(page: Mapping[str, object], query: BarsQuery) -> dict[str, Sequence[object]]:
    """The rows by ticker, in all shapes that replies have had; only tickers with rows."""
    bars = page.get("bars")
    if bars in (None, "null"):
        refuse_a_renamed_list(page, "bars")
        return {}
    if isinstance(bars, list) or (isinstance(bars, dict) and isinstance(bars.get("t"), str | int)):
        return {_only_symbol(page, query): bars if isinstance(bars, list) else [bars]} if bars else {}
    if not isinstance(bars, dict):
        raise BadResponse(f"'bars' is neither an object nor a list: {excerpt(repr(bars))}.", reason="schema")
    lists = {ticker: as_list(rows, f"'bars' of '{excerpt(ticker)}'") for ticker, rows in bars.items()}
    return {ticker: rows for ticker, rows in lists.items() if rows}


def _only_symbol(page: Mapping[str, object], query: BarsQuery) -> str:
    """Whose rows a list without tickers holds: the form of the endpoint for a single symbol."""
    symbol = page.get("symbol", query.symbols[0])
    if len(query.symbols) != 1 or not isinstance(symbol, str):
        raise BadResponse(
            f"'bars' is a list without symbols, but {len(query.symbols)} symbols were asked for.", reason="schema"
        )
    return symbol


class _RawPage(msgspec.Struct):
    bars: dict[str, list[msgspec.Raw]] | list[msgspec.Raw]


def _raw_rows(body: bytes) -> Sequence[msgspec.Raw] | None:
    """The JSON of every row as sent, where the page has one of the two usual shapes."""
    try:
        bars = msgspec.json.decode(body, type=_RawPage).bars
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return bars if isinstance(bars, list) else list(chain.from_iterable(bars.values()))

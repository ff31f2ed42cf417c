"""
Alpaca's page of bars as columns: a typed path for pages that keep the contract, a general one for all others.

Both give the same for a good page. The typed path proves that nothing was hidden from it (a key twice, an unknown
field) by counting: every text in JSON has two quotes, so the body must hold exactly as many as what was read.

Measured on a page of 10,000 one-minute bars (111 bytes each) on two shared cores: typed 1.1 to 1.4 M rows/s, of which
msgspec alone takes a third; 5,000 symbols with one row each 1.1 M; the general path 0.15 M. A flat parser of numbers
would be worth a factor of 1.2 end to end (performance.md 5), so the plain path stays.

Source:
    Vendor OpenAPI, `stock_bars_resp` and `stock_bars_resp_single`, and the recorded pages. Other shapes (`null`,
    absent, an object for a list) are older replies and faults (H12).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.page import BarsQuery, RejectedRow
from barfill.errors import BadResponse, excerpt
from barfill.providers.instants import EARLIEST_US, read_column
from barfill.providers.rows import RowReader, check_schema, rejected_rows
from barfill.providers.strict_json import shown, strict_json

ROWS_PER_PAGE_FACTOR = 2
"""More rows than this times the page size asked for are no page (H31)."""

_ROW_BYTES = 600
_ROW_VALUES = 24
_SMALL_BODY_BYTES = 256 * 1024
_EXACT_INTEGER_MAX = 2**53

# Quotes of what a page always has: `"bars"`, and in each row six keys and the text of `t`.
_QUOTES_OF_A_TEXT = 2
_TEXTS_OF_A_ROW = 7


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """
    A decoded page, stamped as sent.

    Attributes:
        tickers: Those with rows, in the order sent; `rows.symbol` points here.
        echo: What the answer says of itself beside the rows, such as its currency.
    """

    tickers: tuple[str, ...]
    rows: BarColumns
    rejected: tuple[RejectedRow, ...]
    next_token: str | None
    echo: Mapping[str, object]
    may_lack_rows: bool = False


def decode(body: bytes, query: BarsQuery, *, page_size: int, latest_us: int) -> Contents:
    """
    The rows in *body*.

    Args:
        latest_us: Rule Q01: no stamp is later.

    Raises:
        BadResponse: No strict JSON (`json`), no answer with bars (`body`), another schema (`schema`), too many rows
            (`too_large`) or not as many as declared (`count`).
    """
    _check_size(body, page_size)
    contents = decode_typed(body, latest_us=latest_us)
    if contents is None:
        try:
            contents = decode_general(body, query, latest_us=latest_us)
        except RecursionError as error:
            raise BadResponse("The answer is nested too deeply to be read.", reason="too_large") from error
    received = len(contents.rows) + len(contents.rejected)
    if received > ROWS_PER_PAGE_FACTOR * page_size:
        raise BadResponse(f"The answer holds {received:,} rows; {page_size:,} were asked for.", reason="too_large")
    _check_count(contents.echo.get("count"), received)
    return contents


def _check_count(declared: object, received: int) -> None:
    """Alpaca declares no count so far; should it begin to, it must be right (H13)."""
    if isinstance(declared, int) and declared != received:
        raise BadResponse(f"The answer declares {declared:,} rows and holds {received:,}.", reason="count")


class _Bar(msgspec.Struct, gc=False):
    t: str
    o: float
    h: float
    l: float  # noqa: E741  the vendor's key
    c: float
    v: float
    n: int = NO_TRADE_COUNT
    vw: float = math.nan


class _Page(msgspec.Struct, gc=False):
    bars: dict[str, list[_Bar]]
    next_page_token: str | UnsetType | None = UNSET
    currency: str | UnsetType = UNSET


_PAGE = msgspec.json.Decoder(_Page)
_FLOATS = tuple(map(attrgetter, ("o", "h", "l", "c", "v", "vw")))


def decode_typed(body: bytes, *, latest_us: int) -> Contents | None:
    """The rows of a page that keeps the contract in every row; None for any other."""
    try:
        page = _PAGE.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    lists = {ticker: bars for ticker, bars in page.bars.items() if bars}
    flat = list(chain.from_iterable(lists.values()))
    o, h, low, c, v, vwap = (np.fromiter(map(value, flat), np.float64, len(flat)) for value in _FLOATS)
    try:
        trade_count = np.array([bar.n for bar in flat], np.int64)
    except OverflowError:
        return None
    if np.any((trade_count < NO_TRADE_COUNT) | (trade_count > _EXACT_INTEGER_MAX)):
        return None
    if body.count(b'"') != _quotes(page, len(flat), trade_count, vwap):
        return None
    stamps = read_column([bar.t for bar in flat])
    if stamps is None or (flat and not EARLIEST_US <= stamps.min() <= stamps.max() <= latest_us):
        return None
    lengths = [len(bars) for bars in lists.values()]
    symbol = np.repeat(np.arange(len(lists), dtype=np.int32), lengths)
    echo = {} if page.currency is UNSET else {"currency": page.currency}
    token = None if page.next_page_token is UNSET else page.next_page_token
    rows = BarColumns(symbol, stamps, o, h, low, c, v, vwap, trade_count)
    return Contents(tuple(lists), rows, (), token or None, echo)


def _quotes(page: _Page, rows: int, trade_count: NDArray[np.int64], vwap: NDArray[np.float64]) -> int:
    """How many quotes a body has that holds nothing but what was read."""
    texts = 1 + len(page.bars) + _TEXTS_OF_A_ROW * rows
    texts += int(np.count_nonzero(trade_count != NO_TRADE_COUNT)) + int(np.count_nonzero(~np.isnan(vwap)))
    if page.next_page_token is not UNSET:
        texts += 1 + (page.next_page_token is not None)
    if page.currency is not UNSET:
        texts += 2
    return texts * _QUOTES_OF_A_TEXT


def decode_general(body: bytes, query: BarsQuery, *, latest_us: int) -> Contents:
    """The rows of any page that can be understood; see `decode`."""
    page = strict_json(body)
    if not isinstance(page, dict):
        raise BadResponse(f"The answer is no object: {shown(body)}", reason="body")
    _refuse_an_error(page, body)
    token = _token(page)
    lists = _lists(page, query)
    rows = list(chain.from_iterable(lists.values()))
    check_schema(rows)
    reader = RowReader(latest_us)
    for symbol, of_symbol in enumerate(lists.values()):
        for row in of_symbol:
            reader.add(symbol, row)
    raws = _raw_rows(body) if reader.rejected else None
    if raws is not None and len(raws) != len(rows):
        raws = None
    tickers = tuple(lists)
    rejected = rejected_rows(reader, tickers, rows, raws, query.timeframe)
    echo = {key: value for key, value in page.items() if key not in ("bars", "next_page_token")}
    bars = page.get("bars")
    is_odd = isinstance(bars, dict) and any(isinstance(rows, dict) and rows for rows in bars.values())
    return Contents(tickers, reader.columns(), rejected, token, echo, may_lack_rows=is_odd)


def _refuse_an_error(page: Mapping[str, object], body: bytes) -> None:
    """An error with status 200 is no success, even if it came with a few rows (H10)."""
    told = page.get("error") or page.get("message")
    if told or page.get("status") in ("ERROR", "error"):
        raise BadResponse(f"The answer has status 200 and tells of an error: {shown(body)}", reason="body")


def _token(page: Mapping[str, object]) -> str | None:
    token = page.get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise BadResponse(f"next_page_token is no text: {excerpt(repr(token))}.", reason="schema")
    if "next_page_token" not in page:
        # Its absence would end the chain, so it must not stand there under a new name.
        renamed = [key for key, value in page.items() if "token" in key.lower() and value]
        if renamed:
            raise BadResponse(f"next_page_token is missing, but there is '{excerpt(renamed[0])}'.", reason="schema")
    return token or None


def _lists(page: Mapping[str, object], query: BarsQuery) -> dict[str, Sequence[object]]:
    """The rows by ticker, in all shapes that replies have had; only tickers with rows."""
    bars = page.get("bars")
    if bars in (None, "null"):
        _refuse_a_renamed_list(page)
        return {}
    if isinstance(bars, list) or (isinstance(bars, dict) and isinstance(bars.get("t"), str | int)):
        return {_only_symbol(page, query): bars if isinstance(bars, list) else [bars]} if bars else {}
    if not isinstance(bars, dict):
        raise BadResponse(f"'bars' is neither an object nor a list: {excerpt(repr(bars))}.", reason="schema")
    lists: dict[str, Sequence[object]] = {}
    for ticker, rows in bars.items():
        if rows in (None, "null", [], {}):
            continue
        if not isinstance(rows, list | dict) or _is_columns(rows):
            raise BadResponse(f"'bars' of '{excerpt(ticker)}' is no list: {excerpt(repr(rows))}.", reason="schema")
        lists[ticker] = rows if isinstance(rows, list) else [rows]
    return lists


def _is_columns(rows: list[object] | dict[str, object]) -> bool:
    """Whether this is no row, but arrays of all values of a key."""
    return isinstance(rows, dict) and any(isinstance(value, list) for value in rows.values())


def _refuse_a_renamed_list(page: Mapping[str, object]) -> None:
    filled = [key for key, value in page.items() if isinstance(value, list | dict) and value]
    if "bars" not in page and filled:
        raise BadResponse(f"'bars' is missing, but there is '{excerpt(filled[0])}'.", reason="schema")


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


def _raw_rows(body: bytes) -> list[str] | None:
    """The JSON of every row as sent, where the page has one of the two usual shapes."""
    try:
        bars = msgspec.json.decode(body, type=_RawPage).bars
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    raws = bars if isinstance(bars, list) else chain.from_iterable(bars.values())
    return [bytes(raw).decode() for raw in raws]


def _check_size(body: bytes, page_size: int) -> None:
    """Bounds what parsing may cost: a few bytes of JSON can become a hundred times as much in memory."""
    rows_max = ROWS_PER_PAGE_FACTOR * page_size
    bytes_max = max(_SMALL_BODY_BYTES, rows_max * _ROW_BYTES)
    if len(body) > bytes_max or body.count(b",") > (rows_max + _SMALL_BODY_BYTES // _ROW_BYTES) * _ROW_VALUES:
        raise BadResponse(
            f"The answer has {len(body):,} bytes; a page of {page_size:,} bars has far less. It was not read.",
            reason="too_large",
        )

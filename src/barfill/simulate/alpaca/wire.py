"""
Pages as they go over the wire.

Pages have two forms: *encode_page* writes columns straight to bytes, *page_document* gives the same page as plain
values for faults to spoil.
"""

from typing import Any

import msgspec
import numpy as np

from barfill.simulate.alpaca.crypto import AlpacaCryptoQuery
from barfill.simulate.alpaca.queries import AlpacaQuery
from barfill.simulate.alpaca.tokens import make_token
from barfill.simulate.json_text import encode_json
from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto_minutes import LOTS_PER_COIN
from barfill.simulate.market.sessions import SECOND_NS, Nanos
from barfill.simulate.queries import Page

_DAY_S = 86_400
_MINUTES = np.array([f"T{minute // 60:02d}:{minute % 60:02d}:00Z" for minute in range(1440)], dtype=object)


class Row(msgspec.Struct, gc=False):
    """One bar in the vendor's order of keys."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741 -- the vendor's key
    c: float
    v: int | float
    n: int
    vw: float


def encode_page(query: AlpacaQuery, page: Page) -> bytes:
    """The page as the vendor writes it: whole prices without a decimal point (Go's way), keys in the vendor's order."""
    tail = b',"next_page_token":' + encode_json(token_of(query, page)) + b"}"
    if query.currency is not None:
        tail = b',"currency":' + encode_json(query.currency) + tail
    if query.single is not None:
        rows = b"".join(encode_json(_rows(query, bars)) for _, bars in page.bars) or b"[]"
        return b'{"bars":' + rows + b',"symbol":' + encode_json(query.single) + tail
    groups = b",".join(encode_json(symbol) + b":" + encode_json(_rows(query, bars)) for symbol, bars in page.bars)
    return b'{"bars":{' + groups + b"}" + tail


def page_document(query: AlpacaQuery, page: Page) -> dict[str, Any]:
    """The page as plain values, rows as dicts."""
    groups = {symbol: [msgspec.to_builtins(row) for row in _rows(query, bars)] for symbol, bars in page.bars}
    document: dict[str, Any] = {"bars": groups}
    if query.single is not None:
        document = {"bars": groups.get(query.single, []), "symbol": query.single}
    if query.currency is not None:
        document["currency"] = query.currency
    document["next_page_token"] = token_of(query, page)
    return document


def token_of(query: AlpacaQuery, page: Page) -> str | None:
    """The token of the page after *page*."""
    if page.next is None:
        return None
    return make_token(page.next, query.timeframe, is_descending=query.is_descending)


def stamp(ts_ns: int) -> str:
    """RFC 3339 in UTC, with fractions of a second only where there are any."""
    seconds, rest = divmod(ts_ns, SECOND_NS)
    whole = str(np.datetime64(seconds, "s"))
    return f"{whole}.{rest:09d}".rstrip("0") + "Z" if rest else f"{whole}Z"


def _rows(query: AlpacaQuery, bars: Bars) -> list[Row]:
    volume = bars.volume / LOTS_PER_COIN if isinstance(query, AlpacaCryptoQuery) else bars.volume
    columns = (bars.open, bars.high, bars.low, bars.close, volume, bars.trades, bars.vwap)
    return list(map(Row, _stamps(bars.ts), *(column.tolist() for column in columns)))


def _stamps(ts_ns: Nanos) -> list[str]:
    if (ts_ns % (60 * SECOND_NS)).any():
        return [stamp(int(ts)) for ts in ts_ns]
    # Bars share few dates and minutes, so glueing two tables is ten times faster than formatting each.
    days, seconds = np.divmod(ts_ns // SECOND_NS, _DAY_S)
    distinct, place = np.unique(days, return_inverse=True)
    dates = np.array(np.datetime_as_string(distinct.astype("datetime64[D]")).tolist(), dtype=object)
    stamps: list[str] = (dates[place] + _MINUTES[seconds // 60]).tolist()
    return stamps

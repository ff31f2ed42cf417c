"""
What goes over the wire: refusals as the vendor words them, and pages as JSON.

Pages have two forms: *encode_page* writes columns straight to bytes, *page_document* gives the same page as plain
values for faults to spoil.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from barfill.simulate.bars import Bars
from barfill.simulate.sessions import SECOND_NS, Nanos

_DAY_S = 86_400
_MINUTES = np.array([f"T{minute // 60:02d}:{minute % 60:02d}:00Z" for minute in range(1440)], dtype=object)
_ENCODER = msgspec.json.Encoder()


class Refusal(Exception):
    """A request that the vendor answers with an error: status and JSON body."""

    def __init__(self, status: int, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.document: dict[str, Any] = {"message": message} if code is None else {"code": code, "message": message}


class Row(msgspec.Struct, gc=False):
    """One bar in the vendor's order of keys."""

    t: str
    o: float
    h: float
    l: float  # noqa: E741 -- the vendor's key
    c: float
    v: int
    n: int
    vw: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page: bars by symbol in the order sent, and the token of the next page."""

    bars: tuple[tuple[str, Bars], ...]
    next_token: str | None
    #: The one symbol of the single-symbol endpoint, or None for the multi-symbol form.
    single: str | None = None
    currency: str | None = None

    @property
    def row_count(self) -> int:
        return sum(len(bars) for _, bars in self.bars)


def encode_page(page: Page) -> bytes:
    """The page as the vendor writes it: whole prices without a decimal point (Go's way), keys in the vendor's order."""
    tail = b',"next_page_token":' + encode_json(page.next_token) + b"}"
    if page.currency is not None:
        tail = b',"currency":' + encode_json(page.currency) + tail
    if page.single is not None:
        rows = b"".join(_encode_rows(bars) for _, bars in page.bars) or b"[]"
        return b'{"bars":' + rows + b',"symbol":' + encode_json(page.single) + tail
    groups = b",".join(encode_json(symbol) + b":" + _encode_rows(bars) for symbol, bars in page.bars)
    return b'{"bars":{' + groups + b"}" + tail


def page_document(page: Page) -> dict[str, Any]:
    """The page as plain values, rows as dicts."""
    groups = {symbol: [msgspec.to_builtins(row) for row in _rows(bars)] for symbol, bars in page.bars}
    document: dict[str, Any] = {"bars": groups}
    if page.single is not None:
        document = {"bars": groups.get(page.single, []), "symbol": page.single}
    if page.currency is not None:
        document["currency"] = page.currency
    document["next_page_token"] = page.next_token
    return document


def encode_json(value: Any) -> bytes:
    """Compact JSON; whole floats as integers, as Go writes them. msgspec.Raw values are put in as they are."""
    return _without_point(_ENCODER.encode(value))


def stamp(ts_ns: int) -> str:
    """RFC 3339 in UTC, with fractions of a second only where there are any."""
    seconds, rest = divmod(ts_ns, SECOND_NS)
    whole = str(np.datetime64(seconds, "s"))
    return f"{whole}.{rest:09d}".rstrip("0") + "Z" if rest else f"{whole}Z"


def _encode_rows(bars: Bars) -> bytes:
    return _without_point(_ENCODER.encode(_rows(bars)))


def _rows(bars: Bars) -> list[Row]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades, bars.vwap)
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


def _without_point(encoded: bytes) -> bytes:
    return encoded.replace(b".0,", b",").replace(b".0}", b"}")

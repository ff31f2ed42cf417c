"""
How Tradier writes its answers and its errors, for faults to spoil.

The rows of a document are its ``series`` whatever the endpoint; *written* makes the vendor's shape of it: a single row
is an object, no rows are null (providers.md 5.4).
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from barfill.simulate.market.sessions import NEW_YORK
from barfill.simulate.pageless import PagelessDialect
from barfill.simulate.queries import BarsQuery
from barfill.simulate.tradier.queries import TradierQuery
from barfill.simulate.tradier.refusals import DATASTORE_ERROR, INVALID_TOKEN, NOT_FOUND, fault, quota_violation
from barfill.simulate.vendor import Document

_NAMES = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"}
_FIELDS = {"series": ("o", "h", "l", "c", "v", "vw"), "history": ("o", "h", "l", "c", "v")}
#: In a document: its single row is to be a list of one.
LISTED = "is_listed"
#: Beyond these a stamp is in milliseconds or finer.
_SECONDS_MAX = 100_000_000_000
_ENCODER = msgspec.json.Encoder()


class TradierDialect(PagelessDialect):
    """Answers are ``series.data`` or ``history.day``. The vendor's server writes whole floats with their point."""

    name = "tradier"
    rows_key = "series"
    empty_body = b'{"series":null}'
    exhausted: Mapping[str, str] = {"X-Ratelimit-Available": "0"}
    reset_header = "X-Ratelimit-Expiry"
    limit_headers: tuple[str, ...] = (
        "X-Ratelimit-Allowed",
        "X-Ratelimit-Used",
        "X-Ratelimit-Available",
        "X-Ratelimit-Expiry",
    )

    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        return _FIELDS[_own(query).form]

    def written(self, query: BarsQuery, document: Document) -> bytes:
        form = _own(query).form
        extras = {name: value for name, value in self.extras(document).items() if name != LISTED}
        if "series" not in document:
            return _ENCODER.encode(extras)
        rows = document["series"]
        if isinstance(rows, dict):
            rows = _written_row(rows, form)
        elif isinstance(rows, list):
            rows = [_written_row(row, form) for row in rows]
            if len(rows) == 1 and not document.get(LISTED):
                rows = rows[0]
        inner: Any = {"data" if form == "series" else "day": rows} if isinstance(rows, (dict, list)) and rows else rows
        return _ENCODER.encode({form: inner or None, **extras})

    def too_many(self, endpoint: str, until_s: float) -> str:
        return quota_violation(until_s)

    def broken(self) -> Document:
        return fault(DATASTORE_ERROR)

    def rejected(self, status: int) -> Document:
        return fault(INVALID_TOKEN)

    def not_found(self, endpoint: str, name: str) -> Document:
        return fault(NOT_FOUND)


def _written_row(row: dict[str, Any], form: str) -> dict[str, Any]:
    """The row with the vendor's names; what a fault has added or renamed keeps its own."""
    written: dict[str, Any] = {}
    for name, value in row.items():
        if name == "t" and form == "history":
            written["date"] = _local(value)[:10]
        elif name == "t":
            written |= {"time": _local(value), "timestamp": value, "price": _middle(row)}
        elif name != "n":
            written[_NAMES.get(name, name)] = value
    return written


def _local(stamp: Any) -> str:
    """The New York local time of a stamp, whichever unit a fault has put it into."""
    if not isinstance(stamp, int):
        return ""
    while stamp > _SECONDS_MAX:
        stamp //= 1000
    return datetime.fromtimestamp(stamp, NEW_YORK).replace(tzinfo=None).isoformat()


def _middle(row: dict[str, Any]) -> Any:
    """``price``, documented as the last one, is in the vendor's own sample the middle of high and low."""
    high, low = row.get("h"), row.get("l")
    if isinstance(high, (int, float)) and isinstance(low, (int, float)) and math.isfinite(high + low):
        return (high + low) / 2
    return "NaN"


def _own(query: BarsQuery) -> TradierQuery:
    assert isinstance(query, TradierQuery)
    return query

"""
Tradier's bars as columns: the rows of `timesales` (intraday) and of `history` (days); see `bar_pages`.

There is no typed path: at 120 requests a minute an answer of 10,000 rows costs a tenth of the time that it may take.

Source:
    providers.md 5.1, 5.2, 5.4 and the recorded answers. A single row comes as an object, none as `null` or "null";
    an unknown symbol has none either. `timestamp` is the start in epoch seconds; `time` is the same in New York, and
    `price` is no price of the tape (the middle of high and low in the vendor's own sample), so neither is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from barfill.core.page import BarsQuery
from barfill.errors import BadResponse
from barfill.providers.bar_pages import Contents, answer_object, as_list, read_rows, refuse_a_renamed_list
from barfill.providers.strict_json import shown

_KEYS = MappingProxyType(
    {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v", "vwap": "vw", "timestamp": "t", "date": "t"}
)
_STAMPS = ("timestamp", "date")


def decode_answer(body: bytes, query: BarsQuery, *, latest_us: int) -> Contents:
    """
    The rows of an answer to *query*: of `series.data` where it is for intraday bars, else of `history.day`.

    Raises:
        BadResponse: No strict JSON (`json`), no answer with bars (`body`) or another schema (`schema`).
    """
    outer, inner, stamp = ("series", "data", "timestamp") if query.timeframe.is_intraday else ("history", "day", "date")
    held = held_in(body, outer)
    refuse_a_renamed_list(held, inner)
    rows = [_renamed(row, stamp) for row in as_list(held.get(inner), f"'{outer}.{inner}'")]
    lists = {query.symbols[0]: rows} if rows else {}
    columns, rejected = read_rows(lists, query, latest_us=latest_us, raw_rows=lambda: _raw_rows(body, outer, inner))
    return Contents(tuple(lists), columns, rejected, None, {})


def held_in(body: bytes, key: str) -> Mapping[str, object]:
    """
    What an answer holds under *key*; nothing where that is `null` or "null".

    Raises:
        BadResponse: No strict JSON (`json`), an error (`body`) or another schema (`schema`).
    """
    answer = answer_object(body)
    if answer.get("fault") or answer.get("errors"):
        raise BadResponse(f"The answer has status 200 and tells of an error: {shown(body)}", reason="body")
    held = answer.get(key) or {}
    if key not in answer or not (held == "null" or isinstance(held, Mapping)):
        raise BadResponse(f"The answer has no '{key}' that is an object: {shown(body)}", reason="schema")
    return held if isinstance(held, Mapping) else {}


def _renamed(row: object, stamp: str) -> object:
    """A row under the keys that all vendors' rows are read by; a date is written as the instant that labels it."""
    if not isinstance(row, Mapping):
        return row
    others = [key for key in _STAMPS if key != stamp]
    renamed = {_KEYS[key]: value for key, value in row.items() if key in _KEYS and key not in others}
    if stamp == "date" and isinstance(renamed.get("t"), str):
        renamed["t"] = f"{renamed['t']}T00:00:00Z"
    return renamed


def _raw_rows(body: bytes, outer: str, inner: str) -> Sequence[msgspec.Raw] | None:
    """The JSON of every row as sent, where they are in a list."""
    try:
        return msgspec.json.decode(body, type=dict[str, dict[str, list[msgspec.Raw]]])[outer][inner]
    except (msgspec.MsgspecError, ValueError, RecursionError, KeyError):
        return None

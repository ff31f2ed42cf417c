"""
Finnhub's candles as columns: one array per field, all of one length; see `bar_pages`.

There is no typed path: at 60 requests a minute an answer of 5,000 rows costs a fiftieth of the time that it may take.

Source:
    Vendor OpenAPI (`/stock/candle`) and the recorded answers; providers.md 6.2, 6.3. `{"s":"no_data"}` without arrays
    is how nothing is told, and has come in outages for ranges with bars: it says as little as any answer without rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from barfill.core.page import BarsQuery
from barfill.errors import BadResponse, excerpt
from barfill.providers.bar_pages import Contents, answer_object, read_rows

_KEYS = ("t", "o", "h", "l", "c", "v")
_SUCCESS, _NOTHING = "ok", "no_data"


def decode_candles(body: bytes, query: BarsQuery, *, latest_us: int) -> Contents:
    """
    The rows of an answer to *query*.

    Raises:
        BadResponse: No strict JSON (`json`), no answer with bars (`body`) or another schema (`schema`).
    """
    answer = answer_object(body)
    rows = _rows(answer)
    lists = {query.symbols[0]: rows} if rows else {}
    columns, rejected = read_rows(
        lists, query, latest_us=latest_us, raw_rows=lambda: [msgspec.Raw(json.dumps(row).encode()) for row in rows]
    )
    return Contents(tuple(lists), columns, rejected, None, {})


def _rows(answer: Mapping[str, object]) -> list[dict[str, object]]:
    """One row for each place of the arrays; what other arrays there are is left out."""
    status = answer.get("s")
    arrays = [answer.get(key) for key in _KEYS]
    if status == _NOTHING and not any(arrays):
        return []
    if not isinstance(status, str):
        raise BadResponse(f"The answer has no 's': {excerpt(', '.join(answer))}.", reason="schema")
    if status not in (_SUCCESS, _NOTHING):
        raise BadResponse(f"The answer calls itself '{excerpt(status)}' instead of ok.", reason="body")
    columns = [array for array in arrays if isinstance(array, list)]
    if status == _NOTHING or len(columns) < len(_KEYS):
        raise BadResponse(f"The answer has not all of the arrays t o h l c v: {_lengths(answer)}.", reason="schema")
    if len({len(column) for column in columns}) > 1:
        raise BadResponse(f"The arrays are of unequal length: {_lengths(answer)}.", reason="schema")
    return [dict(zip(_KEYS, values, strict=True)) for values in zip(*columns, strict=True)]


def _lengths(answer: Mapping[str, object]) -> str:
    return excerpt(
        ", ".join(f"{key} {len(value)}" for key, value in answer.items() if isinstance(value, list)) or "none"
    )

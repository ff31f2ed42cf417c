"""
Yahoo's chart as columns: one array per field, all of one length, any element null; see `bar_pages`.

Source:
    Recorded answers; providers.md 7.1, 7.3. An empty range has no `timestamp`, and `quote` is `[{}]`. A row of nothing
    but null stands for an interval without a trade, and for today before it has begun: it is no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from barfill.core.page import BarsQuery
from barfill.errors import BadResponse, excerpt
from barfill.providers.bar_pages import Contents, read_rows
from barfill.providers.rows import check_variant
from barfill.providers.strict_json import shown, strict_json

_FIELDS = ("open", "high", "low", "close", "volume")
_KEYS = ("o", "h", "l", "c", "v")


def chart_of(body: bytes) -> Mapping[str, Any]:
    """
    The one result in an answer, with its `meta`.

    Raises:
        BadResponse: No strict JSON (`json`), an error (`body`) or another schema (`schema`).
    """
    page = strict_json(body)
    chart = page.get("chart") if isinstance(page, Mapping) else None
    if not isinstance(chart, Mapping):
        raise BadResponse(f"The answer is no chart: {shown(body)}", reason="schema")
    results = chart.get("result")
    if chart.get("error") or not results:
        raise BadResponse(f"The answer has status 200 and tells of an error: {shown(body)}", reason="body")
    result = results[0] if isinstance(results, list) and len(results) == 1 else None
    if not isinstance(result, Mapping) or not isinstance(result.get("meta"), Mapping):
        raise BadResponse(f"The answer holds no single chart: {shown(body)}", reason="schema")
    return result


def decode_chart(symbol: str, interval: str, body: bytes, query: BarsQuery, *, latest_us: int) -> Contents:
    """
    The rows of an answer.

    Args:
        symbol, interval: As they were asked for.

    Raises:
        BadResponse: As `chart_of`; another symbol (`wrong_symbol`) or interval (`wrong_variant`).
    """
    result = chart_of(body)
    meta = result["meta"]
    if meta.get("symbol") != symbol:
        raise BadResponse(
            f"The answer is of '{excerpt(str(meta.get('symbol')))}' instead of '{symbol}'; it is refused.",
            reason="wrong_symbol",
        )
    check_variant("interval", meta.get("dataGranularity"), interval)
    rows = _rows(result)
    lists = {query.symbols[0]: rows} if rows else {}
    columns, rejected = read_rows(lists, query, latest_us=latest_us, raw_rows=lambda: None)
    return Contents(tuple(lists), columns, rejected, None, dict(meta))


def _rows(result: Mapping[str, Any]) -> list[dict[str, object]]:
    stamps, quote = result.get("timestamp", []), _quote(result)
    if not stamps and not any(quote.get(name) for name in _FIELDS):
        return []
    columns = [quote.get(name) for name in _FIELDS]
    arrays = [stamps, *columns]
    if not all(isinstance(array, list) for array in arrays) or len({len(array) for array in arrays if array}) != 1:
        lengths = ", ".join(f"{name} {len(array)}" for name, array in quote.items() if isinstance(array, list))
        raise BadResponse(f"The arrays are not {len(stamps)} long each, or lacking: {lengths}.", reason="schema")
    rows = []
    for stamp, *values in zip(*arrays, strict=True):
        given = {key: value for key, value in zip(_KEYS, values, strict=True) if value is not None}
        if given and set(given) != {"v"}:
            rows.append({"t": stamp, **given})
    return rows


def _quote(result: Mapping[str, Any]) -> Mapping[str, Any]:
    indicators = result.get("indicators")
    quotes = indicators.get("quote") if isinstance(indicators, Mapping) else None
    if not isinstance(quotes, list) or len(quotes) != 1 or not isinstance(quotes[0], Mapping):
        raise BadResponse("The chart holds no single 'quote'.", reason="schema")
    return quotes[0]

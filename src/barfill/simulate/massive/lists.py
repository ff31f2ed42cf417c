"""
Lists of reference rows: range filters, order, and pages by a cursor.

Filters are a field's name, alone or with .gt .gte .lt .lte .any_of (providers.md 4.2). The older lists take ``sort``
and ``order``, the newer ones ``sort=field.desc``; both are understood everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barfill.simulate.massive.links import BAD_CURSOR, Links, cursor_params
from barfill.simulate.massive.queries import day_of, whole_number
from barfill.simulate.massive.refusals import bad, request_id

Row = dict[str, Any]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, bound: value > bound,
    "gte": lambda value, bound: value >= bound,
    "lt": lambda value, bound: value < bound,
    "lte": lambda value, bound: value <= bound,
}


@dataclass(frozen=True, slots=True)
class Listed:
    """
    What a list is like: its path, what it can be filtered by, how it is sorted by default, and how long pages are.

    *fields* are parsed as dates, numbers or text by their kind: "date", "number" or "text".
    """

    path: str
    fields: Mapping[str, str]
    sort: str
    order: str = "desc"
    limit: int = 10
    limit_max: int = 1000
    has_count: bool = False


def list_page(
    listed: Listed, params: Mapping[str, str], rows: Callable[[Mapping[str, str]], list[Row]], links: Links
) -> Row:
    """
    A page of the list.

    Args:
        rows: Gives all rows for the parameters, whichever of them are filters of its own.

    Raises:
        Refusal: 400, a parameter cannot be.
    """
    asked = {name: value for name, value in params.items() if name != "apiKey"}
    if "cursor" in asked:
        asked = cursor_params(asked["cursor"])
    limit = whole_number(asked, "limit", listed.limit, listed.limit_max)
    first = _offset(asked)
    found = _sorted(_filtered(rows(asked), listed, asked), listed, asked)
    page: Row = {"results": found[first : first + limit], "status": "OK", "request_id": request_id()}
    if listed.has_count:
        page["count"] = len(page["results"])
    if first + limit < len(found):
        page["next_url"] = links.url(listed.path, {**asked, "offset": str(first + limit)})
    return page


def _offset(asked: Mapping[str, str]) -> int:
    text = asked.get("offset", "0")
    if not (text.isascii() and text.isdigit()):
        raise bad(BAD_CURSOR)
    return int(text)


def _filtered(rows: Sequence[Row], listed: Listed, params: Mapping[str, str]) -> list[Row]:
    found = list(rows)
    for name, text in params.items():
        field, _, how = name.partition(".")
        kind = listed.fields.get(field)
        if kind is None or not text:
            continue
        if how == "any_of":
            allowed = {_value(part, kind, name) for part in text.split(",")}
            found = [row for row in found if row.get(field) in allowed]
            continue
        bound = _value(text, kind, name)
        holds = _COMPARE.get(how) if how else _same
        if holds is None:
            raise bad(f"The '{name}' parameter is unknown")
        found = [row for row in found if field in row and holds(row[field], bound)]
    return found


def _same(value: Any, bound: Any) -> bool:
    return bool(value == bound)


def _value(text: str, kind: str, name: str) -> Any:
    if kind == "date":
        return day_of(text, name).isoformat()
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            raise bad(f"The '{name}' parameter must be a number") from None
    return text


def _sorted(rows: list[Row], listed: Listed, params: Mapping[str, str]) -> list[Row]:
    field, _, order = (params.get("sort") or listed.sort).partition(".")
    order = order or params.get("order") or listed.order
    if field not in listed.fields or order not in {"asc", "desc"}:
        raise bad(f"The list cannot be sorted by '{field}' '{order}'")
    return sorted(rows, key=lambda row: (row[field], row["ticker"]), reverse=order == "desc")

"""
How Massive writes its pages and its errors, for faults to spoil.
"""

from collections.abc import Mapping
from typing import Any

from barfill.simulate.json_text import encode_json
from barfill.simulate.massive.links import BAD_CURSOR, Links
from barfill.simulate.massive.queries import MassiveQuery
from barfill.simulate.massive.refusals import TOO_MANY, UNKNOWN_KEY, error, not_found
from barfill.simulate.massive.windows import MILLISECOND_NS, window_end_ns, window_start_ns
from barfill.simulate.massive.wire import encode_page, page_document
from barfill.simulate.queries import BarsQuery, Page, Position
from barfill.simulate.vendor import Asked, Document


class MassiveDialect:
    """Pages are ``results``, with ``T`` in each row where they are of several tickers, and ``next_url``."""

    name = "massive"
    rows_key = "results"
    empty_body = b'{"results":[]}'
    exhausted: Mapping[str, str] = {}
    reset_header = "X-RateLimit-Reset"
    limit_headers: tuple[str, ...] = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

    def __init__(self, links: Links) -> None:
        self._links = links

    def document(self, query: BarsQuery, page: Page) -> Document:
        return page_document(_own(query), page, self._next_url(query, page))

    def encode(self, query: BarsQuery, page: Page) -> bytes:
        return encode_page(_own(query), page, self._next_url(query, page))

    def written(self, query: BarsQuery, document: Document) -> bytes:
        return encode_json(document)

    def groups(self, document: Document) -> dict[str, list[dict[str, Any]]]:
        rows = document.get("results")
        if not isinstance(rows, list):
            return {}
        found: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            found.setdefault(row.get("T", document.get("ticker", "")), []).append(row)
        return found

    def with_rows(self, document: Document, symbol: str, rows: Any) -> Document:
        if not isinstance(rows, list):
            return {**document, "results": rows}
        before = self.groups(document)
        # A symbol that is not there yet comes first.
        parts = {**before, symbol: rows} if symbol in before else {symbol: rows, **before}
        return _counted({**document, "results": [row for part in parts.values() for row in part]})

    def emptied(self, document: Document, symbol: str | None = None) -> Document:
        kept = [row for name, rows in self.groups(document).items() if symbol not in {None, name} for row in rows]
        rest = {name: value for name, value in document.items() if name != "results"}
        return _counted({**rest, "results": kept} if kept else rest)

    def renamed(self, document: Document, symbol: str, other: str) -> Document:
        for row in self.groups(document)[symbol]:
            if "T" in row:
                row["T"] = other
        return {**document, "ticker": other} if "ticker" in document else document

    def with_count(self, document: Document, count: int) -> Document:
        return {**document, "resultsCount": count, "count": count}

    def with_basis(self, document: Document, query: BarsQuery, *, told: bool) -> Document:
        return document if told else {**document, "adjusted": query.is_split_adjusted}

    def next_of(self, document: Document) -> str | None:
        return document.get("next_url")

    def with_next(self, document: Document, text: str | None) -> Document:
        rest = {name: value for name, value in document.items() if name != "next_url"}
        return rest if text is None else {**rest, "next_url": text}

    def next_after(self, query: BarsQuery, position: Position, serial: int | None = None) -> str:
        own = _own(query)
        first, last = own.bounds
        if own.is_descending:
            last = str(window_start_ns(position.ts_ns, own.timeframe, own.windows) // MILLISECOND_NS - 1)
        else:
            first = str(window_end_ns(position.ts_ns, own.timeframe, own.windows) // MILLISECOND_NS)
        params = {
            "adjusted": str(own.is_split_adjusted).lower(),
            "limit": str(own.limit),
            "sort": "desc" if own.is_descending else "asc",
        }
        if serial is not None:
            params["serial"] = str(serial)
        return self._links.url(f"{own.path}/{first}/{last}", params)

    def came_by(self, asked: Asked) -> str | None:
        cursor = asked.params.get("cursor")
        return self._links.url_by(asked.path, cursor) if cursor else None

    def chain_of(self, query: BarsQuery) -> str:
        """Pages move one bound, in the path; the other one stays."""
        own = _own(query)
        staying = own.start_ns if own.is_descending else own.end_ns
        return repr((own.path, own.symbols, staying, own.is_descending, own.is_split_adjusted, own.limit))

    def stamp(self, at_ns: int) -> int:
        return at_ns // MILLISECOND_NS

    def instant_ns(self, stamp: Any) -> int:
        return int(stamp) * MILLISECOND_NS

    def too_many(self, endpoint: str, until_s: float) -> Document:
        return error(TOO_MANY)

    def broken(self) -> Document:
        return error("internal server error")

    def rejected(self, status: int) -> Document:
        return error(UNKNOWN_KEY)

    def not_found(self, endpoint: str, name: str) -> Document:
        return not_found()

    def stale_next(self) -> Document:
        return error(BAD_CURSOR)

    def _next_url(self, query: BarsQuery, page: Page) -> str | None:
        return None if page.next is None else self.next_after(query, page.next)


def _counted(document: Document) -> Document:
    count = len(document.get("results", ()))
    return {**document, "resultsCount": count, "count": count}


def _own(query: BarsQuery) -> MassiveQuery:
    assert isinstance(query, MassiveQuery)
    return query

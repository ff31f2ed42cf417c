"""
How Alpaca writes its pages and its errors, for faults to spoil.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from barfill.simulate.alpaca.queries import AlpacaQuery, instant_ns
from barfill.simulate.alpaca.tokens import make_token
from barfill.simulate.alpaca.wire import encode_page, page_document, stamp
from barfill.simulate.json_text import encode_json
from barfill.simulate.queries import BarsQuery, Page, Position
from barfill.simulate.vendor import Asked, Document

DATA_ENDPOINTS = frozenset({"bars", "symbol_bars", "crypto_bars"})
_FORBIDDEN = 403


class AlpacaDialect:
    """Pages are ``bars`` (a list, or lists by symbol) and ``next_page_token``."""

    name = "alpaca"
    rows_key = "bars"
    empty_body = b'{"bars":{}}'
    exhausted: Mapping[str, str] = {"X-RateLimit-Remaining": "0"}
    reset_header = "X-RateLimit-Reset"
    limit_headers: tuple[str, ...] = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")

    def document(self, query: BarsQuery, page: Page) -> Document:
        return page_document(_own(query), page)

    def encode(self, query: BarsQuery, page: Page) -> bytes:
        return encode_page(_own(query), page)

    def written(self, query: BarsQuery, document: Document) -> bytes:
        return encode_json(document)

    def groups(self, document: Document) -> dict[str, list[dict[str, Any]]]:
        bars = document.get("bars")
        if isinstance(bars, list):
            return {document.get("symbol", ""): bars}
        if isinstance(bars, dict):
            return {symbol: rows for symbol, rows in bars.items() if isinstance(rows, list)}
        return {}

    def with_rows(self, document: Document, symbol: str, rows: Any) -> Document:
        if isinstance(document.get("bars"), list):
            return {**document, "bars": rows}
        bars = document["bars"]
        # A symbol that is not there yet comes first.
        return {**document, "bars": {**bars, symbol: rows} if symbol in bars else {symbol: rows, **bars}}

    def emptied(self, document: Document, symbol: str | None = None) -> Document:
        if isinstance(document["bars"], list):
            return {**document, "bars": []}
        kept = {} if symbol is None else {name: rows for name, rows in document["bars"].items() if name != symbol}
        return {**document, "bars": kept}

    def renamed(self, document: Document, symbol: str, other: str) -> Document:
        if isinstance(document["bars"], list):
            return {**document, "symbol": other}
        return {
            **document,
            "bars": {other if name == symbol else name: rows for name, rows in document["bars"].items()},
        }

    def with_count(self, document: Document, count: int) -> Document:
        """The vendor declares none: an extra field."""
        return {**document, "count": count}

    def with_basis(self, document: Document, query: BarsQuery, *, told: bool) -> Document:
        return {**document, "adjustment": "raw" if query.is_split_adjusted else "split"} if told else document

    def next_of(self, document: Document) -> str | None:
        return document.get("next_page_token")

    def with_next(self, document: Document, text: str | None) -> Document:
        return {**document, "next_page_token": text}

    def next_after(self, query: BarsQuery, position: Position, serial: int | None = None) -> str:
        return make_token(position, query.timeframe, is_descending=query.is_descending, serial=serial)

    def came_by(self, asked: Asked) -> str | None:
        return asked.params.get("page_token") or None

    def chain_of(self, query: BarsQuery) -> str:
        return repr(replace(query, after=None))

    def stamp(self, at_ns: int) -> str:
        return stamp(at_ns)

    def instant_ns(self, stamp: Any) -> int:
        return instant_ns(stamp)

    def too_many(self, endpoint: str, until_s: float) -> Document:
        """The two hosts word it differently."""
        if endpoint in DATA_ENDPOINTS:
            return {"message": "too many requests."}
        return {"code": 42910000, "message": "rate limit exceeded"}

    def broken(self) -> Document:
        return {"message": "internal server error occurred"}

    def rejected(self, status: int) -> Document:
        return {"message": "forbidden." if status == _FORBIDDEN else "unauthorized."}

    def not_found(self, endpoint: str, name: str) -> Document:
        if endpoint in DATA_ENDPOINTS:
            return {"message": "Not Found"}
        return {"code": 40410000, "message": f"asset not found for {name}"}

    def stale_next(self) -> Document:
        return {"message": "invalid page_token"}


def _own(query: BarsQuery) -> AlpacaQuery:
    assert isinstance(query, AlpacaQuery)
    return query

"""
What the dialects of vendors have in common that answer one symbol at a time, and all of it at once.

A document is ``{"symbol": ..., rows_key: rows}`` with stamps that are numbers; nothing leads on, and no answer names
its symbol.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.sessions import SECOND_NS
from barfill.simulate.queries import BarsQuery, Page, Position
from barfill.simulate.vendor import Asked, Document

#: The market's columns by the field of a row that they are.
_COLUMNS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trades", "vw": "vwap"}


class PagelessDialect:
    """All of a dialect but what its documents look like on the wire, and what it says when it refuses."""

    rows_key = "rows"
    #: Nanoseconds in the unit of the stamps.
    unit_ns = SECOND_NS

    @abstractmethod
    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        """The fields of a row, beside its stamp, that the vendor sends."""

    @abstractmethod
    def written(self, query: BarsQuery, document: Document) -> bytes: ...

    def document(self, query: BarsQuery, page: Page) -> Document:
        fields = self.fields(query)
        rows: list[dict[str, Any]] = []
        for _, bars in page.bars:
            columns = (bars.ts // self.unit_ns, *(self.column(bars, name) for name in fields))
            listed = zip(*(column.tolist() for column in columns), strict=True)
            rows += [dict(zip(("t", *fields), values, strict=True)) for values in listed]
        return {"symbol": query.symbols[0], self.rows_key: rows}

    def column(self, bars: Bars, name: str) -> NDArray[Any]:
        """The values of a field as the vendor counts it."""
        column: NDArray[Any] = getattr(bars, _COLUMNS[name])
        return column

    def encode(self, query: BarsQuery, page: Page) -> bytes:
        return self.written(query, self.document(query, page))

    def extras(self, document: Document) -> Mapping[str, Any]:
        """What faults have put beside the rows."""
        return {name: value for name, value in document.items() if name not in {"symbol", self.rows_key}}

    def groups(self, document: Document) -> dict[str, list[dict[str, Any]]]:
        rows = document.get(self.rows_key)
        return {document["symbol"]: rows} if isinstance(rows, list) and rows else {}

    def with_rows(self, document: Document, symbol: str, rows: Any) -> Document:
        return {**document, self.rows_key: rows}

    def emptied(self, document: Document, symbol: str | None = None) -> Document:
        return {**document, self.rows_key: []} if symbol in {None, document["symbol"]} else document

    def renamed(self, document: Document, symbol: str, other: str) -> Document:
        """No answer names its symbol."""
        return document

    def with_count(self, document: Document, count: int) -> Document:
        """None is declared: an extra field."""
        return {**document, "count": count}

    def with_basis(self, document: Document, query: BarsQuery, *, told: bool) -> Document:
        return {**document, "adjusted": not query.is_split_adjusted} if told else document

    def next_of(self, document: Document) -> str | None:
        """Nothing leads on."""
        return None

    def with_next(self, document: Document, text: str | None) -> Document:
        return document

    def next_after(self, query: BarsQuery, position: Position, serial: int | None = None) -> str:
        return ""

    def came_by(self, asked: Asked) -> str | None:
        return None

    def chain_of(self, query: BarsQuery) -> str:
        return repr(query)

    def stale_next(self) -> Document:
        return {}

    def stamp(self, at_ns: int) -> int:
        return at_ns // self.unit_ns

    def instant_ns(self, stamp: Any) -> int:
        return int(stamp) * self.unit_ns

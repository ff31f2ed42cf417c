"""
What the dialects of crypto venues have in common.

The faults know rows by the keys t o h l c v n vw, those that the venue sends; each venue's *wire* makes arrays of them.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from barfill.simulate.json_text import encode_json
from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto_minutes import LOTS_PER_COIN
from barfill.simulate.pageless import PagelessDialect
from barfill.simulate.queries import BarsQuery
from barfill.simulate.vendor import Document

Row = dict[str, Any]
PRICES = ("o", "h", "l", "c")


class CryptoDialect(PagelessDialect):
    """Rows are arrays, volumes coins. A venue adds its name, its rows and its errors; it knows no keys to reject."""

    empty_body = b"[]"
    exhausted: Mapping[str, str] = {}
    reset_header = ""
    limit_headers: tuple[str, ...] = ()

    def column(self, bars: Bars, name: str) -> NDArray[Any]:
        column = super().column(bars, name)
        return column / LOTS_PER_COIN if name == "v" else column

    def written(self, query: BarsQuery, document: Document) -> bytes:
        return encode_json(self.wire(document))

    def wire(self, document: Document) -> Any:
        """The rows as the venue sends them; what is no list of rows (a fault has been there) goes out as it is."""
        rows = document.get("rows", {})
        if isinstance(rows, list):
            return [self.wire_row(row, document) for row in rows]
        return self.wire_row(rows, document) if isinstance(rows, dict) and rows else rows

    @abstractmethod
    def wire_row(self, row: Row, document: Document) -> list[Any]: ...

    def rejected(self, status: int) -> Document:
        """Nobody has a key."""
        return {}


def decimal(value: Any, decimals: int) -> Any:
    """A number as text with so many decimals; what is none (a fault has been there) stays as it is."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:.{decimals}f}" if is_number else value


def decimals_in(row: Row, names: tuple[str, ...], decimals: int) -> Row:
    """Those fields of *names* that the row has, as text."""
    return {name: decimal(row[name], decimals) for name in names if name in row}


def in_order(row: Row, names: tuple[str, ...]) -> list[Any]:
    """The values of *names* that the row has; a field that a fault has added comes last."""
    return [row[name] for name in (*names, "x") if name in row]

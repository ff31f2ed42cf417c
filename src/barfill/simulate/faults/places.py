"""
Finding the rows of a page document that a fault is to spoil.
"""

from typing import Any

from barfill.simulate.faults.catalogue import Document, Occasion

Row = dict[str, Any]
PRICES = ("o", "h", "l", "c")


def groups(document: Document) -> dict[str, list[Row]]:
    """The rows by symbol, of either form of page; nothing where an earlier fault left no such rows."""
    bars = document.get("bars")
    if isinstance(bars, list):
        return {document.get("symbol", ""): bars}
    if isinstance(bars, dict):
        return {symbol: rows for symbol, rows in bars.items() if isinstance(rows, list)}
    return {}


def chosen(occasion: Occasion, document: Document) -> dict[str, list[Row]]:
    """The rows of the symbol that the match names, else of all symbols."""
    found = groups(document)
    if occasion.symbol is None:
        return found
    return {symbol: rows for symbol, rows in found.items() if symbol == occasion.symbol}


def target(occasion: Occasion, document: Document) -> tuple[str, list[Row]] | None:
    """
    The symbol to spoil and its rows: the one that the match names, else the first of the page.

    Where the page has no such rows the firing does not count, so that ``times: 1`` waits for them.
    """
    found = groups(document)
    symbol = occasion.symbol or next(iter(found), None)
    if symbol is None or not found.get(symbol):
        occasion.decline()
        return None
    return symbol, found[symbol]


def target_row(occasion: Occasion, document: Document) -> Row | None:
    """The row number ``args.row`` (from 0, negative from the end) of *target*; a shorter page does not count."""
    found = target(occasion, document)
    if found is None:
        return None
    rows, number = found[1], int(occasion.args.get("row", 0))
    if not -len(rows) <= number < len(rows):
        occasion.decline()
        return None
    return rows[number]


def replace_rows(document: Document, symbol: str, rows: list[Row]) -> Document:
    """The document with other rows for *symbol*."""
    if isinstance(document.get("bars"), list):
        return {**document, "bars": rows}
    return {**document, "bars": {**document["bars"], symbol: rows}}

"""
Finding the rows of a page document that a fault is to spoil.
"""

from datetime import datetime
from typing import Any

from barfill.simulate.faults.catalogue import Occasion
from barfill.simulate.market.sessions import to_ns
from barfill.simulate.vendor import Document

Row = dict[str, Any]
PRICES = ("o", "h", "l", "c")


def groups(occasion: Occasion, document: Document) -> dict[str, list[Row]]:
    """The rows by symbol; nothing where an earlier fault left no such rows."""
    return occasion.dialect.groups(document)


def chosen(occasion: Occasion, document: Document) -> dict[str, list[Row]]:
    """The rows of the symbol that the match names, else of all symbols."""
    found = groups(occasion, document)
    if occasion.symbol is None:
        return found
    return {symbol: rows for symbol, rows in found.items() if symbol == occasion.symbol}


def target(occasion: Occasion, document: Document) -> tuple[str, list[Row]] | None:
    """
    The symbol to spoil and its rows: the one that the match names, else the first of the page.

    Where the page has no such rows the firing does not count, so that ``times: 1`` waits for them.
    """
    found = groups(occasion, document)
    symbol = occasion.symbol or next(iter(found), None)
    if symbol is None or not found.get(symbol):
        occasion.decline()
        return None
    return symbol, found[symbol]


def target_row(occasion: Occasion, document: Document) -> Row | None:
    """
    The row number ``args.row`` (from 0, negative from the end) of *target*, or the one stamped ``args.at``; a page
    without it does not count.
    """
    found = target(occasion, document)
    if found is None:
        return None
    rows, number = found[1], int(occasion.args.get("row", 0))
    if occasion.args.get("at"):
        at_ns = to_ns(datetime.fromisoformat(occasion.args["at"]))
        number = next(
            (place for place, row in enumerate(rows) if occasion.dialect.instant_ns(row["t"]) == at_ns), len(rows)
        )
    if not -len(rows) <= number < len(rows):
        occasion.decline()
        return None
    return rows[number]

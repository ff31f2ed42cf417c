"""
Faults of paging: short and empty pages, loops, repeated rows, no progress.
"""

from dataclasses import replace
from typing import Any

from barfill.simulate.faults.catalogue import Arg, Document, Occasion, fault
from barfill.simulate.faults.places import groups
from barfill.simulate.queries import BarsQuery, instant_ns
from barfill.simulate.tokens import Position, make_token
from barfill.simulate.wire import page_document


@fault(
    "H20",
    "page",
    "a short page with a token, an empty page with a token (n in a row: times n), or a last page with a token",
    form=Arg("short", "which", ("short", "empty", "full_last")),
    rows=Arg(7, "rows of the short page"),
)
def odd_page(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    if occasion.args["form"] == "short":
        return page_document(occasion.lab.page(replace(query, limit=min(query.limit, occasion.args["rows"]))))
    if occasion.args["form"] == "empty":
        return _emptied(document, _token_here(query, occasion.count))
    if document.get("next_page_token") is not None or not groups(document):
        occasion.decline()
        return document
    return {**document, "next_page_token": _token_after(query, document)}


@fault(
    "H21",
    "page",
    "tokens that never end: A leads to A; A and B lead to each other; ever new tokens lead to the same page",
    form=Arg("AA", "which", ("AA", "ABAB", "distinct")),
    count=Arg(10_000, "how many distinct tokens until the chain ends"),
)
def token_loop(occasion: Occasion, document: Document) -> Document:
    query, came = occasion.bars_query, occasion.params.get("page_token")
    if occasion.args["form"] == "distinct":
        if occasion.count > occasion.args["count"]:
            return {**document, "next_page_token": None}
        return {**document, "next_page_token": _token_here(query, occasion.count)}
    natural = document.get("next_page_token") or _token_after(query, document)
    first = occasion.state.setdefault(_chain(query), came or natural)
    if came is None:
        return {**document, "next_page_token": natural}
    is_back = occasion.args["form"] == "AA" or came != first
    return {**document, "next_page_token": first if is_back else natural}


@fault(
    "H22",
    "page",
    "the last row of the page before is repeated as the first of this one (pages after the first only)",
    form=Arg("equal", "the same values or another close", ("equal", "different")),
    by=Arg(0.01, "by how much the close differs"),
)
def repeated_boundary(occasion: Occasion, document: Document) -> Document:
    boundary = _boundary(occasion)
    if boundary is None:
        occasion.decline()
        return document
    symbol, row = boundary
    if occasion.args["form"] == "different":
        row["c"] = round(row["c"] + occasion.args["by"], 6)
        row["h"] = max(row["h"], row["c"])
    if isinstance(document["bars"], list):
        return {**document, "bars": [row, *document["bars"]]}
    rest = {name: rows for name, rows in document["bars"].items() if name != symbol}
    return {**document, "bars": {symbol: [row, *document["bars"].get(symbol, [])], **rest}}


@fault("H23", "page", "no progress: pages after the first hold only the row before them, and a token to the same place")
def no_progress(occasion: Occasion, document: Document) -> Document:
    boundary = _boundary(occasion)
    if boundary is None:
        occasion.decline()
        return document
    symbol, row = boundary
    bars = [row] if isinstance(document["bars"], list) else {symbol: [row]}
    return {**document, "bars": bars, "next_page_token": _token_here(occasion.bars_query, occasion.count)}


def _emptied(document: Document, token: str | None) -> Document:
    return {**document, "bars": [] if isinstance(document["bars"], list) else {}, "next_page_token": token}


def _token_here(query: BarsQuery, serial: int) -> str:
    """Another text for the place where *query* stands: what follows it is the same page."""
    before = query.end_ns + 1 if query.is_descending else query.start_ns - 1
    position = query.after or Position(query.symbols[0], before)
    return make_token(position, query.timeframe, is_descending=query.is_descending, serial=serial)


def _token_after(query: BarsQuery, document: Document) -> str:
    """The token of the place after the last row of *document*, or of the same place where it has none."""
    found = groups(document)
    last = _end(query, found)
    if last is None:
        return _token_here(query, 0)
    return make_token(last, query.timeframe, is_descending=query.is_descending)


def _end(query: BarsQuery, found: dict[str, list[dict[str, Any]]]) -> Position | None:
    """The place of the last row."""
    symbols = [symbol for symbol, rows in found.items() if rows]
    if not symbols:
        return None
    rows = found[symbols[-1]]
    return Position(symbols[-1], instant_ns(str(rows[-1]["t"])))


def _chain(query: BarsQuery) -> str:
    return repr(replace(query, after=None))


def _boundary(occasion: Occasion) -> tuple[str, dict[str, Any]] | None:
    """The last row of the page before, by the token that came."""
    query = occasion.bars_query
    if query.after is None:
        return None
    step = 1 if query.is_descending else -1
    before = replace(query, limit=1, after=Position(query.after.symbol, query.after.ts_ns + step))
    found = groups(page_document(occasion.lab.page(before)))
    for symbol, rows in found.items():
        return symbol, rows[0]
    return None

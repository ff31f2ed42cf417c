"""
Faults of the page as a whole: empty, misshapen, wrong symbol, wrong range, wrong variant, wrong order.
"""

from dataclasses import replace
from typing import Any

from barfill.simulate.faults.catalogue import Arg, Document, Occasion, fault
from barfill.simulate.faults.places import chosen, groups, replace_rows, target, target_row
from barfill.simulate.queries import instant_ns
from barfill.simulate.sessions import HOUR_NS
from barfill.simulate.wire import page_document, stamp

_YEAR_NS = 364 * 24 * HOUR_NS


@fault(
    "H11",
    "page",
    "200, valid, no rows, though there are some: of one symbol if the match names one, else of all",
    keep_token=Arg(False, "the page's token stays (else null)"),
)
def false_empty(occasion: Occasion, document: Document) -> Document:
    if occasion.symbol is not None and isinstance(document["bars"], dict):
        bars: Any = {symbol: rows for symbol, rows in document["bars"].items() if symbol != occasion.symbol}
        return {**document, "bars": bars}
    token = document["next_page_token"] if occasion.args["keep_token"] else None
    return {**document, "bars": [] if isinstance(document["bars"], list) else {}, "next_page_token": token}


@fault(
    "H12",
    "page",
    "bars is null, absent, the text null, or a symbol's rows are one object instead of a list",
    form=Arg("null", "which", ("null", "absent", "object", "text")),
)
def misshapen(occasion: Occasion, document: Document) -> Document:
    form = occasion.args["form"]
    if form == "absent":
        return {name: value for name, value in document.items() if name != "bars"}
    if form == "object":
        found = target(occasion, document)
        return document if found is None else replace_rows(document, found[0], found[1][0])  # type: ignore[arg-type]
    return {**document, "bars": None if form == "null" else "null"}


@fault(
    "H13",
    "page",
    "a field count that differs from the rows (the vendor declares none: an extra field)",
    delta=Arg(1, "declared minus sent"),
)
def wrong_count(occasion: Occasion, document: Document) -> Document:
    return {**document, "count": sum(map(len, groups(document).values())) + occasion.args["delta"]}


@fault(
    "H27",
    "page",
    "rows of another symbol: the first symbol under another name, or its rows under every name",
    form=Arg("renamed", "which", ("renamed", "same_rows")),
    symbol=Arg("ZVZZT", "the other name"),
)
def wrong_symbol(occasion: Occasion, document: Document) -> Document:
    found = target(occasion, document)
    if found is None:
        return document
    symbol, rows = found
    if isinstance(document["bars"], list):
        return {**document, "symbol": occasion.args["symbol"]}
    if occasion.args["form"] == "same_rows":
        return {**document, "bars": dict.fromkeys(document["bars"], rows)}
    bars = {occasion.args["symbol"] if name == symbol else name: kept for name, kept in document["bars"].items()}
    return {**document, "bars": bars}


@fault(
    "H28",
    "page",
    "rows of other years, on the same weekdays",
    years=Arg(3, "how far back"),
    rows=Arg(0, "how many of each symbol; 0 is all"),
)
def wrong_range(occasion: Occasion, document: Document) -> Document:
    back_ns = int(occasion.args["years"] * _YEAR_NS)
    for rows in chosen(occasion, document).values():
        for row in rows[: occasion.args["rows"] or None]:
            row["t"] = stamp(instant_ns(row["t"]) - back_ns)
    return document


@fault(
    "H29",
    "page",
    "another variant than asked: currency EUR, the other feed's bars, the other basis (raw or split) of adjustment",
    form=Arg("currency", "which", ("currency", "feed", "basis")),
    told=Arg(True, "a field of the page names it (currency, feed, adjustment)"),
)
def wrong_variant(occasion: Occasion, document: Document) -> Document:
    query, form, told = occasion.bars_query, occasion.args["form"], occasion.args["told"]
    if form == "currency":
        return {**document, "currency": "EUR"} if told else document
    if form == "feed":
        other = "iex" if query.feed == "sip" else "sip"
        page = page_document(occasion.lab.page(replace(query, feed=other)))
        return {**page, "feed": other} if told else page
    page = page_document(occasion.lab.page(replace(query, is_split_adjusted=not query.is_split_adjusted)))
    return {**page, "adjustment": "raw" if query.is_split_adjusted else "split"} if told else page


@fault(
    "H30",
    "page",
    "the schema is broken in one row: field missing, renamed, a text for a number, an unknown extra field; "
    "or a symbol's rows come as columns of unequal length",
    form=Arg("missing", "which", ("missing", "renamed", "text", "extra", "lengths")),
    field=Arg("c", "which field"),
    row=Arg(0, "which row"),
)
def wrong_schema(occasion: Occasion, document: Document) -> Document:
    form, field = occasion.args["form"], occasion.args["field"]
    row = target_row(occasion, document)
    if row is None:
        return document
    if form == "lengths":
        symbol, rows = next((symbol, rows) for symbol, rows in groups(document).items() if row in rows)
        columns = {name: [each[name] for each in rows] for name in row}
        columns[field] = columns[field][:-1]
        return replace_rows(document, symbol, columns)  # type: ignore[arg-type]
    if form == "extra":
        row["x"] = "unknown"
        return document
    value = row.pop(field)
    if form == "renamed":
        row[f"{field}_"] = value
    elif form == "text":
        row[field] = str(value)
    return document


@fault("H32", "page", "rows in another order than asked", form=Arg("descending", "which", ("descending", "unsorted")))
def wrong_order(occasion: Occasion, document: Document) -> Document:
    for rows in chosen(occasion, document).values():
        if occasion.args["form"] == "descending":
            rows.reverse()
        else:
            occasion.rng.shuffle(rows)
    return document


@fault(
    "H33",
    "page",
    "the first answer to a request is wrong in one row, the same request is right later",
    field=Arg("c", "which field"),
    factor=Arg(1.001, "wrong value / right value"),
    row=Arg(0, "which row"),
)
def wrong_at_first(occasion: Occasion, document: Document) -> Document:
    seen: set[str] = occasion.state.setdefault("seen", set())
    asked = repr(occasion.bars_query)
    if asked in seen:
        occasion.decline()
        return document
    row = target_row(occasion, document)
    if row is not None:
        seen.add(asked)
        row[occasion.args["field"]] = round(row[occasion.args["field"]] * occasion.args["factor"], 6)
    return document

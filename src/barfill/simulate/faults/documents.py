"""
Faults of the page as a whole: empty, misshapen, wrong symbol, wrong range, wrong variant, wrong order.
"""

from dataclasses import replace

from barfill.simulate.faults.catalogue import PAGING, STOCK_VENDORS, Arg, Occasion, fault
from barfill.simulate.faults.places import chosen, groups, target, target_row
from barfill.simulate.market.sessions import HOUR_NS
from barfill.simulate.vendor import Document

_YEAR_NS = 364 * 24 * HOUR_NS


@fault(
    "H11",
    "page",
    "200, valid, no rows, though there are some: of one symbol if the match names one, else of all",
    keep_token=Arg(False, "the page's token stays (else null)"),
)
def false_empty(occasion: Occasion, document: Document) -> Document:
    dialect = occasion.dialect
    emptied = dialect.emptied(document, occasion.symbol)
    # A page that has rows of several symbols goes on as it would.
    is_of_many = occasion.symbol is not None and isinstance(document[dialect.rows_key], dict)
    return emptied if is_of_many or occasion.args["keep_token"] else dialect.with_next(emptied, None)


@fault(
    "H12",
    "page",
    "bars (results, series, arrays) is null, absent, the text null, or the rows are one object instead of a list",
    form=Arg("null", "which", ("null", "absent", "object", "text")),
)
def misshapen(occasion: Occasion, document: Document) -> Document:
    form, key = occasion.args["form"], occasion.dialect.rows_key
    if form == "absent":
        return {name: value for name, value in document.items() if name != key}
    if form == "object":
        found = target(occasion, document)
        return document if found is None else occasion.dialect.with_rows(document, found[0], found[1][0])
    return {**document, key: None if form == "null" else "null"}


@fault(
    "H13",
    "page",
    "a declared count that differs from the rows (Alpaca declares none: an extra field count)",
    vendors=PAGING,
    delta=Arg(1, "declared minus sent"),
)
def wrong_count(occasion: Occasion, document: Document) -> Document:
    count = sum(map(len, groups(occasion, document).values())) + occasion.args["delta"]
    return occasion.dialect.with_count(document, count)


@fault(
    "H27",
    "page",
    "rows of another symbol: the first symbol under another name, or its rows under every name",
    vendors=(*PAGING, "kraken"),
    form=Arg("renamed", "which", ("renamed", "same_rows")),
    symbol=Arg("ZVZZT", "the other name"),
)
def wrong_symbol(occasion: Occasion, document: Document) -> Document:
    found = target(occasion, document)
    if found is None:
        return document
    symbol, rows = found
    others = [name for name in groups(occasion, document) if name != symbol]
    if occasion.args["form"] == "renamed" or not others:
        return occasion.dialect.renamed(document, symbol, occasion.args["symbol"])
    for name in others:
        document = occasion.dialect.with_rows(document, name, rows)
    return document


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
            row["t"] = occasion.dialect.stamp(occasion.dialect.instant_ns(row["t"]) - back_ns)
    return document


@fault(
    "H29",
    "page",
    "another variant than asked: currency EUR, the other feed's bars, the other basis (raw or split) of adjustment",
    vendors=STOCK_VENDORS,
    form=Arg("currency", "which", ("currency", "feed", "basis")),
    told=Arg(True, "a field of the page names it (currency, feed, adjustment)"),
)
def wrong_variant(occasion: Occasion, document: Document) -> Document:
    query, form, told = occasion.bars_query, occasion.args["form"], occasion.args["told"]
    if form == "currency":
        return {**document, "currency": "EUR"} if told else document
    if form == "feed" and query.feed not in {"sip", "iex"}:
        # Crypto has no other feed.
        occasion.decline()
        return document
    if form == "feed":
        other = "iex" if query.feed == "sip" else "sip"
        page = occasion.document_of(replace(query, feed=other))
        return {**page, "feed": other} if told else page
    page = occasion.document_of(replace(query, is_split_adjusted=not query.is_split_adjusted))
    return occasion.dialect.with_basis(page, query, told=told)


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
        symbol, rows = next((symbol, rows) for symbol, rows in groups(occasion, document).items() if row in rows)
        columns = {name: [each[name] for each in rows] for name in row}
        columns[field] = columns[field][:-1]
        return occasion.dialect.with_rows(document, symbol, columns)
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
    for symbol, rows in chosen(occasion, document).items():
        others = rows[::-1] if occasion.args["form"] == "descending" else occasion.rng.sample(rows, len(rows))
        document = occasion.dialect.with_rows(document, symbol, others)
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

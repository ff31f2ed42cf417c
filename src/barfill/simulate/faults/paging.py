"""
Faults of paging: short and empty pages, loops, repeated rows, no progress, pages that lead elsewhere.
"""

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from barfill.simulate.faults.catalogue import CRYPTO_VENUES, PAGING, Arg, Occasion, fault
from barfill.simulate.faults.places import groups
from barfill.simulate.market.sessions import HOUR_NS
from barfill.simulate.queries import Position
from barfill.simulate.vendor import Document

_MONTH_NS = 31 * 24 * HOUR_NS
_FARTHEST_NS = 2**62
"""A stamp beyond it was spoiled by another fault, and no page begins there."""


@fault(
    "H19",
    "page",
    "rows are capped in silence: only the first or the last of a page, and nothing leads on",
    vendors=("massive", "tradier", "finnhub", *CRYPTO_VENUES),
    form=Arg("first", "which are left", ("first", "last")),
    rows=Arg(720, "how many of each symbol"),
)
def capped(occasion: Occasion, document: Document) -> Document:
    count, is_first = max(1, occasion.args["rows"]), occasion.args["form"] == "first"
    found = groups(occasion, document)
    if all(len(rows) <= count for rows in found.values()):
        occasion.decline()
        return document
    for symbol, rows in found.items():
        document = occasion.dialect.with_rows(document, symbol, rows[:count] if is_first else rows[-count:])
    return occasion.dialect.with_next(document, None)


@fault(
    "H20",
    "page",
    "a short page with a token, an empty page with a token (n in a row: times n), or a last page with a token",
    vendors=PAGING,
    form=Arg("short", "which", ("short", "empty", "full_last")),
    rows=Arg(7, "rows of the short page"),
)
def odd_page(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    if occasion.args["form"] == "short":
        return occasion.document_of(replace(query, limit=min(query.limit, occasion.args["rows"])))
    if occasion.args["form"] == "empty":
        return _emptied(occasion, document)
    if occasion.dialect.next_of(document) is not None or not groups(occasion, document):
        occasion.decline()
        return document
    return occasion.dialect.with_next(document, _next_after(occasion, document))


@fault(
    "H21",
    "page",
    "tokens that never end: A leads to A; A and B lead to each other; ever new tokens lead to the same page",
    vendors=PAGING,
    form=Arg("AA", "which", ("AA", "ABAB", "distinct")),
    count=Arg(10_000, "how many distinct tokens until the chain ends"),
)
def token_loop(occasion: Occasion, document: Document) -> Document:
    dialect, came = occasion.dialect, occasion.dialect.came_by(occasion.asked)
    if occasion.args["form"] == "distinct":
        is_over = occasion.count > occasion.args["count"]
        return dialect.with_next(document, None if is_over else _next_here(occasion, occasion.count))
    natural = dialect.next_of(document) or _next_after(occasion, document)
    first = occasion.state.setdefault(dialect.chain_of(occasion.bars_query), came or natural)
    if came is None:
        return dialect.with_next(document, natural)
    is_back = occasion.args["form"] == "AA" or came != first
    return dialect.with_next(document, first if is_back else natural)


@fault(
    "H22",
    "page",
    "the last row of the page before is repeated as the first of this one (pages after the first only)",
    vendors=PAGING,
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
    rows = groups(occasion, document).get(symbol, [])
    return occasion.dialect.with_rows(document, symbol, [row, *rows])


@fault(
    "H23",
    "page",
    "no progress: pages after the first hold only the row before them, and a token to the same place",
    vendors=PAGING,
)
def no_progress(occasion: Occasion, document: Document) -> Document:
    boundary = _boundary(occasion)
    if boundary is None:
        occasion.decline()
        return document
    symbol, row = boundary
    return occasion.dialect.with_rows(_emptied(occasion, document), symbol, [row])


@fault(
    "H25",
    "page",
    "next_url leads elsewhere: another host, scheme, port, user-info, path before the vendor's (where there is one)",
    vendors=("massive",),
    form=Arg("host", "what is other", ("host", "scheme", "port", "user", "path")),
    host=Arg("elsewhere.invalid", "the other host"),
)
def foreign_next(occasion: Occasion, document: Document) -> Document:
    following = occasion.dialect.next_of(document)
    if following is None:
        occasion.decline()
        return document
    parts = urlsplit(following)
    address, _, port = parts.netloc.partition(":")
    changed = {
        "host": {"netloc": occasion.args["host"]},
        "scheme": {"scheme": "http" if parts.scheme == "https" else "https"},
        "port": {"netloc": f"{address}:{int(port or 443) + 1}"},
        "user": {"netloc": f"{parts.netloc}@{occasion.args['host']}"},
        "path": {"path": f"/elsewhere{parts.path}"},
    }[occasion.args["form"]]
    return occasion.dialect.with_next(document, urlunsplit(parts._replace(**changed)))


@fault(
    "D27",
    "page",
    "pages after the first are on the other basis of adjustment, as if a split came between them",
    vendors=("massive",),
    told=Arg(True, "the page says so"),
)
def split_between_pages(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    if query.after is None:
        occasion.decline()
        return document
    other = occasion.document_of(replace(query, is_split_adjusted=not query.is_split_adjusted))
    return occasion.dialect.with_basis(other, query, told=occasion.args["told"])


def _emptied(occasion: Occasion, document: Document) -> Document:
    """No rows, and on to the same page once more."""
    return occasion.dialect.with_next(occasion.dialect.emptied(document), _next_here(occasion, occasion.count))


def _next_here(occasion: Occasion, serial: int) -> str:
    """Another text for the place where the query stands: what follows it is the same page."""
    query = occasion.bars_query
    before_ns = query.end_ns + 1 if query.is_descending else query.start_ns - 1
    position = query.after or Position(query.symbols[0], before_ns)
    return occasion.dialect.next_after(query, position, serial)


def _next_after(occasion: Occasion, document: Document) -> str:
    """What leads on behind the last row of *document*, or to the same place where it has none."""
    found = [(symbol, rows) for symbol, rows in groups(occasion, document).items() if rows]
    if not found:
        return _next_here(occasion, 0)
    symbol, rows = found[-1]
    last_ns = occasion.dialect.instant_ns(rows[-1]["t"])
    if abs(last_ns) > _FARTHEST_NS:
        return _next_here(occasion, 0)
    return occasion.dialect.next_after(occasion.bars_query, Position(symbol, last_ns))


def _boundary(occasion: Occasion) -> tuple[str, dict[str, Any]] | None:
    """The last row of the page before, by the place where the query goes on."""
    query = occasion.bars_query
    if query.after is None:
        return None
    at_ns = query.after.ts_ns
    # Against the order of the pages the row before comes first. It lies within a month, the longest bar.
    if query.is_descending:
        near = replace(query, start_ns=at_ns, end_ns=at_ns + _MONTH_NS, after=None, is_descending=False)
    else:
        near = replace(query, start_ns=at_ns - _MONTH_NS, end_ns=at_ns, after=None, is_descending=True)
    rows = groups(occasion, occasion.document_of(replace(near, symbols=(query.after.symbol,))))
    for symbol, found in rows.items():
        return symbol, found[0]
    return None

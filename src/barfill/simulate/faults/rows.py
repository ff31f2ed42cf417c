"""
Faults in the values of rows: prices, volumes, duplicates. ``row`` counts from 0, negative from the end.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from barfill.simulate.faults.catalogue import STOCK_VENDORS, Arg, Occasion, fault
from barfill.simulate.faults.places import PRICES, Row, chosen, target, target_row
from barfill.simulate.market.sessions import HOUR_NS, to_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.vendor import Document

_ROW = Arg(0, "which row")
_TEN_DAYS_NS = 10 * 24 * HOUR_NS


@fault(
    "D01",
    "page",
    "a value that is no price",
    field=Arg("c", "which field", ("o", "h", "l", "c", "v", "n", "vw")),
    value=Arg("NaN", "the value: any JSON value, null and true included", is_any=True),
    literal=Arg(False, "the text of value goes out bare, without quotes: NaN, Infinity, 1e400"),
    row=_ROW,
)
def no_price(occasion: Occasion, document: Document) -> Document:
    row, field = target_row(occasion, document), occasion.args["field"]
    if row is not None and field not in row:
        occasion.decline()
    elif row is not None:
        row[field] = _value(occasion)
    return document


@fault("D02", "page", "open, high, low and close are 0, with volume", volume=Arg(500, "the volume"), row=_ROW)
def zero_prices(occasion: Occasion, document: Document) -> Document:
    row = target_row(occasion, document)
    if row is not None:
        row.update(dict.fromkeys(PRICES, 0), v=occasion.args["volume"])
    return document


@fault("D03", "page", "negative prices", row=_ROW)
def negative_prices(occasion: Occasion, document: Document) -> Document:
    row = target_row(occasion, document)
    if row is not None:
        high, low = row["h"], row["l"]
        row.update(o=-row["o"], h=-low, l=-high, c=-row["c"])
    return document


@fault("D04", "page", "high below low", row=_ROW, at=Arg("", "or its stamp, for instance 2024-03-05T15:30:00Z"))
def high_below_low(occasion: Occasion, document: Document) -> Document:
    row = target_row(occasion, document)
    if row is not None:
        row["h"], row["l"] = row["l"], row["h"] if row["h"] > row["l"] else row["l"] + 0.01
    return document


@fault(
    "D05",
    "page",
    "open or close outside low to high",
    field=Arg("c", "which field", ("o", "c")),
    by=Arg(0.01, "how far outside; 1e-12 is to be accepted"),
    side=Arg("above", "which side", ("above", "below")),
    row=_ROW,
)
def outside_range(occasion: Occasion, document: Document) -> Document:
    row, by = target_row(occasion, document), occasion.args["by"]
    if row is not None:
        row[occasion.args["field"]] = row["h"] + by if occasion.args["side"] == "above" else row["l"] - by
    return document


@fault("D06", "page", "the close of an old bar is the newest price of the symbol", vendors=STOCK_VENDORS, row=_ROW)
def close_of_today(occasion: Occasion, document: Document) -> Document:
    found, row = target(occasion, document), target_row(occasion, document)
    if found is None or row is None:
        return document
    now_ns = occasion.lab.now_ns()
    newest = replace(
        occasion.bars_query,
        symbols=(found[0],),
        timeframe=Timeframe(1, "Day"),
        start_ns=now_ns - _TEN_DAYS_NS,
        end_ns=now_ns,
        limit=1,
        is_descending=True,
        after=None,
    )
    for _, bars in occasion.lab.page(newest).bars:
        row["c"] = float(bars.close[0])
    return document


@fault(
    "D07",
    "page",
    "vwap outside low to high",
    vendors=(*STOCK_VENDORS, "kraken"),
    by=Arg(0.05, "how far above the high"),
    row=_ROW,
)
def vwap_outside(occasion: Occasion, document: Document) -> Document:
    row = target_row(occasion, document)
    if row is not None and "vw" not in row:
        occasion.decline()
    elif row is not None:
        row["vw"] = round(row["h"] + occasion.args["by"], 6)
    return document


@fault(
    "D09",
    "page",
    "a wick far beyond the bar's own body and its neighbours",
    by=Arg(0.1, "how far, as a share of the price"),
    side=Arg("above", "which side", ("above", "below")),
    row=Arg(3, "which row"),
)
def long_wick(occasion: Occasion, document: Document) -> Document:
    row, by = target_row(occasion, document), occasion.args["by"]
    if row is None:
        return document
    if occasion.args["side"] == "above":
        row["h"] = round(row["h"] * (1 + by), 6)
    else:
        row["l"] = round(row["l"] * (1 - by), 6)
    return document


@fault(
    "D10",
    "page",
    "the prices of a run of bars are a multiple of the true ones",
    factor=Arg(0.0003, "price sent / true price"),
    row=Arg(3, "the first of them on a page"),
    bars=Arg(2, "how many"),
    start=Arg("", "or all from this stamp on, for instance 2026-09-14T15:30:00Z"),
    end=Arg("", "and before this one; empty: without an end"),
)
def false_level(occasion: Occasion, document: Document) -> Document:
    found = [row for rows in chosen(occasion, document).values() for row in _run(occasion, rows)]
    if not found:
        occasion.decline()
    for row in found:
        for name in (*PRICES, "vw"):
            if name in row:
                row[name] *= occasion.args["factor"]
    return document


def _run(occasion: Occasion, rows: list[Row]) -> list[Row]:
    args, instant_ns = occasion.args, occasion.dialect.instant_ns
    if not args["start"]:
        return rows[args["row"] : args["row"] + args["bars"]]
    start_ns, end_ns = (
        to_ns(datetime.fromisoformat(args[name] or "2261-01-01T00:00:00Z")) for name in ("start", "end")
    )
    return [row for row in rows if start_ns <= instant_ns(row["t"]) < end_ns]


@fault(
    "D11",
    "page",
    "a row twice",
    form=Arg("equal", "the same values, or another close", ("equal", "different")),
    by=Arg(0.01, "by how much the close differs"),
    row=_ROW,
)
def duplicate(occasion: Occasion, document: Document) -> Document:
    found, row = target(occasion, document), target_row(occasion, document)
    if found is None or row is None:
        return document
    twin = dict(row)
    if occasion.args["form"] == "different":
        twin["c"] = round(twin["c"] + occasion.args["by"], 6)
        twin["h"] = max(twin["h"], twin["c"])
    rows = list(found[1])
    rows.insert(rows.index(row) + 1, twin)
    return occasion.dialect.with_rows(document, found[0], rows)


@fault("D12", "page", "every row twice")
def every_row_twice(occasion: Occasion, document: Document) -> Document:
    for symbol, rows in chosen(occasion, document).items():
        document = occasion.dialect.with_rows(document, symbol, [dict(row) for row in rows for _ in (0, 1)])
    return document


@fault(
    "D18",
    "page",
    "an odd volume",
    value=Arg(9099.618093, "the volume: a number, or a text for literal", is_any=True),
    literal=Arg(False, "the text of value goes out bare: 1.300741e+06, 9223372036854775808"),
    row=_ROW,
)
def odd_volume(occasion: Occasion, document: Document) -> Document:
    row = target_row(occasion, document)
    if row is not None:
        row["v"] = _value(occasion)
    return document


@fault(
    "D19",
    "page",
    "the volumes of bars within a day are short, so that their sum is less than the day's",
    by=Arg(0.13, "how much of each is not there, as a share"),
)
def short_of_the_day(occasion: Occasion, document: Document) -> Document:
    rows = [row for rows in chosen(occasion, document).values() for row in rows]
    if not rows or occasion.bars_query.timeframe.unit not in ("Min", "Hour"):
        occasion.decline()
        return document
    for row in rows:
        row["v"] = round(row["v"] * (1 - occasion.args["by"]), 6)
    return document


def _value(occasion: Occasion) -> Any:
    value = occasion.args["value"]
    return msgspec.Raw(str(value).encode()) if occasion.args["literal"] else value

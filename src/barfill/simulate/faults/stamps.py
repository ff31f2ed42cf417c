"""
Faults in the stamps of rows, and rows too many or too few.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import numpy as np

from barfill.simulate.faults.catalogue import STOCK_VENDORS, Arg, Occasion, fault
from barfill.simulate.faults.places import Row, chosen, target, target_row
from barfill.simulate.market.sessions import (
    HOUR_NS,
    MINUTE_NS,
    NEW_YORK,
    SECOND_NS,
    from_ns,
    midnight_ns,
    to_ns,
    xnys,
)
from barfill.simulate.market.timeframes import bucket_starts_ns
from barfill.simulate.vendor import Document

_SATURDAY = 5


@fault("D08", "page", "a daily bar on the Saturday after the first row: 2.5 dollars, high 499", vendors=STOCK_VENDORS)
def saturday(occasion: Occasion, document: Document) -> Document:
    found = target(occasion, document)
    if found is None:
        return document
    day = from_ns(occasion.dialect.instant_ns(found[1][0]["t"])).astimezone(NEW_YORK).date()
    day += timedelta(days=(_SATURDAY - day.weekday()) % 7)
    row = {
        "t": occasion.dialect.stamp(midnight_ns(day)),
        "o": 2.5,
        "h": 499,
        "l": 2.4,
        "c": 2.5,
        "v": 100,
        "n": 1,
        "vw": 2.5,
    }
    return occasion.dialect.with_rows(document, found[0], _with([row], found[1], occasion))


@fault(
    "D13",
    "page",
    "stamps off the grid",
    offset_s=Arg(14.789, "by how many seconds (hours at :28:14.789: 1694.789)"),
    rows=Arg(0, "how many rows of each symbol; 0 is all"),
)
def off_grid(occasion: Occasion, document: Document) -> Document:
    if occasion.bars_query.is_dated:
        occasion.decline()
        return document
    offset_ns = round(occasion.args["offset_s"] * 1000) * (SECOND_NS // 1000)
    for rows in chosen(occasion, document).values():
        for row in rows[: occasion.args["rows"] or None]:
            row["t"] = occasion.dialect.stamp(occasion.dialect.instant_ns(row["t"]) + offset_ns)
    return document


@fault(
    "D14",
    "page",
    "stamps in another unit: numbers of s, ms, us or ns; seconds read as ms (1970), ms read as seconds (year 50000 on)",
    form=Arg("ms", "which", ("s", "ms", "us", "ns", "1970", "55840")),
)
def wrong_unit(occasion: Occasion, document: Document) -> Document:
    form = occasion.args["form"]
    if occasion.bars_query.is_dated:
        occasion.decline()
        return document
    for rows in chosen(occasion, document).values():
        for row in rows:
            at_ns = occasion.dialect.instant_ns(row["t"])
            if form == "1970":
                row["t"] = occasion.dialect.stamp(at_ns // 1000)
            elif form == "55840":
                row["t"] = occasion.dialect.stamp(at_ns // 1_000_000 * 1_000_000_000)
            else:
                row["t"] = at_ns // {"s": SECOND_NS, "ms": 1_000_000, "us": 1000, "ns": 1}[form]
    return document


@fault(
    "D15",
    "page",
    "daily bars stamped otherwise: 00:00 or 16:00 New York, 00:00Z, 05:00Z, the market's open; moving changes from the "
    "first to the third each time the fault fires",
    vendors=("alpaca", "massive", "finnhub"),
    form=Arg("ny_close", "which", ("ny_midnight", "ny_close", "utc_midnight", "utc_5", "open", "moving")),
)
def daily_stamp(occasion: Occasion, document: Document) -> Document:
    form = occasion.args["form"]
    if form == "moving":
        form = "ny_midnight" if occasion.count % 2 else "utc_midnight"
    for rows in chosen(occasion, document).values():
        for row in rows:
            with suppress(OverflowError):  # another fault has put it into a year that no calendar has
                row["t"] = occasion.dialect.stamp(_stamped(occasion.dialect.instant_ns(row["t"]), form))
    return document


@fault(
    "D16",
    "page",
    "more extended-hours rows: minutes before the open of the first row's session that had none",
    vendors=STOCK_VENDORS,
    count=Arg(30, "at most how many"),
)
def more_extended(occasion: Occasion, document: Document) -> Document:
    found = target(occasion, document)
    if found is None:
        return document
    first = found[1][0]
    session = _session_of(occasion.dialect.instant_ns(first["t"]))
    opens_ns = int(xnys().extended_open_ns[session])
    there = {row["t"] for row in found[1]}
    stamps = [occasion.dialect.stamp(opens_ns + minute * MINUTE_NS) for minute in range(330)]
    extra = [{**first, "t": at, "v": 100, "n": 1} for at in stamps if at not in there][: occasion.args["count"]]
    return occasion.dialect.with_rows(document, found[0], _with(extra, found[1], occasion))


@fault(
    "D17",
    "page",
    "a minute bar exactly at the close of the first row's session (the auction), 13:00 on half days",
    vendors=STOCK_VENDORS,
    volume=Arg(1_000_000, "its volume"),
)
def at_the_close(occasion: Occasion, document: Document) -> Document:
    found = target(occasion, document)
    if found is None:
        return document
    close_ns = int(xnys().close_ns[_session_of(occasion.dialect.instant_ns(found[1][0]["t"]))])
    before = [row for row in found[1] if occasion.dialect.instant_ns(row["t"]) < close_ns] or found[1]
    price = max(before, key=lambda row: str(row["t"]))["c"]
    auction = found[1][0] | {"t": occasion.dialect.stamp(close_ns), "o": price, "h": price, "l": price, "c": price}
    auction |= {"v": occasion.args["volume"], "n": 1, "vw": price}
    others = [row for row in found[1] if row["t"] != auction["t"]]
    return occasion.dialect.with_rows(document, found[0], _with([auction], others, occasion))


@fault(
    "D20",
    "page",
    "a row is left out",
    row=Arg(0, "which row"),
    at=Arg("", "or its stamp, for instance 2024-03-05T15:30:00Z, of every symbol"),
    until=Arg("", "with at: all rows from that stamp up to this one, excluded"),
)
def missing_row(occasion: Occasion, document: Document) -> Document:
    if occasion.args["at"]:
        first_ns = to_ns(datetime.fromisoformat(occasion.args["at"]))
        until = occasion.args["until"]
        end_ns = to_ns(datetime.fromisoformat(until)) if until else first_ns + 1
        for symbol, rows in chosen(occasion, document).items():
            kept = [row for row in rows if not first_ns <= occasion.dialect.instant_ns(row["t"]) < end_ns]
            if len(kept) < len(rows):
                document = occasion.dialect.with_rows(document, symbol, kept)
        return document
    found, row = target(occasion, document), target_row(occasion, document)
    if found is None or row is None:
        return document
    return occasion.dialect.with_rows(document, found[0], [each for each in found[1] if each is not row])


@fault(
    "D23",
    "page",
    "the bar that holds now is the last row of a last page that reaches to now; it changes each second",
    vendors=STOCK_VENDORS,
)
def forming(occasion: Occasion, document: Document) -> Document:
    query, now_ns = occasion.bars_query, occasion.lab.now_ns()
    start_ns = int(bucket_starts_ns(np.array([now_ns], np.int64), query.timeframe)[0])
    if occasion.dialect.next_of(document) is not None or query.end_ns < start_ns:
        occasion.decline()
        return document
    found = target(occasion, document)
    if found is None:
        return document
    others = [row for row in found[1] if row["t"] != occasion.dialect.stamp(start_ns)]
    second = now_ns // SECOND_NS
    price = round(found[1][-1]["c"] + second % 60 / 100, 2)
    row = found[1][-1] | {"t": occasion.dialect.stamp(start_ns), "o": price, "h": price, "l": price, "c": price}
    row |= {"v": 100 + second % 86_400, "n": 1 + second % 60, "vw": price}
    return occasion.dialect.with_rows(document, found[0], _with([row], others, occasion))


def _with(extra: list[Row], rows: list[Row], occasion: Occasion) -> list[Row]:
    """All rows in the order that the query asks for."""
    return sorted(
        [*rows, *extra],
        key=lambda row: occasion.dialect.instant_ns(row["t"]),
        reverse=occasion.bars_query.is_descending,
    )


def _session_of(at_ns: int) -> int:
    """The last session whose New York day has begun."""
    return max(0, int(np.searchsorted(xnys().midnight_ns, at_ns, side="right")) - 1)


def _stamped(at_ns: int, form: str) -> int:
    session = _session_of(at_ns)
    day = from_ns(at_ns).astimezone(NEW_YORK).date()
    utc_ns = to_ns(datetime(day.year, day.month, day.day, tzinfo=UTC))
    return {
        "ny_midnight": midnight_ns(day),
        "ny_close": midnight_ns(day) + 16 * HOUR_NS,
        "utc_midnight": utc_ns,
        "utc_5": utc_ns + 5 * HOUR_NS,
        "open": int(xnys().open_ns[session]),
    }[form]

"""
Faults of corporate events, in lists of splits and dividends as Massive and Finnhub have them.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from barfill.simulate.faults.catalogue import Arg, Occasion, fault

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Names:
    """What a vendor calls the fields of a split or dividend; *before* and *after* are the shares of a split."""

    ticker: str
    dates: tuple[str, ...]
    before: str
    after: str
    amount: str


_NAMES = {
    "massive": _Names("ticker", ("execution_date", "ex_dividend_date"), "split_from", "split_to", "cash_amount"),
    "finnhub": _Names("symbol", ("date",), "fromFactor", "toFactor", "amount"),
}


@fault(
    "D26",
    "events",
    "one split or dividend is missing, listed twice (also with another id, or another ratio or amount), a day off, "
    "inverted, 1046:1000, or under another ticker",
    vendors=("massive", "finnhub"),
    form=Arg(
        "doubled",
        "which",
        ("doubled", "other_id", "conflict", "missing", "day_off", "inverted", "odd_ratio", "other_ticker"),
    ),
    row=Arg(0, "which row of those of the match's symbol"),
    ticker=Arg("ZVZZT", "the other ticker"),
)
def wrong_event(occasion: Occasion, document: Any) -> Any:
    names = _NAMES[occasion.dialect.name]
    # Finnhub's list is all there is of its answer.
    rows: list[Row] = document if isinstance(document, list) else document["results"]
    places = [number for number, row in enumerate(rows) if occasion.symbol in {None, row[names.ticker]}]
    wanted = occasion.args["row"]
    if not -len(places) <= wanted < len(places):
        occasion.decline()
        return document
    place = places[wanted]
    spoiled = [*rows[:place], *_spoiled(occasion, rows[place], names), *rows[place + 1 :]]
    return spoiled if isinstance(document, list) else {**document, "results": spoiled}


def _spoiled(occasion: Occasion, row: Row, names: _Names) -> list[Row]:
    """What stands in the place of *row*."""
    name = next(name for name in names.dates if name in row)
    day_off = (date.fromisoformat(row[name]) - timedelta(days=1)).isoformat()
    # Where rows have no id the other one has none either.
    other_id = {**row, "id": row["id"][:-4] + "0000"} if "id" in row else row
    is_split = names.after in row
    changed = names.after if is_split else names.amount
    inverted = {names.before: row[names.after], names.after: row[names.before]} if is_split else {}
    odd_ratio = {names.before: 1000, names.after: 1046} if is_split else {}
    forms: dict[str, list[Row]] = {
        "doubled": [row, row],
        "other_id": [row, other_id],
        "conflict": [row, {**other_id, changed: row[changed] * 2}],
        "missing": [],
        "day_off": [{**row, name: day_off}],
        "inverted": [{**row, **inverted}],
        "odd_ratio": [{**row, **odd_ratio}],
        "other_ticker": [{**row, names.ticker: occasion.args["ticker"]}],
    }
    return forms[occasion.args["form"]]

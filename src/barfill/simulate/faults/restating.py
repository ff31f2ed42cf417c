"""
Faults of bars that are given as final and corrected later.
"""

from hashlib import blake2b

from barfill.simulate.faults.catalogue import Arg, Occasion, fault
from barfill.simulate.faults.places import Row, chosen
from barfill.simulate.market.sessions import HOUR_NS
from barfill.simulate.vendor import Document

_SHARE = Arg(1.0, "of how many of the bars; always the same ones of a symbol")


@fault(
    "D24",
    "page",
    "the volume of young bars is short; it is settled later",
    factor=Arg(0.73, "early volume / settled volume"),
    hours=Arg(24, "how long after its start a bar is settled"),
    share=_SHARE,
)
def short_volume(occasion: Occasion, document: Document) -> Document:
    for row in _unsettled(occasion, document):
        row["v"] = max(1, round(row["v"] * occasion.args["factor"]))
    return document


@fault(
    "D25",
    "page",
    "the close of bars is another one before they are corrected, long after they were final",
    by=Arg(-0.01, "early close - corrected close, as a share of the way to the low (negative) or the high"),
    hours=Arg(21 * 24, "how long after its start a bar is corrected"),
    share=_SHARE,
)
def late_correction(occasion: Occasion, document: Document) -> Document:
    for row in _unsettled(occasion, document):
        bound = row["l"] if occasion.args["by"] < 0 else row["h"]
        row["c"] = round(row["c"] + (bound - row["c"]) * abs(occasion.args["by"]), 6)
    return document


def _unsettled(occasion: Occasion, document: Document) -> list[Row]:
    now_ns, hours, share = occasion.lab.now_ns(), occasion.args["hours"], occasion.args["share"]
    found = [
        row
        for symbol, rows in chosen(occasion, document).items()
        for row in rows
        if occasion.dialect.instant_ns(row["t"]) + hours * HOUR_NS > now_ns and _lot(symbol, row) < share
    ]
    if not found:
        occasion.decline()
    return found


def _lot(symbol: str, row: Row) -> float:
    """A number from 0 to 1 that is always the same for a bar."""
    return int.from_bytes(blake2b(f"{symbol} {row['t']}".encode(), digest_size=8).digest()) / 2**64

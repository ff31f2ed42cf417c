"""
Faults of crypto candles.
"""

from dataclasses import replace

from barfill.simulate.crypto_venues.queries import CryptoQuery
from barfill.simulate.faults.catalogue import CRYPTO_VENUES, Arg, Occasion, fault
from barfill.simulate.faults.places import groups
from barfill.simulate.market.sessions import HOUR_NS
from barfill.simulate.market.venues import VENUES
from barfill.simulate.vendor import Document


@fault(
    "D33",
    "page",
    "two rows for each stamp, the second one another venue's; or days that begin at another hour than 00:00 UTC",
    vendors=CRYPTO_VENUES,
    form=Arg("two_venues", "which", ("two_venues", "anchor")),
    hour=Arg(6, "when the days begin"),
)
def other_venue_or_anchor(occasion: Occasion, document: Document) -> Document:
    query = occasion.bars_query
    assert isinstance(query, CryptoQuery)
    if occasion.args["form"] == "anchor":
        if query.timeframe.is_intraday:
            occasion.decline()
            return document
        return occasion.document_of(replace(query, anchor_ns=int(occasion.args["hour"] * HOUR_NS)))
    (symbol,) = query.symbols
    other = next((name for name, venue in VENUES.items() if name != query.feed and venue.find(symbol)), None)
    rows = groups(occasion, document).get(symbol)
    if other is None or rows is None:
        occasion.decline()
        return document
    second = groups(occasion, occasion.document_of(replace(query, feed=other))).get(symbol, [])
    by_stamp = {row["t"]: row for row in second}
    both = [each for row in rows for each in (row, by_stamp.get(row["t"])) if each is not None]
    return occasion.dialect.with_rows(document, symbol, both)

"""
What a request for the candles of a venue comes to, and the page that answers it.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.utc_buckets import utc_start_ns, utc_starts_ns
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.queries import BarsQuery, Page

EVERYTHING_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptoQuery(BarsQuery):
    """
    A query for one pair; its *feed* is the venue.

    Attributes:
        open_ns: The start of the interval that was under way when the query was made.
        takes_newest: Of more rows than *limit* the newest are left, in whichever order they are sent.
        anchor_ns: Days and longer bars begin so long after 00:00 UTC.
    """

    open_ns: int
    takes_newest: bool = False
    anchor_ns: int = 0


def crypto_query(
    venue: str,
    symbol: str,
    timeframe: Timeframe,
    now_ns: int,
    *,
    limit: int,
    start_ns: int = 0,
    end_ns: int = EVERYTHING_NS,
    is_descending: bool = False,
    takes_newest: bool = False,
) -> CryptoQuery:
    """The query for bars that begin between two bounds, both included, and not after now."""
    open_ns = utc_start_ns(now_ns, timeframe)
    return CryptoQuery(
        symbols=(symbol,),
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=min(end_ns, open_ns),
        limit=limit,
        feed=venue,
        is_split_adjusted=False,
        is_descending=is_descending,
        open_ns=open_ns,
        takes_newest=takes_newest,
    )


def crypto_page(market: CryptoMarket, query: CryptoQuery, visible_ns: int) -> Page:
    """The page of *query*, made of trades before *visible_ns*; the bar under way is its last."""
    (symbol,) = query.symbols
    wanted = Wanted(query.timeframe, query.start_ns, query.end_ns, query.feed, visible_ns)
    is_backwards = query.is_descending or query.takes_newest
    anchored = partial(utc_starts_ns, timeframe=query.timeframe, anchor_ns=query.anchor_ns)
    rows = market.first_rows(
        symbol, wanted, query.limit, is_descending=is_backwards, starts=anchored if query.anchor_ns else None
    )
    if is_backwards and not query.is_descending:
        rows = rows.pick(np.arange(len(rows))[::-1])
    return Page(((symbol, rows),), None)

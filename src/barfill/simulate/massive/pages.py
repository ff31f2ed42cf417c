"""
Making pages of bars.

The limit of a range counts base bars, minutes or days. A window that the end of a page cuts off is left out and starts
the next page. If not even one window fits into a page, this exchange gives that one whole: what the vendor does then is
not known, and a page must lead on.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from barfill.simulate.market.bars import Bars, grouped
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import HOUR_NS
from barfill.simulate.market.source import Market, held_parts, read_rows
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.massive.crypto import pair_bars
from barfill.simulate.massive.queries import MassiveQuery
from barfill.simulate.queries import Page, Position

_MINUTE, _DAY = Timeframe(1, "Min"), Timeframe(1, "Day")
_CLOSE_AFTER_NS = 16 * HOUR_NS


#: At most so many bars of what is wanted; None: all.
Read = Callable[[Wanted, int | None], Bars]


def make_page(market: Market, query: MassiveQuery, visible_ns: int) -> Page:
    """The page of *query*, made of trades before *visible_ns*."""
    if query.form == "range":
        (ticker,) = query.symbols
        return _range_page(partial(held_bars, market, query, ticker), _base(market, query), query, visible_ns)
    groups = []
    for ticker in query.symbols:
        bars = held_bars(market, query, ticker, _wanted(query, _DAY, visible_ns), None)
        if len(bars):
            # Stamped by their end, 16:00 New York, on half days as well (which is not documented).
            groups.append((ticker, bars.shifted(_CLOSE_AFTER_NS)))
    return Page(tuple(groups), None, base_count=len(groups))


def make_crypto_page(crypto: CryptoMarket, query: MassiveQuery, visible_ns: int) -> Page:
    """The page of a query for pairs."""
    reads = {ticker: partial(pair_bars, crypto, ticker, is_descending=query.is_descending) for ticker in query.symbols}
    if query.form == "range":
        (ticker,) = query.symbols
        return _range_page(reads[ticker], _MINUTE if query.timeframe.is_intraday else _DAY, query, visible_ns)
    # Stamped by their start, as documented.
    found = [(ticker, read(_wanted(query, _DAY, visible_ns), None)) for ticker, read in reads.items()]
    groups = tuple((ticker, bars) for ticker, bars in found if len(bars))
    return Page(groups, None, base_count=len(groups))


def held_bars(market: Market, query: MassiveQuery, ticker: str, wanted: Wanted, count: int | None) -> Bars:
    """At most *count* bars that stood under *ticker*: they follow its text, whichever company had it."""
    adjust = ("split",) if query.is_split_adjusted else ()
    parts = [
        read_rows(market, company, part, count, adjust=adjust, is_descending=query.is_descending)
        for company, part in held_parts(market.names, ticker, wanted)
    ]
    return Bars.joined(parts[::-1] if query.is_descending else parts).pick(slice(0, count))


def _range_page(read: Read, base: Timeframe, query: MassiveQuery, visible_ns: int) -> Page:
    (ticker,) = query.symbols
    rows = read(_wanted(query, base, visible_ns), query.limit + 1)
    edge_ns = None
    if len(rows) > query.limit:
        starts = query.windows.starts_ns(rows.ts, query.timeframe)
        cut_ns = int(starts[-1])
        end_ns = query.windows.after_ns(cut_ns, query.timeframe)
        is_whole = starts != cut_ns
        if is_whole.any():
            rows = rows.pick(is_whole)
            edge_ns = end_ns if query.is_descending else cut_ns
        else:
            rows = read(_wanted(query, base, visible_ns).within(cut_ns, end_ns - 1), None)
            edge_ns = cut_ns if query.is_descending else end_ns
    bars = _windows(rows, query)
    groups = ((ticker, bars),) if len(bars) else ()
    return Page(groups, _following(query, ticker, edge_ns), base_count=len(rows))


def _following(query: MassiveQuery, ticker: str, edge_ns: int | None) -> Position | None:
    """The place before the next page, whose windows begin at *edge_ns*, or end there if descending."""
    if edge_ns is None:
        return None
    if query.is_descending:
        return Position(ticker, edge_ns) if edge_ns > query.start_ns else None
    return Position(ticker, edge_ns - 1) if edge_ns <= query.end_ns else None


def _windows(rows: Bars, query: MassiveQuery) -> Bars:
    ascending = rows.pick(slice(None, None, -1)) if query.is_descending else rows
    if not len(ascending):
        return ascending
    bars = grouped(ascending, query.windows.starts_ns(ascending.ts, query.timeframe))
    return bars.pick(np.arange(len(bars))[::-1]) if query.is_descending else bars


def _wanted(query: MassiveQuery, base: Timeframe, visible_ns: int) -> Wanted:
    return Wanted(base, query.start_ns, query.end_ns, query.feed, visible_ns)


def _base(market: Market, query: MassiveQuery) -> Timeframe:
    """Minutes or days. Replayed files may hold coarser bars only: then these are all there is."""
    base = _MINUTE if query.timeframe.is_intraday else _DAY
    holders = {tenure.listing.ticker for tenure in market.names.by_ticker.get(query.symbols[0], ())}
    return base if any(market.holds(ticker, base) for ticker in holders) else query.timeframe

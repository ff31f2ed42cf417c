"""
Cutting the rows of a query into pages.

Rows are ordered by symbol (byte order, also when descending) and then by time. A page holds at most ``limit`` rows over
all symbols. A full page always carries a token, so a full last page leads to an empty one with a null token.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from barfill.simulate.bars import Bars
from barfill.simulate.listings import Listing
from barfill.simulate.queries import BarsQuery
from barfill.simulate.tokens import Position, make_token
from barfill.simulate.wanted import Wanted
from barfill.simulate.wire import Page


class Market(Protocol):
    """Where bars come from: the synthetic market or replayed files."""

    @property
    def listings(self) -> Mapping[str, Listing]: ...

    def blocks(self, ticker: str, wanted: Wanted) -> Iterator[Wanted]: ...

    def read(self, ticker: str, wanted: Wanted) -> Bars: ...

    def split_of(self, ticker: str) -> tuple[int, int]: ...


def make_page(market: Market, query: BarsQuery, visible_ns: int) -> Page:
    """The page of *query* after its token, made of trades before *visible_ns*."""
    groups: list[tuple[str, Bars]] = []
    missing = query.limit
    for symbol in query.symbols:
        rows = _rows(market, query, symbol, missing, visible_ns)
        if rows is not None and len(rows):
            groups.append((symbol, rows))
            missing -= len(rows)
        if missing == 0:
            break
    token = None
    if missing == 0:
        symbol, rows = groups[-1]
        position = Position(symbol, int(rows.ts[-1]))
        token = make_token(position, query.timeframe, is_descending=query.is_descending)
    return Page(tuple(groups), token, query.single, query.currency)


def rows_of(market: Market, query: BarsQuery, symbol: str, visible_ns: int) -> Bars:
    """All rows of one symbol of *query*, adjusted as it asks, whatever its limit and token."""
    whole = replace(query, after=None)
    rows = _rows(market, whole, symbol, None, visible_ns)
    return Bars.none() if rows is None else rows


def _rows(market: Market, query: BarsQuery, symbol: str, count: int | None, visible_ns: int) -> Bars | None:
    """At most *count* rows of *symbol* after the query's position; None if the position is past the symbol."""
    start_ns, end_ns = query.start_ns, query.end_ns
    if query.after is not None:
        if symbol.encode() < query.after.symbol.encode():
            return None
        if symbol == query.after.symbol and query.is_descending:
            end_ns = query.after.ts_ns - 1
        elif symbol == query.after.symbol:
            start_ns = query.after.ts_ns + 1
    if symbol not in market.listings or end_ns < start_ns:
        return None
    ratio, split_ns = market.split_of(symbol) if query.is_split_adjusted else (1, 0)
    blocks = list(market.blocks(symbol, Wanted(query.timeframe, start_ns, end_ns, query.feed, visible_ns)))
    parts: list[Bars] = []
    found = 0
    for block in reversed(blocks) if query.is_descending else blocks:
        rows = market.read(symbol, block)
        parts.append((rows.pick(slice(None, None, -1)) if query.is_descending else rows).split_by(ratio, split_ns))
        found += len(rows)
        if count is not None and found >= count:
            break
    return Bars.joined(parts).pick(slice(0, count))

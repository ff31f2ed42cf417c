"""
Cutting the rows of a query into pages.

Rows are ordered by symbol (byte order, also when descending) and then by time. A page holds at most ``limit`` rows over
all symbols. A full page always carries a token, so a full last page leads to an empty one with a null token.
"""

from functools import partial

from barfill.simulate.alpaca.queries import AlpacaQuery
from barfill.simulate.market.bars import Bars
from barfill.simulate.market.source import Market, held_parts, read_rows
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.queries import Page, Position


def make_page(market: Market, query: AlpacaQuery, visible_ns: int) -> Page:
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
    following = None
    if missing == 0:
        symbol, rows = groups[-1]
        following = Position(symbol, int(rows.ts[-1]))
    return Page(tuple(groups), following)


def _rows(market: Market, query: AlpacaQuery, symbol: str, count: int | None, visible_ns: int) -> Bars | None:
    """At most *count* rows of *symbol* after the query's position; None if the position is past the symbol."""
    start_ns, end_ns = query.start_ns, query.end_ns
    if query.after is not None:
        if symbol.encode() < query.after.symbol.encode():
            return None
        if symbol == query.after.symbol and query.is_descending:
            end_ns = query.after.ts_ns - 1
        elif symbol == query.after.symbol:
            start_ns = query.after.ts_ns + 1
    wanted = Wanted(query.timeframe, start_ns, end_ns, query.feed, visible_ns)
    kinds = {"split": query.is_split_adjusted, "dividend": query.is_dividend_adjusted}
    adjust = [kind for kind, is_wanted in kinds.items() if is_wanted]
    read = partial(read_rows, market, adjust=adjust, is_descending=query.is_descending)
    if query.as_of is not None:
        holder = market.names.holder(symbol, query.as_of)
        return read(holder.ticker, wanted, count) if holder else None
    parts = [read(ticker, part, count) for ticker, part in held_parts(market.names, symbol, wanted)]
    return Bars.joined(parts[::-1] if query.is_descending else parts).pick(slice(0, count))

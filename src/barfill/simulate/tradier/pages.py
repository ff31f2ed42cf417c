"""
Making the one answer to a query: there are no pages.

A symbol stands for the company that has it today, with all of its bars; former tickers stand for nobody (not
documented). Days are those of sessions that are over, extended hours included, since their volume counts; the session
under way is in timesales only, up to the second.
"""

from dataclasses import replace
from datetime import date

import numpy as np

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.forming import with_forming
from barfill.simulate.market.sessions import xnys
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.queries import Page
from barfill.simulate.tradier.queries import TradierQuery


def make_page(market: Market, query: TradierQuery, visible_ns: int, today: date) -> Page:
    """All rows of *query*, made of trades before *visible_ns*."""
    (ticker,) = query.symbols
    holder = market.names.holder(ticker, today)
    if holder is None:
        return Page((), None)
    wanted = Wanted(query.timeframe, query.start_ns, query.end_ns, query.feed, visible_ns)
    is_intraday = query.timeframe.is_intraday
    if not is_intraday:
        wanted = replace(wanted, visible_ns=_sessions_over_ns(visible_ns))
    adjust = ("split",) if query.is_split_adjusted else ()
    # Only a fault asks for so many of the newest.
    count = query.limit or None
    bars = read_rows(market, holder.ticker, wanted, count, adjust=adjust, is_descending=query.is_descending)
    if is_intraday:
        bars = _in_session(with_forming(market, holder.ticker, wanted, bars), query.session)
    return Page(((ticker, bars),) if len(bars) else (), None)


def _sessions_over_ns(visible_ns: int) -> int:
    """Where the session under way has not begun to show."""
    sessions = xnys()
    row = int(np.searchsorted(sessions.extended_close_ns, visible_ns, side="right"))
    return min(visible_ns, int(sessions.extended_open_ns[row]))


def _in_session(bars: Bars, session: str) -> Bars:
    if session == "all" or not len(bars):
        return bars
    sessions = xnys()
    row = np.maximum(np.searchsorted(sessions.open_ns, bars.ts, side="right") - 1, 0)
    return bars.pick((bars.ts >= sessions.open_ns[row]) & (bars.ts < sessions.close_ns[row]))

"""
Making the one answer to a query: there are no pages.

A symbol stands for the company that has it today, with all of its bars; former tickers stand for nobody (not
documented). Intraday bars are raw and cover extended hours; the bar under way is made of its whole minutes.
"""

from dataclasses import replace
from datetime import date

import numpy as np

from barfill.simulate.finnhub.queries import ROWS_MAX, FinnhubQuery
from barfill.simulate.market.bars import Bars, grouped
from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, Nanos, midnight_of_days_ns, new_york_days, xnys
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.timeframes import Timeframe, bucket_starts_ns
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.queries import Page

_MINUTE, _HOUR = Timeframe(1, "Min"), Timeframe(1, "Hour")
_HALF_NS = 30 * MINUTE_NS


def make_page(market: Market, query: FinnhubQuery, visible_ns: int, today: date) -> Page:
    """The rows of *query*, made of trades before *visible_ns*."""
    (ticker,) = query.symbols
    holder = market.names.holder(ticker, today)
    if holder is None:
        return Page((), None)
    wanted = Wanted(query.timeframe, query.start_ns, query.end_ns, query.feed, visible_ns)
    if query.timeframe == _HOUR and market.holds(holder.ticker, _MINUTE):
        bars = _hours(market, holder.ticker, wanted, query.hours)
    else:
        adjust = ("split",) if query.is_split_adjusted else ()
        # Only a fault asks for so many of the newest.
        count = query.limit or None
        bars = read_rows(market, holder.ticker, wanted, count, adjust=adjust, is_descending=query.is_descending)
    if query.timeframe.is_intraday:
        bars = bars.pick(slice(-ROWS_MAX, None))
    return Page(((ticker, bars),) if len(bars) else (), None)


def _hours(market: Market, ticker: str, wanted: Wanted, begin: str) -> Bars:
    """Hours of minutes, since the vendor begins some at the open."""
    minutes = replace(wanted, timeframe=_MINUTE).within(wanted.start_ns - HOUR_NS, wanted.end_ns + HOUR_NS)
    bars = read_rows(market, ticker, minutes, None, adjust=(), is_descending=False)
    return grouped(bars, _hour_starts(bars.ts, begin)).between(wanted.start_ns, wanted.end_ns) if len(bars) else bars


def _hour_starts(ts_ns: Nanos, begin: str) -> Nanos:
    if begin == "half":
        midnights = midnight_of_days_ns(new_york_days(ts_ns))
        return midnights + (ts_ns - midnights - _HALF_NS) // HOUR_NS * HOUR_NS + _HALF_NS
    starts = bucket_starts_ns(ts_ns, _HOUR)
    if begin == "clock":
        return starts
    opens = xnys().open_ns
    opened: Nanos = opens[np.maximum(np.searchsorted(opens, ts_ns, side="right") - 1, 0)]
    # The hour of the open falls into the part before it and the part from it on.
    return np.maximum(starts, opened)

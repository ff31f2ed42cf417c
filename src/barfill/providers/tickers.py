"""Tickers in requests: nothing else is ever sent in the place of one."""

from __future__ import annotations

from collections.abc import Collection

from barfill.core.page import BarsQuery
from barfill.core.ticker import HOW_TO_WRITE, is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, SymbolNotOffered, excerpt


def checked_ticker(ticker: str) -> str:
    """
    *ticker*, fit for a URL once it is quoted (X08).

    Raises:
        SymbolNotOffered: It is none, so that no provider can be asked for it.
    """
    if not is_ticker(ticker):
        raise SymbolNotOffered(f"No provider can be asked for '{excerpt(ticker)}'. {HOW_TO_WRITE}", symbol=ticker)
    return ticker


def only_ticker(vendor: str, query: BarsQuery, timeframes: Collection[Timeframe], feed: str) -> str:
    """
    The ticker of a query to a vendor that is asked for one symbol at a time, of one feed.

    Raises:
        InvalidInput: A timeframe or feed that it does not have, or more than one symbol.
        SymbolNotOffered: A text that is no ticker.
    """
    if query.timeframe not in timeframes:
        raise InvalidInput(f"{vendor} has no {query.timeframe.label} bars on barfill's anchors; derive them.")
    if len(query.symbols) != 1 or query.feed != feed:
        raise InvalidInput(f"{vendor} is asked for one symbol of the feed '{feed}' at a time, not for {query}.")
    return checked_ticker(query.symbols[0])

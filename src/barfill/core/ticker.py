"""What can be a ticker: the one rule, by which texts, pages, requests and the table `symbols` are judged."""

from __future__ import annotations

import re

WELL_FORMED = r"(?!.*\.\.)[A-Z0-9][A-Z0-9.\-/:^]{0,19}"
"""As a regular expression; two dots in a row would lead out of a URL's path. Migration 0009 says the same."""
HOW_TO_WRITE = (
    "Write 1 to 20 of the characters A-Z 0-9 . - / : ^ (no two dots in a row), such as AAPL, BRK.B or BTC/USD."
)

_TICKER = re.compile(WELL_FORMED)
_PAIRS = frozenset({"crypto", "forex"})
_OTHERS = frozenset({"stock", "etf", "index", "future"})


def asset_types_of(ticker: str) -> frozenset[str]:
    """What a symbol of such spelling can be: a pair of currencies has a slash."""
    return _PAIRS if "/" in ticker else _OTHERS


def usual_asset_type(ticker: str) -> str:
    """What a symbol of such spelling mostly is."""
    return "crypto" if "/" in ticker else "stock"


def is_ticker(text: str) -> bool:
    """Whether *text* can be a ticker in barfill's spelling: upper case."""
    return _TICKER.fullmatch(text) is not None

"""What can be a ticker."""

from __future__ import annotations

import pytest

from barfill.core.ticker import is_ticker


@pytest.mark.parametrize("text", ["A", "AAPL", "BRK.B", "BTC/USD", "X:EURUSD", "SPX^W", "X-1", "1COV", "A" * 20])
def test_tickers_of_all_markets_are_well_formed(text: str) -> None:
    """Class shares, pairs, prefixes and what begins with a digit."""
    assert is_ticker(text)


@pytest.mark.parametrize("text", ["", "aapl", ".A", "A..B", "A,B", "A B", "A\n", "A%2e", "\u0410", "A" * 21])
def test_other_text_is_none(text: str) -> None:
    """Nothing that would mean something to a URL, a list or a header."""
    assert not is_ticker(text)

"""Corporate actions as values: exact, and none that cannot be."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from barfill.core.corporate import CorporateEvent, Delisting, Dividend, Earnings, Split, TickerChange
from barfill.errors import InvalidInput

DAY = date(2024, 6, 10)
COMMON: dict[str, Any] = {"ticker": "NVDA", "on": DAY, "filed_on": DAY}


def test_a_ratio_is_kept_in_lowest_terms() -> None:
    """2:1 and 4:2 are the same split; 1046:1000 loses nothing (D26)."""
    one, other = (Split(**COMMON, numerator=new, denominator=old) for new, old in ((2, 1), (4, 2)))

    assert one == other
    assert Split(**COMMON, numerator=1046, denominator=1000).ratio == Fraction(1046, 1000)


def test_reverse_splits_multiply_exactly() -> None:
    """Ten reverse splits, as behind a price of 242,695,146 (D31), give one exact factor."""
    olds = (10, 6, 10, 4, 5, 5, 5, 10, 10, 5)
    splits = [Split(**COMMON, numerator=1, denominator=old) for old in olds]

    factor = Fraction(1)
    for split in splits:
        factor *= split.ratio
    assert factor == Fraction(1, 150_000_000)


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        (Split, {"numerator": 0, "denominator": 1}, "cannot be"),
        (Split, {"numerator": -2, "denominator": 1}, "cannot be"),
        (Split, {"numerator": 3, "denominator": 3}, "changes nothing"),
        (Split, {"numerator": 1, "denominator": 200_000}, "too large"),
        (Split, {"numerator": 2, "denominator": 1, "record_on": date(1970, 1, 1)}, "do not belong together"),
        (Split, {"numerator": 2, "denominator": 1, "on": date(1801, 1, 1)}, "year 1801"),
        (Split, {"numerator": 2, "denominator": 1, "ticker": "nvda\0"}, "no ticker"),
        (Dividend, {"amount": Decimal(0), "currency": "USD"}, "cannot be"),
        (Dividend, {"amount": Decimal("NaN"), "currency": "USD"}, "cannot be"),
        (Dividend, {"amount": Decimal(1), "currency": "usd"}, "currency"),
        (Earnings, {"eps_actual": Decimal("Infinity")}, "cannot be"),
        (Earnings, {"fiscal_quarter": 5}, "no quarter 5"),
        (TickerChange, {"new_ticker": "NVDA"}, "same ticker"),
        (TickerChange, {"new_ticker": "N V"}, "is none"),
        (Delisting, {"successor": "?"}, "no ticker"),
    ],
)
def test_what_cannot_be_is_refused(kind: type[CorporateEvent], values: dict[str, Any], told: str) -> None:
    """With a sentence that says which value it was."""
    with pytest.raises(InvalidInput, match=told):
        kind(**COMMON | values)

"""Events that contradict each other are told, never decided (D26)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from barfill.core.event_conflicts import FiledDividend, FiledSplit, dividend_conflicts, odd_dividends, split_conflicts


def split(provider: str, ratio: str, on: str = "2024-06-10") -> FiledSplit:
    return FiledSplit(1, "NVDA", date.fromisoformat(on), Fraction(ratio), provider)


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ([split("alpaca", "10"), split("massive", "10")], []),
        (
            [split("alpaca", "10"), split("massive", "1/10")],
            ["one the other upside down: 10:1 by alpaca, 1:10 by massive"],
        ),
        ([split("alpaca", "523/500"), split("massive", "2")], ["differ: 523:500 by alpaca, 2:1 by massive"]),
        (
            [split("massive", "10"), split("massive", "20")],
            [
                "massive contradicts itself",
                "split 10:1 on 2024-06-10, alpaca none",
                "split 20:1 on 2024-06-10, alpaca none",
            ],
        ),
        ([split("alpaca", "10"), split("massive", "10", "2024-06-11")], ["dated 2024-06-10 by alpaca, 2024-06-11"]),
        ([split("alpaca", "10")], ["alpaca lists a split 10:1 on 2024-06-10, massive none"]),
        ([split("alpaca", "10", "2019-01-02")], []),
    ],
)
def test_splits(splits: list[FiledSplit], told: list[str]) -> None:
    """Doubled ones agree; inverted, odd, moved, self-contradicting and one-sided ones do not (D26)."""
    found = split_conflicts(splits, lambda _provider, _symbol, on: on.year > 2020, ["alpaca", "massive"])

    texts = [one.text for one in found]
    assert all(any(part in text for text in texts) for part in told)
    assert len(texts) == len(told)


def test_dividends_are_compared_by_day() -> None:
    """A regular and a special one add up; a provider that has only one of them differs."""
    amounts = [("alpaca", "0.5"), ("alpaca", "2"), ("massive", "2.5")]
    filed = [FiledDividend(1, "COST", date(2024, 1, 4), Decimal(amount), "USD", name) for name, amount in amounts]

    assert dividend_conflicts(filed) == []
    (conflict,) = dividend_conflicts(filed[1:])
    assert conflict.text == "Dividends per share on 2024-01-04 differ: 2 USD by alpaca, 2.5 USD by massive."


def test_w19_a_dividend_above_a_quarter_of_the_price_is_told() -> None:
    """By the close before it; exactly a quarter, and one whose price nobody knows, are not."""
    days = [date(2024, 1, 4), date(2024, 3, 4), date(2024, 6, 4)]
    filed = [FiledDividend(1, "COST", day, Decimal("25"), "USD", "alpaca") for day in days]

    found = odd_dividends(filed, {(1, days[0]): Decimal(99), (1, days[1]): Decimal(100)})

    assert [one.text for one in found] == [
        "W19: the dividend of 25 on 2024-01-04, by alpaca, is 25% of the close 99 before it."
    ]


def test_w19_two_dividends_within_seven_days_are_told() -> None:
    """Of one provider; a special one of the same day, and what two providers date differently, are none."""
    given = [("alpaca", 4), ("alpaca", 4), ("alpaca", 11), ("alpaca", 19), ("massive", 5)]
    filed = [FiledDividend(1, "COST", date(2024, 1, day), Decimal(1), "USD", name) for name, day in given]

    assert [one.text for one in odd_dividends(filed, {})] == [
        "W19: alpaca lists dividends on 2024-01-04 and on 2024-01-11, within seven days."
    ]

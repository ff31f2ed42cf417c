"""
Where events on file contradict each other: listed for a person to look at, never decided by a guess (D26).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise

from barfill.core.corporate import EventKind

NEAR = timedelta(days=5)
"""An event that two providers date so differently is the same one."""
AMOUNT_TOLERANCE = Decimal("0.01")
"""Relative; providers round amounts and convert currencies."""

SHARE_MAX = Decimal("0.25")
"""Of the price before; a dividend above it is rarely true (rule W19)."""
DIVIDENDS_APART_MIN = timedelta(days=7)

Lists = Callable[[str, int, date], bool]
"""Whether a provider was asked for the events of a series on a day."""


@dataclass(frozen=True, slots=True)
class FiledSplit:
    """A split as one provider lists it."""

    symbol_id: int
    ticker: str
    on: date
    ratio: Fraction
    provider: str


@dataclass(frozen=True, slots=True)
class FiledDividend:
    """A dividend as one provider lists it."""

    symbol_id: int
    ticker: str
    on: date
    amount: Decimal
    currency: str
    provider: str


@dataclass(frozen=True, slots=True, order=True)
class Conflict:
    """What does not fit together, as a sentence."""

    ticker: str
    on: date
    kind: EventKind
    text: str


def split_conflicts(splits: Sequence[FiledSplit], lists: Lists, providers: Iterable[str]) -> list[Conflict]:
    """
    Splits of one day that differ, within a provider or between two, and splits that only one of two lists.

    Args:
        providers: Those that list splits at all.
    """
    found = set()
    by_symbol: dict[int, list[FiledSplit]] = {}
    for one in splits:
        by_symbol.setdefault(one.symbol_id, []).append(one)
    for filed in by_symbol.values():
        for one, other in combinations(sorted(filed, key=lambda split: (split.on, split.provider)), 2):
            text = _contradiction(one, other, filed)
            if text:
                found.add(Conflict(one.ticker, one.on, EventKind.SPLITS, text))
        for one in filed:
            absent = [
                provider
                for provider in providers
                if provider != one.provider
                and lists(provider, one.symbol_id, one.on)
                and not any(other.provider == provider and abs(other.on - one.on) <= NEAR for other in filed)
            ]
            if absent:
                who = " and ".join(sorted(absent))
                text = f"{one.provider} lists a split {_told(one.ratio)} on {one.on}, {who} none near that day."
                found.add(Conflict(one.ticker, one.on, EventKind.SPLITS, text))
    return sorted(found)


def dividend_conflicts(dividends: Sequence[FiledDividend]) -> list[Conflict]:
    """Days on which two providers differ about what was paid in all."""
    by_day: dict[tuple[int, str, date, str], dict[str, Decimal]] = {}
    for one in dividends:
        amounts = by_day.setdefault((one.symbol_id, one.ticker, one.on, one.currency), {})
        amounts[one.provider] = amounts.get(one.provider, Decimal(0)) + one.amount
    return sorted(
        Conflict(
            ticker, on, EventKind.DIVIDENDS, f"Dividends per share on {on} differ: {_all_told(amounts, currency)}."
        )
        for (_, ticker, on, currency), amounts in by_day.items()
        if max(amounts.values()) - min(amounts.values()) > AMOUNT_TOLERANCE * max(amounts.values())
    )


def odd_dividends(dividends: Sequence[FiledDividend], closes: Mapping[tuple[int, date], Decimal]) -> list[Conflict]:
    """
    Dividends above a quarter of the price, and two of one provider within seven days (rule W19).

    Args:
        closes: By symbol id and ex date, the close of the session before as traded; where unknown, absent.
    """
    found = set()
    for one in dividends:
        close = closes.get((one.symbol_id, one.on))
        if close and one.amount > SHARE_MAX * close:
            share = f"{one.amount / close:.0%} of the close {close:.10g} before it"
            text = f"W19: the dividend of {one.amount} on {one.on}, by {one.provider}, is {share}."
            found.add(Conflict(one.ticker, one.on, EventKind.DIVIDENDS, text))
    by_source: dict[tuple[int, str], dict[date, FiledDividend]] = {}
    for one in dividends:
        by_source.setdefault((one.symbol_id, one.provider), {})[one.on] = one
    for filed in by_source.values():
        for before, after in pairwise(sorted(filed)):
            if after - before <= DIVIDENDS_APART_MIN:
                one = filed[after]
                text = f"W19: {one.provider} lists dividends on {before} and on {after}, within seven days."
                found.add(Conflict(one.ticker, after, EventKind.DIVIDENDS, text))
    return sorted(found)


def _contradiction(one: FiledSplit, other: FiledSplit, filed: Sequence[FiledSplit]) -> str:
    if one.on == other.on and one.ratio != other.ratio:
        if one.provider == other.provider:
            return (
                f"{one.provider} contradicts itself: splits {_told(one.ratio)} and {_told(other.ratio)}, "
                f"both on {one.on}."
            )
        if any(_agree(one, third) and third.provider == other.provider for third in filed):
            return ""  # the other provider has this one as well, beside another
        upside_down = ", one the other upside down" if one.ratio * other.ratio == 1 else ""
        return (
            f"Splits on {one.on} differ{upside_down}: {_told(one.ratio)} by {one.provider}, {_told(other.ratio)} by "
            f"{other.provider}."
        )
    is_moved = one.on != other.on and other.on - one.on <= NEAR and one.ratio == other.ratio
    if is_moved and one.provider != other.provider:
        return f"The split {_told(one.ratio)} is dated {one.on} by {one.provider}, {other.on} by {other.provider}."
    return ""


def _agree(one: FiledSplit, other: FiledSplit) -> bool:
    return (one.on, one.ratio) == (other.on, other.ratio)


def _told(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"


def _all_told(amounts: Mapping[str, Decimal], currency: str) -> str:
    unit = f" {currency}" if currency else ""
    return ", ".join(f"{amounts[name]}{unit} by {name}" for name in sorted(amounts))

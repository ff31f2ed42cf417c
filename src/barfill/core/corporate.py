"""
Corporate actions as values that cannot be made wrong: splits, dividends, earnings, ticker changes, delistings.

Dates are those of the exchange. Ratios are exact: a split gives `numerator` new shares for `denominator` old ones, in
lowest terms, so that 2:1 and 4:2 are the same event. Amounts are decimals as the provider wrote them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar

from barfill.core.ticker import is_ticker
from barfill.errors import InvalidInput, excerpt

YEARS = range(1900, 2101)
RATIO_MAX = 100_000
"""Of new shares to old ones, or the other way round; the greatest that are on record are below."""
TERM_MAX = 10**15
AMOUNT_MAX = Decimal(1_000_000)
"""Per share; what is greater is an amount for all shares."""
EPS_MAX = Decimal(10_000_000)
APART_MAX = timedelta(days=3660)
"""Preferred shares declare dividends years ahead; farther apart are two dates of which one is wrong."""
CURRENCY_LENGTH = 3


class EventKind(StrEnum):
    """What can be asked for; the words of `barfill events --kind`."""

    SPLITS = "splits"
    DIVIDENDS = "dividends"
    EARNINGS = "earnings"
    CHANGES = "changes"
    DELISTINGS = "delistings"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorporateEvent:
    """
    What all kinds have in common.

    Attributes:
        ticker: Under which the provider lists it.
        on: The day from which it counts: ex date, day of the report, first day of the new ticker, delisting.
        filed_on: The date by which the provider's lists are asked: Alpaca's process date, else *on*.
        event_id: The provider's own, or "".

    Raises:
        InvalidInput: A value cannot be; the text says which.
    """

    kind: ClassVar[EventKind]

    ticker: str
    on: date
    filed_on: date
    event_id: str = ""

    def __post_init__(self) -> None:
        if not is_ticker(self.ticker):
            raise InvalidInput(f"'{excerpt(self.ticker)}' is no ticker")
        for day in (self.on, self.filed_on):
            if day.year not in YEARS:
                raise InvalidInput(f"{self.ticker}: the year {day.year} cannot be")
        if abs(self.filed_on - self.on) > APART_MAX:
            raise InvalidInput(f"{self.ticker}: the dates {self.on} and {self.filed_on} do not belong together")

    def _check_near(self, *days: date | None) -> None:
        for day in days:
            if day is not None and abs(day - self.on) > APART_MAX:
                raise InvalidInput(f"{self.ticker}: the dates {self.on} and {day} do not belong together")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(CorporateEvent):
    """
    From the session `on` there are *numerator* shares for *denominator* old ones.

    Attributes:
        form: `split`, or `stock_dividend` where new shares are a dividend.
    """

    kind = EventKind.SPLITS

    numerator: int
    denominator: int
    form: str = "split"
    record_on: date | None = None
    paid_on: date | None = None

    def __post_init__(self) -> None:
        CorporateEvent.__post_init__(self)
        self._check_near(self.record_on, self.paid_on)
        terms = f"{self.ticker} {self.on}: a split {self.numerator}:{self.denominator}"
        if self.numerator <= 0 or self.denominator <= 0:
            raise InvalidInput(f"{terms} cannot be")
        ratio = Fraction(self.numerator, self.denominator)
        if ratio == 1:
            raise InvalidInput(f"{terms} changes nothing")
        if not Fraction(1, RATIO_MAX) <= ratio <= RATIO_MAX or max(ratio.numerator, ratio.denominator) > TERM_MAX:
            raise InvalidInput(f"{terms} is too large to be true")
        object.__setattr__(self, "numerator", ratio.numerator)
        object.__setattr__(self, "denominator", ratio.denominator)

    @property
    def ratio(self) -> Fraction:
        """New shares per old one."""
        return Fraction(self.numerator, self.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dividend(CorporateEvent):
    """
    Cash per share for who held it before the session `on`.

    Attributes:
        form: `cash`, `special`, `long_term_gain` or `short_term_gain`.
        currency: Three letters; "" where the provider does not say.
    """

    kind = EventKind.DIVIDENDS

    amount: Decimal
    currency: str
    form: str = "cash"
    declared_on: date | None = None
    record_on: date | None = None
    paid_on: date | None = None

    def __post_init__(self) -> None:
        CorporateEvent.__post_init__(self)
        self._check_near(self.declared_on, self.record_on, self.paid_on)
        if not self.amount.is_finite() or not 0 < self.amount <= AMOUNT_MAX:
            raise InvalidInput(f"{self.ticker} {self.on}: a dividend of {excerpt(str(self.amount))} cannot be")
        is_code = len(self.currency) == CURRENCY_LENGTH and self.currency.isascii() and self.currency.isupper()
        if self.currency and not is_code:
            raise InvalidInput(f"{self.ticker} {self.on}: the currency '{excerpt(self.currency)}' is unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings(CorporateEvent):
    """
    The report of a quarter, expected or made.

    Attributes:
        hour: `before_open`, `after_close`, `during`, or "" where nobody says.
        fiscal_year, fiscal_quarter: As the company counts.
        eps_estimate, eps_actual: Per share; None where not (yet) known.
    """

    kind = EventKind.EARNINGS

    hour: str = ""
    fiscal_year: int | None = None
    fiscal_quarter: int | None = None
    eps_estimate: Decimal | None = None
    eps_actual: Decimal | None = None

    def __post_init__(self) -> None:
        CorporateEvent.__post_init__(self)
        for eps in (self.eps_estimate, self.eps_actual):
            if eps is not None and not (eps.is_finite() and abs(eps) <= EPS_MAX):
                raise InvalidInput(f"{self.ticker} {self.on}: earnings of {excerpt(str(eps))} per share cannot be")
        if self.fiscal_quarter is not None and self.fiscal_quarter not in range(1, 5):
            raise InvalidInput(f"{self.ticker} {self.on}: there is no quarter {self.fiscal_quarter}")
        if self.fiscal_year is not None and self.fiscal_year not in YEARS:
            raise InvalidInput(f"{self.ticker} {self.on}: the year {self.fiscal_year} cannot be")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerChange(CorporateEvent):
    """From the day `on` the company that was `ticker` is *new_ticker*."""

    kind = EventKind.CHANGES

    new_ticker: str

    def __post_init__(self) -> None:
        CorporateEvent.__post_init__(self)
        if not is_ticker(self.new_ticker):
            raise InvalidInput(f"{self.ticker} {self.on}: the new ticker '{excerpt(self.new_ticker)}' is none")
        if self.new_ticker == self.ticker:
            raise InvalidInput(f"{self.ticker} {self.on}: a change to the same ticker is none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delisting(CorporateEvent):
    """
    The shares are traded no more from the day `on`, which may be the last one with a trade.

    Attributes:
        form: `cash_merger`, `stock_merger`, `stock_and_cash_merger`, `worthless` or `delisted`.
        successor: The ticker of who took it over, or "".
    """

    kind = EventKind.DELISTINGS

    form: str = "delisted"
    successor: str = ""

    def __post_init__(self) -> None:
        CorporateEvent.__post_init__(self)
        if self.successor and not is_ticker(self.successor):
            raise InvalidInput(f"{self.ticker} {self.on}: the successor '{excerpt(self.successor)}' is no ticker")

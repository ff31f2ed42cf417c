"""
The corporate events of the market: dividends, earnings, and what splits do, as pure functions of the listings.

Dividends are quarterly, in February, May, August and November, on a day of the month's second or third week that is the
company's own. Each is a quarter of the yearly yield of the base price, in the shares of its time. Raw bars know nothing
of them.

Earnings are of calendar quarters. Each company, but no fund, has its own number of days (20 to 44) between a quarter's
end and its report, and reports before the open or after the close. Estimates wander around a part of the base price
that is the company's own, in the shares of the time; what is reported is up to a tenth off.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Literal

import numpy as np

from barfill.simulate.market.listings import Listing
from barfill.simulate.market.sessions import MINUTE_NS, midnight_ns, xnys

_MONTHS = (2, 5, 8, 11)
_FIRST_DAY, _DAYS = 8, 12
_DECLARED_BEFORE, _PAID_AFTER = timedelta(days=21), timedelta(days=24)
_QUARTER_ENDS = ((3, 31), (6, 30), (9, 30), (12, 31))
_REPORTED_AFTER_DAYS, _REPORT_DAYS = 20, 25
#: 07:30 and 16:15 New York.
_REPORT_MINUTES = {"before_open": 450, "after_close": 975}
_SHARES_PER_DAILY_ONE, _REVENUE_PER_EARNED = 200, 5
_LAST_DAY = date(2029, 6, 30)
#: From this day on trades settle on the next session: record and ex date are the same.
_NEXT_DAY_SETTLEMENT = date(2024, 5, 28)


@dataclass(frozen=True, slots=True)
class Dividend:
    """A cash dividend per share in dollars, four a year."""

    declared_on: date
    ex_on: date
    record_on: date
    paid_on: date
    amount: float


def dividends_of(listing: Listing) -> Iterator[Dividend]:
    """All dividends of a company, also those that are not declared yet, the earliest first."""
    if not listing.dividend_yield:
        return
    day = _FIRST_DAY + hashlib.blake2b(listing.ticker.encode(), digest_size=1).digest()[0] % _DAYS
    amount = listing.base_price * listing.dividend_yield / 4
    last = listing.delisted_on or _LAST_DAY
    for year in range(listing.listed_on.year, last.year + 1):
        for month in _MONTHS:
            ex_on, after = _sessions_from(date(year, month, day))
            if listing.listed_on + _DECLARED_BEFORE < ex_on <= last:
                record_on = after if ex_on < _NEXT_DAY_SETTLEMENT else ex_on
                paid = round(amount * split_factor(listing, ex_on, date.max), 4)
                yield Dividend(ex_on - _DECLARED_BEFORE, ex_on, record_on, ex_on + _PAID_AFTER, paid)


@dataclass(frozen=True, slots=True)
class Earnings:
    """
    The report on a calendar quarter, in dollars a share and dollars; estimates are known before, the rest from *at_ns*.
    """

    period_end: date
    reported_on: date
    hour: Literal["before_open", "after_close"]
    eps_estimate: float
    eps_actual: float
    revenue_estimate: int
    revenue_actual: int

    @property
    def quarter(self) -> int:
        return (self.period_end.month + 2) // 3

    @property
    def at_ns(self) -> int:
        return midnight_ns(self.reported_on) + _REPORT_MINUTES[self.hour] * MINUTE_NS


def earnings_of(listing: Listing) -> Iterator[Earnings]:
    """All reports of a company, also those to come, the earliest first."""
    if listing.kind == "fund":
        return
    own = _dice(listing.ticker)
    lag = timedelta(days=_REPORTED_AFTER_DAYS + int(own[0] * _REPORT_DAYS))
    share = listing.base_price * (0.03 + 0.04 * own[1]) / 4
    count = listing.daily_volume * _SHARES_PER_DAILY_ONE
    last = listing.delisted_on or _LAST_DAY
    for year in range(listing.listed_on.year - 1, last.year + 1):
        for month, day in _QUARTER_ENDS:
            period_end = date(year, month, day)
            if not listing.listed_on < period_end + lag <= last:
                continue
            reported_on, _ = _sessions_from(period_end + lag)
            luck = _dice(f"{listing.ticker}|{period_end}")
            estimate, surprise = share * (0.8 + 0.4 * luck[0]), 0.9 + 0.2 * luck[1]
            sales_surprise = 0.97 + 0.06 * luck[2]
            split = split_factor(listing, reported_on, date.max)
            sales = round(estimate * count * _REVENUE_PER_EARNED)
            yield Earnings(
                period_end,
                reported_on,
                "before_open" if own[2] < 1 / 2 else "after_close",
                round(estimate * split, 4),
                round(estimate * surprise * split, 2),
                sales,
                round(sales * sales_surprise),
            )


def _dice(text: str) -> tuple[float, float, float]:
    """Three numbers in [0, 1), the same for the same text."""
    digest = hashlib.blake2b(f"earnings|{text}".encode(), digest_size=6).digest()
    first, second, third = (int.from_bytes(digest[place : place + 2]) / 2**16 for place in (0, 2, 4))
    return first, second, third


@cache
def _sessions_from(day: date) -> tuple[date, date]:
    """The first session on or after *day*, and the next one."""
    sessions = xnys()
    first = sessions.first_on_or_after(day)
    days: list[date] = sessions.days[first : first + 2].astype("datetime64[D]").astype(object).tolist()
    return days[0], days[1]


def split_factor(listing: Listing, on: date, until: date) -> float:
    """New shares per share of the day *on*, by the splits after it up to *until*."""
    factors = [split.ratio for split in listing.splits if on < split.on <= until]
    return float(np.prod(factors))

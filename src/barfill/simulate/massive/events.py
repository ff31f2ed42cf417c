"""
Splits and dividends, in the older form (/v3/reference) and the newer one (/stocks/v1, client 2.9.1).

Splits are listed from two weeks before their day on, dividends from their declaration on. Events stand under the ticker
that the company had on the day.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from itertools import accumulate
from operator import mul
from typing import Any

from barfill.simulate.market.events import Dividend, dividends_of, split_factor
from barfill.simulate.market.listings import Listing, Split
from barfill.simulate.market.source import Market
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.massive.lists import Listed

_SPLIT_FIELDS = {"ticker": "text", "execution_date": "date"}
_DIVIDEND_FIELDS = {
    "ticker": "text", "ex_dividend_date": "date", "record_date": "date", "declaration_date": "date", "pay_date": "date",
    "cash_amount": "number", "frequency": "number",
}  # fmt: skip
SPLITS = Listed("/v3/reference/splits", _SPLIT_FIELDS, sort="execution_date")
DIVIDENDS = Listed("/v3/reference/dividends", {**_DIVIDEND_FIELDS, "dividend_type": "text"}, sort="ex_dividend_date")
#: The limits of the newer lists are not in providers.md: here as those of the older ones, with 5000 at most.
NEW_SPLITS = Listed(
    "/stocks/v1/splits", {**_SPLIT_FIELDS, "adjustment_type": "text"}, "execution_date", limit=100, limit_max=5000
)
NEW_DIVIDENDS = Listed(
    "/stocks/v1/dividends",
    {**_DIVIDEND_FIELDS, "distribution_type": "text"},
    "ticker",
    "asc",
    limit=100,
    limit_max=5000,
)
_ANNOUNCED_BEFORE = timedelta(days=14)
_DAY = Timeframe(1, "Day")


def split_rows(market: Market, params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """The splits, with ``reverse_split`` only the reverse ones, or only the others."""
    reverse = params.get("reverse_split")
    return [
        {
            "execution_date": split.on.isoformat(),
            "id": _id("E", listing, split.on),
            "split_from": split.of,
            "split_to": split.to,
            "ticker": market.names.ticker(listing, split.on),
        }
        for listing, split in _splits(market, params, today)
        if not reverse or (split.ratio < 1) == (reverse.lower() == "true")
    ]


def new_split_rows(market: Market, params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """All splits, with the factor by which prices before them are multiplied to be today's."""
    return [
        {
            "adjustment_type": "forward_split" if split.ratio > 1 else "reverse_split",
            "execution_date": split.on.isoformat(),
            "historical_adjustment_factor": round(1 / split_factor(listing, split.on - timedelta(days=1), today), 6)
            if split.on <= today
            else 1.0,
            "id": _id("E", listing, split.on),
            "split_from": float(split.of),
            "split_to": float(split.to),
            "ticker": market.names.ticker(listing, split.on),
        }
        for listing, split in _splits(market, params, today)
    ]


def dividend_rows(market: Market, params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """All dividends that are declared."""
    return [
        {
            **_dividend(market, listing, dividend),
            "dividend_type": "CD",
        }
        for listing in _companies(market, params)
        for dividend in _declared(listing, today)
    ]


def new_dividend_rows(market: Market, params: Mapping[str, str], today: date, now_ns: int) -> list[dict[str, Any]]:
    """All dividends that are declared, with the factor by which prices before them are multiplied to be today's."""
    rows = []
    for listing in _companies(market, params):
        factors = _factors(market, listing, now_ns)
        for number, dividend in enumerate(_declared(listing, today)):
            # What is declared and has not happened yet does nothing to prices.
            factor = factors[number] if number < len(factors) else 1.0
            rows.append(
                {
                    **_dividend(market, listing, dividend),
                    "distribution_type": "recurring",
                    "historical_adjustment_factor": round(factor, 6),
                    "split_adjusted_cash_amount": round(
                        dividend.amount / split_factor(listing, dividend.ex_on, today), 6
                    ),
                }
            )
    return rows


def _dividend(market: Market, listing: Listing, dividend: Dividend) -> dict[str, Any]:
    return {
        "cash_amount": dividend.amount,
        "currency": "USD",
        "declaration_date": dividend.declared_on.isoformat(),
        "ex_dividend_date": dividend.ex_on.isoformat(),
        "frequency": 4,
        "id": _id("D", listing, dividend.ex_on),
        "pay_date": dividend.paid_on.isoformat(),
        "record_date": dividend.record_on.isoformat(),
        "ticker": market.names.ticker(listing, dividend.ex_on),
    }


def _companies(market: Market, params: Mapping[str, str]) -> Iterable[Listing]:
    """Those who had the ticker that is asked for, or all: the list's filters look at each row once more."""
    if not params.get("ticker"):
        return market.listings.values()
    return [tenure.listing for tenure in market.names.by_ticker.get(params["ticker"], ())]


def _splits(market: Market, params: Mapping[str, str], today: date) -> Iterator[tuple[Listing, Split]]:
    for listing in _companies(market, params):
        for split in listing.splits:
            if split.on <= today + _ANNOUNCED_BEFORE:
                yield listing, split


def _declared(listing: Listing, today: date) -> Iterator[Dividend]:
    return (dividend for dividend in dividends_of(listing) if dividend.declared_on <= today)


def _factors(market: Market, listing: Listing, now_ns: int) -> list[float]:
    """For each dividend that has happened the product of 1 - amount / close before, over it and all later ones."""
    happened = [1 / one.price_divisor for one in market.dividends_of(listing.ticker) if one.before_ns <= now_ns]
    return list(accumulate(reversed(happened), mul))[::-1]


def _id(kind: str, listing: Listing, day: date) -> str:
    """The vendor's ids are E or D and 64 hexadecimal digits; made up, the same for the same event."""
    return kind + hashlib.blake2b(f"{kind}|{listing.ticker}|{day}".encode(), digest_size=32).hexdigest()

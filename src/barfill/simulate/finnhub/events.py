"""
Splits, dividends, earnings and changes of symbols. Rows are the newest first, as in the vendor's samples.

Splits are listed from their day on, dividends from their declaration on. They stand under the symbol that the company
has today. The free plan has the last four quarters of a company, and of the calendar of all companies what lies at most
a month back.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from barfill.simulate.finnhub.refusals import invalid
from barfill.simulate.market.events import Earnings, dividends_of, earnings_of, split_factor
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.source import Market

Row = dict[str, Any]
_FREE_QUARTERS, _FREE_CALENDAR = 4, timedelta(days=31)
_CHANGES_MAX = 2_000
_HOURS = {"before_open": "bmo", "after_close": "amc"}


def splits(market: Market, params: Mapping[str, str], today: date) -> list[Row]:
    """The splits of ``symbol`` between two dates, both included."""
    return [
        {"symbol": params["symbol"], "date": one.on.isoformat(), "fromFactor": one.of, "toFactor": one.to}
        for listing in _company(market, params, today)
        for one in reversed(listing.splits)
        if one.on <= today and _between(params, one.on)
    ]


def dividends(market: Market, params: Mapping[str, str], today: date) -> list[Row]:
    """The dividends of ``symbol`` whose ex date is between two dates, both included."""
    rows = [
        {
            "symbol": params["symbol"],
            "date": one.ex_on.isoformat(),
            "amount": one.amount,
            "adjustedAmount": round(one.amount / split_factor(listing, one.ex_on, today), 6),
            "payDate": one.paid_on.isoformat(),
            "recordDate": one.record_on.isoformat(),
            "declarationDate": one.declared_on.isoformat(),
            "currency": "USD",
            "freq": "4",
        }
        for listing in _company(market, params, today)
        for one in dividends_of(listing)
        if one.declared_on <= today and _between(params, one.ex_on)
    ]
    return rows[::-1]


def basic_dividends(market: Market, params: Mapping[str, str], today: date) -> Row:
    """Ex dates and amounts alone."""
    rows = dividends(market, {"symbol": params.get("symbol", "")}, today)
    return {
        "data": [{"exDate": row["date"], "amount": row["amount"]} for row in rows], "symbol": params.get("symbol", ""),
    }  # fmt: skip


def earnings(market: Market, params: Mapping[str, str], today: date, now_ns: int, *, is_free: bool) -> list[Row]:
    """The reported quarters of ``symbol``, at most ``limit``."""
    rows = [
        {
            "actual": one.eps_actual,
            "estimate": one.eps_estimate,
            "period": one.period_end.isoformat(),
            "quarter": one.quarter,
            "surprise": round(one.eps_actual - one.eps_estimate, 4),
            "surprisePercent": round((one.eps_actual / one.eps_estimate - 1) * 100, 4),
            "symbol": params["symbol"],
            "year": one.period_end.year,
        }
        for listing in _company(market, params, today)
        for one in earnings_of(listing)
        if one.at_ns <= now_ns
    ]
    text = params.get("limit") or str(len(rows))
    if not (text.isascii() and text.isdigit()):
        raise invalid("limit")
    return rows[::-1][: min(int(text), _FREE_QUARTERS) if is_free else int(text)]


def earnings_calendar(market: Market, params: Mapping[str, str], today: date, now_ns: int, *, is_free: bool) -> Row:
    """The reports of all or of ``symbol`` between two dates, both included; by default of a month from today on."""
    first = _date(params, "from") or today
    last = _date(params, "to") or today + _FREE_CALENDAR
    if is_free:
        first = max(first, today - _FREE_CALENDAR)
    listed: Iterable[Listing] = market.listings.values()
    if params.get("symbol"):
        listed = _company(market, params, today)
    found = [
        (one.reported_on, _calendar_row(one, market.names.ticker(listing, today), now_ns))
        for listing in listed
        for one in earnings_of(listing)
        if first <= one.reported_on <= last
    ]
    ordered = sorted(found, key=lambda item: (item[0], item[1]["symbol"]), reverse=True)
    return {"earningsCalendar": [row for _, row in ordered]}


def _calendar_row(one: Earnings, symbol: str, now_ns: int) -> Row:
    is_reported = one.at_ns <= now_ns
    return {
        "date": one.reported_on.isoformat(),
        "epsActual": one.eps_actual if is_reported else None,
        "epsEstimate": one.eps_estimate,
        "hour": _HOURS[one.hour],
        "quarter": one.quarter,
        "revenueActual": one.revenue_actual if is_reported else None,
        "revenueEstimate": one.revenue_estimate,
        "symbol": symbol,
        "year": one.period_end.year,
    }


def symbol_changes(market: Market, params: Mapping[str, str], today: date) -> Row:
    """The changes between two dates, both included: each on the first day of the new symbol."""
    first, last = _date(params, "from"), _date(params, "to")
    if first is None or last is None:
        raise invalid("from" if first is None else "to")
    found = []
    for listing in market.listings.values():
        held = market.names.of(listing)
        for before, after in pairwise(held):
            if first <= after.first <= min(last, today):
                row = {"atDate": after.first.isoformat(), "newSymbol": after.ticker, "oldSymbol": before.ticker}
                found.append(row)
    rows = sorted(found, key=lambda row: row["atDate"], reverse=True)[:_CHANGES_MAX]
    return {"data": rows, "fromDate": first.isoformat(), "toDate": last.isoformat()}


def _company(market: Market, params: Mapping[str, str], today: date) -> list[Listing]:
    """Whoever has ``symbol`` today: one company, or none."""
    if not params.get("symbol"):
        raise invalid("symbol")
    holder = market.names.holder(params["symbol"], today)
    return [] if holder is None or holder.listed_on > today else [holder]


def _between(params: Mapping[str, str], day: date) -> bool:
    first, last = _date(params, "from"), _date(params, "to")
    return (first is None or first <= day) and (last is None or day <= last)


def _date(params: Mapping[str, str], name: str) -> date | None:
    text = params.get(name)
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid(name) from None


#: By endpoint: lists of one symbol's events, for paying plans only.
PREMIUM: Mapping[str, Callable[[Market, Mapping[str, str], date], Any]] = {
    "split": splits,
    "dividend": dividends,
    "dividend2": basic_dividends,
    "symbol_change": symbol_changes,
}

"""
Symbols, quotes and the state of the market.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np

from barfill.simulate.finnhub.refusals import invalid, no_access
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.sessions import HOUR_NS, NEW_YORK, SECOND_NS, from_ns, xnys
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted

_MICS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "ARCA": "ARCX", "AMEX": "XASE"}
_TYPES = {"stock": "Common Stock", "fund": "ETP"}
_TEN_DAYS_NS = 10 * 24 * HOUR_NS
_SATURDAY, _FULL_CLOSE_HOUR = 5, 16
_HOLIDAYS = {
    1: "New Year's Day", 2: "Washington's Birthday", 3: "Good Friday", 4: "Good Friday", 5: "Memorial Day",
    6: "Juneteenth", 7: "Independence Day", 9: "Labor Day", 11: "Thanksgiving Day", 12: "Christmas",
}  # fmt: skip
_NEW_YEAR_UNTIL = 5


def symbols(market: Market, params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """
    All symbols of the exchange that trade today, in one answer.

    Raises:
        Refusal: 403, another exchange than US; 422, none is named.
    """
    _check_exchange(params)
    rows = [_symbol(market, listing, today) for listing in market.listings.values() if _trades(listing, today)]
    filters = {"mic": "mic", "currency": "currency", "securityType": "type"}
    wanted = {field: params[name] for name, field in filters.items() if params.get(name)}
    return [row for row in rows if all(row[field] == value for field, value in wanted.items())]


def search(market: Market, params: Mapping[str, str], today: date) -> dict[str, Any]:
    """Symbols and names that hold ``q``, those of which it is the symbol first."""
    asked = params.get("q", "").lower()
    if not asked:
        raise invalid("q")
    rows = [_symbol(market, listing, today) for listing in market.listings.values() if _trades(listing, today)]
    found = [row for row in rows if asked in row["symbol"].lower() or asked in row["description"].lower()]
    found.sort(key=lambda row: row["symbol"].lower() != asked)
    kept = ("description", "displaySymbol", "symbol", "type")
    return {"count": len(found), "result": [{name: row[name] for name in kept} for row in found]}


def quote(market: Market, params: Mapping[str, str], today: date, now_ns: int) -> dict[str, Any]:
    """The newest prices of ``symbol``; zeros of an unknown one."""
    listing = market.names.holder(params.get("symbol", ""), today)
    wanted = Wanted(Timeframe(1, "Day"), now_ns - _TEN_DAYS_NS, now_ns, "sip", now_ns)
    days = None
    if listing is not None:
        days = read_rows(market, listing.ticker, wanted, 2, adjust=("split",), is_descending=True)
    if days is None or not len(days):
        return {"c": 0, "d": None, "dp": None, "h": 0, "l": 0, "o": 0, "pc": 0, "t": 0}
    last, before = float(days.close[0]), float(days.close[-1])
    sessions = xnys()
    closed_ns = int(sessions.close_ns[sessions.first_on_or_after(from_ns(int(days.ts[0])).date())])
    return {
        "c": last,
        "d": round(last - before, 4),
        "dp": round((last / before - 1) * 100, 4),
        "h": float(days.high[0]),
        "l": float(days.low[0]),
        "o": float(days.open[0]),
        "pc": before,
        "t": min(now_ns, closed_ns) // SECOND_NS,
    }


def market_status(params: Mapping[str, str], now_ns: int) -> dict[str, Any]:
    """Whether the market is open, and which part of the day it is."""
    _check_exchange(params)
    sessions = xnys()
    row = int(np.searchsorted(sessions.extended_close_ns, now_ns, side="right"))
    edges = (sessions.extended_open_ns, sessions.open_ns, sessions.close_ns)
    session = (None, "pre-market", "regular", "post-market")[sum(int(edge[row]) <= now_ns for edge in edges)]
    today = from_ns(now_ns).astimezone(NEW_YORK).date()
    is_holiday = today.weekday() < _SATURDAY and sessions.days[row].astype(object) != today and session is None
    # After the end of a session the next one is another day's, though today was none.
    is_holiday = is_holiday and sessions.days[sessions.first_on_or_after(today)].astype(object) != today
    return {
        "exchange": "US",
        "holiday": _name(today) if is_holiday else None,
        "isOpen": session == "regular",
        "session": session,
        "timezone": "America/New_York",
        "t": now_ns // SECOND_NS,
    }


def holidays(params: Mapping[str, str], today: date) -> dict[str, Any]:
    """Closed and short weekdays of last year, this one and the next, the newest first."""
    _check_exchange(params)
    sessions = xnys()
    rows = []
    day = date(today.year + 1, 12, 31)
    while day.year >= today.year - 1:
        row = sessions.first_on_or_after(day)
        closes = from_ns(int(sessions.close_ns[row])).astimezone(NEW_YORK)
        if sessions.days[row].astype(object) != day:
            hours = "" if day.weekday() < _SATURDAY else None
        else:
            hours = None if closes.hour == _FULL_CLOSE_HOUR else f"09:30-{closes:%H:%M}"
        if hours is not None:
            rows.append({"eventName": _name(day), "atDate": day.isoformat(), "tradingHour": hours})
        day -= timedelta(days=1)
    return {"data": rows, "exchange": "US", "timezone": "America/New_York"}


def _name(day: date) -> str:
    if day.month == 1 and day.day > _NEW_YEAR_UNTIL:
        return "Birthday of Martin Luther King, Jr"
    return _HOLIDAYS.get(day.month, "Market holiday")


def _check_exchange(params: Mapping[str, str]) -> None:
    if not params.get("exchange"):
        raise invalid("exchange")
    if params["exchange"] != "US":
        raise no_access()


def _trades(listing: Listing, today: date) -> bool:
    return listing.listed_on <= today and (listing.delisted_on is None or today <= listing.delisted_on)


def _symbol(market: Market, listing: Listing, today: date) -> dict[str, Any]:
    ticker = market.names.ticker(listing, today)
    figi = hashlib.blake2b(f"composite|{listing.ticker}".encode(), digest_size=5).hexdigest().upper()
    return {
        "currency": "USD",
        "description": listing.name.upper(),
        "displaySymbol": ticker,
        "figi": f"BBG{figi[:9]}",
        "mic": _MICS[listing.exchange],
        "symbol": ticker,
        "type": _TYPES[listing.kind],
    }

"""
The trading host's answers about symbols, sessions and the time: assets, calendar, clock.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from barfill.simulate.listings import Listing
from barfill.simulate.sessions import NEW_YORK, from_ns, xnys
from barfill.simulate.wire import Refusal

_NAMESPACE = uuid.UUID("6f1c0f5e-6f0b-4c57-9a3c-1f2d6a1f9c11")
_STATUSES = ("active", "inactive")
_CLASSES = ("us_equity", "crypto", "us_option")


def asset(listing: Listing) -> dict[str, Any]:
    """One asset as the vendor describes it."""
    tradable = listing.is_active
    return {
        "id": str(uuid.uuid5(_NAMESPACE, listing.ticker)),
        "class": "us_equity",
        "exchange": listing.exchange,
        "symbol": listing.ticker,
        "name": listing.name,
        "status": "active" if listing.is_active else "inactive",
        "tradable": tradable,
        "marginable": tradable,
        "maintenance_margin_requirement": 30 if tradable else 100,
        "margin_requirement_long": "30" if tradable else "100",
        "margin_requirement_short": "30" if tradable else "100",
        "shortable": tradable,
        "easy_to_borrow": tradable,
        "fractionable": tradable,
        "attributes": [],
    }


def assets(listings: Mapping[str, Listing], params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """The whole list in one answer, sorted by exchange and symbol; a symbol appears on its first day."""
    status = _choice(params, "status", _STATUSES)
    if _choice(params, "asset_class", _CLASSES) not in {None, "us_equity"}:
        return []
    exchange = params.get("exchange")
    found = [
        asset(listing)
        for listing in listings.values()
        if listing.listed_on <= today and exchange in {None, "", listing.exchange}
    ]
    wanted = [row for row in found if status in {None, row["status"]}]
    return sorted(wanted, key=lambda row: (row["exchange"], row["symbol"]))


def one_asset(listings: Mapping[str, Listing], name: str, today: date) -> dict[str, Any]:
    """The asset with this symbol or id."""
    for listing in [listings[name]] if name in listings else listings.values():
        if listing.listed_on <= today and name in {listing.ticker, str(uuid.uuid5(_NAMESPACE, listing.ticker))}:
            return asset(listing)
    raise Refusal(404, f"asset not found for {name}", 40410000)


def calendar(params: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sessions from *start* to *end*, both included, with their New York hours; 1970 to 2029 by default."""
    sessions = xnys()
    first = sessions.first_on_or_after(_day(params, "start", date(1970, 1, 1)))
    stop = sessions.first_on_or_after(_day(params, "end", date(2029, 12, 31)) + timedelta(days=1))
    return [_session(index) for index in range(first, stop)]


def clock(now_ns: int) -> dict[str, Any]:
    """Now in New York, whether regular hours are on, and when they next begin and end."""
    sessions = xnys()
    closing = int(np.searchsorted(sessions.close_ns, now_ns, side="right"))
    opening = int(np.searchsorted(sessions.open_ns, now_ns, side="right"))
    return {
        "timestamp": _local(now_ns).isoformat(timespec="microseconds"),
        "is_open": int(sessions.open_ns[closing]) <= now_ns,
        "next_open": _local(int(sessions.open_ns[opening])).isoformat(),
        "next_close": _local(int(sessions.close_ns[closing])).isoformat(),
    }


def _session(index: int) -> dict[str, Any]:
    sessions = xnys()
    day = sessions.days[index]
    following = sessions.days[min(index + 1, len(sessions) - 1)]
    return {
        "date": str(day),
        "open": _local(int(sessions.open_ns[index])).strftime("%H:%M"),
        "close": _local(int(sessions.close_ns[index])).strftime("%H:%M"),
        "session_open": _local(int(sessions.extended_open_ns[index])).strftime("%H%M"),
        "session_close": _local(int(sessions.extended_close_ns[index])).strftime("%H%M"),
        "settlement_date": str(following),
    }


def _local(instant_ns: int) -> datetime:
    return from_ns(instant_ns).astimezone(NEW_YORK)


def _choice(params: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str | None:
    value = params.get(name) or None
    if value is not None and value not in allowed:
        raise Refusal(422, f"invalid {name}", 42210000)
    return value


def _day(params: Mapping[str, str], name: str, default: date) -> date:
    text = params.get(name)
    if not text:
        return default
    try:
        # Of an instant only the date counts.
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Refusal(422, f"invalid {name}", 42210000) from None

"""
The trading host's answers about symbols, sessions and the time: assets, calendar, clock.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from barfill.simulate.alpaca.refusals import refusal
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.names import Names
from barfill.simulate.market.sessions import NEW_YORK, from_ns, xnys
from barfill.simulate.market.venues import Traded

_NAMESPACE = uuid.UUID("6f1c0f5e-6f0b-4c57-9a3c-1f2d6a1f9c11")
_STATUSES = ("active", "inactive")
_CLASSES = ("us_equity", "crypto", "us_option")


def asset(listing: Listing, symbol: str) -> dict[str, Any]:
    """One asset as the vendor describes it, by the symbol that it has."""
    tradable = listing.is_active
    return {
        "id": _id(listing),
        "class": "us_equity",
        "exchange": listing.exchange,
        "symbol": symbol,
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


def crypto_asset(traded: Traded) -> dict[str, Any]:
    """One pair as the vendor describes it."""
    return {
        "id": str(uuid.uuid5(_NAMESPACE, traded.symbol)),
        "class": "crypto",
        "exchange": "CRYPTO",
        "symbol": traded.symbol,
        "name": f"{traded.coin.title} / US Dollar",
        "status": "active",
        "tradable": True,
        "marginable": False,
        "maintenance_margin_requirement": 100,
        "margin_requirement_long": "100",
        "margin_requirement_short": "100",
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": True,
        "attributes": [],
        "min_order_size": "0.0001",
        "min_trade_increment": "0.000000001",
        "price_increment": str(10.0**-traded.decimals),
    }


def assets(
    listings: Mapping[str, Listing], names: Names, crypto: CryptoMarket, params: Mapping[str, str], today: date
) -> list[dict[str, Any]]:
    """The whole list in one answer, sorted by exchange and symbol; a symbol appears on its first day."""
    status, kind = _choice(params, "status", _STATUSES), _choice(params, "asset_class", _CLASSES)
    exchange = params.get("exchange")
    found = [
        asset(listing, names.ticker(listing, today))
        for listing in listings.values()
        if listing.listed_on <= today and exchange in {None, "", listing.exchange}
    ]
    if exchange in {None, "", "CRYPTO"}:
        found += [crypto_asset(one) for one in _pairs(crypto) if one.coin.listed_on <= today]
    wanted = [row for row in found if status in {None, row["status"]} and kind in {None, row["class"]}]
    return sorted(wanted, key=lambda row: (row["exchange"], row["symbol"]))


def one_asset(
    listings: Mapping[str, Listing], names: Names, crypto: CryptoMarket, name: str, today: date
) -> dict[str, Any]:
    """The asset with this symbol or id; pairs are known without their slash, too."""
    holder = names.holder(name, today)
    for listing in [holder] if holder else [one for one in listings.values() if _id(one) == name]:
        if listing.listed_on <= today:
            return asset(listing, names.ticker(listing, today))
    for row in (crypto_asset(one) for one in _pairs(crypto) if one.coin.listed_on <= today):
        if name in {row["symbol"], row["symbol"].replace("/", ""), row["id"]}:
            return row
    raise refusal(404, f"asset not found for {name}", 40410000)


def _pairs(crypto: CryptoMarket) -> tuple[Traded, ...]:
    return crypto.venue("alpaca").traded


def _id(listing: Listing) -> str:
    return str(uuid.uuid5(_NAMESPACE, listing.ticker))


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
        raise refusal(422, f"invalid {name}", 42210000)
    return value


def _day(params: Mapping[str, str], name: str, default: date) -> date:
    text = params.get(name)
    if not text:
        return default
    try:
        # Of an instant only the date counts.
        return date.fromisoformat(text[:10])
    except ValueError:
        raise refusal(422, f"invalid {name}", 42210000) from None

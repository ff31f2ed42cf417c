"""
Reference data of companies: the list of tickers, one ticker's details, and the changes of its name.
"""

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any

from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.source import Market
from barfill.simulate.massive.crypto import pair_of, pair_row
from barfill.simulate.massive.lists import Listed
from barfill.simulate.massive.queries import day_of
from barfill.simulate.massive.refusals import nothing_there, request_id

TICKERS = Listed(
    "/v3/reference/tickers",
    {"ticker": "text", "type": "text", "market": "text", "primary_exchange": "text", "name": "text", "cik": "text"},
    sort="ticker",
    order="asc",
    limit=100,
    has_count=True,
)
_MICS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "ARCA": "ARCX", "AMEX": "XASE"}


def ticker_rows(market: Market, params: Mapping[str, str], today: date) -> list[dict[str, Any]]:
    """The tickers of a day, by default today: the active ones, or with ``active=false`` those delisted by then."""
    day = day_of(params["date"], "date") if params.get("date") else today
    wants_active = params.get("active", "true").lower() != "false"
    search = params.get("search", "").lower()
    rows = [
        _row(market, listing, day)
        for listing in market.listings.values()
        if listing.listed_on <= day and _is_active(listing, day) == wants_active
    ]
    exchange = params.get("exchange")
    return [
        row
        for row in rows
        if exchange in {None, "", row["primary_exchange"]}
        and (not search or search in row["ticker"].lower() or search in row["name"].lower())
    ]


def one_ticker(
    market: Market, crypto: CryptoMarket, ticker: str, params: Mapping[str, str], today: date
) -> dict[str, Any]:
    """
    The details of whoever has the ticker on the day asked for.

    Raises:
        Refusal: 404, nobody has it.
    """
    day = day_of(params["date"], "date") if params.get("date") else today
    traded = pair_of(crypto, ticker)
    if traded is not None and traded.coin.listed_on <= day:
        return {"results": pair_row(traded, day), "status": "OK", "request_id": request_id()}
    listing = market.names.holder(ticker, day)
    if listing is None or listing.listed_on > day or not _is_active(listing, day):
        raise nothing_there("Ticker not found.")
    details = {
        **_row(market, listing, day),
        "ticker_root": listing.ticker.split(".", maxsplit=1)[0],
        "list_date": listing.listed_on.isoformat(),
        "market_cap": round(listing.base_price * listing.daily_volume * 300),
        "share_class_shares_outstanding": listing.daily_volume * 300,
        "weighted_shares_outstanding": listing.daily_volume * 300,
        "round_lot": 100,
    }
    return {"results": details, "status": "OK", "request_id": request_id()}


def ticker_events(market: Market, ticker: str, today: date) -> dict[str, Any]:
    """
    The names that a company has had, the newest first. It is found under any of them.

    Raises:
        Refusal: 404, no company has had the ticker.
    """
    holders = [tenure.listing for tenure in market.names.by_ticker.get(ticker, ()) if tenure.listing.listed_on <= today]
    current = market.names.holder(ticker, today)
    listing = current if current in holders else next(iter(reversed(holders)), None)
    if listing is None:
        raise nothing_there("Ticker not found.")
    events = [
        {
            "ticker_change": {"ticker": tenure.ticker},
            "type": "ticker_change",
            "date": max(tenure.first, listing.listed_on).isoformat(),
        }
        for tenure in reversed(market.names.of(listing))
        if tenure.first <= today
    ]
    known = {"name": listing.name, "composite_figi": _figi(listing, "composite"), "cik": _cik(listing)}
    return {"results": {**known, "events": events}, "status": "OK", "request_id": request_id()}


def _row(market: Market, listing: Listing, day: date) -> dict[str, Any]:
    is_active = _is_active(listing, day)
    row: dict[str, Any] = {
        "ticker": market.names.ticker(listing, day),
        "name": listing.name,
        "market": "stocks",
        "locale": "us",
        "primary_exchange": _MICS[listing.exchange],
        "type": "ETF" if listing.kind == "fund" else "CS",
        "active": is_active,
        "currency_name": "usd",
        "cik": _cik(listing),
        "composite_figi": _figi(listing, "composite"),
        "share_class_figi": _figi(listing, "share"),
    }
    if not is_active:
        row["delisted_utc"] = f"{listing.delisted_on}T00:00:00Z"
    return {**row, "last_updated_utc": f"{day}T00:00:00Z"}


def _is_active(listing: Listing, day: date) -> bool:
    return listing.delisted_on is None or day <= listing.delisted_on


def _figi(listing: Listing, kind: str) -> str:
    """Made up, the same for the same company."""
    digest = hashlib.blake2b(f"{kind}|{listing.ticker}".encode(), digest_size=5).hexdigest().upper()
    return f"BBG{digest[:9]}"


def _cik(listing: Listing) -> str:
    return f"{int.from_bytes(hashlib.blake2b(listing.ticker.encode(), digest_size=3).digest()):010d}"

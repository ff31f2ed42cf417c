"""
Corporate actions (`/v1/corporate-actions`): splits, cash dividends, name changes and mergers of the market.

Windows are dates of processing, today where none is given, both bounds included. A dividend is processed on the day it
is paid, a split and a change of names on their own day, a merger on the day after the last session. Splits are listed
from two weeks before, dividends from their declaration on. Events stand under the ticker of their day.
"""

import base64
import binascii
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from barfill.simulate.alpaca.refusals import refusal
from barfill.simulate.market.events import dividends_of
from barfill.simulate.market.listings import Listing, Split
from barfill.simulate.market.names import Names

Row = dict[str, Any]
_NAMESPACE = uuid.UUID("0b0a5d1e-5a7e-4f8c-9b57-0d5b8f2d3c11")
_ANNOUNCED_BEFORE = timedelta(days=14)
_DAY = timedelta(days=1)
_LIMIT, _LIMIT_MAX = 100, 1000
_GROUPS = {
    "forward_split": "forward_splits",
    "reverse_split": "reverse_splits",
    "cash_dividend": "cash_dividends",
    "name_change": "name_changes",
    "cash_merger": "cash_mergers",
}
#: Types that the market has none of.
_OTHER_TYPES = {
    "unit_split", "stock_dividend", "spin_off", "stock_merger", "stock_and_cash_merger", "redemption",
    "worthless_removal", "rights_distribution", "partial_call", "reorganization",
}  # fmt: skip


def corporate_actions(
    listings: Mapping[str, Listing], names: Names, params: Mapping[str, str], today: date
) -> dict[str, Any]:
    """
    A page of the events in the window, grouped by type; groups without rows are absent.

    Raises:
        Refusal: 400, a parameter cannot be.
    """
    first, last = _day(params, "start", today), _day(params, "end", today)
    if last < first:
        raise refusal(400, "end should not be before start")
    types, symbols = _types(params), _listed(params, "symbols")
    limit, offset = _limit(params), _offset(params)
    found = [
        (kind, row)
        for listing in listings.values()
        for kind, row in _rows(listing, names, today)
        if kind in types and first <= date.fromisoformat(row["process_date"]) <= last
        if not symbols or symbols & _names_in(row)
    ]
    found.sort(key=lambda one: (one[1]["process_date"], one[1]["id"]), reverse=params.get("sort") == "desc")
    groups: dict[str, list[Row]] = {}
    for kind, row in found[offset : offset + limit]:
        groups.setdefault(_GROUPS[kind], []).append(row)
    after = offset + limit
    token = base64.b64encode(f"after|{after}".encode()).decode() if after < len(found) else None
    return {"corporate_actions": groups, "next_page_token": token}


def _rows(listing: Listing, names: Names, today: date) -> Iterator[tuple[str, Row]]:
    """All events of a company that are known today, each with its type."""
    for split in listing.splits:
        if split.on <= today + _ANNOUNCED_BEFORE:
            yield _split(listing, names, split)
    for dividend in dividends_of(listing):
        if dividend.declared_on <= today:
            yield (
                "cash_dividend",
                {
                    "id": _id(listing, "dividend", dividend.ex_on),
                    "symbol": names.ticker(listing, dividend.ex_on),
                    "cusip": _cusip(listing),
                    "rate": dividend.amount,
                    "special": False,
                    "foreign": False,
                    "process_date": dividend.paid_on.isoformat(),
                    "ex_date": dividend.ex_on.isoformat(),
                    "record_date": dividend.record_on.isoformat(),
                    "payable_date": dividend.paid_on.isoformat(),
                },
            )
    for before, after in zip(names.of(listing), names.of(listing)[1:], strict=False):
        if after.first <= today:
            yield (
                "name_change",
                {
                    "id": _id(listing, "name", after.first),
                    "old_symbol": before.ticker,
                    "new_symbol": after.ticker,
                    "old_cusip": _cusip(listing),
                    "new_cusip": _cusip(listing),
                    "process_date": after.first.isoformat(),
                },
            )
    if listing.delisted_on is not None and listing.delisted_on < today:
        effective = (listing.delisted_on + _DAY).isoformat()
        yield (
            "cash_merger",
            {
                "id": _id(listing, "merger", listing.delisted_on),
                "acquiree_symbol": listing.ticker,
                "acquiree_cusip": _cusip(listing),
                "rate": listing.base_price,
                "process_date": effective,
                "effective_date": effective,
                "payable_date": effective,
            },
        )


def _split(listing: Listing, names: Names, split: Split) -> tuple[str, Row]:
    day = split.on.isoformat()
    row: Row = {
        "id": _id(listing, "split", split.on),
        "symbol": names.ticker(listing, split.on),
        "new_rate": split.to,
        "old_rate": split.of,
        "process_date": day,
        "ex_date": day,
        "record_date": (split.on - _DAY).isoformat(),
    }
    if split.ratio > 1:
        return "forward_split", {**row, "cusip": _cusip(listing), "payable_date": (split.on - _DAY).isoformat()}
    return "reverse_split", {**row, "old_cusip": _cusip(listing), "new_cusip": _cusip(listing)[::-1]}


def _names_in(row: Row) -> set[str]:
    return {row[name] for name in ("symbol", "old_symbol", "new_symbol", "acquiree_symbol") if name in row}


def _types(params: Mapping[str, str]) -> set[str]:
    asked = _listed(params, "types")
    unknown = asked - _GROUPS.keys() - _OTHER_TYPES
    if unknown:
        raise refusal(400, f"invalid type: {min(unknown)}")
    return asked or set(_GROUPS)


def _listed(params: Mapping[str, str], name: str) -> set[str]:
    return {part for part in params.get(name, "").split(",") if part}


def _day(params: Mapping[str, str], name: str, default: date) -> date:
    try:
        return date.fromisoformat(params[name]) if params.get(name) else default
    except ValueError:
        raise refusal(400, f"invalid {name}: {params[name]}") from None


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit", str(_LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _LIMIT_MAX):
        raise refusal(400, f"limit should be from 1 to {_LIMIT_MAX}")
    return int(text)


def _offset(params: Mapping[str, str]) -> int:
    if not params.get("page_token"):
        return 0
    try:
        word, _, number = base64.b64decode(params["page_token"], validate=True).decode().partition("|")
        if word == "after":
            return int(number)
    except (binascii.Error, UnicodeDecodeError, ValueError):
        pass
    raise refusal(400, "invalid page_token")


def _id(listing: Listing, kind: str, day: date) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{listing.ticker}|{kind}|{day}"))


def _cusip(listing: Listing) -> str:
    """Made up, the same for the same company."""
    return uuid.uuid5(_NAMESPACE, listing.ticker).hex[:9].upper()

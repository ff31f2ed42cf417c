"""
Quotes of many symbols: one alone is an object, unknown ones are listed apart.

The fields are those of the recorded reply of 2013, with ``type``, ``prevclose`` and ``change_percentage``, which are
newer. Bid and ask are a cent around the last price.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.sessions import HOUR_NS, NEW_YORK, from_ns
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.tradier.queries import Plan, market_ticker, wire_symbol
from barfill.simulate.tradier.refusals import invalid

_YEAR_NS = 366 * 24 * HOUR_NS
_EXCHANGES = {"NASDAQ": "Q", "NYSE": "N", "ARCA": "P", "AMEX": "A"}
_AVERAGED_DAYS = 90


def quotes(market: Market, params: Mapping[str, str], plan: Plan) -> dict[str, Any]:
    """
    The quotes of ``symbols``, in the order asked for.

    Raises:
        Refusal: 400, no symbols.
    """
    symbols = [symbol for symbol in params.get("symbols", "").split(",") if symbol]
    if not symbols:
        raise invalid("symbols", "is required")
    found: list[dict[str, Any]] = []
    unmatched: list[str] = []
    for symbol in symbols:
        listing = market.names.holder(market_ticker(symbol), plan.today)
        quote = None if listing is None or not _trades(listing, plan.today) else _quote(market, listing, plan)
        if quote is None:
            unmatched.append(symbol)
        else:
            found.append(quote)
    answer: dict[str, Any] = {}
    if found:
        answer["quote"] = _one_or_list(found)
    if unmatched:
        answer["unmatched_symbols"] = {"symbol": _one_or_list(unmatched)}
    return {"quotes": answer}


def _one_or_list(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _trades(listing: Listing, today: date) -> bool:
    """Vendors quote what trades: not yet listed and delisted symbols are not known (not documented)."""
    return listing.listed_on <= today and (listing.delisted_on is None or today <= listing.delisted_on)


def _quote(market: Market, listing: Listing, plan: Plan) -> dict[str, Any] | None:
    now_ns = plan.visible_ns
    wanted = Wanted(Timeframe(1, "Day"), now_ns - _YEAR_NS, now_ns, "sip", now_ns)
    year = read_rows(market, listing.ticker, wanted, None, adjust=("split",), is_descending=False)
    if not len(year):
        return None
    today, before = year.pick(slice(-1, None)), year.pick(slice(-2, -1))
    last = float(today.close[0])
    previous = float(before.close[0]) if len(before) else last
    traded_at = _newest_at(market, listing, wanted, today)
    return {
        "symbol": wire_symbol(market.names.ticker(listing, plan.today)),
        "description": listing.name,
        "exch": _EXCHANGES[listing.exchange],
        "type": "etf" if listing.kind == "fund" else "stock",
        "trade_date": traded_at,
        "bid_date": traded_at,
        "ask_date": traded_at,
        "open": float(today.open[0]),
        "high": float(today.high[0]),
        "low": float(today.low[0]),
        "close": last,
        "last": last,
        "prevclose": previous,
        "change": round(last - previous, 4),
        "change_percentage": round((last / previous - 1) * 100, 2),
        "volume": int(today.volume[0]),
        "last_volume": 100,
        "trade_count": int(today.trades[0]),
        "average_volume": int(year.volume[-_AVERAGED_DAYS:].mean()),
        "bid": round(last - 0.01, 4),
        "ask": round(last + 0.01, 4),
        "bidsize": 1,
        "asksize": 1,
        "week_52_high": float(year.high.max()),
        "week_52_low": float(year.low.min()),
        "delay": 15 if plan.is_sandbox else 0,
    }


def _newest_at(market: Market, listing: Listing, wanted: Wanted, today: Bars) -> str:
    """The New York time of the newest minute of the last session, as recorded: 2013-06-10T16:00:00-04:00."""
    minutes = replace(wanted, timeframe=Timeframe(1, "Min")).within(int(today.ts[0]), wanted.end_ns)
    newest = read_rows(market, listing.ticker, minutes, 1, adjust=(), is_descending=True)
    at_ns = int(newest.ts[0]) if len(newest) else int(today.ts[0])
    return from_ns(at_ns).astimezone(NEW_YORK).isoformat()

"""
Crypto pairs: ``X:BTCUSD`` is the tape of all venues of BTC/USD. Volumes have fractions, windows are those of UTC.

Where the documentation is silent, the choice is ours and stands here: the list of tickers has pairs for
``market=crypto`` only; the plans reach as far back as with stocks, and today begins at New York midnight.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.venues import Traded
from barfill.simulate.market.wanted import Wanted

TAPE = "massive"
PREFIX = "X:"


def pair_of(crypto: CryptoMarket, ticker: str) -> Traded | None:
    """The pair with a ticker."""
    return next((one for one in crypto.venue(TAPE).traded if ticker_of(one) == ticker), None)


def pair_tickers(crypto: CryptoMarket, day: date) -> tuple[str, ...]:
    """The tickers of all pairs that trade on a day, sorted."""
    return tuple(sorted(ticker_of(one) for one in crypto.venue(TAPE).traded if one.coin.listed_on <= day))


def pair_bars(crypto: CryptoMarket, ticker: str, wanted: Wanted, count: int | None, *, is_descending: bool) -> Bars:
    """At most *count* bars of a pair (None: all), the newest first if descending; an unknown one has none."""
    traded = pair_of(crypto, ticker)
    if traded is None:
        return Bars.none()
    if count is not None:
        return crypto.first_rows(traded.symbol, wanted, count, is_descending=is_descending)
    bars = crypto.read(traded.symbol, wanted)
    return bars.pick(slice(None, None, -1)) if is_descending else bars


def pair_rows(crypto: CryptoMarket, params: Mapping[str, str], day: date) -> list[dict[str, Any]]:
    """The pairs of a day as tickers; none of them is ever delisted."""
    search = params.get("search", "").lower()
    if params.get("active", "true").lower() == "false":
        return []
    rows = [pair_row(one, day) for one in crypto.venue(TAPE).traded if one.coin.listed_on <= day]
    return [row for row in rows if search in row["ticker"].lower() or search in row["name"].lower()]


def pair_row(traded: Traded, day: date) -> dict[str, Any]:
    """One pair as a ticker."""
    return {
        "ticker": ticker_of(traded),
        "name": f"{traded.coin.title} - United States Dollar",
        "market": "crypto",
        "locale": "global",
        "active": True,
        "currency_symbol": "USD",
        "currency_name": "United States Dollar",
        "base_currency_symbol": traded.coin.name,
        "base_currency_name": traded.coin.title,
        "last_updated_utc": f"{day}T00:00:00Z",
    }


def ticker_of(traded: Traded) -> str:
    """``X:BTCUSD``."""
    return PREFIX + traded.symbol.replace("/", "")

"""
Crypto bars (providers.md 3.3 to 3.5): several pairs a request, volumes with fractions, a row of zeros for an idle
minute.

A page holds at most ``limit`` rows, and of sub-daily bars at most as many as 10,000 minutes make: 166 hours, whatever
the limit. Such a page ends with a token, too.

Where the documentation is silent, the choice is ours and stands here: a date stands for its UTC day; the minutes of a
page are counted over all its pairs; ``us-1`` and ``eu-1`` show Kraken's trades, all other locations Alpaca's own; a
pair that is well-formed and unknown is absent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from barfill.simulate.alpaca.queries import AlpacaQuery, check_position, instant_ns, one_of, row_limit
from barfill.simulate.alpaca.refusals import refusal
from barfill.simulate.alpaca.tokens import parse_token
from barfill.simulate.market.bars import Bars
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import HOUR_NS, MINUTE_NS, Nanos, midnight_of_days_ns, new_york_days
from barfill.simulate.market.timeframes import Timeframe, parse_timeframe
from barfill.simulate.market.utc_buckets import DAY_NS
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.queries import Page, Position

MINUTES_PER_PAGE = 10_000
#: Locations, and the venue whose trades they show.
LOCATIONS = {"us": "alpaca", "us-1": "kraken", "us-2": "alpaca", "eu-1": "kraken", "bs-1": "alpaca"}
_PAIR = re.compile(r"[A-Z0-9]{1,10}/[A-Z]{3,5}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DAY = Timeframe(1, "Day")
#: 2025-07-01T00:00Z: from then on days begin at 00:00 UTC, whatever they did before.
_IN_UTC_FROM_NS = 1_751_328_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaCryptoQuery(AlpacaQuery):
    """A query for pairs; *has_chicago_days*: days before 2025-07 begin at midnight in Chicago."""

    has_chicago_days: bool = False


def parse_crypto_query(
    params: Mapping[str, str], location: str, now_ns: int, *, has_chicago_days: bool
) -> AlpacaCryptoQuery:
    """
    The request that *params* make of a location.

    Raises:
        Refusal: with the vendor's status and body.
    """
    if location not in LOCATIONS:
        raise refusal(400, f"invalid location: {location}")
    symbols = _pairs(params.get("symbols"))
    timeframe = parse_timeframe(params.get("timeframe", ""))
    if timeframe is None:
        raise refusal(400, "invalid timeframe")
    start_ns = _bound(params["start"], "start") if params.get("start") else now_ns // DAY_NS * DAY_NS
    end_ns = _bound(params["end"], "end") if params.get("end") else now_ns
    if end_ns < start_ns:
        raise refusal(400, "end should not be before start")
    is_descending = one_of(params, "sort", ("asc", "desc")) == "desc"
    token = params.get("page_token")
    after = None if not token else parse_token(token, symbols, timeframe, is_descending=is_descending)
    check_position(after, start_ns, end_ns)
    return AlpacaCryptoQuery(
        symbols=symbols,
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=row_limit(params),
        feed=LOCATIONS[location],
        is_split_adjusted=False,
        is_descending=is_descending,
        after=after,
        has_chicago_days=has_chicago_days,
    )


def make_crypto_page(market: CryptoMarket, query: AlpacaCryptoQuery, visible_ns: int) -> Page:
    """The page of *query* after its token, made of trades before *visible_ns*."""
    groups: list[tuple[str, Bars]] = []
    missing = query.limit
    if query.timeframe.is_intraday:
        # A bar that is longer than a page's minutes comes all the same: a page must lead on.
        missing = min(missing, max(1, MINUTES_PER_PAGE * MINUTE_NS // query.timeframe.width_ns))
    for symbol in query.symbols:
        rows = _rows(market, query, symbol, missing, visible_ns)
        if len(rows):
            groups.append((symbol, rows))
            missing -= len(rows)
        if missing == 0:
            last = Position(symbol, int(rows.ts[-1]))
            return Page(tuple(groups), last)
    return Page(tuple(groups), None)


def _rows(market: CryptoMarket, query: AlpacaCryptoQuery, symbol: str, count: int, visible_ns: int) -> Bars:
    """At most *count* rows of *symbol* after the query's position."""
    start_ns, end_ns = query.start_ns, query.end_ns
    if query.after is not None:
        if symbol.encode() < query.after.symbol.encode():
            return Bars.none()
        if symbol == query.after.symbol and query.is_descending:
            end_ns = query.after.ts_ns - 1
        elif symbol == query.after.symbol:
            start_ns = query.after.ts_ns + 1
    if market.venue(query.feed).find(symbol) is None:
        return Bars.none()
    wanted = Wanted(query.timeframe, start_ns, end_ns, query.feed, visible_ns)
    starts = _chicago_days_ns if query.has_chicago_days and query.timeframe == _DAY else None
    return market.first_rows(symbol, wanted, count, is_descending=query.is_descending, starts=starts)


def _chicago_days_ns(ts_ns: Nanos) -> Nanos:
    """The midnight in Chicago before each instant, an hour after New York's; later on that in UTC."""
    midnights = midnight_of_days_ns(new_york_days(ts_ns - HOUR_NS)) + HOUR_NS
    return np.where(ts_ns < _IN_UTC_FROM_NS, midnights, ts_ns // DAY_NS * DAY_NS)


def _pairs(text: str | None) -> tuple[str, ...]:
    if not text:
        raise refusal(400, "symbols is required")
    names = text.split(",")
    for name in names:
        if not _PAIR.fullmatch(name):
            raise refusal(400, f"invalid symbol: {name}")
    return tuple(sorted(set(names), key=str.encode))


def _bound(text: str, name: str) -> int:
    try:
        if _DATE.fullmatch(text):
            day_ns = (date.fromisoformat(text) - date(1970, 1, 1)) // timedelta(days=1) * DAY_NS
            return day_ns if name == "start" else day_ns + DAY_NS - 1
        return instant_ns(text)
    except (ValueError, OverflowError):
        raise refusal(400, f"invalid {name}") from None

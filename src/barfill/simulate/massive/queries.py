"""
Reading the requests for bars: a range of one ticker, all tickers of a day, the session before today.

Where the documentation is silent, the choice is ours and stands here: the wording of refusals other than the two about
time; a limit out of bounds is refused; the session before is the last one before today in New York.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.names import Names
from barfill.simulate.market.sessions import midnight_ns, xnys
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.massive.crypto import PREFIX, TAPE, pair_tickers
from barfill.simulate.massive.links import cursor_params
from barfill.simulate.massive.plan import Plan
from barfill.simulate.massive.refusals import bad
from barfill.simulate.massive.windows import (
    NEW_YORK_WINDOWS,
    UTC_WINDOWS,
    Windows,
    bound_ns,
    parse_day,
    timeframe_of,
    window_end_ns,
    window_start_ns,
)
from barfill.simulate.queries import BarsQuery, Position

BASE_MAX, BASE_DEFAULT = 50_000, 5_000
_DAY = Timeframe(1, "Day")


@dataclass(frozen=True, slots=True, kw_only=True)
class MassiveQuery(BarsQuery):
    """
    A query of this vendor; *limit* counts base bars: minutes of minutes and hours, days of the rest.

    *path* is that of a range without its bounds, *bounds* are those as they were written.
    """

    form: Literal["range", "grouped", "prev"] = "range"
    path: str = ""
    bounds: tuple[str, str] = ("", "")
    windows: Windows = NEW_YORK_WINDOWS

    @property
    def is_of_crypto(self) -> bool:
        """Of pairs, on the tape of all venues."""
        return self.feed == TAPE


def parse_range(names: Mapping[str, str], params: Mapping[str, str], plan: Plan) -> MassiveQuery:
    """
    The query for a range of one ticker; a cursor holds the parameters of the query that it goes on with.

    Raises:
        Refusal: with the vendor's status and body.
    """
    cursor = params.get("cursor")
    params = params if cursor is None else cursor_params(cursor)
    timeframe = timeframe_of(names["multiplier"], names["timespan"])
    ticker = names["ticker"]
    windows, feed = (UTC_WINDOWS, TAPE) if ticker.startswith(PREFIX) else (NEW_YORK_WINDOWS, "sip")
    start_ns, end_ns = bound_ns(names["from"], "from", windows)[0], bound_ns(names["to"], "to", windows)[1]
    if end_ns < start_ns:
        raise bad("'to' cannot be a time that occurs before 'from'")
    first_ns = plan.first_ns(window_start_ns(start_ns, timeframe, windows), end_ns)
    last_ns = window_end_ns(end_ns, timeframe, windows) - 1
    is_descending = _choice(params, "sort", ("asc", "desc")) == "desc"
    after = None
    if cursor is not None:
        after = Position(ticker, last_ns + 1 if is_descending else first_ns - 1)
    return MassiveQuery(
        symbols=(ticker,),
        timeframe=timeframe,
        start_ns=first_ns,
        end_ns=last_ns,
        limit=whole_number(params, "limit", BASE_DEFAULT, BASE_MAX),
        feed=feed,
        is_split_adjusted=is_adjusted(params),
        is_descending=is_descending,
        after=after,
        path=f"/v2/aggs/ticker/{ticker}/range/{names['multiplier']}/{names['timespan']}",
        bounds=(names["from"], names["to"]),
        windows=windows,
    )


def parse_grouped(text: str, params: Mapping[str, str], names: Names, plan: Plan) -> MassiveQuery:
    """
    The query for all tickers of a day.

    Raises:
        Refusal: with the vendor's status and body.
    """
    day = day_of(text, "date")
    plan.check_day(day)
    tickers = tuple(ticker for ticker in sorted(names.by_ticker) if names.holder(ticker, day))
    return day_query(tickers, day, params, "grouped")


def parse_crypto_grouped(text: str, params: Mapping[str, str], crypto: CryptoMarket, plan: Plan) -> MassiveQuery:
    """
    The query for all pairs of a day in UTC.

    Raises:
        Refusal: with the vendor's status and body.
    """
    day = day_of(text, "date")
    plan.check_day(day)
    start_ns = UTC_WINDOWS.midnight_ns(day)
    query = day_query(pair_tickers(crypto, day), day, params, "grouped")
    return replace(query, start_ns=start_ns, end_ns=start_ns, feed=TAPE, windows=UTC_WINDOWS)


def parse_prev(ticker: str, params: Mapping[str, str], plan: Plan) -> MassiveQuery:
    """The query for the session before today."""
    sessions = xnys()
    day: date = sessions.days[sessions.first_on_or_after(plan.today) - 1].astype(object)
    return day_query((ticker,), day, params, "prev")


def day_query(
    tickers: tuple[str, ...], day: date, params: Mapping[str, str], form: Literal["grouped", "prev"]
) -> MassiveQuery:
    """The query for the daily bars of some tickers on one day."""
    start_ns = midnight_ns(day)
    return MassiveQuery(
        symbols=tickers,
        timeframe=_DAY,
        start_ns=start_ns,
        end_ns=start_ns,
        limit=BASE_MAX,
        feed="sip",
        is_split_adjusted=is_adjusted(params),
        is_descending=False,
        form=form,
    )


def is_adjusted(params: Mapping[str, str]) -> bool:
    """Adjusted for splits: yes, unless the request says no."""
    return _choice(params, "adjusted", ("true", "false")) == "true"


def day_of(text: str, name: str) -> date:
    """
    A date.

    Raises:
        Refusal: 400.
    """
    try:
        return parse_day(text)
    except ValueError:
        raise bad(f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD") from None


def whole_number(params: Mapping[str, str], name: str, default: int, most: int) -> int:
    """
    A number from 1 to *most*.

    Raises:
        Refusal: 400.
    """
    text = params.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise bad(f"The '{name}' parameter must be a whole number from 1 to {most}")
    return int(text)


def _choice(params: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = params.get(name, "").lower() or allowed[0]
    if value not in allowed:
        raise bad(f"The '{name}' parameter must be one of {', '.join(allowed)}")
    return value

"""
Reading a bars request: every parameter as the vendor documents it, refused in the vendor's words.

Where the documentation is silent, the choice is ours and stands here: a date-only start is New York midnight, a
date-only end the last instant of that New York day (`start=end=2021-06-08` returns that day); lower-case and other
malformed symbols are refused, unknown well-formed ones are absent from the answer; the wording of refusals other than
"invalid symbol", "invalid timeframe", "invalid end" and the recent-SIP one is a guess.
"""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from barfill.simulate.alpaca.refusals import refusal
from barfill.simulate.alpaca.tokens import parse_token
from barfill.simulate.market.sessions import (
    MINUTE_NS,
    NEW_YORK,
    SECOND_NS,
    from_ns,
    midnight_ns,
    midnight_of_days_ns,
    new_york_days,
    to_ns,
)
from barfill.simulate.market.timeframes import parse_timeframe
from barfill.simulate.queries import BarsQuery, Position

ROWS_MAX = 10_000
ROWS_DEFAULT = 1_000
DELAY_NS = 15 * MINUTE_NS
ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
RECENT_SIP = "subscription does not permit querying recent SIP data"

_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,3})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlpacaQuery(BarsQuery):
    """
    A query of this vendor.

    *single* is the symbol of the single-symbol endpoint. Symbols stand for the companies that had them on *as_of*;
    None: for whoever had them at the time of the bar.
    """

    currency: str | None = None
    single: str | None = None
    as_of: date | None = None
    is_dividend_adjusted: bool = False


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What the plan lets a query see at an instant."""

    is_free: bool
    now_ns: int

    def visible_ns(self, feed: str) -> int:
        """Trades from this instant on are not shown."""
        return self.now_ns - DELAY_NS if self.is_free and feed == "sip" else self.now_ns


def parse_query(
    params: Mapping[str, str], single: str | None, known: Mapping[str, object], plan: Entitlement
) -> AlpacaQuery:
    """
    The request that *params* make.

    Args:
        single: The symbol in the path, None for the multi-symbol endpoint.
        known: Symbols that are well-formed whatever they look like (replayed files).

    Raises:
        Refusal: with the vendor's status and body.
    """
    symbols = _symbols(params.get("symbols") if single is None else single, known)
    timeframe = parse_timeframe(params.get("timeframe", ""))
    if timeframe is None:
        raise refusal(400, "invalid timeframe")
    feed = one_of(params, "feed", ("sip", "iex"), ("otc", "boats"))
    start_ns, end_ns = _bounds(params, feed, plan)
    is_descending = one_of(params, "sort", ("asc", "desc")) == "desc"
    token = params.get("page_token")
    after = None if not token else parse_token(token, symbols, timeframe, is_descending=is_descending)
    check_position(after, start_ns, end_ns)
    _check_rest(params)
    adjust = _adjust(params)
    return AlpacaQuery(
        symbols=symbols,
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=row_limit(params),
        feed=feed,
        is_split_adjusted="split" in adjust,
        is_dividend_adjusted="dividend" in adjust,
        is_descending=is_descending,
        currency=params.get("currency"),
        after=after,
        single=single,
        as_of=_as_of(params, plan),
    )


def _symbols(text: str | None, known: Mapping[str, object]) -> tuple[str, ...]:
    if not text:
        raise refusal(400, "symbols is required")
    names = text.split(",")
    for name in names:
        if name not in known and not _SYMBOL.fullmatch(name):
            raise refusal(400, f"invalid symbol: {name}")
    return tuple(sorted(set(names), key=str.encode))


def _bounds(params: Mapping[str, str], feed: str, plan: Entitlement) -> tuple[int, int]:
    newest_ns = plan.visible_ns(feed)
    today_ns = int(midnight_of_days_ns(new_york_days(np.array([newest_ns], np.int64)))[0])
    start_ns = _bound(params["start"], "start") if params.get("start") else today_ns
    if not params.get("end"):
        return start_ns, newest_ns
    end_ns = _bound(params["end"], "end")
    if end_ns > newest_ns and plan.is_free and feed == "sip":
        raise refusal(403, RECENT_SIP)
    if end_ns < start_ns:
        raise refusal(400, "end should not be before start")
    return start_ns, end_ns


def _bound(text: str, name: str) -> int:
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return midnight_ns(day) if name == "start" else midnight_ns(day + timedelta(days=1)) - 1
        return instant_ns(text)
    except (ValueError, OverflowError):
        raise refusal(400, f"invalid {name}") from None


def instant_ns(text: str) -> int:
    """The nanoseconds of an RFC 3339 instant with a zone; ValueError for anything else."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, clock, fraction, sign, hours, minutes = match.groups()
    local = datetime.fromisoformat(f"{day}T{clock}+00:00")
    offset_s = 0 if sign is None else (int(hours) * 60 + int(minutes)) * 60 * (-1 if sign == "-" else 1)
    return to_ns(local) - offset_s * SECOND_NS + int((fraction or "").ljust(9, "0") or 0)


def check_position(after: Position | None, start_ns: int, end_ns: int) -> None:
    """
    See that a token's place lies within the bounds.

    Raises:
        Refusal: 400.
    """
    # The instant before the first row is a place, too: where nothing has been sent yet.
    if after is not None and not start_ns - 1 <= after.ts_ns <= end_ns + 1:
        raise refusal(400, "invalid page_token")


def row_limit(params: Mapping[str, str]) -> int:
    """
    How many rows a page may hold.

    Raises:
        Refusal: 400.
    """
    text = params.get("limit") or str(ROWS_DEFAULT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= ROWS_MAX:
        raise refusal(400, "invalid limit")
    return int(text)


def one_of(params: Mapping[str, str], name: str, allowed: tuple[str, ...], paid: tuple[str, ...] = ()) -> str:
    """
    A parameter that has a few values, the first one of *allowed* by default.

    Raises:
        Refusal: 400; 403 for what is in no free plan.
    """
    value = params.get(name) or allowed[0]
    if value in paid:
        raise refusal(403, f"subscription does not permit querying {value} data")
    if value not in allowed:
        raise refusal(400, f"invalid {name}")
    return value


def _adjust(params: Mapping[str, str]) -> Set[str]:
    wanted = set((params.get("adjustment") or "raw").split(","))
    if not wanted <= ADJUSTMENTS:
        raise refusal(400, "invalid adjustment")
    return ADJUSTMENTS - {"raw"} if "all" in wanted else wanted


def _check_rest(params: Mapping[str, str]) -> None:
    if params.get("currency", "USD") != "USD":
        raise refusal(400, "invalid currency")


def _as_of(params: Mapping[str, str], plan: Entitlement) -> date | None:
    text = params.get("asof")
    if text == "-":
        return None
    if not text:
        return from_ns(plan.now_ns).astimezone(NEW_YORK).date()
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise refusal(400, "invalid asof")

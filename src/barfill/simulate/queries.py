"""
Reading a bars request: every parameter as the vendor documents it, refused in the vendor's words.

Where the documentation is silent, the choice is ours and stands here: a date-only start is New York midnight, a
date-only end the last instant of that New York day (`start=end=2021-06-08` returns that day); lower-case and other
malformed symbols are refused, unknown well-formed ones are absent from the answer; the wording of refusals other than
"invalid symbol", "invalid timeframe", "invalid end" and the recent-SIP one is a guess.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from barfill.simulate.sessions import MINUTE_NS, SECOND_NS, midnight_ns, midnight_of_days_ns, new_york_days, to_ns
from barfill.simulate.timeframes import Timeframe, parse_timeframe
from barfill.simulate.tokens import Position, parse_token
from barfill.simulate.wire import Refusal

ROWS_MAX = 10_000
ROWS_DEFAULT = 1_000
DELAY_NS = 15 * MINUTE_NS
ADJUSTMENTS = frozenset({"raw", "split", "dividend", "spin-off", "all"})
RECENT_SIP = "subscription does not permit querying recent SIP data"

_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}(\.[A-Z]{1,3})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_INSTANT = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))")


@dataclass(frozen=True, slots=True)
class BarsQuery:
    """A valid request for bars. Bounds are both inclusive; *after* is where the previous page ended."""

    symbols: tuple[str, ...]
    timeframe: Timeframe
    start_ns: int
    end_ns: int
    limit: int
    feed: str
    is_split_adjusted: bool
    is_descending: bool
    currency: str | None
    after: Position | None
    single: str | None


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
) -> BarsQuery:
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
        raise Refusal(400, "invalid timeframe")
    feed = _one_of(params, "feed", ("sip", "iex"), ("otc", "boats"))
    start_ns, end_ns = _bounds(params, feed, plan)
    is_descending = _one_of(params, "sort", ("asc", "desc")) == "desc"
    token = params.get("page_token")
    after = None if not token else parse_token(token, symbols, timeframe, is_descending=is_descending)
    # The instant before the first row is a place, too: where nothing has been sent yet.
    if after is not None and not start_ns - 1 <= after.ts_ns <= end_ns + 1:
        raise Refusal(400, "invalid page_token")
    _check_rest(params)
    return BarsQuery(
        symbols=symbols,
        timeframe=timeframe,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=_limit(params),
        feed=feed,
        is_split_adjusted=_is_split_adjusted(params),
        is_descending=is_descending,
        currency=params.get("currency"),
        after=after,
        single=single,
    )


def _symbols(text: str | None, known: Mapping[str, object]) -> tuple[str, ...]:
    if not text:
        raise Refusal(400, "symbols is required")
    names = text.split(",")
    for name in names:
        if name not in known and not _SYMBOL.fullmatch(name):
            raise Refusal(400, f"invalid symbol: {name}")
    return tuple(sorted(set(names), key=str.encode))


def _bounds(params: Mapping[str, str], feed: str, plan: Entitlement) -> tuple[int, int]:
    newest_ns = plan.visible_ns(feed)
    today_ns = int(midnight_of_days_ns(new_york_days(np.array([newest_ns], np.int64)))[0])
    start_ns = _bound(params["start"], "start") if params.get("start") else today_ns
    if not params.get("end"):
        return start_ns, newest_ns
    end_ns = _bound(params["end"], "end")
    if end_ns > newest_ns and plan.is_free and feed == "sip":
        raise Refusal(403, RECENT_SIP)
    if end_ns < start_ns:
        raise Refusal(400, "end should not be before start")
    return start_ns, end_ns


def _bound(text: str, name: str) -> int:
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return midnight_ns(day) if name == "start" else midnight_ns(day + timedelta(days=1)) - 1
        return instant_ns(text)
    except (ValueError, OverflowError):
        raise Refusal(400, f"invalid {name}") from None


def instant_ns(text: str) -> int:
    """The nanoseconds of an RFC 3339 instant with a zone; ValueError for anything else."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, clock, fraction, sign, hours, minutes = match.groups()
    local = datetime.fromisoformat(f"{day}T{clock}+00:00")
    offset_s = 0 if sign is None else (int(hours) * 60 + int(minutes)) * 60 * (-1 if sign == "-" else 1)
    return to_ns(local) - offset_s * SECOND_NS + int((fraction or "").ljust(9, "0") or 0)


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit") or str(ROWS_DEFAULT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= ROWS_MAX:
        raise Refusal(400, "invalid limit")
    return int(text)


def _one_of(params: Mapping[str, str], name: str, allowed: tuple[str, ...], paid: tuple[str, ...] = ()) -> str:
    value = params.get(name) or allowed[0]
    if value in paid:
        raise Refusal(403, f"subscription does not permit querying {value} data")
    if value not in allowed:
        raise Refusal(400, f"invalid {name}")
    return value


def _is_split_adjusted(params: Mapping[str, str]) -> bool:
    wanted = set((params.get("adjustment") or "raw").split(","))
    if not wanted <= ADJUSTMENTS:
        raise Refusal(400, "invalid adjustment")
    return bool(wanted & {"split", "all"})


def _check_rest(params: Mapping[str, str]) -> None:
    if params.get("currency", "USD") != "USD":
        raise Refusal(400, "invalid currency")
    as_of = params.get("asof") or "-"
    if as_of != "-" and not _DATE.fullmatch(as_of):
        raise Refusal(400, "invalid asof")

"""
What to ask of a provider's events: the days that are not settled, for the whole market where that is cheaper.

Providers correct events for some weeks, and list them ahead. A day is settled once it was asked for at least
`RESTATEMENT` after it; until then it is asked for again, but not more often than wanted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from barfill.core.corporate import EventKind

RESTATEMENT = timedelta(days=30)
AHEAD = timedelta(days=60)
"""How far ahead is looked: dividends and splits are announced some weeks before."""
MARKET_DAYS_MAX = 366
"""So that what was asked of the whole market is kept year by year."""

_YEAR_DAYS = 365
Days = tuple[date, date]
"""From a day up to, not including, another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsOffer:
    """
    How a provider can be asked for one kind of events.

    Attributes:
        symbols_per_call: How many symbols one request can name; 0 where it can name none.
        market_rows_per_year: Of the whole market, for planning; None where it must be asked symbol by symbol.
        page_size: Rows of a page.
        days_per_call_max: The longest range; None where there is no bound.
        by_day: Whether a range of days can be asked for; else the answer holds all days.
        has_companies: Whether a symbol means the company that bears it today, for all of its history.
        rests: How long an answer is good enough where all symbols are asked for one by one, and nobody has named them.
    """

    symbols_per_call: int
    market_rows_per_year: int | None
    page_size: int
    days_per_call_max: int | None = None
    by_day: bool = True
    has_companies: bool = False
    rests: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class AskedDays:
    """What was asked when: of one series, or of the whole market where *symbol_id* is None."""

    symbol_id: int | None
    first: date
    end: date
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class EventsAsk:
    """Days to ask for: of some series, or of the whole market where *symbol_ids* is None."""

    kind: EventKind
    first: date
    end: date
    symbol_ids: tuple[int, ...] | None


def plan_asks(
    kind: EventKind,
    offer: EventsOffer,
    *,
    wanted: Days,
    added_at: Mapping[int, datetime],
    asked: Iterable[AskedDays],
    now: datetime,
    fresh_for: timedelta,
) -> list[EventsAsk]:
    """
    The asks that leave nothing of *wanted* unsettled, the newest days first.

    Args:
        added_at: The series to ask for, each with the instant since when it is on record: a question to the whole
            market from before has kept nothing of it.
        fresh_for: Days that were asked for less than this ago are not asked for again; zero asks again at once.
    """
    known: dict[int | None, list[tuple[datetime, Days]]] = {}
    for one in asked:
        span = _settled(one, now, fresh_for)
        if span is not None:
            known.setdefault(one.symbol_id, []).append((one.asked_at, span))
    groups: dict[tuple[Days, ...], list[int]] = {}
    for symbol_id, since in added_at.items():
        spans = [span for asked_at, span in known.get(None, ()) if asked_at >= since]
        spans += [span for _, span in known.get(symbol_id, ())]
        missing = _without(wanted, spans)
        if missing:
            groups.setdefault(missing if offer.by_day else (wanted,), []).append(symbol_id)
    if not groups:
        return []
    whole = _union(span for missing in groups for span in missing)
    if _is_for_the_market(offer, groups, whole):
        asks = [EventsAsk(kind, *part, None) for span in whole for part in _cut(span, offer, MARKET_DAYS_MAX)]
    else:
        asks = [
            EventsAsk(kind, *part, batch)
            for missing, ids in groups.items()
            for span in missing
            for part in _cut(span, offer)
            for batch in _batches(sorted(ids), offer.symbols_per_call)
        ]
    return sorted(asks, key=lambda ask: (ask.end, ask.first), reverse=True)


def _settled(one: AskedDays, now: datetime, fresh_for: timedelta) -> Days | None:
    """
    The part of what was asked that need not be asked again.

    What was asked as far ahead as one looks is fresh as a whole: else each day would want its one day more.
    """
    if now - one.asked_at >= fresh_for:
        end = min(one.end, one.asked_at.date() - RESTATEMENT)
    elif one.end >= one.asked_at.date() + AHEAD:
        end = max(one.end, now.date() + AHEAD)
    else:
        end = one.end
    return (one.first, end) if one.first < end else None


def _is_for_the_market(offer: EventsOffer, groups: Mapping[tuple[Days, ...], list[int]], whole: Sequence[Days]) -> bool:
    if offer.market_rows_per_year is None:
        return False
    if not offer.symbols_per_call:
        return True
    one_by_one = sum(
        -(-len(ids) // offer.symbols_per_call) * len(_cut(span, offer))
        for missing, ids in groups.items()
        for span in missing
    )
    market = 0
    for first, end in (part for span in whole for part in _cut(span, offer, MARKET_DAYS_MAX)):
        market += -(-((end - first).days * offer.market_rows_per_year) // (_YEAR_DAYS * offer.page_size))
    return market <= one_by_one


def _cut(span: Days, offer: EventsOffer, days_max: int | None = None) -> list[Days]:
    """Parts of the length that one question may have; the newest is whole, whatever lies before it."""
    bounds = [bound for bound in (offer.days_per_call_max, days_max) if bound is not None]
    if not offer.by_day or not bounds:
        return [span]
    length = timedelta(days=min(bounds))
    first, end = span
    parts = []
    while end > first:
        start = max(first, end - length)
        parts.append((start, end))
        end = start
    return parts


def _batches(ids: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(ids[start : start + size]) for start in range(0, len(ids), size)]


def _without(wanted: Days, spans: Iterable[Days]) -> tuple[Days, ...]:
    """What of *wanted* no span holds."""
    first, end = wanted
    left = []
    for start, stop in sorted(spans):
        if start > first:
            left.append((first, min(start, end)))
        first = max(first, stop)
        if first >= end:
            break
    if first < end:
        left.append((first, end))
    return tuple((start, stop) for start, stop in left if start < stop)


def _union(spans: Iterable[Days]) -> list[Days]:
    found: list[Days] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found

"""
What is read again as providers correct it: planned where nothing else is to be fetched, and marked as it is planned.

A provider's correction is no gap, so nothing else would ever ask for a covered bar again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from barfill.core.calendar import AROUND_THE_CLOCK
from barfill.core.plan import Need, cut_slices, missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.core.rereading import drawn, last_sessions, monday_of
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market
from barfill.engine.planning import Wanted
from barfill.engine.standing import StandingOrder
from barfill.store.database import Connection
from barfill.store.rereads import Rereading, due_rereads, mark_reread

PRIORITY_OF_REREADS = 10
"""After all that is missing somewhere."""


@dataclass(frozen=True, slots=True)
class Reread:
    """
    A slice that is read again.

    Attributes:
        until, week: What is marked once it is planned; one of them is None.
    """

    wanted: Wanted
    until: datetime | None = None
    week: date | None = None

    def mark(self, conn: Connection) -> None:
        """Notes that its series are read again."""
        one = self.wanted.slice
        mark_reread(conn, one.timeframe, [i for i, _ in one.symbols], until=self.until, week=self.week)


def plan_rereads(conn: Connection, orders: Iterable[StandingOrder], sessions: int, now: datetime) -> list[Reread]:
    """
    What of *orders* is due to be read again, the newest first.

    Series at which nobody has looked so far are marked, and nothing of them is read: they were just fetched.

    Args:
        sessions: How many sessions are read again after each close; 0 for nothing at all.
    """
    if not sessions:
        return []
    found: list[Reread] = []
    for order in orders:
        for timeframe in order.market.sources.fetch:
            found += _of_market(conn, order, timeframe, sessions, now)
    return sorted(found, key=lambda one: -one.wanted.slice.range.end.timestamp())


def _of_market(
    conn: Connection, order: StandingOrder, timeframe: Timeframe, sessions: int, now: datetime
) -> Iterable[Reread]:
    market, week = order.market, monday_of(now)
    asked = market.capabilities
    newest = last_sessions(market.calendar, timeframe, now, asked.delay_of(timeframe), sessions)
    due = due_rereads(
        conn,
        timeframe,
        [symbol.id for symbol in market.symbols],
        feed=asked.feed,
        basis=asked.basis(timeframe),
        until=newest.end if newest else None,
        week=week,
    )
    if newest is not None:
        lately = [one for one in due if one.until is None or one.until < newest.end]
        looked_at = [(one, _newly(market, newest, one.until)) for one in lately if one.until is not None]
        needs = _needs(market, timeframe, looked_at)
        _mark_idle(conn, timeframe, lately, needs, until=newest.end)
        yield from (Reread(wanted, until=newest.end) for wanted in _cut(order, needs))
    weekly = [one for one in due if one.drawn_on is None or one.drawn_on < week]
    older = _older(market, timeframe, newest)
    turn = drawn(market.calendar, timeframe, older, week) if weekly and older else None
    needs = _needs(market, timeframe, [(one, turn) for one in weekly if one.drawn_on is not None and turn])
    _mark_idle(conn, timeframe, weekly, needs, week=week)
    yield from (Reread(wanted, week=week) for wanted in _cut(order, needs))


def _older(market: Market, timeframe: Timeframe, newest: Range | None) -> Range | None:
    """What is fetched of a timeframe before the newest sessions."""
    window = market.sources.fetch[timeframe].hull
    if window is None or newest is None or window.start >= newest.start:
        return None
    return Range(window.start, newest.start)


def _newly(market: Market, newest: Range, until: datetime) -> Range:
    """Of an exchange all of the sessions, each time; around the clock what has settled since."""
    return Range(max(newest.start, until), newest.end) if market.calendar.name == AROUND_THE_CLOCK else newest


def _needs(market: Market, timeframe: Timeframe, due: Iterable[tuple[Rereading, Range]]) -> list[Need]:
    """What is covered of the ranges that are due, of symbols that still trade."""
    symbols = {symbol.id: symbol for symbol in market.symbols if symbol.is_active}
    needs = []
    for one, wanted in due:
        if one.symbol_id in symbols:
            covered = missing_ranges(one.covered & wanted, Ranges(), market.calendar, timeframe, wanted.end)
            needs.append(Need(one.symbol_id, symbols[one.symbol_id].ticker, timeframe, covered))
    return [need for need in needs if need.ranges]


def _mark_idle(
    conn: Connection,
    timeframe: Timeframe,
    due: Sequence[Rereading],
    needs: Iterable[Need],
    *,
    until: datetime | None = None,
    week: date | None = None,
) -> None:
    """Marks the series of which nothing is to be read."""
    asked = {need.symbol_id for need in needs}
    idle = [one.symbol_id for one in due if one.symbol_id not in asked]
    if idle:
        mark_reread(conn, timeframe, idle, until=until, week=week)


def _cut(order: StandingOrder, needs: Iterable[Need]) -> Iterable[Wanted]:
    for one in cut_slices(needs, order.market.capabilities, order.market.calendar):
        yield Wanted(replace(one, is_reread=True), PRIORITY_OF_REREADS, order.definitions_of(one))

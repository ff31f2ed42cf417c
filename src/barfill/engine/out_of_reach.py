"""
What is wanted and older than a provider's history: nobody is asked for it, and it is on record as such.

A plan that reaches farther, or another provider, has it asked for as soon as it is there: the gap is never due.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from barfill.core.plan import missing_ranges
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market
from barfill.store.database import Connection
from barfill.store.gaps import list_gaps
from barfill.store.pages import settle_gaps
from barfill.store.series import read_series
from barfill.store.writes import OUT_OF_REACH, GapRecord


def settle_out_of_reach(conn: Connection, markets: Iterable[Market]) -> list[str]:
    """Puts what no answer can bring on record as unavailable, where it is not yet; a sentence for each that is new."""
    return [
        _told(market, timeframe, beyond.end)
        for market in markets
        for timeframe, beyond in market.out_of_reach.items()
        if _settle(conn, market, timeframe, beyond)
    ]


def _settle(conn: Connection, market: Market, timeframe: Timeframe, beyond: Range) -> bool:
    ids = [symbol.id for symbol in market.symbols]
    known = {symbol_id: row.covered for (symbol_id, _), row in read_series(conn, ids, [timeframe]).items()}
    for one in list_gaps(conn, symbol_ids=ids, timeframes=[timeframe], within=beyond):
        known[one.gap.symbol_id] = known.get(one.gap.symbol_id, Ranges()) | one.gap.range
    left: dict[Ranges, Ranges] = {}  # most symbols lack the same
    gaps: list[GapRecord] = []
    for symbol_id in ids:
        accounted = known.get(symbol_id, Ranges())
        if accounted not in left:
            left[accounted] = missing_ranges(Ranges([beyond]), accounted, market.calendar, timeframe, beyond.end)
        gaps += [
            GapRecord(
                symbol_id=symbol_id,
                range=one,
                expected_bars=market.calendar.expected_count(timeframe, one),
                kind="unavailable",
                reason=f"{OUT_OF_REACH}{_told(market, timeframe, beyond.end)}",
                calendar_version=market.calendar.version,
            )
            for one in left[accounted]
        ]
    if gaps:
        settle_gaps(
            conn,
            timeframe,
            gaps,
            feed=market.capabilities.feed,
            basis=market.capabilities.basis(timeframe),
            expected=lambda _symbol_id, one: market.calendar.expected_starts(timeframe, one),
        )
    return bool(gaps)


def _told(market: Market, timeframe: Timeframe, oldest: datetime) -> str:
    return f"{market.capabilities.provider} has {timeframe.label} bars from {oldest:%Y-%m-%d} on; none before"

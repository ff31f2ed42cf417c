"""Compares the timeframes of each session with each other once it is final, and keeps what looks wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from barfill.core.across import AcrossWarning, warnings_across
from barfill.core.calendar import trading_calendar
from barfill.core.ranges import Range
from barfill.store.across import keep_warnings, read_totals, symbols_with_sessions
from barfill.store.database import Database
from barfill.store.symbols import find_by_ids

SYMBOLS_AT_ONCE = 20


@dataclass(slots=True)
class LookedAcross:
    """How many sessions were compared, and how often each warning was found."""

    sessions: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)


def look_across(database: Database, symbol_ids: Sequence[int] | None, window: Range) -> LookedAcross:
    """
    Judges the sessions in *window* by W12, W17 and W20, and keeps in bar_warnings what is found.

    Args:
        symbol_ids: None for all on record.
    """
    done = LookedAcross()
    ids = database.run(symbols_with_sessions, symbol_ids)
    for start in range(0, len(ids), SYMBOLS_AT_ONCE):
        some = ids[start : start + SYMBOLS_AT_ONCE]
        judged = database.run(read_totals, some, window)
        symbols = database.run(find_by_ids, some)
        found: list[AcrossWarning] = []
        for one in judged:
            calendar = trading_calendar(symbols[one.symbol_id].calendar, window.end.year + 1)
            found += warnings_across(one, calendar.expected_count(one.finer, Range(one.opens_at, one.closes_at)))
        database.run(keep_warnings, judged, found)
        done.sessions += len(judged)
        done.by_rule.update(one.rule for one in found)
    return done

"""What people have decided about rows that broke a rule holds against pages that bring the same rows again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.database import Connection
from barfill.store.queries import load_queries
from barfill.store.writes import NEVER, Expected, GapRecord

SQL = load_queries("rejections")

REJECTED_REASON = "a person has rejected the rows that came for these bars; they are in quarantined_bars"
_INSTANT = timedelta(microseconds=1)


def keep_decided(
    conn: Connection, timeframe: Timeframe, gaps: Sequence[GapRecord], expected: Expected | None, *, now: datetime
) -> list[GapRecord]:
    """
    *gaps* as a page leaves them, less what people have decided about the rows that broke a rule.

    A bar of which every row was rejected stays settled, one that was accepted and is stored is no gap. To be called
    after the page's own rows are in quarantine: one that nobody has seen yet opens the gap of a rejected bar again.
    """
    doubtful = [gap for gap in gaps if gap.kind == "quarantined"]
    if not doubtful or expected is None:
        return list(gaps)
    parameters = {
        "timeframe": timeframe.value,
        "symbol_ids": [gap.symbol_id for gap in doubtful],
        "starts": [gap.range.start for gap in doubtful],
        "ends": [gap.range.end for gap in doubtful],
    }
    rejected: dict[int, Ranges] = {}
    accepted: dict[int, Ranges] = {}
    for symbol_id, ts, is_accepted in conn.execute(SQL["decided_bars"], parameters):
        if len(expected(symbol_id, Range(ts, ts + _INSTANT))):  # a row off the grid is of no bar of its own
            decided = accepted if is_accepted else rejected
            decided[symbol_id] = decided.get(symbol_id, Ranges()) | Range(ts, ts + timeframe.length)
    kept = [gap for gap in gaps if gap.symbol_id not in rejected | accepted or gap.kind != "quarantined"]
    for gap in (gap for gap in doubtful if gap.symbol_id in rejected | accepted):
        settled = rejected.get(gap.symbol_id, Ranges()) & gap.range
        left = Ranges([gap.range]) - settled - accepted.get(gap.symbol_id, Ranges())
        kept.extend(_parts(gap, left, expected))
        kept.extend(
            _parts(replace(gap, reason=REJECTED_REASON, next_check_at=NEVER, settled_at=now), settled, expected)
        )
    return kept


def _parts(gap: GapRecord, ranges: Ranges, expected: Expected) -> list[GapRecord]:
    counts = [(one, len(expected(gap.symbol_id, one))) for one in ranges]
    return [replace(gap, range=one, expected_bars=count) for one, count in counts if count]

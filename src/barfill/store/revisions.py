"""What became of final bars: changed, or taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range
from barfill.core.revisions import FIELDS, BarValues
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("revisions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFilter:
    """
    Which changes are meant.

    Attributes:
        symbol_ids: None stands for all.
        window: Only of bars that start in it.
        since: Only changes made at this instant or later, by the database's clock.
    """

    symbol_ids: Sequence[int] | None
    timeframes: Sequence[Timeframe]
    window: Range | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChange:
    """
    A final bar that another took the place of, or that was taken out.

    Attributes:
        ts: Its start.
        believed_from, changed_at: The old values stood from the one up to the other.
        new_provider, new: Of what came in its place; None where the bar was taken out.
        is_alarm: A price moved by more than 0.01 %, or the volume by more than 0.5 % (W05).
    """

    ticker: str
    timeframe: Timeframe
    ts: datetime
    changed_at: datetime
    believed_from: datetime
    reason: str
    old_provider: str
    new_provider: str | None
    run_id: int | None
    is_alarm: bool
    old: BarValues
    new: BarValues | None


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """
    The changes of one series.

    Attributes:
        bars: How many different bars they are of.
        removed: How many took a bar out.
        alarms: How many are alarms (W05).
    """

    ticker: str
    timeframe: Timeframe
    changes: int
    bars: int
    removed: int
    alarms: int
    newest: datetime


def list_changes(conn: psycopg.Connection[TupleRow], wanted: ChangeFilter, *, limit: int) -> list[BarChange]:
    """The newest changes first, *limit* of them."""
    found = conn.execute(SQL["list_changes"], {**_parameters(wanted), "limit": limit}, binary=True)
    return [_change(row) for row in found]


def count_changes(conn: psycopg.Connection[TupleRow], wanted: ChangeFilter) -> list[ChangeCount]:
    """All of them, summed up by series: by ticker, the finer timeframes first."""
    found = conn.execute(SQL["count_changes"], _parameters(wanted), binary=True)
    counts = [ChangeCount(ticker, Timeframe(name), *rest) for ticker, name, *rest in found]
    order = list(Timeframe)
    return sorted(counts, key=lambda one: (one.ticker, order.index(one.timeframe)))


def _parameters(wanted: ChangeFilter) -> Mapping[str, object]:
    return {
        "symbol_ids": None if wanted.symbol_ids is None else list(wanted.symbol_ids),
        "timeframes": [timeframe.value for timeframe in wanted.timeframes],
        "start": None if wanted.window is None else wanted.window.start,
        "end": None if wanted.window is None else wanted.window.end,
        "since": wanted.since,
    }


def _change(row: TupleRow) -> BarChange:
    ticker, name, ts, changed_at, believed_from, reason, old_provider, new_provider, run_id, is_alarm, *values = row
    old, new = values[: len(FIELDS)], values[len(FIELDS) :]
    return BarChange(
        ticker=ticker,
        timeframe=Timeframe(name),
        ts=ts,
        changed_at=changed_at,
        believed_from=believed_from,
        reason=reason,
        old_provider=old_provider,
        new_provider=new_provider,
        run_id=run_id,
        is_alarm=is_alarm,
        old=BarValues(*old),
        new=None if new[0] is None else BarValues(*new),
    )

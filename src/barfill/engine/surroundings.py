"""Looks around a run of absent bars that an answer lacks again, so that `core.settlement` can tell what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.density import share_stored
from barfill.core.gaps import Gap
from barfill.core.ranges import Range, Ranges, from_us
from barfill.core.settlement import LIQUID, Surroundings
from barfill.core.timeframe import Timeframe
from barfill.engine.run import RunInHand
from barfill.engine.volumes import traded_in
from barfill.store.bars import stored_starts
from barfill.store.database import Connection, Database
from barfill.store.gaps import list_gaps
from barfill.store.surroundings import read_others, read_peers

AROUND_THE_CLOCK = "24/7"
_SESSIONS_IN_A_WEEK = 5
_INTRADAY_AROUND, _DAYS_AROUND = timedelta(days=14), timedelta(days=400)


def surroundings_of(
    database: Database, run: RunInHand, gap: Gap, rows: BarColumns, *, first_seen_at: datetime, now: datetime
) -> Surroundings:
    """
    What is known about *gap*, which *run* lacks again.

    Args:
        rows: The accepted ones of the page, which are not stored yet; symbols numbered as in the query.
        first_seen_at: When an answer lacked it first.
    """
    return database.run(_read, run, gap, rows, now - first_seen_at)


def _read(conn: Connection, run: RunInHand, gap: Gap, rows: BarColumns, since: timedelta) -> Surroundings:
    timeframe, calendar = run.query.timeframe, run.calendar
    symbol_id = int(run.symbol_ids[gap.symbol])
    starts = calendar.expected_starts(timeframe, gap.range)
    ends = calendar.bar_ends(timeframe, starts)
    sessions, taken = np.unique(calendar.session_of(timeframe, starts), return_counts=True)
    is_whole = taken >= _session_bars(calendar, timeframe, sessions)
    bars = read_peers(conn, symbol_id, timeframe, gap.range, calendar=calendar.name, density_min=LIQUID)
    others = read_others(conn, symbol_id, timeframe, gap.range)
    finer, coarser, others_silent = _other_timeframes(
        conn, symbol_id, timeframe, gap.range, calendar, sessions[is_whole], others
    )
    return Surroundings(
        bars=gap.expected_bars,
        length=timedelta(microseconds=int(np.sum(ends - starts))),
        sessions=len(sessions),
        whole_sessions=int(is_whole.sum()) * (_SESSIONS_IN_A_WEEK if timeframe is Timeframe.W1 else 1),
        is_framed=_is_framed(conn, run, gap, rows, starts, sessions),
        density=_density(conn, run, gap, starts),
        peers=len(bars),
        peers_present=sum(2 * count >= gap.expected_bars for count in bars),
        finer=finer,
        coarser=coarser,
        others_silent=others_silent,
        traded=traded_in(conn, symbol_id, timeframe, calendar, starts, rows.take(rows.symbol == gap.symbol), others),
        has_halts=calendar.name != AROUND_THE_CLOCK,
        since=since,
    )


def _density(conn: Connection, run: RunInHand, gap: Gap, absent: NDArray[np.int64]) -> float:
    """
    How often the symbol has its bars. Where its first answers may have lacked rows nothing was learned from them: then
    it is counted in what is stored around, without the bars in question; NaN where those are too few to tell.
    """
    facts, timeframe = run.facts[gap.symbol], run.query.timeframe
    if not math.isnan(facts.density):
        return facts.density
    span = _INTRADAY_AROUND if timeframe.is_intraday else _DAYS_AROUND
    around = Range(gap.range.start - span, gap.range.end + span)
    symbol_id = int(run.symbol_ids[gap.symbol])
    on_record = list_gaps(conn, symbol_ids=[symbol_id], timeframes=[timeframe], within=around)
    asked = (facts.covered | Ranges(one.gap.range for one in on_record)) & Ranges([around])
    expected = np.concatenate([np.empty(0, np.int64), *(run.calendar.expected_starts(timeframe, one) for one in asked)])
    expected = expected[~np.isin(expected, absent)]
    stored = stored_starts(conn, [symbol_id], timeframe, around)[symbol_id]
    return share_stored(expected, stored)


def _session_bars(calendar: TradingCalendar, timeframe: Timeframe, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bars each session has, shape (n,)."""
    if not timeframe.is_intraday:
        return np.ones(len(sessions), np.int64)
    bars: NDArray[np.int64] = -(-(calendar.closes[sessions] - calendar.opens[sessions]) // timeframe.length_us)
    return bars


def _is_framed(
    conn: Connection,
    run: RunInHand,
    gap: Gap,
    rows: BarColumns,
    starts: NDArray[np.int64],
    sessions: NDArray[np.int64],
) -> bool:
    """Whether a bar of the same session, or its open, stands right before the gap, and one, or its close, behind it."""
    timeframe, calendar = run.query.timeframe, run.calendar
    if not timeframe.is_intraday or len(sessions) != 1:
        return False
    whole = Range(from_us(int(calendar.opens[sessions[0]])), from_us(int(calendar.closes[sessions[0]])))
    expected = calendar.expected_starts(timeframe, whole)
    symbol_id = int(run.symbol_ids[gap.symbol])
    stored = stored_starts(conn, [symbol_id], timeframe, whole)[symbol_id]
    known = np.union1d(stored, rows.ts[rows.symbol == gap.symbol])
    first, last = np.searchsorted(expected, [starts[0], starts[-1]])
    frame = [expected[at] for at in (first - 1, last + 1) if 0 <= at < len(expected)]
    return bool(np.isin(frame, known).all())


def _other_timeframes(
    conn: Connection,
    symbol_id: int,
    timeframe: Timeframe,
    stretch: Range,
    calendar: TradingCalendar,
    whole_sessions: NDArray[np.int64],
    others: Mapping[Timeframe, bool],
) -> tuple[int, int, bool]:
    """
    Bars of finer timeframes in *stretch*, bars of coarser ones that lie wholly inside, and whether a timeframe that is
    not made of this one was asked and is as silent.
    """
    finer = coarser = 0
    is_silent = False
    for other, is_asked in others.items():
        if other is Timeframe.W1:
            continue
        stored = stored_starts(conn, [symbol_id], other, _with_labels(stretch))[symbol_id]
        if other is Timeframe.D1:
            inside = calendar.labels[whole_sessions] if timeframe.is_intraday else stored[:0]
        else:
            inside = calendar.expected_starts(other, stretch)
            last = calendar.bar_ends(timeframe, calendar.expected_starts(timeframe, stretch)[-1:])[0]
            inside = inside[calendar.bar_ends(other, inside) <= last]
        count = int(np.isin(inside, stored).sum())
        is_finer = other.length < timeframe.length
        finer, coarser = finer + count * is_finer, coarser + count * (not is_finer)
        is_silent |= is_asked and len(inside) > 0 and count == 0 and (is_finer or other is Timeframe.D1)
    return finer, coarser, is_silent


def _with_labels(stretch: Range) -> Range:
    """*stretch* from the midnight that stamps its first day on."""
    return Range(stretch.start.replace(hour=0, minute=0, second=0, microsecond=0), stretch.end)

"""
Reads the volumes around absent bars, of this and of coarser timeframes, for `core.traded`.

No provider is asked for them: they are what is stored already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from barfill.core.bars import BarColumns
from barfill.core.calendar import TradingCalendar
from barfill.core.gaps import Gap, GapKind, SymbolRanges
from barfill.core.ranges import Range, Ranges, from_us, to_us
from barfill.core.settlement import LIQUID
from barfill.core.timeframe import Timeframe
from barfill.core.traded import Traded, Volumes, together, traded_by
from barfill.engine.run import RunInHand
from barfill.store.bars import read_bars
from barfill.store.database import Connection
from barfill.store.derived import read_derived
from barfill.store.surroundings import read_others

SESSIONS_AROUND = 15
"""With so many sessions before and behind it a session is compared."""
SESSIONS_RUN_MAX = 3
"""Of a longer run the first and last sessions would tell little more."""
QUIET_BARS_MAX = 20
"""A symbol with more quiet bars than these on a page is quiet by nature, and no single one of them stands out."""

Starts = NDArray[np.int64]


def not_quiet(
    conn: Connection, run: RunInHand, gaps: Sequence[Gap], rows: BarColumns, density: NDArray[np.float64]
) -> SymbolRanges:
    """
    Where bars that seem to be quiet were traded, as coarser bars say.

    Args:
        gaps: Of the page, whose accepted rows are *rows*; symbols numbered as in the query.
        density: float64 by symbol.
    """
    timeframe, calendar = run.query.timeframe, run.calendar
    found: list[tuple[str, Range]] = []
    if not timeframe.is_intraday:
        return SymbolRanges.of([], {})
    for gap in gaps:
        is_telling = gap.kind is GapKind.NO_TRADE and gap.expected_bars <= QUIET_BARS_MAX
        if not is_telling or not density[gap.symbol] >= LIQUID:
            continue
        symbol_id = int(run.symbol_ids[gap.symbol])
        others = read_others(conn, symbol_id, timeframe, gap.range)
        mine = rows.take(rows.symbol == gap.symbol)
        expected = calendar.expected_starts(timeframe, gap.range)
        absent = expected[~np.isin(expected, mine.ts)]
        sessions = calendar.session_of(timeframe, absent)
        for session in np.unique(sessions):
            starts = absent[sessions == session]
            if traded_in(conn, symbol_id, timeframe, calendar, starts, mine, others) is Traded.YES:
                ticker = run.query.symbols[gap.symbol]
                found += [(ticker, Range(from_us(one), from_us(one) + timeframe.length)) for one in starts.tolist()]
    return SymbolRanges.of(found, {ticker: position for position, ticker in enumerate(run.query.symbols)})


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The bars of one timeframe of a symbol around a run: starts ascending, and volumes, shape (n,)."""

    starts: Starts
    volume: NDArray[np.float64]

    def of(self, wanted: Starts) -> NDArray[np.float64]:
        """The volume of the bar at each of *wanted*, of any shape; NaN where none is."""
        if len(self.starts) == 0:
            return np.full(wanted.shape, np.nan)
        at = np.minimum(np.searchsorted(self.starts, wanted), len(self.starts) - 1)
        return np.where(self.starts[at] == wanted, self.volume[at], np.nan)


def traded_in(
    conn: Connection,
    symbol_id: int,
    timeframe: Timeframe,
    calendar: TradingCalendar,
    absent: Starts,
    rows: BarColumns,
    others: Mapping[Timeframe, bool],
) -> Traded:
    """
    What the volume of coarser bars says of the *absent* ones.

    Args:
        absent: Starts of a run of bars, intraday.
        rows: Those of the symbol that are not stored yet.
        others: The symbol's other timeframes, and whether each was asked for all of the run.
    """
    sessions = np.unique(calendar.session_of(timeframe, absent))
    coarser = [one for one in others if timeframe.length < one.length <= Timeframe.D1.length]
    if not timeframe.is_intraday or not coarser or len(sessions) > SESSIONS_RUN_MAX:
        return Traded.UNKNOWN
    first = max(0, int(sessions[0]) - SESSIONS_AROUND)
    last = min(len(calendar.labels) - 1, int(sessions[-1]) + SESSIONS_AROUND)
    around = Range(from_us(int(calendar.labels[first])), from_us(int(calendar.closes[last])))
    held = _with_rows(read_bars(conn, symbol_id, timeframe, around), rows)
    wholes = {one: _fetched(conn, symbol_id, one, around) for one in coarser}
    grid = _Grid.of(calendar, timeframe, range(first, last + 1))
    told = []
    for session in sessions.tolist():
        of_session = absent[np.isin(absent, grid.starts[session])]
        told.append(list(_told(grid, session, of_session, held, wholes, calendar)))
    return together(told)


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """The expected starts of each session, by its index."""

    timeframe: Timeframe
    starts: Mapping[int, Starts]

    @staticmethod
    def of(calendar: TradingCalendar, timeframe: Timeframe, sessions: Sequence[int]) -> _Grid:
        starts = {}
        for one in sessions:
            whole = Range(from_us(int(calendar.opens[one])), from_us(int(calendar.closes[one])))
            starts[one] = calendar.expected_starts(timeframe, whole)
        return _Grid(timeframe, starts)

    def like(self, session: int) -> list[int]:
        """The other sessions that have as many bars."""
        bars = len(self.starts[session])
        return [one for one, starts in self.starts.items() if one != session and len(starts) == bars]


def _told(
    grid: _Grid,
    session: int,
    absent: Starts,
    held: _Held,
    wholes: Mapping[Timeframe, _Held],
    calendar: TradingCalendar,
) -> Iterator[Traded]:
    """What each coarser timeframe says of the bars that are *absent* in one session."""
    others = grid.like(session)
    starts = grid.starts[session]
    is_absent = np.isin(starts, absent)
    volumes = held.of(np.stack([starts, *(grid.starts[one] for one in others)]))
    is_elsewhere = np.isnan(volumes[0]) & ~is_absent
    volumes = np.nan_to_num(volumes)
    for coarser, whole in wholes.items():
        around = _around(coarser, starts, is_absent, calendar, session)
        if around is None:
            continue
        offsets, is_inside = around
        bases = calendar.labels if coarser is Timeframe.D1 else calendar.opens
        wanted = np.stack([bases[one] + offsets for one in (session, *others)])
        of_wholes = np.nan_to_num(whole.of(wanted).sum(axis=1))
        is_there = of_wholes[1:] > 0
        elsewhere = volumes[1:, is_elsewhere & is_inside].sum(axis=1)[is_there] / of_wholes[1:][is_there]
        yield traded_by(
            Volumes(
                whole=float(of_wholes[0]),
                parts=float(volumes[0, is_inside].sum()),
                elsewhere=float(of_wholes[0] * elsewhere.max(initial=0)),
                others_whole=of_wholes[1:],
                others_parts=volumes[1:, is_inside].sum(axis=1),
                others_absent=volumes[1:, is_absent].sum(axis=1),
            )
        )


def _around(
    coarser: Timeframe, starts: Starts, is_absent: NDArray[np.bool_], calendar: TradingCalendar, session: int
) -> tuple[Starts, NDArray[np.bool_]] | None:
    """
    The coarser bars of which some part is absent, counted from the session's label or open, and which bars lie in them;
    None where one of them lies in the run altogether: it is known to be there or not.
    """
    if coarser is Timeframe.D1:
        return (np.zeros(1, np.int64), np.ones(len(starts), np.bool_)) if not is_absent.all() else None
    bucket = (starts - calendar.opens[session]) // coarser.length_us
    touched = np.unique(bucket[is_absent])
    is_inside = np.isin(bucket, touched)
    if np.isin(touched, bucket[~is_absent]).all():
        return touched * coarser.length_us, is_inside
    return None


def _fetched(conn: Connection, symbol_id: int, timeframe: Timeframe, around: Range) -> _Held:
    """The bars that were fetched by themselves: what was made of finer ones can not contradict them."""
    bars = read_bars(conn, symbol_id, timeframe, around)
    made = read_derived(conn, [symbol_id], [timeframe]).get((symbol_id, timeframe), {})
    is_made = np.zeros(len(bars), np.bool_)
    for one in (one for ranges in made.values() for one in ranges & Ranges([around])):
        is_made |= (bars.ts >= to_us(one.start)) & (bars.ts < to_us(one.end))
    return _Held(bars.ts[~is_made], bars.volume[~is_made])


def _with_rows(stored: BarColumns, rows: BarColumns) -> _Held:
    """Stored bars, and *rows* in place of those that they replace."""
    is_kept = ~np.isin(stored.ts, rows.ts)
    starts = np.concatenate((stored.ts[is_kept], rows.ts))
    volume = np.concatenate((stored.volume[is_kept], rows.volume))
    order = np.argsort(starts, kind="stable")
    return _Held(starts[order], volume[order])

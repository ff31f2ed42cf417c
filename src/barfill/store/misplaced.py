"""Bars that turned out to be another company's: out of the table into quarantine, and out of coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import TupleRow

from barfill.core.plan import whole_weeks
from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.errors import SymbolNotFound
from barfill.store.bars import begin_change
from barfill.store.database import Connection
from barfill.store.gaps import replace_gaps
from barfill.store.pages import count_series, retract_coverage
from barfill.store.queries import load_queries
from barfill.store.writes import Expected

SQL = load_queries("misplaced")


@dataclass(frozen=True, slots=True)
class RemovedBars:
    """
    Attributes:
        ranges: What is no longer covered, and of which no gap is on record.
        provider: The last one that has sent something of the series.
    """

    count: int
    ranges: Ranges
    provider: str
    feed: str
    basis: str


def remove_bars(
    conn: Connection,
    symbol_id: int,
    timeframe: Timeframe,
    stretch: Range,
    *,
    providers: Sequence[str],
    reason: str,
    expected: Expected,
) -> RemovedBars | None:
    """
    Takes the final bars of a series in *stretch* that *providers* have sent out of the table, and what is known of it.

    Where others have sent bars of the stretch, only what *providers* were asked for is no longer covered, and not where
    those bars are. None where nothing of *providers* is on record.

    Args:
        expected: Counts the bars of what is left of gaps that reach beyond the stretch.
    """
    named = {"symbol_id": symbol_id, "timeframe": timeframe.value, "providers": list(providers)}
    bounds = {**named, "start": stretch.start, "end": stretch.end, "length": timeframe.length}
    row = conn.execute(SQL["lock"], named).fetchone()
    if row is None:
        return None
    feed, basis, provider, is_theirs = row
    begin_change(conn, "misplaced")
    count, moved = _row(conn, "move_out", {**bounds, "reason": reason})
    answered, others = _row(conn, "answered", {**bounds, **_answers(timeframe, providers)})
    theirs = answered | moved
    if not theirs and not is_theirs:
        return None
    if timeframe is Timeframe.W1:
        theirs = whole_weeks(theirs)
    ranges = (theirs & stretch) - others if others else Ranges([stretch])
    known = _row(conn, "known", {**named, "ranges": ranges})[0]
    replace_gaps(conn, timeframe, {symbol_id: ranges}, (), expected)
    retract_coverage(conn, timeframe, {symbol_id: ranges}, with_derived=False)
    if count:
        count_series(conn, timeframe, [symbol_id])
        conn.execute(SQL["forget_density"], named)
    return RemovedBars(count, known, provider if is_theirs else providers[0], feed, basis)


def begun_runs(conn: Connection, symbol_id: int, stretch: Range, *, providers: Sequence[str]) -> list[int]:
    """Unfinished runs that have asked *providers* for bars of a symbol in *stretch*; their ids."""
    named = {"symbol_id": symbol_id, "providers": list(providers), "start": stretch.start, "end": stretch.end}
    return [row[0] for row in conn.execute(SQL["begun_runs"], named)]


def _answers(timeframe: Timeframe, providers: Sequence[str]) -> dict[str, object]:
    """What tells the runs and gaps of *providers*: coarser bars are made of finer ones."""
    return {
        "sources": [one.value for one in Timeframe if one.length <= timeframe.length],
        "reasons": [f"%{SymbolNotFound.code}: {one}: %" for one in providers],
    }


def _row(conn: Connection, name: str, parameters: Mapping[str, object]) -> TupleRow:
    row = conn.execute(SQL[name], parameters, binary=True).fetchone()
    assert row is not None
    return row

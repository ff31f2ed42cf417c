"""
What was made of which finer bars, and what becomes of it where those change.

A derived bar is as good as its source: where a source bar is corrected, comes or goes, or its range is no longer
proved, the coarser bars over it are no longer covered, so that they are made anew. Where a source bar was taken out,
they are taken out as well: nobody may read a bar that holds what turned out wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import psycopg
from psycopg.rows import TupleRow

from barfill.core.ranges import Range, Ranges
from barfill.core.timeframe import Timeframe
from barfill.store.queries import load_queries

SQL = load_queries("derived")

SourceRanges = Mapping[Timeframe, Ranges]
"""By source, what of one series was made of it; only what the series covers counts."""


def read_derived(
    conn: psycopg.Connection[TupleRow], symbol_ids: Iterable[int] | None, timeframes: Iterable[Timeframe]
) -> dict[tuple[int, Timeframe], SourceRanges]:
    """By symbol id and timeframe, what of the series was made of which finer ones; None asks for all symbols."""
    parameters = {
        "symbol_ids": None if symbol_ids is None else list(symbol_ids),
        "timeframes": [one.value for one in timeframes],
    }
    found: dict[tuple[int, Timeframe], dict[Timeframe, Ranges]] = {}
    for symbol_id, timeframe, source, ranges in conn.execute(SQL["read_derived"], parameters, binary=True):
        if ranges:
            found.setdefault((symbol_id, Timeframe(timeframe)), {})[Timeframe(source)] = ranges
    return dict(found)


def note_source(
    conn: psycopg.Connection[TupleRow],
    timeframe: Timeframe,
    proved: Mapping[int, Ranges],
    source: Timeframe | None,
) -> None:
    """Puts down that *proved* was made of *source*, or fetched where that is None; callers hold the series' locks."""
    if not proved or timeframe is Timeframe.M1:
        return
    parameters = {
        "timeframe": timeframe.value,
        "source": source.value if source is not None else None,
        "symbol_ids": sorted(proved),
        "ranges": [proved[symbol_id] for symbol_id in sorted(proved)],
    }
    conn.execute(SQL["take_out"], parameters)
    if source is not None:
        conn.execute(SQL["put_down"], parameters)


def made_of(
    conn: psycopg.Connection[TupleRow], source: Timeframe, hulls: Mapping[int, Range]
) -> list[tuple[int, Timeframe, Ranges, Ranges]]:
    """
    What of coarser series was made of *source* around these stretches: symbol id, timeframe, ranges, and what is known
    of the source. Locks these series, the finest first; callers hold the locks of the source.
    """
    if source is Timeframe.W1 or not hulls:
        return []
    reach = Timeframe.W1.length if source is Timeframe.D1 else Timeframe.H4.length
    ids = sorted(hulls)
    parameters = {
        "source": source.value,
        "symbol_ids": ids,
        "starts": [hulls[symbol_id].start - reach for symbol_id in ids],
        "ends": [hulls[symbol_id].end for symbol_id in ids],
    }
    found = conn.execute(SQL["made_of"], parameters, binary=True).fetchall()
    return [(symbol_id, Timeframe(timeframe), made, covered) for symbol_id, timeframe, made, covered in found]


def around(changed: Ranges, source: Timeframe, target: Timeframe) -> Ranges:
    """Where bars of *target* may start that hold source bars that start in *changed*, wherever a session opens."""
    before: timedelta = target.length - source.length
    return Ranges(Range(one.start - before, one.end) for one in changed)

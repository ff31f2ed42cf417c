"""
What the ledger says of many series at once, as columns: by that alone they are counted, however many bars they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import TupleRow

from barfill.core.gaps import GapKind
from barfill.store.queries import load_queries

SQL = load_queries("completeness")


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """
    The series on record of some symbols; columns of shape (n,), one entry per series, by symbol id and timeframe.

    Attributes:
        symbol_id: int64.
        timeframe: The names, such as `m15`.
        has_failed: bool, whether the last run of the series failed.
        settled: int64, expected bars that are absent for a settled reason.
        settled_by_kind: The same by the reason's kind, one mapping per series.
        absent: int64, expected bars that are absent within coverage, for whatever reason.
        of_range: int64 (m,), which series each range is of.
        is_covered: bool (m,), whether the range is covered; otherwise it is only known to have gaps.
        start, end: int64 (m,), microseconds UTC, end excluded; those of one series do not overlap.
    """

    symbol_id: NDArray[np.int64]
    timeframe: NDArray[np.str_]
    has_failed: NDArray[np.bool_]
    settled: NDArray[np.int64]
    settled_by_kind: Sequence[Mapping[str, int]]
    absent: NDArray[np.int64]
    of_range: NDArray[np.int64]
    is_covered: NDArray[np.bool_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def read_ledger(conn: psycopg.Connection[TupleRow], symbol_ids: Sequence[int]) -> Ledger:
    """Everything that counting needs; nothing of it reads bars, or gaps one by one."""
    parameters = {"symbol_ids": list(symbol_ids)}
    by_itself = {"settled_kinds": [kind.value for kind in GapKind if kind.is_settled]}
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        tallies = conn.execute(SQL["read_tallies"], parameters, binary=True).fetchall()
        settled = conn.execute(SQL["read_settled"], parameters | by_itself, binary=True).fetchall()
        ranges = conn.execute(SQL["read_asked_for"], parameters, binary=True).fetchall()
    place = {(row[0], row[1]): position for position, row in enumerate(tallies)}
    counts = np.array([(row[0], *row[2:]) for row in tallies], np.int64).reshape(-1, 3)
    by_kind: list[dict[str, int]] = [{} for _ in tallies]
    for symbol_id, timeframe, kind, bars in settled:
        by_kind[place[symbol_id, timeframe]][kind] = bars
    parts = np.array([(place[row[0], row[1]], *row[2:]) for row in ranges], np.int64).reshape(-1, 4)
    return Ledger(
        symbol_id=counts[:, 0],
        timeframe=np.array([row[1] for row in tallies], np.str_),
        has_failed=counts[:, 1].astype(np.bool_),
        settled=np.array([sum(one.values()) for one in by_kind], np.int64),
        settled_by_kind=by_kind,
        absent=counts[:, 2],
        of_range=parts[:, 0],
        is_covered=parts[:, 1].astype(np.bool_),
        start=parts[:, 2],
        end=parts[:, 3],
    )

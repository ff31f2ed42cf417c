"""
Bars into and out of the table: the hot path.

Rows whose stretch of time is known to hold nothing are COPYed straight in. For the others the stored rows are read
back as columns and compared here, so that only new rows are COPYed and only changed ones are upserted; a run that
finds nothing new writes nothing. Callers hold the locks of the series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import TupleRow

from barfill.core.bars import BarColumns
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.crash import crash_point
from barfill.errors import SeriesConflict
from barfill.store.binary_copy import StoredRows, as_columns, copy_bars, read_starts, read_stored
from barfill.store.queries import load_queries
from barfill.store.writes import SeriesWrite, row_keys

SQL = load_queries("bars")

_COMPARED = ("open", "high", "low", "close", "volume", "vwap", "trade_count")


@dataclass(frozen=True, slots=True)
class Written:
    """
    What became of the rows of a write.

    Attributes:
        inserted: By symbol id, how many rows are new.
        changed: How many stored rows have new values.
        refused: Which rows the database would not take, positions in the write's rows; with its words.
        touched: Which rows are new, or replace others; bool (n,).
        met_foreign_rows: Another program wrote into these series, so that their counters must be counted anew.
    """

    inserted: Mapping[int, int]
    changed: int
    refused: Mapping[int, str]
    touched: NDArray[np.bool_]
    met_foreign_rows: bool = False


def read_bars(conn: psycopg.Connection[TupleRow], symbol_id: int, timeframe: Timeframe, wanted: Range) -> BarColumns:
    """The stored bars of one series that start in *wanted*, in time order; `symbol` is 0 in all rows."""
    stored = read_rows(conn, symbol_id, timeframe, wanted)
    return as_columns(stored, np.zeros(len(stored), np.int32))


def read_rows(
    conn: psycopg.Connection[TupleRow],
    symbol_id: int,
    timeframe: Timeframe,
    wanted: Range,
    *,
    as_of: datetime | None = None,
) -> StoredRows:
    """
    The bars of one series that start in *wanted*, in time order, with whether each is final, and extended.

    Args:
        as_of: As they were stored at this instant of the database's clock; None reads what is stored now.
    """
    parameters = {"symbol_id": symbol_id, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    if as_of is None:
        return read_stored(conn, SQL["read_bars"], parameters)
    return read_stored(conn, SQL["read_bars_as_of"], {**parameters, "as_of": as_of})


def begin_change(conn: psycopg.Connection[TupleRow], reason: str, run_id: int | None = None) -> datetime:
    """
    Says why the rest of the transaction changes bars, which is kept with the values that it replaces.

    Callers hold the locks of the series, and give bars that are new this instant as `created_at`.

    Returns:
        The instant from which the changes count, by the database's clock, UTC; the same for all of a transaction.
    """
    row = conn.execute(SQL["begin_change"], {"reason": reason, "run_id": run_id}).fetchone()
    assert row is not None
    return from_us(row[0])


def read_origins(
    conn: psycopg.Connection[TupleRow], symbol_id: int, timeframe: Timeframe, wanted: Range
) -> list[tuple[datetime, str]]:
    """Who the stored bars in *wanted* are from: the start of each stretch from one provider, and its name."""
    parameters = {"symbol_id": symbol_id, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    return conn.execute(SQL["read_origins"], parameters).fetchall()


def stored_starts(
    conn: psycopg.Connection[TupleRow], symbol_ids: Sequence[int], timeframe: Timeframe, wanted: Range
) -> dict[int, NDArray[np.int64]]:
    """By symbol id, the starts of the stored bars in *wanted*: int64 microseconds UTC, strictly increasing."""
    ids = sorted(set(symbol_ids))
    parameters = {"symbol_ids": ids, "timeframe": timeframe.value, "start": wanted.start, "end": wanted.end}
    found = _in_order(read_starts(conn, SQL["read_starts"], parameters))
    starts = np.ascontiguousarray(found["ts"])
    bounds = np.searchsorted(found["symbol_id"], [*ids, np.iinfo(np.int32).max])
    return {symbol_id: starts[bounds[i] : bounds[i + 1]] for i, symbol_id in enumerate(ids)}


def write_bars(
    conn: psycopg.Connection[TupleRow],
    write: SeriesWrite,
    stored_bounds: Mapping[int, tuple[int, int]],
    *,
    why: str = "",
) -> Written:
    """
    Puts the rows of *write* in place, within the caller's transaction.

    Args:
        stored_bounds: By symbol id, the first and the last start stored, microseconds; absent where nothing is.
        why: The reason of changes to stored bars, where that is no correction and no derived bar made anew.

    Raises:
        SeriesConflict: A row is of another feed or basis than its series' policy.
    """
    if len(write.rows) == 0:
        return Written({}, 0, {}, np.zeros(0, np.bool_))
    rows = write.rows.with_symbols(write.symbol_ids)
    is_new, is_changed = _compare(conn, write, rows, stored_bounds)
    crash_point("k6")
    usual = "derived" if write.run_id is None else "corrected"
    changed_at = begin_change(conn, why or usual, write.run_id)
    refused: dict[int, str] = {}
    try:
        refused = _isolated(
            conn, np.flatnonzero(is_new), lambda chosen: _copy_new(conn, write, rows.take(chosen), changed_at)
        )
        met_foreign_rows = False
    except psycopg.errors.UniqueViolation:
        # Rows that are not in the series' counters: somebody wrote into the table past barfill.
        is_new, is_changed, met_foreign_rows = np.zeros_like(is_new), is_new | is_changed, True
    is_new[list(refused)] = False
    upserted: list[tuple[int, int, int]] = []
    refused |= _isolated(
        conn,
        np.flatnonzero(is_changed),
        lambda chosen: upserted.extend(_upsert(conn, write, rows.take(chosen), changed_at)),
    )
    crash_point("k8")
    inserted = dict(zip(*(part.tolist() for part in np.unique(rows.symbol[is_new], return_counts=True)), strict=True))
    for symbol_id, new, _ in upserted:
        inserted[symbol_id] = inserted.get(symbol_id, 0) + new
    return Written(inserted, sum(changed for _, _, changed in upserted), refused, is_new | is_changed, met_foreign_rows)


def _compare(
    conn: psycopg.Connection[TupleRow],
    write: SeriesWrite,
    rows: BarColumns,
    stored_bounds: Mapping[int, tuple[int, int]],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are not stored yet, and which are to replace a stored one; bool (n,) each."""
    starts = np.flatnonzero(np.diff(rows.symbol, prepend=-1))
    ends = np.append(starts[1:], len(rows)) - 1
    spans = zip(rows.symbol[starts].tolist(), rows.ts[starts].tolist(), rows.ts[ends].tolist(), strict=True)
    occupied = [span for span in spans if _overlaps(span, stored_bounds)]
    nothing = np.zeros(len(rows), bool)
    if not occupied:
        return ~nothing, nothing
    stored = _in_order(_read_spans(conn, write.timeframe, occupied))
    if len(stored) == 0:
        return ~nothing, nothing
    stored_keys, keys = row_keys(stored["symbol_id"], stored["ts"]), row_keys(rows.symbol, rows.ts)
    place = np.minimum(np.searchsorted(stored_keys, keys), len(stored) - 1)
    is_stored: NDArray[np.bool_] = stored_keys[place] == keys
    is_new: NDArray[np.bool_] = ~is_stored
    is_changed: NDArray[np.bool_] = is_stored & _differs(write, stored[place])
    return is_new, is_changed


def _overlaps(span: tuple[int, int, int], stored_bounds: Mapping[int, tuple[int, int]]) -> bool:
    symbol_id, first, last = span
    bounds = stored_bounds.get(symbol_id)
    return bounds is not None and first <= bounds[1] and last >= bounds[0]


def _differs(write: SeriesWrite, stored: StoredRows) -> NDArray[np.bool_]:
    """Whether each row is to replace the stored one beside it; a live row never replaces a final one."""
    is_other = np.zeros(len(stored), bool)
    for name in _COMPARED:
        given, had = getattr(write.rows, name), stored[name]
        is_other |= (given != had) & ~((given != given) & (had != had))  # noqa: PLR0124  NaN stands for no vwap
    is_live: NDArray[np.bool_] = ~stored["is_final"]
    return is_other & is_live if write.data_status == "live" else is_other | is_live


def _read_spans(
    conn: psycopg.Connection[TupleRow], timeframe: Timeframe, spans: Sequence[tuple[int, int, int]]
) -> StoredRows:
    symbol_ids, firsts, lasts = zip(*spans, strict=True)
    parameters = {
        "symbol_ids": list(symbol_ids),
        "firsts": _instants(firsts),
        "lasts": _instants(lasts),
        "first": from_us(min(firsts)),
        "last": from_us(max(lasts)),
        "timeframe": timeframe.value,
    }
    return read_stored(conn, SQL["read_spans"], parameters)


def _instants(values_us: Sequence[int]) -> list[str]:
    texts = np.datetime_as_string(np.array(values_us, "datetime64[us]"), timezone="UTC")
    return [str(text) for text in texts]


def _in_order(stored: StoredRows) -> StoredRows:
    """By symbol id and ts. The queries deliver that order, but only by the shape of their plans."""
    step = np.diff(stored["symbol_id"])
    if np.all((step > 0) | ((step == 0) & (np.diff(stored["ts"]) > 0))):
        return stored
    return stored[np.lexsort((stored["ts"], stored["symbol_id"]))]


def _isolated(
    conn: psycopg.Connection[TupleRow], chosen: NDArray[np.intp], put: Callable[[NDArray[np.intp]], None]
) -> dict[int, str]:
    """Puts the rows at *chosen*; gives the positions of those that the database will not take, with its words."""
    if len(chosen) == 0:
        return {}
    try:
        with conn.transaction():
            put(chosen)
    except (psycopg.DataError, psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation) as error:
        if len(chosen) == 1:
            return {int(chosen[0]): error.diag.message_primary or str(error)}
    else:
        return {}
    half = len(chosen) // 2
    return _isolated(conn, chosen[:half], put) | _isolated(conn, chosen[half:], put)


def _copy_new(conn: psycopg.Connection[TupleRow], write: SeriesWrite, rows: BarColumns, changed_at: datetime) -> None:
    constants: dict[str, str | bool | datetime] = {
        "timeframe": write.timeframe.value,
        "provider": write.provider,
        "feed": write.feed,
        "is_intraday": write.timeframe.is_intraday,
        "data_status": write.data_status,
        "fetched_at": write.fetched_at,
        "created_at": changed_at,
    }
    copy_bars(conn, "ohlc_bars", rows, constants, outside=_outside(write, rows))


def _outside(write: SeriesWrite, rows: BarColumns) -> NDArray[np.bool_] | None:
    return None if write.outside is None else write.outside(rows.ts)


def _upsert(
    conn: psycopg.Connection[TupleRow], write: SeriesWrite, rows: BarColumns, changed_at: datetime
) -> list[tuple[int, int, int]]:
    """By symbol: its id, rows inserted, rows changed."""
    parameters = {
        "timeframe": write.timeframe.value,
        "provider": write.provider,
        "feed": write.feed,
        "basis": write.basis,
        "is_intraday": write.timeframe.is_intraday,
        "data_status": write.data_status,
        "fetched_at": write.fetched_at,
        "changed_at": changed_at,
    }
    conn.execute(SQL["create_staging"])
    conn.execute(SQL["empty_staging"])
    copy_bars(conn, "staged_bars", rows, {}, outside=_outside(write, rows))
    refused = conn.execute(SQL["count_refused"], parameters).fetchone()
    if refused is not None and refused[0]:
        raise SeriesConflict(
            f"{refused[0]} bars of {write.provider} are of feed {write.feed!r}, basis {write.basis!r}; "
            "their series hold another. Nothing was written."
        )
    return conn.execute(SQL["upsert_staged"], parameters).fetchall()

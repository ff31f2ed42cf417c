"""
Bars through PostgreSQL's binary COPY as numpy arrays, without a Python object per row.

A row without NULLs has a fixed width, so a block of rows is an array of one structured dtype: a field count, then
each column's length word and its big-endian value. Columns that are NULL in a row are left out of that row's COPY,
which is why rows go in up to four groups.

Source: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import pq, sql
from psycopg.generators import copy_from
from psycopg.rows import TupleRow

from barfill.core.bars import NO_TRADE_COUNT, BarColumns
from barfill.core.ranges import to_us
from barfill.crash import crash_point, is_wanted
from barfill.store.ranges import POSTGRES_EPOCH_US

BLOCK_ROWS = 10_000
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_VALUES = ("open", "high", "low", "close", "volume")

StoredRows = NDArray[np.void]
"""
Rows as read back: fields symbol_id, ts (microseconds since 1970), the values, is_final, is_extended; native byte order.
"""


def copy_bars(
    conn: psycopg.Connection[TupleRow],
    table: str,
    rows: BarColumns,
    constants: Mapping[str, str | bool | datetime],
    *,
    outside: NDArray[np.bool_] | None = None,
) -> None:
    """
    Puts *rows* into *table* by COPY.

    Args:
        rows: `symbol` holds the id of each row's symbol.
        constants: Further columns, the same in all rows.
        outside: Which rows lie outside of regular hours, bool (n,); None where none does.
    """
    has_vwap = ~np.isnan(rows.vwap)
    has_trades = rows.trade_count != NO_TRADE_COUNT
    for optional in _patterns(has_vwap, has_trades):
        mask = (has_vwap == ("vwap" in optional)) & (has_trades == ("trade_count" in optional))
        chosen = slice(None) if mask.all() else mask
        flags = None if outside is None else outside[chosen]
        _copy_group(conn, table, rows.take(chosen), optional, constants, flags)


def read_stored(conn: psycopg.Connection[TupleRow], query: bytes, parameters: Mapping[str, object]) -> StoredRows:
    """The rows of a `copy (select ..) to stdout (format binary)` of symbol_id, ts, the values and both flags."""
    return _read(conn, query, parameters, _READ)


def read_starts(conn: psycopg.Connection[TupleRow], query: bytes, parameters: Mapping[str, object]) -> StoredRows:
    """The rows of a `copy (select ..) to stdout (format binary)` of symbol_id and ts."""
    return _read(conn, query, parameters, _READ[:2])


def as_columns(stored: StoredRows, symbol: NDArray[np.int32]) -> BarColumns:
    """Rows as read back, in the form in which bars travel; *symbol* is the index column to give them."""
    names = ("ts", *_VALUES, "vwap", "trade_count")
    return BarColumns(symbol, *(np.ascontiguousarray(stored[name]) for name in names))


def _layout(columns: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    fields: list[tuple[str, str]] = [("count", ">i2")]
    for name, kind in columns:
        fields += [(f"{name}_length", ">i4"), (name, kind)]
    return np.dtype(fields)


_KEY_AND_VALUES = [("symbol_id", ">i4"), ("ts", ">i8"), *((name, ">f8") for name in _VALUES)]
_READ = [*_KEY_AND_VALUES, ("vwap", ">f8"), ("trade_count", ">i8"), ("is_final", "?"), ("is_extended", "?")]
_OPTIONAL = {"vwap": ">f8", "trade_count": ">i8"}


def _read(
    conn: psycopg.Connection[TupleRow],
    query: bytes,
    parameters: Mapping[str, object],
    columns: Sequence[tuple[str, str]],
) -> StoredRows:
    with conn.cursor() as cursor, cursor.copy(query, parameters):
        data = b"".join(_copy_messages(conn))
    wire = np.frombuffer(data, _layout(columns), offset=len(_HEADER), count=_row_count(data, columns))
    native = np.empty(len(wire), [(name, kind.replace(">", "=")) for name, kind in columns])
    for name, _ in columns:
        native[name] = wire[name]
    native["ts"] += POSTGRES_EPOCH_US
    return native


def _row_count(data: bytes, columns: Sequence[tuple[str, str]]) -> int:
    count, rest = divmod(len(data) - len(_HEADER) - len(_TRAILER), _layout(columns).itemsize)
    if rest:
        raise ValueError("The server's COPY holds a row of unexpected width: a NULL, or another type.")
    return count


def _patterns(has_vwap: NDArray[np.bool_], has_trades: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """Which of the optional columns are given together, over all rows."""
    found = np.unique(has_vwap * 1 + has_trades * 2)
    return [tuple(name for bit, name in ((1, "vwap"), (2, "trade_count")) if pattern & bit) for pattern in found]


def _copy_group(
    conn: psycopg.Connection[TupleRow],
    table: str,
    rows: BarColumns,
    optional: Sequence[str],
    constants: Mapping[str, str | bool | datetime],
    outside: NDArray[np.bool_] | None,
) -> None:
    encoded = {name: _constant(value) for name, value in constants.items()}
    columns = [*_KEY_AND_VALUES, *((name, _OPTIONAL[name]) for name in optional)]
    values = {name: getattr(rows, name) for name, _ in columns[2:]}
    if outside is not None:
        columns.append(("is_extended", "|b1"))
        values["is_extended"] = outside
    layout = _layout([*columns, *((name, f"S{len(value)}") for name, value in encoded.items())])
    block = np.empty(min(len(rows), BLOCK_ROWS), layout)
    block["count"] = len(columns) + len(encoded)
    for name, kind in columns:
        block[f"{name}_length"] = int(kind[2:])
    for name, value in encoded.items():
        block[f"{name}_length"] = len(value)
        block[name] = value
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, [name for name, _ in columns] + list(encoded)))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_HEADER)
        for part in _filled(block, rows, values):
            copy.write(part)
        copy.write(_TRAILER)


def _filled(
    block: NDArray[np.void], rows: BarColumns, values: Mapping[str, NDArray[np.generic]]
) -> Iterator[memoryview]:
    """The keys of *rows* and their *values* as bytes on the wire, block by block, each good until the next is taken."""
    size = min(len(block), -(-len(rows) // 2)) if is_wanted("k7") else len(block)
    for start in range(0, len(rows), size):
        stop = min(start + size, len(rows))
        part = block[: stop - start]
        part["symbol_id"] = rows.symbol[start:stop]
        part["ts"] = rows.ts[start:stop] - POSTGRES_EPOCH_US
        for name, column in values.items():
            part[name] = column[start:stop]
        yield part.view(np.uint8).data
        if start == 0:
            crash_point("k7")


def _constant(value: str | bool | datetime) -> bytes:
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if isinstance(value, str):
        if not value:
            raise ValueError("A constant text column of a COPY must not be empty.")
        return value.encode()
    return (to_us(value) - POSTGRES_EPOCH_US).to_bytes(8, "big", signed=True)


def _copy_messages(conn: psycopg.Connection[TupleRow]) -> Iterator[bytes]:
    """What the server sends, without a detour through the driver's reader for each row."""
    pgconn = conn.pgconn
    while True:
        length, data = pgconn.get_copy_data(1)
        if length > 0:
            yield bytes(data)
        elif length == 0:
            rest = conn.wait(copy_from(pgconn))
            if not isinstance(rest, memoryview):
                return
            yield bytes(rest)
        else:
            break
    while (result := pgconn.get_result()) is not None:
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)

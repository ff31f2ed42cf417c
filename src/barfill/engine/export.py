"""Bars out into files: one for each series, complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from barfill.core.file_names import series_file_name
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.reading import check_is_past
from barfill.errors import InvalidInput
from barfill.store.database import Connection, Database
from barfill.store.export import read_parts
from barfill.store.frames import SCHEMA, as_frame
from barfill.store.series import read_series
from barfill.store.symbols import find_by_ids

CSV_INSTANT = "%Y-%m-%dT%H:%M:%SZ"
FILE_SCHEMA = pl.Schema({"symbol": pl.String(), **SCHEMA})
"""Of every file, in this order."""


class FileFormat(Enum):
    """What is written; the value is how its files' names end."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """
    Attributes:
        symbol_ids: None stands for all on record.
        window: Only bars that start in it; None takes all.
        as_of: As they were stored at this instant; None takes what is stored now.
        folder: Made where it is not there. Files of the same series in it are replaced.
    """

    symbol_ids: Sequence[int] | None
    timeframes: Sequence[Timeframe]
    window: Range | None
    as_of: datetime | None
    folder: Path
    format: FileFormat


@dataclass(frozen=True, slots=True)
class ExportedSeries:
    """
    Attributes:
        path: None where the series has no bars to export.
        first, last: The starts of its first and its last bar.
    """

    ticker: str
    timeframe: Timeframe
    path: Path | None = None
    bars: int = 0
    bytes: int = 0
    first: datetime | None = None
    last: datetime | None = None


def export(database: Database, request: ExportRequest) -> Iterator[ExportedSeries]:
    """
    Writes the series of *request*, by ticker, the finer timeframes first; each when it is taken.

    A file is written beside its place and moved there when it is complete. It holds one moment of its series, and the
    same bars always give the same rows. Memory does not grow with the history.

    Raises:
        InvalidInput: The folder cannot be written to, or *as_of* lies in the future.
    """
    if request.as_of is not None:
        check_is_past(database, request.as_of)
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(request.folder, error) from error
    for symbol_id, ticker, timeframe in _series(database, request):
        yield _exported(database, request, symbol_id, ticker, timeframe)


def _series(database: Database, request: ExportRequest) -> list[tuple[int, str, Timeframe]]:
    keys = database.run(read_series, request.symbol_ids, request.timeframes)
    symbols = database.run(find_by_ids, sorted({symbol_id for symbol_id, _ in keys}))
    order = list(Timeframe)
    named = [(symbol_id, symbols[symbol_id].ticker, timeframe) for symbol_id, timeframe in keys if symbol_id in symbols]
    return sorted(named, key=lambda one: (one[1], order.index(one[2])))


def _exported(
    database: Database, request: ExportRequest, symbol_id: int, ticker: str, timeframe: Timeframe
) -> ExportedSeries:
    path = request.folder / series_file_name(ticker, timeframe, request.format.value)
    with database.connection() as conn:
        source = _Source(conn, request, symbol_id, ticker, timeframe)
        with closing(source.parts()) as parts:
            head = next(parts, None)
            if head is None:
                return ExportedSeries(ticker, timeframe)
            try:
                with _put_in_place(path) as unfinished:
                    source.write(head, parts, unfinished)
                    size = unfinished.stat().st_size
            except OSError as error:
                raise _unwritable(path, error) from error
    return ExportedSeries(ticker, timeframe, path, source.bars, size, source.first, source.last)


class _Source:
    """One series on its way into a file."""

    def __init__(
        self, conn: Connection, request: ExportRequest, symbol_id: int, ticker: str, timeframe: Timeframe
    ) -> None:
        self._conn = conn
        self._request = request
        self._symbol_id = symbol_id
        self._ticker = ticker
        self._timeframe = timeframe
        self.bars = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def parts(self) -> Generator[pl.DataFrame, None, None]:
        """The bars in time order, in frames of `FILE_SCHEMA`."""
        wanted, as_of = self._request.window, self._request.as_of
        with closing(read_parts(self._conn, self._symbol_id, self._timeframe, wanted, as_of=as_of)) as parts:
            for rows in parts:
                self.bars += len(rows)
                self.first = self.first or from_us(int(rows["ts"][0]))
                self.last = from_us(int(rows["ts"][-1]))
                yield as_frame(rows).select(pl.lit(self._ticker).alias("symbol"), pl.all())

    def write(self, head: pl.DataFrame, parts: Iterator[pl.DataFrame], path: Path) -> None:
        """All of it into the file at *path*, part by part."""
        failures: list[Exception] = []

        def batches(
            with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
        ) -> Iterator[pl.DataFrame]:
            # Nothing of the plan below narrows what is read, so that the hints of Polars are none.
            try:
                yield head
                yield from parts
            except Exception as error:
                failures.append(error)
                raise

        frame: pl.LazyFrame = register_io_source(batches, schema=FILE_SCHEMA, validate_schema=True)
        try:
            _sink(frame, path, self._request.format)
        except pl.exceptions.PolarsError:
            if failures:
                raise failures[0] from None  # Polars tells what the reader raised as text alone
            raise


def _sink(frame: pl.LazyFrame, path: Path, kind: FileFormat) -> None:
    options: dict[str, Any] = {"maintain_order": True, "engine": "streaming"}
    if kind is FileFormat.PARQUET:
        frame.sink_parquet(path, compression="zstd", **options)
    elif kind is FileFormat.CSV:
        frame.sink_csv(path, datetime_format=CSV_INSTANT, **options)
    else:
        frame.sink_ipc(path, compression="uncompressed", **options)


@contextmanager
def _put_in_place(path: Path) -> Iterator[Path]:
    """
    A file beside *path* that takes its place at the block's end.

    What is at *path* is replaced, not followed: a symbolic link stays out of it.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def _unwritable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"{str(path)!r} cannot be written: {error.strerror or error}. Give another folder: --output DIR"
    )

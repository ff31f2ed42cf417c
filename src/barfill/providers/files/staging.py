"""
The rows of files sorted by ticker, then time, however many there are: on disk, in parts that fit into memory.

A file is read once. What fits into memory is sorted and put down as a *run*; where there are several, they are merged
stretch by stretch, each as long as fits. Rows that are equal by their key stay in the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
import polars as pl

from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.providers.files.opening import BarFile
from barfill.providers.files.rows import NO_TICKER, ROW_SCHEMA, RowRule, read_rows

RUN_ROWS = 300_000
"""What is sorted at a time: about 30 MB, and as much again for its copy."""
_CELL_US = 30 * 86_400_000_000
"""Stretches are cut between months of a symbol: of minutes around the clock, 43,200 rows."""
_KEY = ["ticker", "ts"]


@dataclass(frozen=True, slots=True)
class SymbolSpan:
    """
    The rows of one symbol.

    Attributes:
        first_row, row_count: Where they lie among all sorted rows.
        span: From its first row to the end of its last one; None where no row has a time that can be read.
    """

    ticker: str
    first_row: int
    row_count: int
    span: Range | None


@dataclass(frozen=True, eq=False)
class Staged:
    """
    Sorted rows on disk.

    Attributes:
        symbols: All that have rows, in the order of their rows.
        nameless: How many rows name no symbol; they come first.
        left_out: How many rows lay outside of the range that was asked for.
        fingerprint: The same for the same rows read in the same way.
        parts: Where the rows are, and the number of the first one of each.
    """

    symbols: tuple[SymbolSpan, ...]
    row_count: int
    nameless: int
    left_out: int
    fingerprint: str
    parts: tuple[tuple[Path, int], ...]

    @cached_property
    def by_ticker(self) -> dict[str, SymbolSpan]:
        """The symbols by their tickers."""
        return {one.ticker: one for one in self.symbols}

    def rows(self, start: int, end: int) -> pl.DataFrame:
        """The rows from number *start* up to, not including, *end*, by `ROW_SCHEMA`."""
        found = [pl.DataFrame(schema=ROW_SCHEMA)]
        for (path, first), after in zip(self.parts, [*(one for _, one in self.parts[1:]), self.row_count], strict=True):
            low, high = max(start, first), min(end, after)
            if low < high:
                found.append(pl.scan_parquet(path, glob=False).slice(low - first, high - low).collect())
        return pl.concat(found)


def stage(files: Sequence[tuple[BarFile, RowRule]], directory: Path, *, run_rows: int = RUN_ROWS) -> Staged:
    """
    The rows of all *files*, sorted below *directory*.

    Args:
        run_rows: How many are sorted at a time.

    Raises:
        InvalidInput: A file cannot be read.
    """
    runs = _Runs(directory, files[0][1].stamps.timeframe)
    for file, rule in files:
        for batch in file.batches(rule.columns.names):
            rows = read_rows(batch, rule)
            runs.left_out += rows.left_out
            runs.add(rows.frame, run_rows)
    runs.flush()
    parts = tuple(_merged(runs, directory, run_rows)) if len(runs.paths) > 1 else tuple((one, 0) for one in runs.paths)
    symbols, nameless = _symbols(runs.survey(), files[0][1].stamps.timeframe)
    return Staged(symbols, runs.row_count, nameless, runs.left_out, runs.fingerprint, parts)


@dataclass(slots=True, eq=False)
class _Runs:
    """
    Sorted runs on disk.

    Attributes:
        cells: Of each run, how many rows each month of each symbol has, in the order of the rows.
    """

    directory: Path
    timeframe: Timeframe
    paths: list[Path] = field(default_factory=list)
    cells: list[pl.DataFrame] = field(default_factory=list)
    row_count: int = 0
    left_out: int = 0
    _waiting: list[pl.DataFrame] = field(default_factory=list)
    _waiting_rows: int = 0
    _hash: int = 0

    @property
    def fingerprint(self) -> str:
        """Of all rows, in whatever runs they lie."""
        return blake2b(f"{self.row_count} {self._hash}".encode(), digest_size=8).hexdigest()

    def add(self, rows: pl.DataFrame, run_rows: int) -> None:
        self.row_count += len(rows)
        self._hash = (self._hash + int(rows.hash_rows().to_numpy().sum(dtype=np.uint64))) % (1 << 64)
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        if self._waiting_rows >= run_rows:
            self.flush()

    def flush(self) -> None:
        """Puts down what is in memory."""
        if self._waiting_rows == 0:
            return
        rows = pl.concat(self._waiting).sort(_KEY, nulls_last=False, maintain_order=True)
        self._waiting, self._waiting_rows = [], 0
        path = self.directory / f"run-{len(self.paths)}.parquet"
        _write(rows, path)
        self.paths.append(path)
        month = (pl.col("ts") // _CELL_US).fill_null(-1) if self.timeframe.is_intraday else pl.lit(0, pl.Int64)
        cells = rows.group_by("ticker", month.alias("cell"), maintain_order=True)
        self.cells.append(cells.agg(rows=pl.len(), first=pl.col("ts").min(), last=pl.col("ts").max()))

    def survey(self) -> pl.DataFrame:
        """How many rows each cell has over all runs, with their first and last times; sorted."""
        if not self.cells:
            return pl.DataFrame(
                schema={"ticker": pl.String, "cell": pl.Int64, "rows": pl.UInt32, "first": pl.Int64, "last": pl.Int64}
            )
        cells = pl.concat(self.cells).group_by("ticker", "cell")
        total = cells.agg(pl.col("rows").sum(), pl.col("first").min(), pl.col("last").max())
        return total.sort("ticker", "cell")


def _merged(runs: _Runs, directory: Path, stretch_rows: int) -> Iterator[tuple[Path, int]]:
    """The runs as parts that follow each other, with the number of each one's first row."""
    stretches = runs.survey().select(
        "ticker", "cell", stretch=((pl.col("rows").cast(pl.Int64).cum_sum() - pl.col("rows")) // stretch_rows)
    )
    # Where the rows of each stretch lie in each run: both are in the same order.
    bounds = []
    for cells in runs.cells:
        counts = (
            cells.join(stretches, on=["ticker", "cell"], maintain_order="left")
            .group_by("stretch")
            .agg(pl.col("rows").sum())
        )
        bounds.append(dict(counts.sort("stretch").select("stretch", pl.col("rows").cast(pl.Int64)).iter_rows()))
    starts = [0] * len(runs.paths)
    first = 0
    for stretch in stretches["stretch"].unique().sort().to_list():
        parts = []
        for number, path in enumerate(runs.paths):
            count = bounds[number].get(stretch, 0)
            if count:
                parts.append(pl.scan_parquet(path, glob=False).slice(starts[number], count).collect())
                starts[number] += count
        rows = pl.concat(parts).sort(_KEY, nulls_last=False, maintain_order=True)
        path = directory / f"part-{stretch}.parquet"
        _write(rows, path)
        yield path, first
        first += len(rows)
    for path in runs.paths:
        path.unlink()


def _write(rows: pl.DataFrame, path: Path) -> None:
    rows.write_parquet(path, compression="lz4", row_group_size=50_000, statistics=False)


def _symbols(survey: pl.DataFrame, timeframe: Timeframe) -> tuple[tuple[SymbolSpan, ...], int]:
    """The symbols in the order of their rows, and how many rows name none."""
    spans, nameless, first_row = [], 0, 0
    grouped = survey.group_by("ticker", maintain_order=True)
    total = grouped.agg(pl.col("rows").cast(pl.Int64).sum(), pl.col("first").min(), pl.col("last").max())
    for ticker, count, first, last in total.iter_rows():
        if ticker == NO_TICKER:
            nameless = count
        else:
            span = None if first is None else Range(from_us(first), _end(last, timeframe))
            spans.append(SymbolSpan(ticker, first_row, count, span))
        first_row += count
    return tuple(spans), nameless


def _end(last_us: int, timeframe: Timeframe) -> datetime:
    return from_us(last_us) + timeframe.length

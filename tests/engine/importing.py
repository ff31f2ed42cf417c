"""Imports of files that a test writes, into a real PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.importing import Import, ImportReport, ImportRequest
from barfill.providers.files import FilesClient, Reading, open_file, rule_for, stage
from barfill.store.database import Database
from tests.engine.rig import NYSE, QUICK, Collector

PRICES = ("open", "high", "low", "close")


@dataclass
class Importer:
    """Brings files into *database*."""

    database: Database
    directory: Path
    listener: Collector = field(default_factory=Collector)
    page_rows: int = 50_000

    def write(self, bars: pl.DataFrame, name: str = "bars.csv") -> Path:
        """A file of bars: CSV, or Parquet by its name."""
        path = self.directory / name
        if path.suffix == ".parquet":
            bars.write_parquet(path)
        else:
            bars.write_csv(path)
        return path

    def __call__(
        self,
        path: Path,
        timeframe: Timeframe,
        *,
        feed: str = "files",
        basis: str = "raw",
        claims: Range | None = None,
        asset_type: str | None = None,
        when_begun: Callable[[Import], None] = lambda _: None,
        **reading: Any,
    ) -> ImportReport:
        """One import from start to end; *claims* is what the file holds of each symbol."""
        told = Reading(timeframe=timeframe, until=datetime.now(UTC), within=claims, **reading)
        with tempfile.TemporaryDirectory(dir=self.directory) as workplace:
            file = open_file(path, None, Path(workplace))
            staged = stage([(file, rule_for(file, told))], Path(workplace))
            spans = {one.ticker: claims or one.span for one in staged.symbols if one.span is not None}
            request = ImportRequest(timeframe=timeframe, claims=spans, feed=feed, basis=basis, asset_type=asset_type)
            source = FilesClient(staged, timeframe, feed=feed, basis=basis, claims=spans, page_rows=self.page_rows)
            engine = Import(self.database, source, QUICK, self.listener)
            when_begun(engine)
            return asyncio.run(engine.run(request))

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement."""
        with self.database.connection() as conn:
            return conn.execute(statement, values).fetchall()

    def contents(self) -> list[list[tuple[Any, ...]]]:
        """All that an import leaves behind and that one of the same must not change."""
        return [self.query(f"select {columns} from {table} order by 1, 2, 3") for table, columns in _LEFT.items()]


_LEFT = {
    "ohlc_bars": "symbol_id, timeframe, ts, open, high, low, close, volume, vwap, trade_count, provider, fetched_at",
    "series": "symbol_id, timeframe, feed, basis, covered, oldest_ts, newest_ts, bar_count, density",
    "gaps": "symbol_id, timeframe, gap_from, gap_to, expected_bars, kind, first_seen_at",
    "quarantined_bars": "symbol, ts, rule, raw",
    "bar_revisions": "*",
    "symbols": "id, ticker, asset_type, calendar, is_active",
}


def bars_of(wanted: Range, timeframe: Timeframe = Timeframe.D1, *, ticker: str = "", seed: int = 1) -> pl.DataFrame:
    """Invented bars of every expected start in *wanted*: columns ts, symbol where named, prices, volume."""
    starts = NYSE.expected_starts(timeframe, wanted)
    chance = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(chance.normal(0, 0.002, len(starts)))), 2)
    opened = np.round(close + chance.normal(0, 0.05, len(starts)), 2)
    columns: dict[str, Any] = {
        "ts": [from_us(ts).isoformat() for ts in starts.tolist()],
        "open": opened,
        "high": np.maximum(opened, close) + 0.25,
        "low": np.minimum(opened, close) - 0.25,
        "close": close,
        "volume": chance.integers(1, 10_000, len(starts)).astype(float),
    }
    bars = pl.DataFrame(columns)
    return bars.with_columns(symbol=pl.lit(ticker)) if ticker else bars


def without(bars: pl.DataFrame, days: Sequence[str]) -> pl.DataFrame:
    """*bars* less those of some dates."""
    return bars.filter(~pl.col("ts").str.slice(0, 10).is_in(list(days)))

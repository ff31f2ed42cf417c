"""
barfill from Python: `barfill.connect()`.

```python
import barfill

with barfill.connect() as db:
    now = db.bars("AAPL", "h1", start="2024-01-01")
    then = db.bars("AAPL", "h1", start="2024-01-01", as_of="2026-03-01T09:30Z")
```
"""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from barfill.core.instants import as_instant
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.reading import ALL_TIME, read_bars_of
from barfill.settings import read_settings
from barfill.wiring import open_store

if TYPE_CHECKING:
    import polars as pl

    from barfill.store.database import Database

When = str | date | datetime
"""A date (its 00:00 UTC) or an instant with its zone, as text (`2024-03-01`, `2024-03-01T09:30-05:00`) or as such."""


class Bars:
    """
    The stored bars. Threads may share one; leaving the `with` block, or `close`, lets go of the database.

    Made by `connect`.
    """

    def __init__(self, database: Database, opened: ExitStack) -> None:
        self._database = database
        self._close = weakref.finalize(self, opened.close)

    def bars(
        self,
        symbol: str,
        timeframe: str,
        *,
        start: When | None = None,
        end: When | None = None,
        as_of: When | None = None,
    ) -> pl.DataFrame:
        """
        The bars of one symbol that start in [start, end), in time order.

        Args:
            symbol: Its ticker, in any case; one that it had before is good, too.
            timeframe: `h1`, `1h`, `1Hour` and the like.
            start, end: None leaves that side open.
            as_of: As they were stored then, by the database's clock, live bars included; None reads what is stored now.

        Returns:
            Columns ts (start of the bar, UTC; of days and weeks 00:00 of their date), open, high, low, close (raw, in
            the quote currency), volume, vwap and trade_count (null where the provider gives none), data_status (`live`
            or `final`), is_extended (whether it lies outside of regular hours). No rows where nothing is stored.

        Raises:
            SymbolNotFound: Nobody on record has or had the ticker.
            InvalidInput: The timeframe, a date or the range cannot be; *as_of* lies in the future.
        """
        wanted = Range(
            ALL_TIME.start if start is None else as_instant(start, "start"),
            ALL_TIME.end if end is None else as_instant(end, "end"),
        )
        instant = None if as_of is None else as_instant(as_of, "as_of")
        return read_bars_of(self._database, symbol.strip().upper(), Timeframe.parse(timeframe), wanted, as_of=instant)

    def close(self) -> None:
        """Lets go of the database; a private server stops when nobody else uses it."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(database_url: str | None = None) -> Bars:
    """
    Opens the database that the settings name, or starts the private one.

    Args:
        database_url: Another one than the environment's or barfill.toml's `DATABASE_URL`.

    Raises:
        SettingsError: The settings cannot be read.
        StoreError: The database cannot be used; the text says why.
    """
    settings = read_settings()
    if database_url is not None:
        settings = replace(settings, database_url=database_url)
    opened = ExitStack()
    return Bars(opened.enter_context(open_store(settings)), opened)

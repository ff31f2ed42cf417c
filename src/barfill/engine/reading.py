"""Stored bars of one series for people: as they are, or as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, SymbolNotFound
from barfill.store.bars import read_rows
from barfill.store.database import Connection, Database
from barfill.store.events import current_tickers
from barfill.store.frames import as_frame
from barfill.store.symbols import Symbol, find_symbols

ALL_TIME = Range(datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 1, 1, tzinfo=UTC))
"""From the first to the last instant at which a bar can start."""


def read_bars_of(
    database: Database, ticker: str, timeframe: Timeframe, wanted: Range, *, as_of: datetime | None = None
) -> pl.DataFrame:
    """
    The bars of one series that start in *wanted*, in time order, in the columns of `store.frames.SCHEMA`.

    Args:
        ticker: Of today, or a former one of a series.
        as_of: As they were stored at this instant, by the database's clock; None reads what is stored now.

    Raises:
        SymbolNotFound: No symbol on record has the ticker, and none had it.
        InvalidInput: *as_of* lies in the future.
    """
    if as_of is not None:
        check_is_past(database, as_of)
    symbol_id = database.run(find_symbol, ticker).id
    return as_frame(database.run(read_rows, symbol_id, timeframe, wanted, as_of=as_of))


def check_is_past(database: Database, as_of: datetime) -> None:
    """
    Refuses an instant of which nobody can know yet what will be stored.

    Raises:
        InvalidInput: It lies in the future, by the database's clock.
    """
    now = database.now()
    if as_of > now:
        raise InvalidInput(
            f"as of {as_of.isoformat()} lies in the future: the database's clock says {now.isoformat()}. Give an "
            "earlier instant, or none for what is stored now."
        )


def find_symbol(conn: Connection, ticker: str) -> Symbol:
    """
    The symbol that has the ticker today, or had it before.

    Raises:
        SymbolNotFound: There is none on record.
    """
    found = find_symbols(conn, [ticker])
    if ticker not in found:
        ticker = current_tickers(conn, [ticker]).get(ticker, ticker)
        found = find_symbols(conn, [ticker])
    if ticker not in found:
        raise SymbolNotFound(f"Symbol {ticker!r} is not on record. See: barfill symbols list")
    return found[ticker]

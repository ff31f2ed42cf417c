"""
Job definitions: standing orders to keep the last so many days of some series complete.

A definition is of a single symbol, at most one for each series, or of a batch of symbols. It only says what is wanted:
whoever plans reads `due_definitions` and makes runs of what coverage lacks, so that two definitions which overlap
cost no call twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import psycopg
from psycopg.rows import TupleRow

from barfill.core.timeframe import Timeframe
from barfill.errors import DefinitionNotFound, InvalidInput, SymbolNotFound
from barfill.store.queries import load_queries
from barfill.store.symbols import find_symbols

SQL = load_queries("definitions")

WINDOW_DAYS = 730
BATCH_SIZE = 50
PRIORITY = 100
"""The usual one. The greater the number, the sooner: 0 to 1000."""
PRIORITY_OF_CHARTS = 200
"""What somebody waits for goes before all that nobody looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """
    A definition as people look at it.

    Attributes:
        symbols: Its tickers; one unless it is a batch.
        is_active: Whether its symbol is switched on; always true of a batch, which passes over those that are off.
        batch_number, total_batches: Which of how many batches it is; None of a single symbol.
        last_run_id, last_run_status, last_run_at: Its newest run, and when that changed last; None before the first.
    """

    id: int
    job_type: str
    symbols: tuple[str, ...]
    timeframe: Timeframe
    window_days: int
    priority: int
    enabled: bool
    is_active: bool
    batch_number: int | None
    total_batches: int | None
    created_at: datetime
    updated_at: datetime
    last_run_id: int | None
    last_run_status: str | None
    last_run_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDefinition:
    """What a planner needs of an enabled definition: the active ones of its symbols as (ticker, id), by ticker."""

    id: int
    symbol_ids: Mapping[str, int]
    timeframe: Timeframe
    window_days: int
    priority: int


@dataclass(frozen=True, slots=True)
class Defined:
    """
    What became of definitions; those that are in no count were so already.

    Attributes:
        changed: Given another window or priority, or switched on.
        replaced: Batches in whose place others have come.
    """

    added: int
    changed: int
    replaced: int = 0


def keep_series(
    conn: psycopg.Connection[TupleRow],
    tickers: Iterable[str],
    timeframes: Iterable[Timeframe],
    *,
    window_days: int = WINDOW_DAYS,
    priority: int = PRIORITY,
) -> Defined:
    """
    Makes a definition of each series, or gives it this window and priority and switches it on.

    Raises:
        SymbolNotFound: A ticker is not on record; nothing was changed.
    """
    symbols = _known(conn, tickers)
    parameters = {
        "symbols": symbols,
        "timeframes": _names(timeframes),
        "window_days": window_days,
        "priority": priority,
    }
    return _defined(conn.execute(SQL["keep_series"], parameters))


def seed_series(
    conn: psycopg.Connection[TupleRow],
    tickers: Iterable[str],
    timeframes: Iterable[Timeframe],
    *,
    window_days: int = WINDOW_DAYS,
) -> Defined:
    """
    Makes sure that each series has a definition that is switched on; one that exists keeps its window and priority.

    Raises:
        SymbolNotFound: A ticker is not on record; nothing was changed.
    """
    parameters = {
        "symbols": _known(conn, tickers),
        "timeframes": _names(timeframes),
        "window_days": window_days,
    }
    return _defined(conn.execute(SQL["seed_series"], parameters))


def ensure_series(
    conn: psycopg.Connection[TupleRow], ticker: str, timeframe: Timeframe, *, window_days: int, priority: int
) -> tuple[int, int]:
    """
    Makes sure that a series is kept complete for so many days at least; a longer window or a higher priority stays.

    Returns:
        The definition's id, and its window in days.
    """
    parameters = {
        "symbol": ticker,
        "timeframe": timeframe.value,
        "window_days": window_days,
        "priority": priority,
    }
    conn.execute(SQL["ensure_series"], parameters)
    row = conn.execute(SQL["read_ensured"], parameters).fetchone()
    assert row is not None
    return row[0], row[1]


def find_ensured(conn: psycopg.Connection[TupleRow], ticker: str, timeframe: Timeframe) -> tuple[int, int] | None:
    """The id of a single series' definition, and its window in days; None where it has none."""
    row = conn.execute(SQL["read_ensured"], {"symbol": ticker, "timeframe": timeframe.value}).fetchone()
    return None if row is None else (row[0], row[1])


def keep_batches(
    conn: psycopg.Connection[TupleRow],
    tickers: Iterable[str],
    timeframes: Iterable[Timeframe],
    *,
    batch_size: int = BATCH_SIZE,
    window_days: int = WINDOW_DAYS,
    priority: int = PRIORITY,
    watchlist: str | None = None,
) -> Defined:
    """
    Makes a definition of each batch of symbols at each timeframe, or changes the one that holds the same symbols.

    They replace the batches that were made of *watchlist* before, and those of no watchlist that hold no other symbols.

    Args:
        watchlist: The name of the one whose members *tickers* are.

    Raises:
        SymbolNotFound: A ticker is not on record; nothing was changed.
    """
    symbols = _known(conn, tickers)
    batches = split_batches(symbols, batch_size)
    parameters = {
        "batches": json.dumps(batches),
        "timeframes": _names(timeframes),
        "window_days": window_days,
        "priority": priority,
        "total_batches": len(batches),
        "watchlist": watchlist,
        "symbols": symbols,
    }
    with conn.transaction():
        done = _defined(conn.execute(SQL["keep_batches"], parameters))
        replaced = conn.execute(SQL["remove_replaced"], parameters).rowcount
    return replace(done, replaced=replaced)


def overlapping_batches(
    conn: psycopg.Connection[TupleRow], tickers: Iterable[str], timeframes: Iterable[Timeframe]
) -> list[int]:
    """The ids of batches of no watchlist that hold some of these symbols, and others."""
    parameters = {"symbols": list(tickers), "timeframes": _names(timeframes)}
    return [row[0] for row in conn.execute(SQL["list_overlapping"], parameters)]


def split_batches(tickers: Iterable[str], batch_size: int = BATCH_SIZE) -> list[tuple[str, ...]]:
    """
    The tickers, each once and sorted, in batches of *batch_size*; the last one may hold fewer.

    Raises:
        InvalidInput: A batch must hold something.
    """
    if batch_size < 1:
        raise InvalidInput(f"A batch of {batch_size} symbols cannot be. Use 1 or more.")
    ordered = sorted(set(tickers))
    return [tuple(ordered[start : start + batch_size]) for start in range(0, len(ordered), batch_size)]


def list_definitions(
    conn: psycopg.Connection[TupleRow],
    *,
    ticker: str | None = None,
    timeframes: Iterable[Timeframe] | None = None,
    is_enabled: bool | None = None,
) -> list[Definition]:
    """The definitions, the most urgent first; *ticker* keeps those that name it, alone or in a batch."""
    parameters = {
        "symbol": ticker,
        "timeframes": None if timeframes is None else _names(timeframes),
        "is_enabled": is_enabled,
    }
    found = conn.execute(SQL["list_definitions"], parameters, binary=True)
    return [
        Definition(
            id=row[0],
            job_type=row[1],
            symbols=tuple(row[2]),
            timeframe=Timeframe(row[3]),
            window_days=row[4],
            priority=row[5],
            enabled=row[6],
            is_active=row[7],
            batch_number=row[8],
            total_batches=row[9],
            created_at=row[10],
            updated_at=row[11],
            last_run_id=row[12],
            last_run_status=row[13],
            last_run_at=row[14],
        )
        for row in found
    ]


def enable_definitions(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> list[int]:
    """
    Switches definitions on, and gives the ids of those that were off.

    Raises:
        DefinitionNotFound: One does not exist; nothing was changed.
    """
    return _switch(conn, ids, enabled=True)


def disable_definitions(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> list[int]:
    """
    Switches definitions off, and gives the ids of those that were on; their bars and runs stay.

    Raises:
        DefinitionNotFound: One does not exist; nothing was changed.
    """
    return _switch(conn, ids, enabled=False)


def remove_definitions(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> list[int]:
    """
    Removes definitions, and gives their ids; their runs stay, without saying whose they were.

    Raises:
        DefinitionNotFound: One does not exist; nothing was changed.
    """
    _check_known(conn, ids)
    return sorted(row[0] for row in conn.execute(SQL["remove"], {"ids": list(ids)}))


def disable_unlisted(conn: psycopg.Connection[TupleRow], symbol_ids: Sequence[int]) -> int:
    """Switches off the single definitions of those of these symbols that are on no watchlist; how many were on."""
    return conn.execute(SQL["disable_unlisted"], {"symbol_ids": list(symbol_ids)}).rowcount


def due_definitions(conn: psycopg.Connection[TupleRow], tickers: Collection[str] | None = None) -> list[DueDefinition]:
    """
    What is to be kept complete, the most urgent first: all that is enabled and has an active symbol.

    Args:
        tickers: Only of these symbols.
    """
    wanted = {"tickers": None if tickers is None else list(tickers)}
    return [
        DueDefinition(
            id=row[0],
            symbol_ids=dict(zip(row[2], row[1], strict=True)),
            timeframe=Timeframe(row[3]),
            window_days=row[4],
            priority=row[5],
        )
        for row in conn.execute(SQL["read_due"], wanted, binary=True)
    ]


def _known(conn: psycopg.Connection[TupleRow], tickers: Iterable[str]) -> list[str]:
    wanted = sorted(set(tickers))
    known = find_symbols(conn, wanted)
    unknown = [ticker for ticker in wanted if ticker not in known]
    if unknown:
        raise SymbolNotFound(
            f"Symbol {unknown[0]!r} is not on record. Add it with: barfill symbols add {' '.join(unknown[:5])}"
        )
    return wanted


def _names(timeframes: Iterable[Timeframe]) -> list[str]:
    return [timeframe.value for timeframe in timeframes]


def _defined(changes: psycopg.Cursor[TupleRow]) -> Defined:
    are_new = [row[0] for row in changes]
    return Defined(sum(are_new), len(are_new) - sum(are_new))


def _switch(conn: psycopg.Connection[TupleRow], ids: Sequence[int], *, enabled: bool) -> list[int]:
    _check_known(conn, ids)
    return sorted(row[0] for row in conn.execute(SQL["switch"], {"ids": list(ids), "enabled": enabled}))


def _check_known(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> None:
    known = {row[0] for row in conn.execute(SQL["find_ids"], {"ids": list(ids)})}
    unknown = [one for one in ids if one not in known]
    if unknown:
        raise DefinitionNotFound(
            f"There is no job definition {unknown[0]}. Nothing was changed. See: barfill jobs definitions list"
        )

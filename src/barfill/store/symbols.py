"""Symbols, and the sessions of the calendars in use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.rows import TupleRow

from barfill.core.calendar import TradingCalendar
from barfill.store.queries import load_queries

SQL = load_queries("symbols")

T = TypeVar("T")

CHUNK = 10_000
"""How many tickers one statement names: its text and its locks stay small."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """
    A tradable instrument on record.

    Attributes:
        is_confirmed: Whether a provider has said that it offers it.
        delisted_on: Its last day with a trade or the one after, as an event on file says; None while it is listed.
    """

    id: int
    ticker: str
    name: str | None
    asset_type: str
    calendar: str
    is_active: bool
    is_confirmed: bool
    delisted_on: date | None = None


@dataclass(frozen=True, slots=True)
class NewSymbol:
    """A symbol to add; without a calendar it gets the usual one of its asset type."""

    ticker: str
    name: str | None = None
    asset_type: str = "stock"
    calendar: str = ""
    is_active: bool = True


def add_symbols(conn: psycopg.Connection[TupleRow], symbols: Sequence[NewSymbol]) -> dict[str, Symbol]:
    """Adds those that are new, makes known ones active again, and gives all of them by ticker."""
    with conn.transaction():
        for part in _chunks(symbols):
            parameters = {
                "tickers": [symbol.ticker for symbol in part],
                "names": [symbol.name for symbol in part],
                "asset_types": [symbol.asset_type for symbol in part],
                "calendars": [symbol.calendar for symbol in part],
                "actives": [symbol.is_active for symbol in part],
            }
            conn.execute(SQL["add_symbols"], parameters)
    return find_symbols(conn, [symbol.ticker for symbol in symbols])


def find_symbols(conn: psycopg.Connection[TupleRow], tickers: Iterable[str]) -> dict[str, Symbol]:
    """Those of *tickers* that are on record, by ticker."""
    found: dict[str, Symbol] = {}
    for part in _chunks(list(tickers)):
        for row in conn.execute(SQL["find_symbols"], {"tickers": list(part)}, binary=True):
            found[row[1]] = Symbol(*row)
    return found


def find_by_ids(conn: psycopg.Connection[TupleRow], ids: Sequence[int]) -> dict[int, Symbol]:
    """Those of these symbols that are still on record, under the tickers that they have now."""
    return {row[0]: Symbol(*row) for row in conn.execute(SQL["find_by_ids"], {"ids": list(ids)}, binary=True)}


def read_active(conn: psycopg.Connection[TupleRow]) -> list[Symbol]:
    """The active symbols by ticker."""
    return [Symbol(*row) for row in conn.execute(SQL["read_active"], binary=True)]


def read_all(conn: psycopg.Connection[TupleRow]) -> list[Symbol]:
    """All symbols by ticker."""
    return [Symbol(*row) for row in conn.execute(SQL["read_all"], binary=True)]


def read_unconfirmed(conn: psycopg.Connection[TupleRow]) -> list[Symbol]:
    """The active symbols that no provider was asked about, by ticker."""
    return [Symbol(*row) for row in conn.execute(SQL["read_unconfirmed"], binary=True)]


def confirm_symbols(conn: psycopg.Connection[TupleRow], symbols: Sequence[NewSymbol]) -> None:
    """A provider offers them; those on record without a name take the given one."""
    for part in _chunks(symbols):
        named = {"tickers": [symbol.ticker for symbol in part], "names": [symbol.name for symbol in part]}
        conn.execute(SQL["confirm"], named)


def activate_symbols(conn: psycopg.Connection[TupleRow], tickers: Sequence[str]) -> int:
    """Switches symbols on; how many were off."""
    return conn.execute(SQL["set_active"], {"tickers": list(tickers), "is_active": True}).rowcount


def deactivate_symbols(conn: psycopg.Connection[TupleRow], tickers: Sequence[str]) -> int:
    """Switches symbols off, their bars stay; how many were on."""
    return conn.execute(SQL["set_active"], {"tickers": list(tickers), "is_active": False}).rowcount


def has_sessions(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar) -> bool:
    """Whether the sessions on record are those of *calendar*."""
    second_us = 1_000_000
    # Divided first: the sum of the microseconds of decades does not fit into 64 bits.
    opens, closes = calendar.opens // second_us, calendar.closes // second_us
    wanted = (len(calendar.labels), int(opens.sum()), int(closes.sum()))
    return conn.execute(SQL["sum_sessions"], {"calendar": calendar.name}).fetchone() == wanted


def sync_sessions(conn: psycopg.Connection[TupleRow], calendar: TradingCalendar) -> bool:
    """Makes the sessions on record those of *calendar*; whether anything had to be written."""
    if has_sessions(conn, calendar):
        return False
    parameters = {
        "calendar": calendar.name,
        "days": _days(calendar.labels),
        "opens": _instants(calendar.opens),
        "closes": _instants(calendar.closes),
    }
    with conn.transaction():
        conn.execute(SQL["remove_sessions"], parameters)
        conn.execute(SQL["write_sessions"], parameters)
    return True


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def _days(instants: NDArray[np.int64]) -> list[str]:
    return [str(text) for text in np.datetime_as_string(instants.view("datetime64[us]"), unit="D")]


def _instants(values_us: NDArray[np.int64]) -> list[str]:
    return [str(text) for text in np.datetime_as_string(values_us.view("datetime64[us]"), timezone="UTC")]

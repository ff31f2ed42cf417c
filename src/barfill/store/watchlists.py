"""Watchlists: named sets of symbols."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import psycopg
from psycopg.rows import TupleRow

from barfill.errors import NotFound
from barfill.store.queries import load_queries
from barfill.store.symbols import Symbol

SQL = load_queries("watchlists")


def create_watchlist(conn: psycopg.Connection[TupleRow], name: str) -> bool:
    """Whether the list is new; one of that name stays as it is."""
    return conn.execute(SQL["create"], {"name": name}).rowcount == 1


def add_to_watchlist(conn: psycopg.Connection[TupleRow], name: str, symbol_ids: Iterable[int]) -> int:
    """
    How many symbols are new in the list.

    Raises:
        NotFound: There is no such list.
    """
    found = conn.execute(SQL["find"], {"name": name}).fetchone()
    if found is None:
        raise _unknown(conn, name)
    return conn.execute(SQL["add"], {"watchlist_id": found[0], "symbol_ids": list(symbol_ids)}).rowcount


def remove_from_watchlist(conn: psycopg.Connection[TupleRow], name: str, symbol_ids: Iterable[int]) -> int:
    """How many symbols were in the list and are no longer."""
    return conn.execute(SQL["remove"], {"name": name, "symbol_ids": list(symbol_ids)}).rowcount


def read_watchlist(conn: psycopg.Connection[TupleRow], name: str) -> list[Symbol]:
    """
    The symbols of a list, by ticker.

    Raises:
        NotFound: There is no such list.
    """
    if conn.execute(SQL["find"], {"name": name}).fetchone() is None:
        raise _unknown(conn, name)
    return [Symbol(*row) for row in conn.execute(SQL["members"], {"name": name})]


def read_members(conn: psycopg.Connection[TupleRow], name: str) -> list[str]:
    """
    The tickers of a list's active symbols.

    Raises:
        NotFound: There is no such list.
    """
    return [symbol.ticker for symbol in read_watchlist(conn, name) if symbol.is_active]


def list_watchlists(conn: psycopg.Connection[TupleRow]) -> dict[str, int]:
    """Every list's name with the number of its symbols, by name."""
    return dict(conn.execute(SQL["list_all"]).fetchall())


def delete_watchlist(conn: psycopg.Connection[TupleRow], name: str) -> None:
    """
    Deletes the list; its symbols and their bars stay.

    Raises:
        NotFound: There is no such list.
    """
    if conn.execute(SQL["drop"], {"name": name}).rowcount == 0:
        raise _unknown(conn, name)


def _unknown(conn: psycopg.Connection[TupleRow], name: str) -> NotFound:
    known = ", ".join(list_watchlists(conn)) or "none yet"
    return NotFound(
        f"There is no watchlist {name!r}. There are: {known}. "
        f"Make it with: barfill watchlist add {shlex.quote(name)} AAPL MSFT"
    )

"""Symbols named by a ticker that they no longer have: found under the one that they have now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barfill.cli.terminal import say
from barfill.errors import SymbolNotFound

if TYPE_CHECKING:
    from barfill.store.database import Database


def today_s_tickers(database: Database, tickers: Sequence[str]) -> tuple[str, ...]:
    """
    *tickers*, in the place of each former one the ticker that its series has today, with a word on stderr.

    A ticker that a symbol on record has stays, whoever had it before.
    """
    from barfill.store.events import current_tickers  # noqa: PLC0415  slow to load

    current = database.run(current_tickers, tickers) if tickers else {}
    for old, new in current.items():
        say(f"{old} is {new} now. (If another company has the ticker {old}: barfill symbols add {old})")
    return tuple(dict.fromkeys(current.get(ticker, ticker) for ticker in tickers))


def today_s_ticker(database: Database, ticker: str) -> str:
    """The same for one."""
    (current,) = today_s_tickers(database, [ticker])
    return current


def symbol_ids(database: Database, tickers: Sequence[str]) -> list[int] | None:
    """
    The ids of the named symbols, former tickers included; None, which stands for all, where none is named.

    Raises:
        SymbolNotFound: One of them is not on record.
    """
    from barfill.store.symbols import find_symbols  # noqa: PLC0415  slow to load

    if not tickers:
        return None
    named = today_s_tickers(database, tickers)
    known = database.run(find_symbols, named)
    unknown = [ticker for ticker in named if ticker not in known]
    if unknown:
        raise SymbolNotFound(f"Symbol {unknown[0]!r} is not on record. See: barfill symbols list")
    return [symbol.id for symbol in known.values()]

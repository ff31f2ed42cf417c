"""Makes sure that the symbols somebody names are in the table, asking the provider about those that are not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from barfill.providers.base import OfferedSymbol
from barfill.providers.client import ProviderClient
from barfill.store import symbols as symbol_store
from barfill.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class AddedSymbols:
    """
    Attributes:
        known: Tickers that were in the table already.
        added: Tickers that the provider offers and that are in the table now.
        refused: Tickers that it does not offer, with what can be done.
        inactive: Those among the added that no longer trade: their history can be had, nothing new is expected.
    """

    known: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    inactive: tuple[str, ...] = ()


async def add_symbols(database: Database, client: ProviderClient, tickers: Sequence[str]) -> AddedSymbols:
    """
    Looks *tickers* up in the table, the rest at the provider, and adds what it offers.

    Raises:
        ProviderError: The provider cannot be asked.
        StoreError: The table cannot be read or written.
    """
    stored = await asyncio.to_thread(database.run, symbol_store.find_symbols, tickers)
    known = tuple(ticker for ticker in tickers if ticker in stored)
    asked = [ticker for ticker in tickers if ticker not in stored]
    if not asked:
        return AddedSymbols(known)
    found = await client.find_symbols(asked)
    offered = [symbol for symbol in found.values() if symbol is not None]
    if offered:
        await asyncio.to_thread(database.run, _add, offered)
    provider = client.provider.name
    refused = {
        ticker: f"Symbol {ticker!r} is not offered by {provider}. Check the spelling (class shares have a dot: BRK.B)."
        for ticker, symbol in found.items()
        if symbol is None
    }
    inactive = tuple(one.ticker for one in offered if not one.is_active)
    return AddedSymbols(known, tuple(one.ticker for one in offered), refused, inactive)


def _add(conn: Connection, offered: Sequence[OfferedSymbol]) -> None:
    news = [symbol_store.NewSymbol(one.ticker, one.name, one.asset_type) for one in offered]
    symbol_store.add_symbols(conn, news)
    symbol_store.deactivate_symbols(conn, [one.ticker for one in offered if not one.is_active])

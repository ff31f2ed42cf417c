"""Makes sure that symbols are in the table and that a provider offers them; it is asked once about each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from barfill.core.routing import Roster
from barfill.core.ticker import asset_types_of
from barfill.engine.clients import Clients
from barfill.engine.ledger import SeriesKey, read_rows
from barfill.engine.planning import refused_lately
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.errors import DailyBudgetSpent, ProviderError, ProviderTimeout, SymbolNotOffered
from barfill.providers.base import OfferedSymbol
from barfill.store import symbols as symbol_store
from barfill.store.database import Connection, Database
from barfill.store.series import note_failure

LATE_S = 10.0
"""So much longer than for stocks an answer about pairs is waited for, and the other way round."""


@dataclass(frozen=True, slots=True)
class AddedSymbols:
    """
    Attributes:
        known: Tickers that were in the table already and are not refused.
        added: Tickers that a provider offers and that are in the table now.
        refused: Tickers that none offers, with what can be done; also those that somebody wrote into the table.
        unasked: Those that nobody knows who could be asked, with why another one could not be.
        inactive: Those that were looked up and no longer trade, with the provider that says so: their history can be
            had, nothing new is expected.
    """

    known: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    unasked: dict[str, ProviderError | DailyBudgetSpent] = field(default_factory=dict)
    inactive: dict[str, str] = field(default_factory=dict)


async def add_symbols(
    database: Database, clients: Clients, tickers: Sequence[str], *, calendar: str = ""
) -> AddedSymbols:
    """
    Looks *tickers* up in the table, those that no provider has confirmed at the providers, and adds what they offer.

    The providers are asked in their order, each for what those before it do not know, and those that take over behind
    them; not those that only bring what their series hold. One that cannot be asked is passed over, and one that takes
    long does not hold up the others: pairs and stocks are looked up side by side, and those of one kind are waited for
    `LATE_S` longer than those of the other.

    Args:
        calendar: Of those that are new; "" is the usual one of their kind.

    Raises:
        ProviderError, DailyBudgetSpent: A provider cannot be asked, and nothing is left of *tickers* without it.
        StoreError: The table cannot be read or written.
    """
    stored = await asyncio.to_thread(database.run, symbol_store.find_symbols, tickers)
    asked = [ticker for ticker in tickers if ticker not in stored or not stored[ticker].is_confirmed]
    if not asked:
        return AddedSymbols(tuple(tickers))
    told = await _look_up(clients, asked)
    offered, inactive, unasked = told.offered, told.inactive, told.unasked
    if offered:
        await asyncio.to_thread(database.run, _add, list(offered.values()), calendar)
    looked_up_at = [client.provider.name for client in clients.looked_up_at]
    unasked = {ticker: error for ticker, error in unasked.items() if ticker not in offered}
    unknown = [ticker for ticker in asked if ticker not in offered and ticker not in unasked]
    refused = {ticker: not_offered_text(ticker, looked_up_at) for ticker in unknown}
    known = tuple(one for one in tickers if one in stored and one not in refused and one not in unasked)
    added = tuple(ticker for ticker in asked if ticker in offered and ticker not in stored)
    if unasked and not (known or added):
        raise next(iter(unasked.values()))
    return AddedSymbols(known, added, refused, unasked, inactive)


@dataclass(slots=True)
class _Told:
    """What the providers have said so far."""

    offered: dict[str, OfferedSymbol] = field(default_factory=dict)
    inactive: dict[str, str] = field(default_factory=dict)
    unasked: dict[str, ProviderError | DailyBudgetSpent] = field(default_factory=dict)


async def _look_up(clients: Clients, tickers: Sequence[str]) -> _Told:
    """Asks about tickers of different kinds side by side, since it is mostly others that know them."""
    told = _Told()
    alike: dict[frozenset[str], list[str]] = {}
    for ticker in tickers:
        alike.setdefault(asset_types_of(ticker), []).append(ticker)
    asking = {asyncio.ensure_future(_ask_in_order(clients, members, told)): members for members in alike.values()}
    try:
        _, late = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        if late:
            _, late = await asyncio.wait(late, timeout=LATE_S)
    finally:
        for task in asking:
            task.cancel()
        ended = await asyncio.gather(*asking, return_exceptions=True)
    for task in late:
        silent = ProviderTimeout(
            f"no answer came within {LATE_S:g} s, and the others go on without it. Run the same command again.",
            reason="look_up",
        )
        told.unasked.update(dict.fromkeys((one for one in asking[task] if one not in told.offered), silent))
    for error in ended:
        if isinstance(error, Exception):
            raise error
    return told


async def _ask_in_order(clients: Clients, tickers: Sequence[str], told: _Told) -> None:
    for client in clients.looked_up_at:
        types = client.provider.capabilities.asset_types
        left = [one for one in tickers if one not in told.offered and not types.isdisjoint(asset_types_of(one))]
        if left:
            try:
                found = await client.find_symbols(left)
            except (ProviderError, DailyBudgetSpent) as error:
                told.unasked.update({ticker: error for ticker in left if ticker not in told.unasked})
                continue
            known_here = {ticker: symbol for ticker, symbol in found.items() if symbol is not None}
            told.offered.update(known_here)
            told.inactive.update(
                (ticker, client.provider.name) for ticker, one in known_here.items() if not one.is_active
            )


def not_asked_text(ticker: str, error: ProviderError | DailyBudgetSpent) -> str:
    """That a symbol could not be looked up, and why."""
    return f"Symbol {ticker!r} could not be looked up: {error}"


async def confirm_written(
    database: Database, clients: Clients, settings: EngineSettings, now: datetime
) -> dict[str, str]:
    """
    Looks up what somebody has written into the table and standing orders want; what is refused, with a text.

    The series of these fail with `SYMBOL_NOT_FOUND`, and are left alone for a day.

    Raises:
        ProviderError, DailyBudgetSpent: A provider cannot be asked; what others refuse or offer is kept all the same.
        StoreError: The tables cannot be read or written.
    """
    asked = await asyncio.to_thread(database.run, _unconfirmed_series, clients.roster, settings, now)
    if not asked:
        return {}
    result = await add_symbols(database, clients, list(asked))
    for ticker, reason in result.refused.items():
        await asyncio.to_thread(database.run, _refuse, asked[ticker], reason)
    if result.unasked:
        raise next(iter(result.unasked.values()))
    return result.refused


def not_offered_text(ticker: str, providers: Sequence[str]) -> str:
    """That no provider offers a symbol, and what can be done."""
    named = " or ".join([", ".join(providers[:-1]), providers[-1]]) if len(providers) > 1 else providers[0]
    return f"Symbol {ticker!r} is not offered by {named}. Check the spelling (class shares have a dot: BRK.B)."


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Series that standing orders want, and the feed on which they would be asked for."""

    keys: tuple[SeriesKey, ...]
    feed: str


def _unconfirmed_series(
    conn: Connection, roster: Roster, settings: EngineSettings, now: datetime
) -> dict[str, list[_Wanted]]:
    """By ticker, what standing orders want fetched of symbols that were not looked up, or not today."""
    unconfirmed = {symbol.ticker for symbol in symbol_store.read_unconfirmed(conn)}
    if not unconfirmed:
        return {}
    wanted: dict[str, list[_Wanted]] = {}
    for one in read_standing_orders(conn, roster, settings, now, tickers=unconfirmed).orders:
        refused = set(refused_lately(read_rows(conn, one.market), now))
        for symbol in one.market.symbols:
            keys = tuple((symbol.id, timeframe) for timeframe in one.market.sources.fetch)
            if not refused.issuperset(keys):
                wanted.setdefault(symbol.ticker, []).append(_Wanted(keys, one.market.capabilities.feed))
    return wanted


def _refuse(conn: Connection, wanted: Sequence[_Wanted], reason: str) -> None:
    for one in wanted:
        for symbol_id, timeframe in one.keys:
            note_failure(conn, [symbol_id], timeframe, feed=one.feed, error_code=SymbolNotOffered.code, message=reason)


def _add(conn: Connection, offered: Sequence[OfferedSymbol], calendar: str) -> None:
    news = [symbol_store.NewSymbol(one.ticker, one.name, one.asset_type, calendar) for one in offered]
    symbol_store.add_symbols(conn, news)
    symbol_store.confirm_symbols(conn, news)
    symbol_store.deactivate_symbols(conn, [one.ticker for one in offered if not one.is_active])

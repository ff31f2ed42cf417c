"""
What an application that opens a chart needs: that a series is kept complete from now on, and how far it has come.

Asking again changes nothing, however many ask at once: a series has one definition, and what is planned is not planned
again. No provider is asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from barfill.core.ranges import Range, Ranges
from barfill.core.routing import Roster
from barfill.core.ticker import usual_asset_type
from barfill.core.timeframe import Timeframe
from barfill.engine.ledger import Market
from barfill.engine.reading import find_symbol
from barfill.engine.settings import EngineSettings
from barfill.engine.standing import read_standing_orders
from barfill.engine.tick import plan_now
from barfill.errors import SymbolNotFound
from barfill.store.charts import ChartLedger, read_ledger
from barfill.store.database import Connection, Database
from barfill.store.definitions import PRIORITY_OF_CHARTS, ensure_series, find_ensured
from barfill.store.progress import Slices, count_slices
from barfill.store.series import read_series
from barfill.store.symbols import NewSymbol, Symbol, add_symbols

Status = Literal["not_wanted", "looking_up", "not_offered", "not_served", "gaps_detected", "coverage_complete"]


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a series has come within the window of its definition.

    Attributes:
        definition: Its id; None where nobody has asked for the series to be kept complete.
        percent: Of the bars that the calendar lets one expect by now, how many are fetched or known to be absent;
            where the series is made of a finer one, of the bars of both.
        status: `not_wanted` where no definition keeps it complete, `looking_up` until a provider was asked about a new
            symbol, `not_offered` where none has it, `not_served` where none that can be asked has its bars,
            `coverage_complete` where nothing is left that could be fetched now, else `gaps_detected`.
    """

    symbol: Symbol
    timeframe: Timeframe
    definition: int | None
    window_days: int
    status: Status
    percent: float
    ledger: ChartLedger
    slices: Slices


def ensure(
    database: Database,
    roster: Roster,
    settings: EngineSettings,
    ticker: str,
    timeframe: Timeframe,
    window_days: int,
) -> Progress:
    """
    Keeps a series complete for so many days from now on, and plans what it lacks before all that nobody waits for.

    A symbol that is not on record is put there; whoever looks next asks the providers about it.

    Raises:
        StoreError: It cannot be written.
    """
    symbol = database.run(_recorded, ticker)
    priority = PRIORITY_OF_CHARTS
    database.run(ensure_series, symbol.ticker, timeframe, window_days=window_days, priority=priority)
    found = read_progress(database, roster, settings, symbol.ticker, timeframe)
    if found.status != "gaps_detected" or found.slices.queued or found.slices.running:
        return found
    if not plan_now(database, roster, settings, symbol.ticker, now=database.now(), triggered_by="user"):
        return found
    return read_progress(database, roster, settings, symbol.ticker, timeframe)


def read_progress(
    database: Database, roster: Roster, settings: EngineSettings, ticker: str, timeframe: Timeframe
) -> Progress:
    """
    How far a series has come.

    Raises:
        SymbolNotFound: No symbol on record has or had the ticker.
    """
    return database.run(_read_progress, roster, settings, ticker, timeframe, database.now())


def _recorded(conn: Connection, ticker: str) -> Symbol:
    try:
        symbol = find_symbol(conn, ticker)
    except SymbolNotFound:
        pass
    else:
        if symbol.is_active:
            return symbol
        ticker = symbol.ticker
    return add_symbols(conn, [NewSymbol(ticker, asset_type=usual_asset_type(ticker))])[ticker]


def _read_progress(
    conn: Connection, roster: Roster, settings: EngineSettings, ticker: str, timeframe: Timeframe, now: datetime
) -> Progress:
    symbol = find_symbol(conn, ticker)
    definition, window_days = find_ensured(conn, symbol.ticker, timeframe) or (None, 0)
    slices = Slices() if definition is None else count_slices(conn, definition)
    ledger = read_ledger(conn, symbol.id, symbol.ticker, timeframe)
    standing = read_standing_orders(conn, roster, settings, now, tickers=[symbol.ticker])
    markets = [order.market for order in standing.orders if timeframe in order.market.windows]
    done, total = _bars(conn, symbol, timeframe, markets, slices)
    return Progress(
        symbol=symbol,
        timeframe=timeframe,
        definition=definition,
        window_days=window_days,
        status=_status(
            symbol, ledger, is_covered=done >= total, is_served=bool(markets) or not standing.unserved, slices=slices
        ),
        percent=round(100 * done / total, 2) if total else 100.0 if markets else 0.0,
        ledger=ledger,
        slices=slices,
    )


def _bars(
    conn: Connection, symbol: Symbol, timeframe: Timeframe, markets: Sequence[Market], slices: Slices
) -> tuple[int, int]:
    """How many bars are accounted for, and how many there are to be; also of the finer series it is made of."""
    sources = [one for one in slices.timeframes if one.length < timeframe.length]
    rows = read_series(conn, [symbol.id], [timeframe, *sources])
    covered = {one: row.covered for (_, one), row in rows.items()}
    own = covered.get(timeframe, Ranges())
    done = total = 0
    for market in markets:
        window = Ranges([market.windows[timeframe]])
        for one in (timeframe, *sources):
            # What is made already needs no source any more.
            known = own if one is timeframe else covered.get(one, Ranges()) | own
            total += _count(market, one, window)
            done += _count(market, one, window & known)
    return done, total


def _count(market: Market, timeframe: Timeframe, within: Ranges) -> int:
    return sum(market.calendar.expected_count(timeframe, Range(one.start, one.end)) for one in within)


def _status(symbol: Symbol, ledger: ChartLedger, *, is_covered: bool, is_served: bool, slices: Slices) -> Status:
    if not ledger.is_wanted:
        return "not_wanted"
    if not symbol.is_confirmed:
        return "not_offered" if ledger.last_error_code == "SYMBOL_NOT_FOUND" else "looking_up"
    if not is_served:
        return "not_served"
    is_at_work = bool(slices.queued or slices.running)
    return "coverage_complete" if is_covered and not is_at_work else "gaps_detected"

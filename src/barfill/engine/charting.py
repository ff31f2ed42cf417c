"""One series as a chart wants it: the newest bars there are, and whether more will come. From the store alone."""

from __future__ import annotations

from dataclasses import dataclass

from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.reading import find_symbol
from barfill.store.binary_copy import StoredRows
from barfill.store.charts import ChartLedger, is_being_fetched, read_ledger, read_newest
from barfill.store.database import Connection, Database
from barfill.store.symbols import Symbol


@dataclass(frozen=True, slots=True)
class Chart:
    """
    Attributes:
        symbol: Under its ticker of today.
        rows: The bars in time order: the newest of those that were asked for.
        has_earlier: Whether bars of the range lie before them.
        is_warming: Whether bars of the stretch that is shown, or that would fill the chart, are still being fetched.
    """

    symbol: Symbol
    timeframe: Timeframe
    rows: StoredRows
    has_earlier: bool
    ledger: ChartLedger
    is_warming: bool


def read_chart(database: Database, ticker: str, timeframe: Timeframe, wanted: Range, limit: int) -> Chart:
    """
    The newest *limit* bars of a series that start in *wanted*, final and live ones, with the state of its ledger.

    Raises:
        SymbolNotFound: No symbol on record has or had the ticker.
    """
    return database.run(_read_chart, ticker, timeframe, wanted, limit)


def _read_chart(conn: Connection, ticker: str, timeframe: Timeframe, wanted: Range, limit: int) -> Chart:
    symbol = find_symbol(conn, ticker)
    found = read_newest(conn, symbol.id, timeframe, wanted, limit + 1)
    has_earlier = len(found) > limit
    rows = found[1:] if has_earlier else found
    ledger = read_ledger(conn, symbol.id, symbol.ticker, timeframe)
    shown = Range(from_us(int(rows["ts"][0])), wanted.end) if has_earlier else wanted
    # Coarser bars are made of finer ones: whatever brings these may bring those.
    sources = [one for one in Timeframe if one.length <= timeframe.length]
    is_coming = is_being_fetched(conn, symbol.id, sources, shown)
    return Chart(symbol, timeframe, rows, has_earlier, ledger, is_coming or (ledger.is_wanted and not ledger.was_run))

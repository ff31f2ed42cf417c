"""
What TradingView's charting library asks of a data feed: symbols, their hours and scales, and bars.

Source of the terms: "UDF adapter" and "LibrarySymbolInfo" in TradingView's charting library documentation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import floor, log10
from zoneinfo import ZoneInfo

from barfill.core.calendar import AROUND_THE_CLOCK, TradingCalendar, trading_calendar
from barfill.core.ranges import Range, from_us
from barfill.core.timeframe import Timeframe
from barfill.engine.reading import ALL_TIME, find_symbol
from barfill.store.binary_copy import StoredRows
from barfill.store.charts import read_newest
from barfill.store.database import Connection, Database
from barfill.store.series import read_series
from barfill.store.symbols import Symbol, read_active

SESSIONS_LOOKED_AT = 250
"""The hours of most of the newest so many sessions are the regular ones."""
ALWAYS = "24x7"


@dataclass(frozen=True, slots=True)
class SymbolInfo:
    """
    Attributes:
        zone: Of the exchange, by its name in the tz database.
        session: Its regular hours in that zone, as `0930-1600`, with a lunch break `0930-1200,1300-1600`.
        price_scale: Prices are shown in steps of one divided by this.
        timeframes: Those of which bars are stored.
    """

    symbol: Symbol
    zone: str
    session: str
    price_scale: int
    timeframes: tuple[Timeframe, ...]


@dataclass(frozen=True, slots=True)
class History:
    """
    Attributes:
        rows: Bars in time order.
        earlier: Where none is in the range, the start of the newest one before it.
    """

    rows: StoredRows
    earlier: datetime | None


def read_symbol_info(database: Database, ticker: str) -> SymbolInfo:
    """
    What a chart must know of a symbol before it draws one.

    Raises:
        SymbolNotFound: No symbol on record has or had the ticker.
    """
    return database.run(_read_symbol_info, ticker, database.now())


def _read_symbol_info(conn: Connection, ticker: str, now: datetime) -> SymbolInfo:
    symbol = find_symbol(conn, ticker)
    stored = [row.timeframe for row in read_series(conn, [symbol.id], list(Timeframe)).values() if row.bar_count]
    timeframes = tuple(one for one in Timeframe if one in stored)
    newest = read_newest(conn, symbol.id, timeframes[0], ALL_TIME, 1)["close"].tolist() if timeframes else []
    zone = exchange_zone(symbol.calendar)
    session = regular_hours(trading_calendar(symbol.calendar, now.year + 1), zone, now)
    return SymbolInfo(symbol, zone, session, price_scale(newest[0] if newest else 1.0), timeframes)


def find_by_words(database: Database, words: str, asset_type: str, limit: int) -> Sequence[Symbol]:
    """Active symbols whose ticker or name holds *words*: those whose ticker begins so first; of one type, unless ""."""
    text = words.strip().upper()
    found = [
        symbol
        for symbol in database.run(read_active)
        if asset_type in ("", symbol.asset_type) and (text in symbol.ticker or text in (symbol.name or "").upper())
    ]
    found.sort(key=lambda symbol: (not symbol.ticker.startswith(text), symbol.ticker))
    return found[:limit]


def read_history(database: Database, ticker: str, timeframe: Timeframe, wanted: Range, limit: int) -> History:
    """
    The newest *limit* bars that start in *wanted*, live ones included.

    Raises:
        SymbolNotFound: No symbol on record has or had the ticker.
    """
    return database.run(_read_history, ticker, timeframe, wanted, limit)


def _read_history(conn: Connection, ticker: str, timeframe: Timeframe, wanted: Range, limit: int) -> History:
    symbol = find_symbol(conn, ticker)
    rows = read_newest(conn, symbol.id, timeframe, wanted, limit)
    if len(rows) or wanted.start <= ALL_TIME.start:
        return History(rows, None)
    before = read_newest(conn, symbol.id, timeframe, Range(ALL_TIME.start, wanted.start), 1)
    return History(rows, from_us(int(before["ts"][0])) if len(before) else None)


@lru_cache(maxsize=64)
def exchange_zone(calendar: str) -> str:
    """The time zone of an exchange, by the name of its calendar; UTC around the clock."""
    if calendar == AROUND_THE_CLOCK:
        return "Etc/UTC"
    from exchange_calendars import get_calendar  # noqa: PLC0415  slow to load

    return str(get_calendar(calendar).tz)


def regular_hours(calendar: TradingCalendar, zone: str, now: datetime) -> str:
    """The hours that most sessions up to *now* had, in *zone*; ends at midnight are 2400."""
    if calendar.name == AROUND_THE_CLOCK:
        return ALWAYS
    last = sum(from_us(one) <= now for one in calendar.opens.tolist()[-1_000:]) + max(0, len(calendar.opens) - 1_000)
    hours: Counter[str] = Counter()
    local = ZoneInfo(zone)
    for session in range(max(0, last - SESSIONS_LOOKED_AT), last):
        parts = calendar.part_session == session
        bounds = zip(calendar.part_opens[parts].tolist(), calendar.part_closes[parts].tolist(), strict=True)
        hours[",".join(f"{_clock(opens, local)}-{_clock(closes, local, is_end=True)}" for opens, closes in bounds)] += 1
    return hours.most_common(1)[0][0] if hours else ALWAYS


def price_scale(price: float) -> int:
    """Cents from a unit on, and further down four digits that count, at most eight behind the point."""
    digits = 2 if price >= 1 else 3 - floor(log10(price)) if price > 0 else 2
    return int(10 ** min(digits, 8))


def _clock(instant_us: int, zone: ZoneInfo, *, is_end: bool = False) -> str:
    text = f"{from_us(instant_us).astimezone(zone):%H%M}"
    return "2400" if is_end and text == "0000" else text

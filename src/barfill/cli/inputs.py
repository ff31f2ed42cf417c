"""Text from the command line becomes values here, once: symbols, timeframes, instants, windows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from barfill.core.instants import parse_instant
from barfill.core.ranges import Range
from barfill.core.ticker import HOW_TO_WRITE, is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput

DEFAULT_DAYS = 730
FIRST_YEAR = 1990
ASSET_TYPES = ("stock", "etf", "crypto", "index", "forex", "future")

_TICKER_COLUMNS = ("ticker", "symbol")
_SHOWN_LENGTH = 40


@dataclass(frozen=True, slots=True)
class SymbolRow:
    """A symbol as an imported file gives it; name and asset type may be ""."""

    ticker: str
    name: str = ""
    asset_type: str = ""


def parse_ticker(text: str) -> str:
    """
    A ticker in barfill's spelling: upper case.

    Raises:
        InvalidInput: The text cannot be a ticker.
    """
    ticker = text.strip().upper()
    if not is_ticker(ticker):
        raise InvalidInput(f"Symbol {text[:_SHOWN_LENGTH]!r} cannot be one. {HOW_TO_WRITE}")
    return ticker


def parse_tickers(texts: Iterable[str]) -> tuple[str, ...]:
    """Tickers from arguments that may each list several with commas; each once, in the order given."""
    return tuple(dict.fromkeys(parse_ticker(part) for part in _parts(texts)))


def sort_tickers(texts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The tickers among arguments as `parse_tickers` reads them, and for each of the others what is wrong with it."""
    tickers: dict[str, None] = {}
    malformed: dict[str, str] = {}
    for part in _parts(texts):
        try:
            tickers[parse_ticker(part)] = None
        except InvalidInput as error:
            malformed[part.strip()[:_SHOWN_LENGTH]] = str(error)
    return tuple(tickers), malformed


def parse_timeframes(texts: Sequence[str]) -> tuple[Timeframe, ...]:
    """Timeframes from `1h,1d` or several options, finest first; all eight where none is named."""
    parts = [part for text in texts for part in text.split(",") if part.strip()]
    wanted = {Timeframe.parse(part) for part in parts}
    return tuple(timeframe for timeframe in Timeframe if not wanted or timeframe in wanted)


def parse_window(*, days: int | None, start: str | None, end: str | None, now: datetime) -> Range:
    """
    The window that a command is asked for.

    Args:
        days: So many days up to *end*; 730 where neither this nor *start* is given. The first one is whole, so that
            the window is the same all day long.
        start, end: Dates or instants; *end* is excluded and now at the latest, None for now.

    Raises:
        InvalidInput: They contradict each other or the calendar.
    """
    if days is not None and start is not None:
        raise InvalidInput("--days and --start both say where to begin. Give one of them.")
    until = parse_instant(end, "--end") if end is not None else now
    if start is not None:
        begin = parse_instant(start, "--start")
    else:
        begin = _days_before(until, DEFAULT_DAYS if days is None else days)
    if begin >= now:
        raise InvalidInput(f"--start {start or begin.date()} lies in the future. There are no bars yet.")
    if begin >= until:
        raise InvalidInput(f"--end {end} is not after --start {start}. The end itself is excluded.")
    if begin.year < FIRST_YEAR:
        raise InvalidInput(f"The window begins in {begin.year}; sessions are known from {FIRST_YEAR} on. Begin there.")
    return Range(begin, min(until, now))


def parse_symbol_file(text: str, name: str) -> tuple[SymbolRow, ...]:
    """
    Symbols from a file: one per line (`#` begins a comment), or CSV whose header names `ticker` or `symbol`.

    The columns `name` and `asset_type` are read too; others are left alone.

    Raises:
        InvalidInput: A line holds no ticker; its number is told.
    """
    lines = text.removeprefix("\ufeff").splitlines()
    header = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    columns = [column.strip().strip('"').lower() for column in header.split(",")]
    if any(column in columns for column in _TICKER_COLUMNS):
        rows = _csv_rows(lines[lines.index(header) :], columns)
    else:
        rows = ((SymbolRow(part), number) for number, line in enumerate(lines, 1) for part in _words(line))
    found: dict[str, SymbolRow] = {}
    for row, number in rows:
        try:
            ticker = parse_ticker(row.ticker)
        except InvalidInput as error:
            raise InvalidInput(f"{name}, line {number}: {error}") from error
        if row.asset_type and row.asset_type not in ASSET_TYPES:
            raise InvalidInput(
                f"{name}, line {number}: asset type {row.asset_type[:_SHOWN_LENGTH]!r} is unknown. "
                f"Use one of {', '.join(ASSET_TYPES)}."
            )
        found.setdefault(ticker, SymbolRow(ticker, row.name, row.asset_type))
    if not found:
        raise InvalidInput(f"{name} names no symbol. Write one per line, or CSV with a column 'ticker'.")
    return tuple(found.values())


def _csv_rows(lines: Sequence[str], columns: Sequence[str]) -> Iterable[tuple[SymbolRow, int]]:
    ticker_column = next(column for column in _TICKER_COLUMNS if column in columns)
    reader = csv.DictReader(lines[1:], fieldnames=list(columns))
    for row in reader:
        ticker = (row.get(ticker_column) or "").strip()
        if ticker:
            kind = (row.get("asset_type") or "").strip().lower()
            yield SymbolRow(ticker, (row.get("name") or "").strip(), kind), reader.line_num + 1


def _words(line: str) -> list[str]:
    return line.partition("#")[0].replace(",", " ").replace(";", " ").split()


def _parts(texts: Iterable[str]) -> Iterable[str]:
    return (part for text in texts for part in text.split(",") if part.strip())


def _days_before(until: datetime, days: int) -> datetime:
    try:
        return datetime.combine((until - timedelta(days=days)).date(), time(), UTC)
    except OverflowError:
        raise InvalidInput(f"{days:,} days reach back before history. Give fewer.") from None

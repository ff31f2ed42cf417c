"""`barfill import`: bars from CSV and Parquet files into the store, judged by the same rules as all others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from barfill.cli.import_report import Found, exit_code_of, show_plan, show_report
from barfill.cli.inputs import ASSET_TYPES, parse_ticker
from barfill.cli.opening import open_store
from barfill.cli.terminal import json_option
from barfill.core.capabilities import FILES
from barfill.core.instants import parse_instant
from barfill.core.page import RAW
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings
from barfill.wiring import engine_settings, make_import

if TYPE_CHECKING:
    from barfill.engine.importing import Import, ImportReport, ImportRequest, ImportTally
    from barfill.providers.files import BarFile, FilesClient, Reading, Staged

BASES = (RAW, "split", "all")
FIRST_INSTANT = datetime(1990, 1, 1, tzinfo=UTC)

EPILOG = """\
\b
Examples:
  barfill import aapl.csv --timeframe 1d --symbol AAPL
  barfill import bulk/*.csv.gz --timeframe 1m              a column tells the symbols
  barfill import spy.csv --timeframe 1m --symbol SPY --time-zone America/New_York
  barfill import btc.parquet --timeframe 1h --symbol BTC/USD --feed binance
  barfill import x.csv --timeframe 1d --symbol-column Name --columns ts=Day,volume=Shares
  barfill import x.csv --timeframe 1d --symbol X --dry-run    what would be stored, and nothing is

\b
Columns with usual names are found; whatever could be read in two ways is asked for.
Importing the same files again changes nothing, and goes on with an import that was interrupted.

\b
Exit codes: 0 done, 1 something failed or no bar could be kept, 2 usage, 3 done but rows were
quarantined, 130 interrupted (run it again to resume).
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for; `delimiter` None takes what the header holds, `basis` None has not been said."""

    paths: tuple[Path, ...]
    reading: Reading
    delimiter: str | None
    feed: str
    basis: str | None
    asset_type: str | None
    start: datetime | None
    end: datetime | None
    is_dry_run: bool
    as_json: bool


@click.command("import", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--timeframe", required=True, metavar="1d", help="Of all bars of the files: 1m 5m 15m 30m 1h 4h 1d 1w.")
@click.option("--symbol", metavar="AAPL", help="All bars are of this symbol.")
@click.option("--symbol-column", metavar="NAME", help="The column that tells the symbols. [default: symbol or ticker]")
@click.option(
    "--columns", multiple=True, metavar="ts=Date,open=Open", help="Which column is what; ts=Date+Time joins two."
)
@click.option("--time-zone", metavar="ZONE", help="Of times without one, such as America/New_York or UTC.")
@click.option("--time-format", metavar="FORMAT", help="How texts of times are written, such as '%m/%d/%Y %H:%M'.")
@click.option(
    "--timestamp-is",
    type=click.Choice(["start", "end"]),
    default="start",
    show_default=True,
    help="Whether a bar is stamped by its start or by its end.",
)
@click.option("--basis", type=click.Choice(BASES), help="What prices are adjusted for: raw is nothing. [default: raw]")
@click.option(
    "--feed", default=FILES, show_default=True, metavar="NAME", help="The tape that the bars are from: sip, iex."
)
@click.option("--type", "asset_type", type=click.Choice(ASSET_TYPES), help="Of new symbols. [default: by the spelling]")
@click.option(
    "--start", metavar="D", help="The files hold everything from here on. [default: from each symbol's first row]"
)
@click.option("--end", metavar="D", help="And up to here, which is excluded. [default: to each symbol's last row]")
@click.option("--delimiter", metavar="SIGN", help="Between the columns of CSV. [default: as the header shows]")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Show how the files are read and judged; store nothing.")
@json_option
def importing(
    files: tuple[Path, ...],
    timeframe: str,
    symbol: str | None,
    symbol_column: str | None,
    columns: tuple[str, ...],
    time_zone: str | None,
    time_format: str | None,
    timestamp_is: str,
    basis: str | None,
    feed: str,
    asset_type: str | None,
    start: str | None,
    end: str | None,
    delimiter: str | None,
    is_dry_run: bool,
    as_json: bool,
) -> int:
    """
    Bring in bars from CSV and Parquet files.

    The rows are judged by the same rules as a provider's: bad ones are quarantined, and bars of another feed or
    adjustment basis than a series holds are refused. Coarser timeframes are derived.
    """
    from barfill.providers.files import Reading, parse_columns  # noqa: PLC0415  slow to load

    if symbol is not None and symbol_column is not None:
        raise InvalidInput("--symbol and --symbol-column both say whose bars they are. Give one of them.")
    given = parse_columns(columns)
    if symbol_column is not None:
        given["symbol"] = symbol_column
    now = datetime.now(UTC)
    begin = None if start is None else parse_instant(start, "--start")
    until = None if end is None else parse_instant(end, "--end")
    reading = Reading(
        timeframe=Timeframe.parse(timeframe),
        until=now,
        columns=given,
        symbol=None if symbol is None else parse_ticker(symbol),
        zone=None if time_zone is None else parse_zone(time_zone),
        time_format=time_format,
        is_end=timestamp_is == "end",
        is_around_the_clock=None if asset_type is None else asset_type == "crypto",
        within=None if begin is None and until is None else Range(begin or FIRST_INSTANT, until or now),
    )
    wish = Wish(
        paths=files,
        reading=reading,
        delimiter=_delimiter(delimiter),
        feed=_feed(feed),
        basis=basis,
        asset_type=asset_type,
        start=begin,
        end=until,
        is_dry_run=is_dry_run,
        as_json=as_json,
    )
    settings = read_settings()
    with _workplace(settings) as directory:
        return _carry_out(wish, settings, directory, now)


def parse_zone(text: str) -> ZoneInfo:
    """
    A time zone by its name in the IANA database; abbreviations are none, as they stand still in summer (T03).

    Raises:
        InvalidInput: There is none of this name.
    """
    try:
        if "/" in text or text == "UTC":
            return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidInput(
        f"--time-zone {text[:40]!r} is no place. Write an IANA name such as America/New_York, Asia/Kolkata or UTC "
        "(EST and the like stand still in summer)."
    )


def _carry_out(wish: Wish, settings: Settings, directory: Path, now: datetime) -> int:
    from barfill.engine.importing import ImportRequest, check_reading  # noqa: PLC0415
    from barfill.providers.files import FilesClient, open_file, rule_for, stage  # noqa: PLC0415

    files = [open_file(path, wish.delimiter, directory) for path in wish.paths]
    basis = _basis(wish, files)
    rules = [(file, rule_for(file, wish.reading)) for file in files]
    staged = stage(rules, directory)
    claims = _claims(wish, staged, now)
    timeframe = wish.reading.timeframe
    request = ImportRequest(timeframe=timeframe, claims=claims, feed=wish.feed, basis=basis, asset_type=wish.asset_type)
    found = Found(tuple(rules), staged, request)
    source = FilesClient(staged, timeframe, feed=wish.feed, basis=basis, claims=claims)
    if wish.is_dry_run:
        tally = asyncio.run(_rehearsed(source, request, settings, now))
        show_plan(found, tally, as_json=wish.as_json)
        return exit_code_of(found, tally)
    asyncio.run(check_reading(source, request, engine_settings(settings), now))
    report = _import(settings, source, request)
    show_report(found, report, as_json=wish.as_json)
    return exit_code_of(found, report.tally, report)


async def _rehearsed(source: FilesClient, request: ImportRequest, settings: Settings, now: datetime) -> ImportTally:
    """What would become of all rows, were none of them stored already."""
    from barfill.engine.importing import ImportTally, rehearse  # noqa: PLC0415
    from barfill.store.writes import PageOutcome  # noqa: PLC0415

    tally = ImportTally()
    async for judged in rehearse(source, request, engine_settings(settings), now):
        tally.take(judged, PageOutcome(len(judged.accepted), 0, 0))
    return tally


def _import(settings: Settings, source: FilesClient, request: ImportRequest) -> ImportReport:
    from barfill.cli.progress import watcher  # noqa: PLC0415  slow to load

    async def run() -> ImportReport:
        with watcher(is_terminal=sys.stderr.isatty()) as listener:
            engine = make_import(settings, database, source, listener)
            with _stopping(engine):
                return await engine.run(request)

    with open_store(settings) as database:
        return asyncio.run(run())


@contextlib.contextmanager
def _stopping(engine: Import) -> Iterator[None]:
    """SIGINT and SIGTERM end the import after the page in hand."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, engine.stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _claims(wish: Wish, staged: Staged, now: datetime) -> dict[str, Range]:
    """By ticker, what the files are taken to hold: from its first row to its last, or what was said."""
    claims: dict[str, Range] = {}
    for one in staged.symbols:
        if one.span is None:
            continue
        start, end = wish.start or one.span.start, one.span.end
        if wish.end is not None:
            end = max(min(wish.end, now), one.span.start + wish.reading.timeframe.length)
        claims[one.ticker] = Range(start, end)
    if not claims:
        outside = f"; {staged.left_out:,} lie outside of --start and --end" if staged.left_out else ""
        raise InvalidInput(
            f"None of the {staged.row_count + staged.left_out:,} rows is one of a symbol at a time{outside}. Look at "
            "what the columns are taken for: --columns, --symbol-column, --time-format."
        )
    return claims


def _basis(wish: Wish, files: Sequence[BarFile]) -> str:
    from barfill.providers.files import has_adjusted_close  # noqa: PLC0415

    adjusted = next((file for file in files if has_adjusted_close(file.headers)), None)
    if wish.basis is None and adjusted is not None:
        raise InvalidInput(
            f"{str(adjusted.path)!r} has an adjusted close beside its close. Such vendors mostly adjust the other "
            "prices for splits, too. Say what they are: --basis split, or --basis raw if they are as traded."
        )
    return wish.basis or RAW


def _delimiter(text: str | None) -> str | None:
    if text is None:
        return None
    sign = {"tab": "\t", "\\t": "\t"}.get(text.lower(), text)
    if len(sign) != 1 or not sign.isascii() or sign in '\r\n"':
        raise InvalidInput(f"--delimiter {text[:20]!r} is not one sign. Write ',' or ';' or '|' or tab.")
    return sign


def _feed(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not 0 < len(text.strip()) <= 40:  # noqa: PLR2004
        raise InvalidInput(f"--feed {text[:40]!r} names no feed. Write a short name such as sip, iex or binance.")
    return text.strip()


@contextlib.contextmanager
def _workplace(settings: Settings) -> Iterator[Path]:
    """A directory for sorted rows, as large as the files; what killed imports left behind goes."""
    import psutil  # noqa: PLC0415  slow to load

    home = settings.barfill_home / "imports"
    home.mkdir(parents=True, exist_ok=True)
    for left in home.iterdir():
        number = left.name.partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=home) as directory:
        yield Path(directory)

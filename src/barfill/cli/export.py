"""`barfill export`: stored bars into Parquet, CSV or Arrow files, as they are or as they were."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.inputs import FIRST_YEAR, parse_tickers, parse_timeframes, parse_window
from barfill.cli.naming import symbol_ids
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, counted, json_option, print_json, say, shown_bytes
from barfill.core.instants import parse_instant
from barfill.errors import InvalidInput
from barfill.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barfill.engine.export import ExportedSeries
    from barfill.store.database import Database

FORMATS = ("parquet", "csv", "arrow")
EARLIEST = f"{FIRST_YEAR}-01-01"

EPILOG = """\
\b
Examples:
  barfill export AAPL MSFT --output bars
  barfill export AAPL --timeframes 1d --format csv --start 2024-01-01 --end 2025-01-01
  barfill export --all --timeframes 1h --output hours
  barfill export AAPL --as-of 2026-03-01T21:00Z --output then    as it was stored at that time

\b
One file for each series, such as AAPL_h1.parquet; signs that file systems do not take are
written as in URLs (BTC%2FUSD_h1.parquet). The columns: symbol, ts (the bar's start, UTC), open,
high, low, close (raw), volume, vwap, trade_count, data_status (final or live),
is_extended (outside of regular hours).
'barfill import' reads these files back. Exit codes: 0 done, 1 there was nothing to export,
2 usage.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--watchlist", metavar="NAME", help="The symbols of this watchlist.")
@click.option("--all", "wants_all", is_flag=True, help="All symbols on record.")
@click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]")
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="The last N days. [default: all that is stored]")
@click.option("--start", metavar="D", help="From this date or instant on.")
@click.option("--end", metavar="D", help="Up to this date or instant, which is excluded. [default: now]")
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True, help="Of all files."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where the files go; files of the same series are replaced. [default: here]",
)
@click.option("--as-of", "as_of", metavar="T", help="The bars as they were stored at this instant. [default: now]")
@json_option
def export(
    symbols: tuple[str, ...],
    watchlist: str | None,
    wants_all: bool,
    timeframes: tuple[str, ...],
    days: int | None,
    start: str | None,
    end: str | None,
    kind: str,
    output: Path,
    as_of: str | None,
    as_json: bool,
) -> int:
    """
    Write stored bars to Parquet, CSV or Arrow files.

    A file is there when it is complete, never in part, and holds one moment of its series.
    """
    from barfill.engine.export import ExportRequest, FileFormat  # noqa: PLC0415  slow to load
    from barfill.engine.export import export as exported  # noqa: PLC0415

    tickers = parse_tickers(symbols)
    if not (tickers or watchlist or wants_all):
        raise InvalidInput("No symbols are named. Give some (barfill export AAPL), --watchlist NAME or --all.")
    has_window = (days, start, end) != (None, None, None)
    if has_window and days is None and start is None:
        start = EARLIEST
    window = parse_window(days=days, start=start, end=end, now=datetime.now(UTC)) if has_window else None
    instant = None if as_of is None else parse_instant(as_of, "--as-of")
    with open_store(read_settings()) as database:
        request = ExportRequest(
            symbol_ids=None if wants_all else _chosen(database, tickers, watchlist),
            timeframes=parse_timeframes(timeframes),
            window=window,
            as_of=instant,
            folder=output,
            format=FileFormat(kind),
        )
        done: list[ExportedSeries] = []
        for one in exported(database, request):
            done.append(one)
            if not as_json and one.path is not None:
                _show(one)
    files = [one for one in done if one.path is not None]
    if as_json:
        print_json({"as_of": instant, "files": [_as_json(one) for one in files]})
    elif files:
        bars = sum(one.bars for one in files)
        size = shown_bytes(sum(one.bytes for one in files))
        click.echo(f"{counted(bars, 'bar')} in {counted(len(files), 'file')}, {size}")
    if not files:
        say("There are no such bars: no file was written. See what there is: barfill status")
    return 0 if files else 1


def _chosen(database: Database, tickers: Sequence[str], watchlist: str | None) -> list[int]:
    from barfill.store.watchlists import read_members  # noqa: PLC0415  slow to load

    chosen = dict.fromkeys(symbol_ids(database, tickers) or ())
    if watchlist is not None:
        chosen |= dict.fromkeys(symbol_ids(database, database.run(read_members, watchlist)) or ())
    return list(chosen)


def _show(one: ExportedSeries) -> None:
    span = f"{one.first:%Y-%m-%d} to {one.last:%Y-%m-%d}"
    click.echo(clean(f"{one.path}  {counted(one.bars, 'bar')}, {span}, {shown_bytes(one.bytes)}"))


def _as_json(one: ExportedSeries) -> dict[str, Any]:
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "path": str(one.path),
        "bars": one.bars,
        "bytes": one.bytes,
        "first": one.first,
        "last": one.last,
    }

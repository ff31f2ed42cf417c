"""`barfill resample`: coarser bars made of stored finer ones, now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from barfill.cli.inputs import parse_tickers, parse_timeframes
from barfill.cli.naming import symbol_ids
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, counted, json_option, print_json, print_table, say
from barfill.settings import read_settings
from barfill.wiring import engine_settings

if TYPE_CHECKING:
    from barfill.engine.resampling import ResampleReport

SERIES_SHOWN_MAX = 60
SENTENCES_SHOWN_MAX = 20
SYMBOLS_BETWEEN_WORDS = 500

EPILOG = """\
\b
Examples:
  barfill resample                          all that can be made, of all symbols
  barfill resample AAPL --timeframes 1h,4h
  barfill resample AAPL --dry-run           what would be made, and of what
  barfill resample --rebuild                make anew what was derived: 0 changes expected

\b
Nothing is fetched, and what was fetched stays: a bar is made where finer stored bars
cover it whole. 5m 15m 30m 1h 4h are made of the finest there is, 1w of 1d.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option(
    "--timeframes",
    "--timeframe",
    multiple=True,
    metavar="1h,4h",
    help="Of 5m 15m 30m 1h 4h 1w. [default: all that RESAMPLE_* let be derived]",
)
@click.option("--rebuild", "is_rebuild", is_flag=True, help="Make anew what was derived, and tell what changes.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Show what would be made; change nothing.")
@json_option
def resample(
    symbols: tuple[str, ...], timeframes: tuple[str, ...], is_rebuild: bool, is_dry_run: bool, as_json: bool
) -> int:
    """
    Derive coarser timeframes from stored bars.

    Without symbols, of all that are on record. What is there already and still right is left alone.
    """
    from barfill.engine.resampling import ResampleRequest, resample_stored  # noqa: PLC0415  slow to load

    def tell(done: int, count: int) -> None:
        if done % SYMBOLS_BETWEEN_WORDS == 0:
            say(f"{done:,} of {count:,} symbols")

    named = parse_tickers(symbols)
    chosen = parse_timeframes(timeframes) if timeframes else ()
    settings = read_settings()
    with open_store(settings) as database:
        ids = symbol_ids(database, named)
        request = ResampleRequest(
            symbol_ids=None if ids is None else tuple(ids), timeframes=chosen, is_rebuild=is_rebuild
        )
        resampling = engine_settings(settings).resampling
        report = resample_stored(database, request, resampling, is_dry_run=is_dry_run, on_symbol=tell)
    if as_json:
        print_json({"dry_run": is_dry_run, "rebuild": is_rebuild} | report.to_json())
    else:
        _show(report, is_dry_run=is_dry_run)
    return 0


def _show(report: ResampleReport, *, is_dry_run: bool) -> None:
    """The series, what was left alone, and a sentence with the sums."""
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    titles = ("symbol", "timeframe", "from", "bars") + (() if is_dry_run else ("new", "changed", "removed"))
    if report.series:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, justify="left" if title in {"symbol", "timeframe", "from"} else "right")
        for one in report.series[:SERIES_SHOWN_MAX]:
            named = ", ".join(source.label for source in one.sources)
            cells = (one.ticker, one.timeframe.label, named, f"{one.bars:,}")
            counts = () if is_dry_run else (f"{one.new:,}", f"{one.changed:,}", f"{one.removed:,}")
            table.add_row(*(Text(clean(cell)) for cell in (*cells, *counts)))
        print_table(table)
        if len(report.series) > SERIES_SHOWN_MAX:
            click.echo(f"... and {len(report.series) - SERIES_SHOWN_MAX:,} more series: --json")
        click.echo()
    for text in report.left_alone[:SENTENCES_SHOWN_MAX]:
        click.echo(clean(f"Left alone: {text}"))
    if len(report.left_alone) > SENTENCES_SHOWN_MAX:
        click.echo(f"... and {len(report.left_alone) - SENTENCES_SHOWN_MAX:,} more: --json")
    made = f"{counted(report.total('bars'), 'bar')} of {counted(len(report.series), 'series', 'series')}"
    if is_dry_run:
        click.echo(f"{made} would be made. Nothing was changed.")
    elif not report.series:
        click.echo("Nothing to make: all that stored bars cover whole is there.")
    else:
        sums = ", ".join(f"{report.total(name):,} {name}" for name in ("new", "changed", "removed"))
        click.echo(f"{made} made: {sums}.")

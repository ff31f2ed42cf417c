"""`barfill simulate`: the simulated exchange in the foreground."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.terminal import clean
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput
from barfill.settings import default_home, shown_path

if TYPE_CHECKING:
    from barfill.simulate import Served

DEFAULT_PORT = 8900
FILES_NAMED_MAX = 3
SERVED_NAMED_MAX = 20

EPILOG = """\
\b
Examples:
  barfill simulate                             then paste its export lines elsewhere
  barfill simulate --replay bars/              serve your own files
  barfill simulate --port 0 --faults faults.json

\b
Files for --replay are named KIND_TICKER_TIMEFRAME_*.parquet or .csv, such as
equity_SPY_m1_2013-10.parquet, with the columns ts, open, high, low, close, volume.
A fault script is JSON: a list of lines, or one per line:
  {"match": {"symbol": "AAPL", "nth": 3}, "fault": "H11"}

Any non-empty key is taken, but not 'wrong'. GET /simulate/requests counts what was asked.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0 takes any free one."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the synthetic market; same seed, same bars.")
@click.option("--symbols", type=click.IntRange(1, 20_000), default=50, show_default=True, help="How many symbols.")
@click.option(
    "--replay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Serve the bar files of this folder instead.",
)
@click.option(
    "--requests-per-minute", type=click.IntRange(min=1), help="Of each vendor. [default: what its plan allows]"
)
@click.option(
    "--plan",
    type=click.Choice(["free", "paid"]),
    default="free",
    show_default=True,
    help="free: Alpaca 200 requests a minute, the newest 15 minutes barred; Massive 5, two years, not today; Tradier "
    "60, 15 minutes late; Finnhub 60, no candles. paid: 10,000, 6,000, 120 and 300, nothing barred.",
)
@click.option(
    "--next-url-host",
    type=click.Choice(["own", "vendor"]),
    default="own",
    show_default=True,
    help="Whose host Massive's next_url names; its official client needs vendor.",
)
@click.option(
    "--faults", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A fault script: what goes wrong."
)
@click.option("--verbose", "is_verbose", is_flag=True, help="Name every file that --replay leaves out.")
def simulate(
    port: int,
    seed: int,
    symbols: int,
    replay: Path | None,
    requests_per_minute: int | None,
    plan: str,
    next_url_host: str,
    faults: Path | None,
    is_verbose: bool,
) -> int:
    """
        Run a simulated exchange, to try barfill without keys.

        It speaks the APIs of Alpaca, Massive, Tradier, Finnhub and of three crypto venues (Binance, Coinbase Exchange,
    Kraken) on this machine until Ctrl-C and prints the lines that point barfill at it. Its bars are invented, or
    replayed from files: the lines keep them in a directory of their own.
    """
    from barfill.simulate import ExchangeConfig, serve  # noqa: PLC0415  slow to load

    config = ExchangeConfig(
        port=port,
        seed=seed,
        symbols=symbols,
        replay=replay,
        requests_per_minute=requests_per_minute,
        plan=plan,
        next_url_host=next_url_host,
        faults=_fault_lines(faults),
    )
    home = default_home().with_name("barfill-simulated" if replay is None else "barfill-replay")
    named_max = sys.maxsize if is_verbose else FILES_NAMED_MAX
    show_served = partial(_show_served, home=home, named_max=sys.maxsize if is_verbose else SERVED_NAMED_MAX)
    asyncio.run(serve(config, lambda line: click.echo(clean(line)), show_served=show_served, named_max=named_max))
    return 0


def _show_served(served: Sequence[Served], *, home: Path, named_max: int) -> None:
    """Where bars are to be kept, what there is of them, and a command that fetches some."""
    click.echo(f"export BARFILL_HOME={shown_path(home)}")
    click.echo("unset DATABASE_URL")
    for one in served[:named_max]:
        click.echo(clean(f"# {one.ticker} {_label(one)}: {one.first} to {one.last}"))
    if len(served) > named_max:
        click.echo(f"# and {len(served) - named_max:,} more: --verbose names all")
    click.echo("# Paste these lines into another terminal (Ctrl-C ends the exchange); then type:")
    click.echo(f"#   {_command(served)}")


def _command(served: Sequence[Served]) -> str:
    """A backfill that asks for no more than the files hold of the first timeframe that barfill keeps."""
    kept = {timeframe.label for timeframe in Timeframe}
    one = next((one for one in served if _label(one) in kept), None)
    if one is None:
        return "barfill backfill AAPL"
    end = one.last + timedelta(days=1)
    return clean(f"barfill backfill {one.ticker} --timeframes {_label(one)} --start {one.first} --end {end}")


def _label(one: Served) -> str:
    """The timeframe as barfill prints it."""
    try:
        return Timeframe.parse(one.timeframe).label
    except InvalidInput:
        return one.timeframe


def _fault_lines(path: Path | None) -> list[dict[str, Any]]:
    """The lines of a fault script: a JSON list, or one JSON object per line."""
    if path is None:
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        if text.lstrip().startswith("["):
            lines = json.loads(text)
        else:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(f"Fault script '{path}' is not JSON: {error}.") from error
    if not all(isinstance(line, dict) for line in lines):
        raise InvalidInput(f"Fault script '{path}' must be a list of objects, each with match, fault and args.")
    return list(lines)

"""`barfill jobs definitions`: the standing orders of what is kept complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.inputs import parse_ticker, parse_tickers, parse_timeframes
from barfill.cli.naming import today_s_ticker, today_s_tickers
from barfill.cli.numbers import Number
from barfill.cli.opening import open_store
from barfill.cli.runs_table import what
from barfill.cli.terminal import ago, clean, counted, json_option, print_json, say
from barfill.errors import InvalidInput
from barfill.settings import read_settings

if TYPE_CHECKING:
    from barfill.core.timeframe import Timeframe
    from barfill.store.database import Connection, Database
    from barfill.store.definitions import Defined, Definition

DEFAULT_LIMIT = 50
DEFAULT_PRIORITY = 100
BATCH_SIZE_MAX = 10_000
NAMED_MAX = 10
TITLES = ("id", "what", "batch", "window", "priority", "state", "last run")
RIGHT = frozenset({"id", "window", "priority"})

definition_id = Number("a job definition", "barfill jobs definitions list", 2**31 - 1)
timeframes_option = click.option(
    "--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]"
)


@click.group()
def definitions() -> None:
    """
    Standing orders of what is kept complete.

    Each says: keep the last so many days of this symbol, or batch of symbols, complete at this timeframe.

    \b
    Examples:
      barfill jobs definitions add AAPL MSFT --timeframes 15m,1d
      barfill jobs definitions list
      barfill jobs definitions disable --symbol AAPL
    """


@definitions.command()
@click.argument("tickers", nargs=-1, metavar="[SYMBOL]...")
@click.option("--watchlist", metavar="NAME", help="The active symbols of this watchlist.")
@click.option(
    "--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="These. [default: DEFAULT_TIMEFRAMES]"
)
@click.option(
    "--days", type=click.IntRange(1, 36_500), metavar="N", help="How far back. [default: DEFAULT_WINDOW_DAYS]"
)
@click.option(
    "--priority",
    type=click.IntRange(0, 1000),
    default=DEFAULT_PRIORITY,
    show_default=True,
    help="The greater, the sooner; charts have 200.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, BATCH_SIZE_MAX),
    metavar="N",
    help="One definition for N symbols together, instead of one for each.",
)
def add(
    tickers: tuple[str, ...],
    watchlist: str | None,
    timeframes: tuple[str, ...],
    days: int | None,
    priority: int,
    batch_size: int | None,
) -> int:
    """
    Define what is to be kept complete, or change it.

    A series has one definition of its own at most; the same batch of symbols is the same definition. New batches
    replace those that were made of the same watchlist; without --watchlist, those that hold no other symbols.

    \b
    Examples:
      barfill jobs definitions add AAPL MSFT --timeframes 15m,1d --days 365
      barfill jobs definitions add --watchlist sp500 --timeframe 1d --batch-size 50
    """
    named = parse_tickers(tickers)
    if bool(named) == bool(watchlist):
        raise InvalidInput("Name symbols, or give --watchlist: one of them.")
    settings = read_settings()
    wanted = parse_timeframes(timeframes) if timeframes else settings.default_timeframes
    window: dict[str, int] = {"window_days": days or settings.default_window_days, "priority": priority}
    with open_store(settings) as database:
        from barfill.store.definitions import keep_batches, keep_series, overlapping_batches  # noqa: PLC0415
        from barfill.store.watchlists import read_members  # noqa: PLC0415

        symbols = database.run(read_members, watchlist) if watchlist else today_s_tickers(database, named)
        left: list[int] = []
        if batch_size is None:
            done = database.run(keep_series, symbols, wanted, **window)
            total = len(symbols) * len(wanted)
        else:
            done = database.run(keep_batches, symbols, wanted, batch_size=batch_size, watchlist=watchlist, **window)
            total = -(-len(symbols) // batch_size) * len(wanted)
            left = database.run(overlapping_batches, symbols, wanted)
    click.echo(defined_line(done, total, wanted, window["window_days"]))
    if left:
        say(
            f"Other batches hold some of these symbols too, and more, and stay: {_named(left)}. If they are no longer "
            f"wanted: barfill jobs definitions remove {' '.join(map(str, left[:NAMED_MAX]))}"
        )
    return 0


@definitions.command(name="list")
@click.option("--symbol", metavar="SYMBOL", help="Only those of this symbol, alone or in a batch.")
@timeframes_option
@click.option("--enabled/--disabled", "is_enabled", default=None, help="Only those that are on, or off.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def list_(symbol: str | None, timeframes: tuple[str, ...], is_enabled: bool | None, limit: int, as_json: bool) -> int:
    """
    List definitions, the most urgent first.

    \b
    Examples:
      barfill jobs definitions list
      barfill jobs definitions list --symbol AAPL --json
    """
    ticker = parse_ticker(symbol) if symbol else None
    named = parse_timeframes(timeframes) if timeframes else None
    with open_store(read_settings()) as database:
        from barfill.store.definitions import list_definitions  # noqa: PLC0415  slow to load

        ticker = today_s_ticker(database, ticker) if ticker else None
        found = database.run(list_definitions, ticker=ticker, timeframes=named, is_enabled=is_enabled)
        now = database.now()
    if as_json:
        print_json([_as_json(one) for one in found[:limit]])
        return 0
    if not found:
        is_filtered = bool(ticker or timeframes) or is_enabled is not None
        hint = "There are no definitions yet. Add some with: barfill jobs definitions add AAPL"
        say("No definitions like that." if is_filtered else hint)
        return 0
    _show(found[:limit], now)
    if len(found) > limit:
        click.echo(f"... and {len(found) - limit:,} more: --limit {len(found)}")
    return 0


def _choosing(command: Callable[..., int]) -> Callable[..., int]:
    """Adds how definitions are named: by their ids, or by symbol and timeframe."""
    command = timeframes_option(command)
    command = click.option("--symbol", metavar="SYMBOL", help="All of this symbol's own, except for batches.")(command)
    return click.argument("numbers", nargs=-1, type=definition_id, metavar="[ID]...")(command)


@definitions.command()
@_choosing
def enable(numbers: tuple[int, ...], symbol: str | None, timeframes: tuple[str, ...]) -> int:
    """
    Switch definitions on.

    \b
    Examples:
      barfill jobs definitions enable 7 8
      barfill jobs definitions enable --symbol AAPL --timeframe 1m
    """
    from barfill.store.definitions import enable_definitions  # noqa: PLC0415  slow to load

    return _change(numbers, symbol, timeframes, enable_definitions, "Switched {} on.", "on already")


@definitions.command()
@_choosing
def disable(numbers: tuple[int, ...], symbol: str | None, timeframes: tuple[str, ...]) -> int:
    """
    Switch definitions off; the bars and the runs stay.

    \b
    Examples:
      barfill jobs definitions disable 7 8
      barfill jobs definitions disable --symbol AAPL
    """
    from barfill.store.definitions import disable_definitions  # noqa: PLC0415  slow to load

    return _change(numbers, symbol, timeframes, disable_definitions, "Switched {} off; the bars stay.", "off already")


@definitions.command()
@_choosing
def remove(numbers: tuple[int, ...], symbol: str | None, timeframes: tuple[str, ...]) -> int:
    """
    Remove definitions; the bars and the runs stay.

    \b
    Examples:
      barfill jobs definitions remove 7 8
      barfill jobs definitions remove --symbol AAPL
    """
    from barfill.store.definitions import remove_definitions  # noqa: PLC0415  slow to load

    return _change(numbers, symbol, timeframes, remove_definitions, "Removed {}; the bars stay.", "gone already")


def defined_line(done: Defined, total: int, timeframes: Sequence[Timeframe], days: int) -> str:
    """What became of definitions, in a sentence."""
    as_before = total - done.added - done.changed
    counts = [f"{done.added:,} added"]
    counts += [f"{done.changed:,} changed"] if done.changed else []
    counts += [f"{done.replaced:,} replaced"] if done.replaced else []
    counts += [f"{as_before:,} as before"] if as_before else []
    labels = " ".join(timeframe.label for timeframe in timeframes)
    return f"Job definitions: {', '.join(counts)} ({labels}; {counted(days, 'day')})."


def _named(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:NAMED_MAX]))
    return shown + (f" and {len(ids) - NAMED_MAX:,} more" if len(ids) > NAMED_MAX else "")


def _change(
    numbers: Sequence[int],
    symbol: str | None,
    timeframes: Sequence[str],
    work: Callable[[Connection, Sequence[int]], list[int]],
    done: str,
    otherwise: str,
) -> int:
    if bool(numbers) == bool(symbol) or (numbers and timeframes):
        raise InvalidInput("Give ids (see: barfill jobs definitions list), or --symbol and, if you like, --timeframes.")
    with open_store(read_settings()) as database:
        ids = list(numbers) if numbers else _ids_of(database, parse_ticker(symbol or ""), timeframes)
        changed = database.run(work, ids)
    if changed:
        click.echo(done.format(counted(len(changed), "definition")))
    if not ids:
        say(f"{(symbol or '').upper()} has no definitions of its own. See: barfill jobs definitions list")
    elif len(changed) < len(ids):
        say(f"{counted(len(ids) - len(changed), 'definition')} {otherwise}.")
    return 0


def _ids_of(database: Database, ticker: str, timeframes: Sequence[str]) -> list[int]:
    from barfill.store.definitions import list_definitions  # noqa: PLC0415  slow to load

    named = parse_timeframes(timeframes) if timeframes else None
    ticker = today_s_ticker(database, ticker)
    found = database.run(list_definitions, ticker=ticker, timeframes=named)
    return [one.id for one in found if one.total_batches is None and one.symbols == (ticker,)]


def _show(found: Sequence[Definition], now: datetime) -> None:
    rows = [_cells(one, now) for one in found]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    click.secho(_line(TITLES, widths), bold=True)
    for row in rows:
        click.echo(_line(row, widths))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        f"{clean(cell):>{width}}" if title in RIGHT else f"{clean(cell):<{width}}"
        for title, cell, width in zip(TITLES, cells, widths, strict=True)
    )
    return "  ".join(padded).rstrip()


def _cells(one: Definition, now: datetime) -> tuple[str, ...]:
    """What stands below TITLES."""
    last = f"{one.last_run_status} {ago(one.last_run_at, now)}" if one.last_run_at else "none"
    return (
        str(one.id),
        what(one.symbols, one.timeframe),
        f"{one.batch_number} of {one.total_batches}" if one.batch_number else "",
        f"{one.window_days:,} d",
        str(one.priority),
        _state(one),
        last,
    )


def _state(one: Definition) -> str:
    if not one.enabled:
        return "off"
    return "on" if one.is_active else "symbol off"


def _as_json(one: Definition) -> dict[str, Any]:
    return asdict(one) | {"timeframe": one.timeframe.label}

"""`barfill watchlist`: named lists of symbols."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import click

from barfill.cli.definitions import defined_line
from barfill.cli.inputs import SymbolRow, parse_tickers
from barfill.cli.naming import today_s_tickers
from barfill.cli.opening import open_store
from barfill.cli.symbols import EXIT_FAILED, add_rows, open_store_for, read_symbol_file, report_added, unchecked_option
from barfill.cli.terminal import clean, counted, json_option, print_json, say
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings

if TYPE_CHECKING:
    from barfill.store.database import Database

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._\-]{0,63}")

no_jobs_option = click.option("--no-jobs", "without_jobs", is_flag=True, help="Leave the job definitions as they are.")


@click.group()
def watchlist() -> None:
    """
    Named lists of symbols.

    \b
    Examples:
      barfill watchlist add tech AAPL MSFT NVDA
      barfill backfill --watchlist tech
      barfill watchlist list
    """


@watchlist.command()
@click.argument("name")
def create(name: str) -> int:
    """
    Make an empty list.

    \b
    Example:
      barfill watchlist create tech
    """
    checked = _checked_name(name)
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import create_watchlist  # noqa: PLC0415  slow to load

        is_new = database.run(create_watchlist, checked)
    click.echo(f"Made the watchlist {checked!r}." if is_new else f"The watchlist {checked!r} is there already.")
    return 0


@watchlist.command()
@click.argument("name")
@click.argument("tickers", nargs=-1, required=True, metavar="SYMBOL...")
@unchecked_option
@no_jobs_option
def add(name: str, tickers: tuple[str, ...], is_unchecked: bool, without_jobs: bool) -> int:
    """
    Put symbols on a list; list and symbols are made where they are new.

    Their default timeframes get job definitions, so that they are kept complete: see 'barfill jobs definitions'.

    \b
    Examples:
      barfill watchlist add tech AAPL MSFT
      barfill watchlist add ideas NVDA --no-jobs
    """
    rows = [SymbolRow(ticker) for ticker in parse_tickers(tickers)]
    return _add(_checked_name(name), rows, is_unchecked=is_unchecked, without_jobs=without_jobs)


@watchlist.command(name="import")
@click.argument("name")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@unchecked_option
@no_jobs_option
def import_(name: str, file: TextIO, is_unchecked: bool, without_jobs: bool) -> int:
    """
    Put the symbols that FILE lists on a list; - reads standard input.

    FILE is written as for 'barfill symbols import'. Job definitions are made as by 'barfill watchlist add'.

    \b
    Example:
      barfill watchlist import sp500 sp500.csv
    """
    return _add(_checked_name(name), read_symbol_file(file), is_unchecked=is_unchecked, without_jobs=without_jobs)


@watchlist.command()
@click.argument("name")
@click.argument("tickers", nargs=-1, required=True, metavar="SYMBOL...")
@no_jobs_option
def remove(name: str, tickers: tuple[str, ...], without_jobs: bool) -> int:
    """
    Take symbols off a list; the symbols and their bars stay.

    The job definitions of those that are on no list any more are switched off.

    \b
    Example:
      barfill watchlist remove tech MSFT
    """
    wanted = parse_tickers(tickers)
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import read_watchlist, remove_from_watchlist  # noqa: PLC0415  slow to load

        wanted = today_s_tickers(database, wanted)
        members = {symbol.ticker: symbol.id for symbol in database.run(read_watchlist, name)}
        taken = [members[one] for one in wanted if one in members]
        count = database.run(remove_from_watchlist, name, taken)
        switched_off = 0 if without_jobs else _disable_unlisted(database, taken)
    if count:
        click.echo(f"Took {counted(count, 'symbol')} off {name!r}.")
    _report_switched_off(switched_off)
    absent = [ticker for ticker in wanted if ticker not in members]
    if absent:
        say(f"Not on {name!r}: {', '.join(absent)}. See: barfill watchlist list {shlex.quote(name)}")
    return EXIT_FAILED if absent else 0


@watchlist.command()
@click.argument("name")
@no_jobs_option
def delete(name: str, without_jobs: bool) -> int:
    """
    Delete a list; its symbols and their bars stay.

    The job definitions of symbols that are on no list any more are switched off.

    \b
    Example:
      barfill watchlist delete tech
    """
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import delete_watchlist, read_watchlist  # noqa: PLC0415  slow to load

        members = [symbol.id for symbol in database.run(read_watchlist, name)]
        database.run(delete_watchlist, name)
        switched_off = 0 if without_jobs else _disable_unlisted(database, members)
    click.echo(f"Deleted the watchlist {name!r}.")
    _report_switched_off(switched_off)
    return 0


@watchlist.command(name="list")
@click.argument("name", required=False)
@json_option
def list_(name: str | None, as_json: bool) -> int:
    """
    List the lists, or the symbols of one.

    \b
    Examples:
      barfill watchlist list
      barfill watchlist list tech --json
    """
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import list_watchlists, read_watchlist  # noqa: PLC0415  slow to load

        if name is None:
            counts = database.run(list_watchlists)
            return _show_lists(counts, as_json=as_json)
        members = [symbol.ticker for symbol in database.run(read_watchlist, name)]
    if as_json:
        print_json({"name": name, "symbols": members})
    else:
        for ticker in members:
            click.echo(ticker)
    return 0


def _show_lists(counts: dict[str, int], *, as_json: bool) -> int:
    if as_json:
        print_json([{"name": name, "symbols": count} for name, count in counts.items()])
        return 0
    if not counts:
        say("There are no watchlists yet. Make one with: barfill watchlist add tech AAPL MSFT")
    for name, count in counts.items():
        click.echo(clean(f"{name}  {counted(count, 'symbol')}"))
    return 0


def _add(name: str, rows: Sequence[SymbolRow], *, is_unchecked: bool, without_jobs: bool) -> int:
    settings = read_settings()
    with open_store_for(settings, rows, is_unchecked=is_unchecked) as database:
        from barfill.store.watchlists import add_to_watchlist, create_watchlist  # noqa: PLC0415  slow to load

        if not is_unchecked:
            rows = [SymbolRow(ticker) for ticker in today_s_tickers(database, [row.ticker for row in rows])]
        added = add_rows(settings, database, rows, is_unchecked=is_unchecked)
        found = added.found
        count = 0
        jobs_line = ""
        if found:
            database.run(create_watchlist, name)
            count = database.run(add_to_watchlist, name, [symbol.id for symbol in found.values()])
            jobs_line = "" if without_jobs else _define(settings, database, list(found))
    code = report_added(added)
    quoted = shlex.quote(name)
    click.echo(f"Put {counted(count, 'symbol')} on {name!r}. Fill them with: barfill backfill --watchlist {quoted}")
    if jobs_line:
        click.echo(jobs_line)
    return code


def _define(settings: Settings, database: Database, tickers: Sequence[str]) -> str:
    """Sees to it that the default timeframes have definitions; what became of it."""
    from barfill.store.definitions import seed_series  # noqa: PLC0415  slow to load

    timeframes, days = settings.default_timeframes, settings.default_window_days
    done = database.run(seed_series, tickers, timeframes, window_days=days)
    return defined_line(done, len(tickers) * len(timeframes), timeframes, days)


def _disable_unlisted(database: Database, symbol_ids: Sequence[int]) -> int:
    from barfill.store.definitions import disable_unlisted  # noqa: PLC0415  slow to load

    return database.run(disable_unlisted, symbol_ids)


def _report_switched_off(count: int) -> None:
    if count:
        click.echo(f"Switched {counted(count, 'job definition')} off, of symbols that are on no watchlist any more.")


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Watchlist name {name[:64]!r} cannot be used. Begin with a letter or digit; letters, digits, blanks and "
            ". _ - may follow, 64 characters in all."
        )
    return name

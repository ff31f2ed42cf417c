"""`barfill watchlist`: named lists of symbols."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TextIO

import click

from barfill.cli.inputs import SymbolRow, parse_tickers
from barfill.cli.opening import open_store
from barfill.cli.symbols import EXIT_FAILED, add_rows, open_store_for, read_symbol_file, report_added, unchecked_option
from barfill.cli.terminal import clean, counted, json_option, print_json, say
from barfill.errors import InvalidInput
from barfill.settings import read_settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._\-]{0,63}")


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
def add(name: str, tickers: tuple[str, ...], is_unchecked: bool) -> int:
    """
    Put symbols on a list; list and symbols are made where they are new.

    \b
    Example:
      barfill watchlist add tech AAPL MSFT
    """
    return _add(_checked_name(name), [SymbolRow(ticker) for ticker in parse_tickers(tickers)], is_unchecked)


@watchlist.command(name="import")
@click.argument("name")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@unchecked_option
def import_(name: str, file: TextIO, is_unchecked: bool) -> int:
    """
    Put the symbols that FILE lists on a list; - reads standard input.

    FILE is written as for 'barfill symbols import'.

    \b
    Example:
      barfill watchlist import sp500 sp500.csv
    """
    return _add(_checked_name(name), read_symbol_file(file), is_unchecked)


@watchlist.command()
@click.argument("name")
@click.argument("tickers", nargs=-1, required=True, metavar="SYMBOL...")
def remove(name: str, tickers: tuple[str, ...]) -> int:
    """
    Take symbols off a list; the symbols and their bars stay.

    \b
    Example:
      barfill watchlist remove tech MSFT
    """
    wanted = parse_tickers(tickers)
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import read_watchlist, remove_from_watchlist  # noqa: PLC0415  slow to load

        members = {symbol.ticker: symbol.id for symbol in database.run(read_watchlist, name)}
        count = database.run(remove_from_watchlist, name, [members[one] for one in wanted if one in members])
    if count:
        click.echo(f"Took {counted(count, 'symbol')} off {name!r}.")
    absent = [ticker for ticker in wanted if ticker not in members]
    if absent:
        say(f"Not on {name!r}: {', '.join(absent)}. See: barfill watchlist list {shlex.quote(name)}")
    return EXIT_FAILED if absent else 0


@watchlist.command()
@click.argument("name")
def delete(name: str) -> int:
    """
    Delete a list; its symbols and their bars stay.

    \b
    Example:
      barfill watchlist delete tech
    """
    with open_store(read_settings()) as database:
        from barfill.store.watchlists import delete_watchlist  # noqa: PLC0415  slow to load

        database.run(delete_watchlist, name)
    click.echo(f"Deleted the watchlist {name!r}.")
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


def _add(name: str, rows: Sequence[SymbolRow], is_unchecked: bool) -> int:
    settings = read_settings()
    with open_store_for(settings, is_unchecked=is_unchecked) as database:
        from barfill.store.watchlists import add_to_watchlist, create_watchlist  # noqa: PLC0415  slow to load

        found, added, refused = add_rows(settings, database, rows, is_unchecked=is_unchecked)
        count = 0
        if found:
            database.run(create_watchlist, name)
            count = database.run(add_to_watchlist, name, [symbol.id for symbol in found.values()])
    code = report_added(found, added, refused)
    click.echo(f"Put {counted(count, 'symbol')} on {name!r}. Fill them with: barfill backfill --watchlist {name}")
    return code


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Watchlist name {name[:64]!r} cannot be used. Begin with a letter or digit; letters, digits, blanks and "
            ". _ - may follow, 64 characters in all."
        )
    return name

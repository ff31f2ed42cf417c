"""`barfill symbols`: add, list, remove and import symbols."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import click

from barfill.cli.inputs import ASSET_TYPES, SymbolRow, parse_symbol_file, parse_tickers
from barfill.cli.naming import today_s_tickers
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, counted, json_option, print_json, say
from barfill.core.ticker import usual_asset_type
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings
from barfill.wiring import check_provider, open_clients

if TYPE_CHECKING:
    from barfill.store.database import Database
    from barfill.store.symbols import Symbol

EXIT_FAILED = 1
FILE_LENGTH_MAX = 10_000_000

unchecked_option = click.option(
    "--unchecked", "is_unchecked", is_flag=True, help="Take them as they are, without asking a provider."
)


@dataclass(frozen=True, slots=True)
class Added:
    """
    What became of symbols that somebody named.

    Attributes:
        found: All that are on record and switched on, by ticker.
        new: Those of them that were not on record.
        again: Those that had been removed and are switched on again.
        refused: The others, and why.
    """

    found: dict[str, Symbol]
    new: tuple[str, ...]
    again: tuple[str, ...]
    refused: dict[str, str]


@click.group()
def symbols() -> None:
    """
    Add, list, remove and import symbols.

    \b
    Examples:
      barfill symbols add AAPL MSFT BRK.B
      barfill symbols import tickers.csv
      barfill symbols list
    """


@symbols.command()
@click.argument("tickers", nargs=-1, required=True, metavar="SYMBOL...")
@click.option(
    "--type", "asset_type", type=click.Choice(ASSET_TYPES), help="With --unchecked. [default: stock, of a pair crypto]"
)
@click.option("--name", help="With --unchecked and a single symbol.")
@click.option(
    "--calendar", metavar="NAME", help="The exchange whose sessions they trade in. [default: XNYS, of a pair 24/7]"
)
@unchecked_option
def add(
    tickers: tuple[str, ...], asset_type: str | None, name: str | None, calendar: str | None, is_unchecked: bool
) -> int:
    """
    Add symbols that a provider offers.

    \b
    Examples:
      barfill symbols add AAPL MSFT
      barfill symbols add OLDCO --unchecked --type stock --name "Old Company"
      barfill symbols add 0700.HK --unchecked --calendar XHKG
    """
    if (asset_type or name) and not is_unchecked:
        raise InvalidInput("--type and --name come from the provider. Give them with --unchecked only.")
    rows = [SymbolRow(ticker, "", asset_type or "") for ticker in parse_tickers(tickers)]
    if name and len(rows) > 1:
        raise InvalidInput("--name fits a single symbol. Add the others with commands of their own.")
    rows = [SymbolRow(row.ticker, name or "", row.asset_type) for row in rows]
    calendar = _calendar_named(calendar)
    settings = read_settings()
    with open_store_for(settings, rows, is_unchecked=is_unchecked) as database:
        return report_added(add_rows(settings, database, rows, is_unchecked=is_unchecked, calendar=calendar))


@symbols.command(name="import")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@unchecked_option
def import_(file: TextIO, is_unchecked: bool) -> int:
    """
    Add the symbols that FILE lists; - reads standard input.

    FILE holds one symbol per line ('#' begins a comment), or CSV with a column 'ticker' or 'symbol' and, if you
    like, 'name' and 'asset_type', which count with --unchecked.

    \b
    Examples:
      barfill symbols import tickers.txt
      cut -d, -f1 holdings.csv | barfill symbols import -
    """
    rows = read_symbol_file(file)
    settings = read_settings()
    with open_store_for(settings, rows, is_unchecked=is_unchecked) as database:
        return report_added(add_rows(settings, database, rows, is_unchecked=is_unchecked))


@symbols.command(name="list")
@click.option("--all", "with_inactive", is_flag=True, help="Inactive ones too.")
@json_option
def list_(with_inactive: bool, as_json: bool) -> int:
    """
    List the symbols.

    \b
    Examples:
      barfill symbols list
      barfill symbols list --all --json
    """
    with open_store(read_settings()) as database:
        from barfill.store.symbols import read_active, read_all  # noqa: PLC0415  slow to load

        found = database.run(read_all if with_inactive else read_active)
    if as_json:
        print_json([asdict(symbol) for symbol in found])
        return 0
    if not found:
        say("There are no symbols yet. Add some with: barfill symbols add AAPL MSFT")
        return 0
    width = max(len(symbol.ticker) for symbol in found)
    for symbol in found:
        state = "" if symbol.is_active else "  (inactive)"
        click.echo(clean(f"{symbol.ticker:<{width}}  {symbol.asset_type:<6}  {symbol.name or ''}{state}"))
    return 0


@symbols.command()
@click.argument("tickers", nargs=-1, required=True, metavar="SYMBOL...")
def remove(tickers: tuple[str, ...]) -> int:
    """
    Switch symbols off: --all passes over them. Their bars stay; adding them again switches them on.

    \b
    Example:
      barfill symbols remove TWTR
    """
    wanted = parse_tickers(tickers)
    with open_store(read_settings()) as database:
        from barfill.store.symbols import deactivate_symbols, find_symbols  # noqa: PLC0415  slow to load

        wanted = today_s_tickers(database, wanted)
        known = database.run(find_symbols, wanted)
        switched = database.run(deactivate_symbols, wanted)
    unknown = [ticker for ticker in wanted if ticker not in known]
    if switched:
        click.echo(f"Removed {counted(switched, 'symbol')}; their bars stay.")
    inactive = [ticker for ticker in wanted if ticker in known and not known[ticker].is_active]
    if inactive:
        say(f"Inactive already: {', '.join(inactive)}.")
    if unknown:
        say(f"Not known: {', '.join(unknown)}. See: barfill symbols list")
    return EXIT_FAILED if unknown else 0


def _calendar_named(text: str | None) -> str:
    """The code of the calendar that somebody named, which can be used; "" where none is named."""
    if text is None:
        return ""
    from barfill.core.calendar import calendar_name, trading_calendar  # noqa: PLC0415  slow to load

    name = calendar_name(text)
    trading_calendar(name, datetime.now(UTC).year)
    return name


def inactive_note(ticker: str, provider: str) -> str:
    """What to know about a symbol that was added although it is traded no more."""
    return f"{ticker} is no longer traded, says {provider}: its history is fetched; --all and status leave it out"


def read_symbol_file(file: TextIO) -> tuple[SymbolRow, ...]:
    """The symbols of an opened file."""
    text = file.read(FILE_LENGTH_MAX + 1)
    if len(text) > FILE_LENGTH_MAX:
        raise InvalidInput(f"{file.name} is longer than {FILE_LENGTH_MAX:,} characters. Import it in parts.")
    return parse_symbol_file(text, "Standard input" if file.name == "<stdin>" else file.name)


def open_store_for(
    settings: Settings, rows: Sequence[SymbolRow], *, is_unchecked: bool
) -> AbstractContextManager[Database]:
    """The store, once it is sure that a provider could be asked if it has to be."""
    if not is_unchecked:
        check_provider(settings, tickers=[row.ticker for row in rows])
    return open_store(settings)


def add_rows(
    settings: Settings, database: Database, rows: Sequence[SymbolRow], *, is_unchecked: bool, calendar: str = ""
) -> Added:
    """
    Makes sure that symbols are on record and switched on; new ones get *calendar*, "" the usual one of their kind.

    Raises:
        InvalidInput: One that is on record has another calendar than the one that is named.
    """
    from barfill.store.symbols import NewSymbol, activate_symbols, add_symbols, find_symbols  # noqa: PLC0415

    tickers = [row.ticker for row in rows]
    known = database.run(find_symbols, tickers)
    others = [symbol for symbol in known.values() if calendar and symbol.calendar != calendar]
    if others:
        named = ", ".join(f"{symbol.ticker} ({symbol.calendar})" for symbol in others)
        raise InvalidInput(
            f"On record with another calendar than {calendar}: {named}. Their coverage and gaps were judged by it, so "
            "it stays; leave --calendar out for them."
        )
    again = tuple(ticker for ticker, symbol in known.items() if not symbol.is_active)
    if is_unchecked:
        news = [
            NewSymbol(row.ticker, row.name or None, row.asset_type or usual_asset_type(row.ticker), calendar)
            for row in rows
        ]
        found = database.run(add_symbols, news)
        return Added(found, tuple(ticker for ticker in tickers if ticker not in known), again, {})
    new, refused = asyncio.run(_ask(settings, database, tickers, calendar))
    accepted = [ticker for ticker in tickers if ticker not in refused]
    database.run(activate_symbols, [ticker for ticker in accepted if ticker not in new])
    return Added(database.run(find_symbols, accepted), new, again, refused)


def report_added(added: Added) -> int:
    """Says what became of the symbols; the exit code."""
    new = [added.found[ticker] for ticker in added.new if ticker in added.found]
    for symbol in new[:20]:
        click.echo(clean(f"Added {symbol.ticker}  {symbol.asset_type}  {symbol.name or ''}".rstrip()))
    if len(new) > 20:  # noqa: PLR2004  as above
        click.echo(f"... and {len(new) - 20:,} more")
    if added.again:
        click.echo(f"Switched on again, with the bars they had: {', '.join(added.again)}.")
    rest = len(added.found) - len(new) - len(added.again)
    if rest > 0:
        click.echo(f"{counted(rest, 'symbol')} known already.")
    for reason in added.refused.values():
        say(reason)
    return EXIT_FAILED if added.refused else 0


async def _ask(
    settings: Settings, database: Database, tickers: Sequence[str], calendar: str
) -> tuple[tuple[str, ...], dict[str, str]]:
    from barfill.engine.catalog import add_symbols, not_asked_text  # noqa: PLC0415  slow to load

    async with open_clients(settings, database, purpose="interactive", tickers=tickers) as clients:
        result = await add_symbols(database, clients, tickers, calendar=calendar)
        for ticker, provider in result.inactive.items():
            say(inactive_note(ticker, provider))
    unasked = {ticker: not_asked_text(ticker, error) for ticker, error in result.unasked.items()}
    return result.added, result.refused | unasked

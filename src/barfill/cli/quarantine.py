"""`barfill quarantine`: rows that broke a rule, and what a person makes of them."""

from __future__ import annotations

import getpass
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import click

from barfill.cli.inputs import parse_tickers, parse_timeframes
from barfill.cli.naming import symbol_ids
from barfill.cli.numbers import Number
from barfill.cli.opening import open_store
from barfill.cli.quarantine_shown import as_json as row_as_json
from barfill.cli.quarantine_shown import mark_as_json, show_counts, show_list, show_marks, show_row
from barfill.cli.terminal import counted, json_option, print_json, say
from barfill.core.instants import parse_instant
from barfill.core.rule_book import RULE_BOOK
from barfill.errors import InvalidInput
from barfill.settings import read_settings
from barfill.store.quarantine import QuarantineFilter, State
from barfill.wiring import engine_settings

if TYPE_CHECKING:
    from barfill.engine.quarantine import Decided
    from barfill.engine.resampling import ResampleReport
    from barfill.store.database import Database
    from barfill.store.quarantine import Quarantined

DEFAULT_LIMIT = 50
BULK_MAX = 10_000
EXIT_FAILED = 1
TOLD_MAX = 20
STATES: tuple[State, ...] = get_args(State)
RULES = tuple(rule for rule in RULE_BOOK if not rule.startswith("W"))
WARNINGS = ("W10", "W11", "W12", "W13", "W14", "W15", "W16", "W17", "W18", "W20")
"""Those that are about single bars."""

row_id = Number("a quarantined row", "barfill quarantine list", 2**63 - 1)
row_argument = click.argument("numbers", nargs=-1, type=row_id, metavar="[ID]...")
who_option = click.option("--by", "who", metavar="NAME", help="Whose word it is. [default: your user name]")
symbol_option = click.option(
    "--symbol", "symbols", multiple=True, metavar="SYMBOL", help="Only this symbol; repeatable."
)
timeframe_option = click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these.")
start_option = click.option("--start", metavar="D", help="Only bars from this date or instant on.")
end_option = click.option("--end", metavar="D", help="Only bars before this date or instant.")
note_option = click.option("--note", default="", metavar="TEXT", help="Why; it is kept with the decision.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows, as the options of the command line name them."""

    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    rules: tuple[str, ...]
    start: str | None
    end: str | None

    @property
    def is_filtered(self) -> bool:
        """Whether anything is named."""
        return bool(self.symbols or self.timeframes or self.rules or self.start or self.end)

    def filter(self, database: Database, states: tuple[State, ...] | None) -> QuarantineFilter:
        """For the store."""
        ids = symbol_ids(database, parse_tickers(self.symbols))
        return QuarantineFilter(
            symbol_ids=None if ids is None else tuple(ids),
            timeframes=parse_timeframes(self.timeframes) if self.timeframes else None,
            rules=self.rules or None,
            states=states,
            start=parse_instant(self.start, "--start") if self.start else None,
            end=parse_instant(self.end, "--end") if self.end else None,
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows to be decided on: by their ids, or all in one of the *states* that are wanted."""

    numbers: tuple[int, ...]
    wanted: Wanted
    wants_all: bool
    yes: bool
    states: tuple[State, ...] = ("open",)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `Wanted`."""
    rule_option = click.option(
        "--rule", "rules", multiple=True, type=click.Choice(RULES), help="Only this rule; repeatable."
    )
    for option in (end_option, start_option, rule_option, timeframe_option, symbol_option):
        command = option(command)
    return command


def bulk_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what it takes to decide about many rows at once."""
    command = click.option("--yes", is_flag=True, help="Do not ask before rows are decided on by filter.")(command)
    command = click.option("--all", "wants_all", is_flag=True, help="All rows that the filters let pass.")(command)
    return filter_options(command)


@click.group()
def quarantine() -> None:
    """
    Rows that broke a rule: look at them, accept or reject them.

    A row that breaks a hard rule is kept out of the bars, as it was sent and with the reason. What you decide about it
    is kept with your name, and can be undone.

    \b
    Examples:
      barfill quarantine list --symbol AAPL
      barfill quarantine show 12
      barfill quarantine accept 12 --note "checked with the exchange"
      barfill quarantine reject --rule Q06 --all
      barfill quarantine undo 12
      barfill quarantine warnings --symbol AAPL
    """


@quarantine.command(name="list")
@filter_options
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these. [default: open]")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def list_(states: tuple[State, ...], limit: int, as_json: bool, **named: Any) -> int:
    """
    List quarantined rows: the open ones, or those of other states.

    open: nothing is decided, and the bar is not there. superseded: nothing was decided, and a bar that keeps the rules
    has come in its place. accepted, rejected: by a person.

    \b
    Examples:
      barfill quarantine list
      barfill quarantine list --symbol AAPL --timeframe 1m --rule Q20
      barfill quarantine list --state accepted --state rejected --json
    """
    with open_store(read_settings()) as database:
        from barfill.store.quarantine import count_quarantined, list_quarantined  # noqa: PLC0415  slow to load

        wanted = Wanted(**named).filter(database, states or ("open",))
        found = database.run(list_quarantined, wanted, limit=limit)
        counts = database.run(count_quarantined, wanted)
    if as_json:
        by_rule = [{"rule": rule, "state": state, "rows": count} for (rule, state), count in counts.items()]
        print_json({"rows": [row_as_json(row) for row in found], "counts": by_rule})
        return 0
    show_list(found)
    listed = sum(count for (_, state), count in counts.items() if state in (states or ("open",)))
    if listed > len(found):
        click.echo(f"... and {listed - len(found):,} more: --limit {listed}")
    show_counts(counts)
    return 0


def _show(number: int, as_json: bool) -> int:
    with open_store(read_settings()) as database:
        from barfill.engine.quarantine import find_rows  # noqa: PLC0415  slow to load
        from barfill.store.quarantine import bars_around, decisions_on  # noqa: PLC0415

        (row,) = find_rows(database, [number])
        past = database.run(decisions_on, number)
        around = []
        if row.symbol_id is not None and row.ts is not None:
            around = database.run(bars_around, row.symbol_id, row.timeframe, row.ts)
    if as_json:
        print_json(row_as_json(row, past, around))
    else:
        show_row(row, past, around)
    return 0


@quarantine.command()
@click.argument("number", type=row_id, metavar="ID")
@json_option
def show(number: int, as_json: bool) -> int:
    """
    All that is known of a row: its values, the rule, who sent it, the bars around it, what follows.

    \b
    Examples:
      barfill quarantine show 12
      barfill quarantine show 12 --json
    """
    return _show(number, as_json)


@quarantine.command()
@click.argument("number", type=row_id, metavar="ID")
@json_option
def explain(number: int, as_json: bool) -> int:
    """
    The same as show.

    \b
    Examples:
      barfill quarantine explain 12
    """
    return _show(number, as_json)


@quarantine.command()
@row_argument
@bulk_options
@who_option
@note_option
@json_option
def accept(
    numbers: tuple[int, ...],
    wants_all: bool,
    yes: bool,
    who: str | None,
    note: str,
    as_json: bool,
    **named: Any,
) -> int:
    """
    Put rows into their series: a person says that they are right.

    The bar is final and covered then, its gap is closed, and what is made of it is made anew. A value that it replaces
    becomes a revision. What the table cannot hold (no number, a high below its low) is refused. Nothing but a different
    value of the provider replaces it later, and that is a revision, too.

    \b
    Examples:
      barfill quarantine accept 12 13
      barfill quarantine accept --symbol BRK.A --rule Q20 --all --note "1:20, no split on file"
    """
    from barfill.engine.quarantine import accept as accept_them  # noqa: PLC0415  slow to load

    choice = Choice(numbers, Wanted(**named), wants_all=wants_all, yes=yes)
    return _decide("accept", "Accepted", choice, partial(accept_them, who=who or _user(), note=note), as_json=as_json)


@quarantine.command()
@row_argument
@bulk_options
@who_option
@note_option
@json_option
def reject(
    numbers: tuple[int, ...],
    wants_all: bool,
    yes: bool,
    who: str | None,
    note: str,
    as_json: bool,
    **named: Any,
) -> int:
    """
    Keep rows out for good: a person says that they are wrong.

    Their bars count as accounted for and are not asked for again. Should a bar that keeps the rules come all the same,
    it is stored; should another one that breaks a rule come, its gap is open again.

    \b
    Examples:
      barfill quarantine reject 12
      barfill quarantine reject --rule Q06 --all --yes
    """
    from barfill.engine.quarantine import reject as reject_them  # noqa: PLC0415  slow to load

    choice = Choice(numbers, Wanted(**named), wants_all=wants_all, yes=yes)
    return _decide("reject", "Rejected", choice, partial(reject_them, who=who or _user(), note=note), as_json=as_json)


@quarantine.command()
@row_argument
@bulk_options
@who_option
@json_option
def undo(numbers: tuple[int, ...], wants_all: bool, yes: bool, who: str | None, as_json: bool, **named: Any) -> int:
    """
    Take decisions back, and what they have done.

    An accepted bar goes out of its series again, or what it had replaced is back; a rejected one is asked for again.

    \b
    Examples:
      barfill quarantine undo 12
      barfill quarantine undo --symbol AAPL --all
    """
    from barfill.engine.quarantine import undo as undo_them  # noqa: PLC0415  slow to load

    choice = Choice(numbers, Wanted(**named), wants_all=wants_all, yes=yes, states=("accepted", "rejected"))
    return _decide("undo", "Undone", choice, partial(undo_them, who=who or _user()), as_json=as_json)


@quarantine.command()
@symbol_option
@timeframe_option
@click.option("--rule", "rules", multiple=True, type=click.Choice(WARNINGS), help="Only this rule; repeatable.")
@start_option
@end_option
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def warnings(
    symbols: tuple[str, ...],
    timeframes: tuple[str, ...],
    rules: tuple[str, ...],
    start: str | None,
    end: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """
    List warnings: bars that are stored and look wrong, the newest first.

    They break no hard rule and are used like any others; nothing has to be decided about them.

    \b
    Examples:
      barfill quarantine warnings --symbol AAPL
      barfill quarantine warnings --rule W11 --start 2026-08-01 --json
    """
    with open_store(read_settings()) as database:
        from barfill.store.marks import MarkFilter, count_marks, list_marks  # noqa: PLC0415  slow to load

        named = Wanted(symbols, timeframes, rules, start, end).filter(database, None)
        wanted = MarkFilter(
            symbol_ids=named.symbol_ids,
            timeframes=named.timeframes,
            rules=named.rules,
            start=named.start,
            end=named.end,
        )
        found = database.run(list_marks, wanted, limit=limit)
        counts = database.run(count_marks, wanted)
    if as_json:
        print_json({"warnings": [mark_as_json(one) for one in found], "counts": counts})
        return 0
    show_marks(found)
    total = sum(counts.values())
    if total > len(found):
        click.echo(f"... and {total - len(found):,} more: --limit {total}")
    told = ", ".join(f"{rule}: {count:,}" for rule, count in counts.items())
    click.echo(f"{counted(total, 'warning')} ({told})" if counts else "No warnings like that.")
    return 0


def _decide(
    verb: str, done: str, choice: Choice, decide: Callable[[Database, Sequence[Quarantined]], Decided], *, as_json: bool
) -> int:
    """What a person decides, and at once what is derived of the bars around."""
    from barfill.engine.resampling import ResampleRequest, resample_stored  # noqa: PLC0415  slow to load

    settings = read_settings()
    with open_store(settings) as database:
        rows = _rows(database, choice, verb)
        decided = decide(database, rows)
        ids = {row.symbol_id for row in rows if row.id in set(decided.done) and row.symbol_id is not None}
        request = ResampleRequest(symbol_ids=tuple(sorted(ids)), is_known_only=True)
        made = resample_stored(database, request, engine_settings(settings).resampling) if ids else None
    return _tell(decided, rows, done, made, as_json=as_json)


def _rows(database: Database, choice: Choice, verb: str) -> Sequence[Quarantined]:
    """The named rows, or all that the filters let pass, after a question."""
    from barfill.engine.quarantine import find_rows  # noqa: PLC0415  slow to load
    from barfill.store.quarantine import list_quarantined  # noqa: PLC0415

    if choice.numbers and (choice.wants_all or choice.wanted.is_filtered):
        raise InvalidInput("Rows are named and filters are given. Give one of them.")
    if choice.numbers:
        return find_rows(database, choice.numbers)
    if not choice.wants_all:
        raise InvalidInput("No rows are named. Give their ids (see: barfill quarantine list), or filters and --all.")
    found = database.run(list_quarantined, choice.wanted.filter(database, choice.states), limit=BULK_MAX + 1)
    if len(found) > BULK_MAX:
        raise InvalidInput(f"More than {BULK_MAX:,} rows are like that. Name symbols, rules or a range.")
    if found and not choice.yes:
        by_rule = ", ".join(f"{rule}: {count:,}" for rule, count in sorted(Counter(row.rule for row in found).items()))
        if not sys.stdin.isatty():
            raise InvalidInput(f"{counted(len(found), 'row')} would be decided on ({by_rule}). Add --yes to do it.")
        click.confirm(f"{verb} {counted(len(found), 'row')} ({by_rule})?", abort=True, err=True)
    return found


def _tell(
    decided: Decided, rows: Sequence[Quarantined], done: str, made: ResampleReport | None, *, as_json: bool
) -> int:
    if as_json:
        left = [{"id": number, "reason": reason} for number, reason in decided.left.items()]
        told = [{"id": number, "then": decided.told.get(number, "")} for number in decided.done]
        print_json({"done": told, "left": left, "derived": made.total("bars") if made else 0})
    elif not rows:
        click.echo("No rows like that.")
    else:
        if decided.done:
            click.echo(f"{done}: {_named(decided.done)}.")
        for number, text in list(decided.told.items())[:TOLD_MAX]:
            click.echo(f"Row {number}: {text}.")
        if made and made.total("bars"):
            named = ", ".join(dict.fromkeys(one.timeframe.label for one in made.series))
            click.echo(f"Derived: {counted(made.total('bars'), 'bar')} of {named}.")
        for text, count in Counter(decided.left.values()).items() if len(decided.left) > TOLD_MAX else ():
            say(f"{counted(count, 'row')} left as they are: {text}.")
        for number, text in decided.left.items() if len(decided.left) <= TOLD_MAX else ():
            say(f"Row {number} stays as it is: {text}.")
    return EXIT_FAILED if decided.left else 0


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) > TOLD_MAX:
        return counted(len(numbers), "row")
    return f"{'row' if len(numbers) == 1 else 'rows'} {', '.join(map(str, numbers))}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise InvalidInput("Nobody can tell who you are here. Say it: --by NAME") from None

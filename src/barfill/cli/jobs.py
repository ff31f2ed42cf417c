"""`barfill jobs`: what was fetched, is being fetched and waits; and the definitions of what is kept complete."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from barfill.cli.definitions import definitions
from barfill.cli.inputs import parse_ticker, parse_timeframes
from barfill.cli.naming import today_s_ticker
from barfill.cli.numbers import Number
from barfill.cli.opening import open_store
from barfill.cli.runs_table import counts_line, show_list, show_run
from barfill.cli.terminal import counted, json_option, print_json, say
from barfill.cli.watching import watch_runs
from barfill.engine.listed_runs import run_to_json
from barfill.errors import InvalidInput, SymbolNotFound
from barfill.settings import read_settings

if TYPE_CHECKING:
    from barfill.store.database import Connection
    from barfill.store.runlist import Status

DEFAULT_LIMIT = 20
EXIT_FAILED = 1
NAMED_MAX = 10
STATUS_NAMES = ("queued", "running", "success", "failed", "cancelled")
TERMINAL_EVERY_S, PLAIN_EVERY_S = 1.0, 5.0

run_id = Number("a run", "barfill jobs list", 2**63 - 1)


@click.group()
def jobs() -> None:
    """
    Job runs and definitions: list, show, watch, retry, cancel.

    A run is one execution of one slice: some symbols, a timeframe, a range. A definition is a standing order to keep
    the last so many days of a series complete.

    \b
    Examples:
      barfill jobs list --status failed
      barfill jobs show 81
      barfill jobs retry --failed
      barfill jobs watch
      barfill jobs definitions list
    """


jobs.add_command(definitions)


@jobs.command(name="list")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUS_NAMES), help="Only these; repeatable.")
@click.option("--symbol", metavar="SYMBOL", help="Only runs that fetch this symbol, alone or among others.")
@click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]")
@click.option("--limit", type=click.IntRange(1, 100_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def list_(
    statuses: tuple[Status, ...], symbol: str | None, timeframes: tuple[str, ...], limit: int, as_json: bool
) -> int:
    """
    List runs, the newest first.

    \b
    Examples:
      barfill jobs list
      barfill jobs list --status running --status queued
      barfill jobs list --symbol AAPL --timeframe 15m --limit 100 --json
    """
    ticker = parse_ticker(symbol) if symbol else None
    named = parse_timeframes(timeframes) if timeframes else None
    with open_store(read_settings()) as database:
        from barfill.store.runlist import RunFilter, count_by_status, list_runs  # noqa: PLC0415  slow to load

        wanted = RunFilter(
            statuses=statuses or None,
            symbol_id=database.run(_symbol_id, today_s_ticker(database, ticker)) if ticker else None,
            timeframes=named,
        )
        found = database.run(list_runs, wanted, limit=limit)
        counts = database.run(count_by_status, wanted)
        now = database.now()
    if as_json:
        print_json({"runs": [run_to_json(run) for run in found], "counts": counts})
        return 0
    if not found:
        is_filtered = bool(statuses or ticker or timeframes)
        say("No runs like that." if is_filtered else "There are no runs yet. Begin with: barfill backfill AAPL MSFT")
        return 0
    show_list(found, now)
    total = sum(counts.values())
    if total > len(found):
        click.echo(f"... and {total - len(found):,} more: --limit {total}")
    click.echo(counts_line(counts))
    return 0


@jobs.command()
@click.argument("number", type=run_id, metavar="ID")
@json_option
def show(number: int, as_json: bool) -> int:
    """
    All that is known of a run.

    Its slice and pages, its worker, and what to do about its error.

    \b
    Examples:
      barfill jobs show 81
      barfill jobs show 81 --json
    """
    with open_store(read_settings()) as database:
        from barfill.store.runlist import find_runs  # noqa: PLC0415  slow to load

        (run,) = database.run(find_runs, [number])
        now = database.now()
    if as_json:
        print_json(run_to_json(run))
    else:
        show_run(run, now)
    return 0


@jobs.command()
@click.argument("numbers", nargs=-1, type=run_id, metavar="[ID]...")
@click.option("--failed", "all_failed", is_flag=True, help="All that failed.")
def retry(numbers: tuple[int, ...], all_failed: bool) -> int:
    """
    Put failed and cancelled runs back into the queue.

    They go on at the page that they had reached. One whose bars have come otherwise, or that another run is bringing,
    stays as it is.

    \b
    Examples:
      barfill jobs retry 81 82
      barfill jobs retry --failed
    """
    _check_choice(numbers, is_all=all_failed, option="--failed")
    settings = read_settings()
    with open_store(settings) as database:
        from barfill.engine.retrying import retry as retry_wanted  # noqa: PLC0415  slow to load
        from barfill.store.runlist import find_runs, runs_in  # noqa: PLC0415

        wanted = database.run(runs_in, "failed") if all_failed else list(dict.fromkeys(numbers))
        status_of = {run.id: run.status for run in database.run(find_runs, wanted)}
        retried = retry_wanted(database, wanted, patience_s=settings.worker_patience_seconds)
    if all_failed and not wanted:
        click.echo("No run has failed.")
    if retried.queued:
        queued = _named(wanted, set(retried.queued))
        click.echo(f"Queued again: {queued}. A worker, or the next backfill of them, goes on there.")
    for why, count in Counter(retried.left.values()).items() if all_failed else ():
        click.echo(f"{counted(count, 'run')} left as {'it is' if count == 1 else 'they are'}: {why}.")
    for number, why in () if all_failed else retried.left.items():
        say(f"Run {number} stays {status_of[number]}: {why}.")
    return EXIT_FAILED if retried.left and not all_failed else 0


@jobs.command()
@click.argument("numbers", nargs=-1, type=run_id, metavar="[ID]...")
@click.option("--queued", "all_queued", is_flag=True, help="All that wait.")
@click.option("--provider", metavar="NAME", help="All that wait for this provider.")
def cancel(numbers: tuple[int, ...], all_queued: bool, provider: str | None) -> int:
    """
    End runs that are not finished.

    What they have written stays. A page that is being fetched for a running one is dropped.

    \b
    Examples:
      barfill jobs cancel 81
      barfill jobs cancel --queued
      barfill jobs cancel --provider massive
    """
    all_queued = all_queued or provider is not None
    _check_choice(numbers, is_all=all_queued, option="--queued")
    with open_store(read_settings()) as database:
        from barfill.store.runlist import find_runs, runs_in  # noqa: PLC0415  slow to load
        from barfill.store.runs import BY_THE_USER, cancel_runs  # noqa: PLC0415

        wanted = database.run(runs_in, "queued", provider) if all_queued else list(dict.fromkeys(numbers))
        before = {} if all_queued else {run.id: run.status for run in database.run(find_runs, wanted)}
        changed = set(database.run(cancel_runs, wanted, reason=BY_THE_USER))
    if all_queued and not wanted:
        click.echo(f"No run is queued{f' for {provider}' if provider else ''}.")
    if changed:
        click.echo(f"Cancelled: {_named(wanted, changed)}. What they have written stays.")
    return _tell_left(before, changed, "it is over already")


@jobs.command()
@click.option(
    "--days", type=click.IntRange(0, 36_500), metavar="N", help="Keep N days. [default: JOB_RUNS_RETENTION_DAYS, 90]"
)
def prune(days: int | None) -> int:
    """
    Forget runs that finished long ago.

    Bars, coverage and gaps stay, and so do runs that are not finished.

    \b
    Examples:
      barfill jobs prune
      barfill jobs prune --days 30
    """
    settings = read_settings()
    kept = settings.job_runs_retention_days if days is None else days
    with open_store(settings) as database:
        from barfill.store.runs import prune_runs  # noqa: PLC0415  slow to load

        count = database.run(prune_runs, days=kept)
    click.echo(f"Forgot {counted(count, 'run')} that finished more than {counted(kept, 'day')} ago.")
    return 0


@jobs.command()
@click.option(
    "--every",
    type=click.FloatRange(0.2, 3600),
    metavar="SECONDS",
    help="How often to look. [default: 1 on a terminal, else 5]",
)
@json_option
def watch(every: float | None, as_json: bool) -> int:
    """
    Watch what is running and queued.

    It is read from the database: whoever works on it, on whatever machine. It ends when nobody works on anything any
    more: exit code 0, or 1 if a run failed meanwhile. Ctrl-C ends it at once, with 130, and stops nothing else. With
    --json each look is one line.

    \b
    Examples:
      barfill jobs watch
      barfill jobs watch --every 60 --json >> progress.jsonl
    """
    is_terminal = sys.stdout.isatty()
    every_s = every or (TERMINAL_EVERY_S if is_terminal else PLAIN_EVERY_S)
    with open_store(read_settings()) as database:
        return watch_runs(database, every_s=every_s, is_terminal=is_terminal, as_json=as_json)


def _symbol_id(conn: Connection, ticker: str) -> int:
    from barfill.store.symbols import find_symbols  # noqa: PLC0415  slow to load

    known = find_symbols(conn, [ticker])
    if not known:
        raise SymbolNotFound(f"Symbol {ticker!r} is not on record. See: barfill symbols list")
    return known[ticker].id


def _check_choice(numbers: Sequence[int], *, is_all: bool, option: str) -> None:
    if is_all and numbers:
        raise InvalidInput(f"Runs are named and {option} is given. Give one of them.")
    if not is_all and not numbers:
        raise InvalidInput(f"No runs are named. Give their ids (see: barfill jobs list), or {option}.")


def _named(wanted: Sequence[int], changed: set[int]) -> str:
    ids = [number for number in wanted if number in changed]
    if len(ids) > NAMED_MAX:
        return counted(len(ids), "run")
    return f"{'run' if len(ids) == 1 else 'runs'} {', '.join(map(str, ids))}"


def _tell_left(before: dict[int, Status], changed: set[int], why: str) -> int:
    """Says of each named run that stayed as it is why it did; the exit code."""
    left = {number: status for number, status in before.items() if number not in changed}
    for number, status in left.items():
        say(f"Run {number} stays {status}: {why}.")
    return EXIT_FAILED if left else 0

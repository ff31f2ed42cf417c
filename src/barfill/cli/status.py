"""`barfill status`: how complete each symbol is, how far behind, and how its last run went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from barfill.cli.inputs import parse_tickers
from barfill.cli.matrix import CELL_WIDTH, ROWS_MAX, legend, matrix_table
from barfill.cli.meter import show_meters
from barfill.cli.naming import today_s_tickers
from barfill.cli.opening import open_store
from barfill.cli.terminal import ago, clean, console, counted, json_option, print_json, print_table, say
from barfill.core.timeframe import Timeframe
from barfill.engine.status import SESSIONS_BEHIND_MAX, SymbolStatus, read_statuses
from barfill.errors import InvalidInput
from barfill.settings import read_settings

if TYPE_CHECKING:
    from rich.text import Text


WIDE = 110
"""From so many columns on, all is written out."""
ERRORS_SHOWN_MAX = 10
SYMBOLS_NAMED_MAX = 5
EXIT_FAILED = 1

EPILOG = """\
\b
Examples:
  barfill status
  barfill status AAPL MSFT --json
  barfill status --unhealthy || echo "look at it"
  barfill status --quota           requests used and left, of each key

\b
Behind: sessions that are over and not stored yet, and days since the newest bar,
both of the timeframe that is farthest behind ("1s 3d" where there is little room).
Unhealthy: more than one session behind, never filled, or the last run failed.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--unhealthy", "only_unhealthy", is_flag=True, help="Only what is stale or failed; exit 1 if any is.")
@click.option("--quota", "wants_quota", is_flag=True, help="Instead: how much of each key's request rate is used.")
@json_option
def status(symbols: tuple[str, ...], only_unhealthy: bool, wants_quota: bool, as_json: bool) -> int:
    """
    How complete each symbol is, and how far behind.

    The matrix tells how much of the range that was fetched so far is there, by timeframe.
    """
    wanted = parse_tickers(symbols)
    if wants_quota:
        if wanted or only_unhealthy:
            raise InvalidInput("--quota is about keys. Give it without symbols and without --unhealthy.")
        with open_store(read_settings()) as database:
            show_meters(database, as_json=as_json)
        return 0
    with open_store(read_settings()) as database:
        found = read_statuses(database, today_s_tickers(database, wanted))
        now = database.now()
    unhealthy = [one for one in found if not one.is_healthy]
    shown = unhealthy if only_unhealthy else found
    if as_json:
        print_json({"healthy": not unhealthy, "symbols": [one.to_json() for one in shown]})
    elif not found:
        say("There are no symbols yet. Begin with: barfill backfill AAPL MSFT")
    else:
        _show(shown, unhealthy, now)
    return EXIT_FAILED if only_unhealthy and unhealthy else 0


def _show(shown: Sequence[SymbolStatus], unhealthy: Sequence[SymbolStatus], now: datetime) -> None:
    from rich.text import Text  # noqa: PLC0415  slow to load

    rows = shown if len(shown) <= ROWS_MAX else [one for one in shown if not _is_unremarkable(one)][:ROWS_MAX]
    if rows:
        is_narrow = console().width < WIDE
        last_runs = [ago(one.last_run_at, now) if one.last_run_at else "never" for one in rows]
        further = {
            "behind": [_behind(one, is_narrow=is_narrow) for one in rows],
            "last run": [Text(text.removesuffix(" ago") if is_narrow else text) for text in last_runs],
            "result": [Text("failed", style="red") if one.failed else Text("ok" if one.rows else "") for one in rows],
        }
        table = {one.symbol.ticker: one.states for one in rows}
        print_table(matrix_table(table, further, cell_width=0 if is_narrow else CELL_WIDTH))
        left_out = f"   ({counted(len(shown) - len(rows), 'other symbol')} not shown)" if len(rows) < len(shown) else ""
        units = "   behind: s sessions, d days" if is_narrow else ""
        click.echo(legend(table) + units + left_out)
        click.echo("of all that was ever asked for")
        click.echo()
    elif shown:
        click.echo(f"All {counted(len(shown), 'symbol')} are complete in what was fetched so far.")
    _show_errors(unhealthy)
    _show_open_gaps(shown)
    if unhealthy:
        click.echo(f"{counted(len(unhealthy), 'symbol')} stale or failed. Fetch what is missing:")
        click.echo(f"  {_remedy(unhealthy, now)}")
    else:
        click.echo("All symbols are at most one session behind, and nothing failed.")


def _show_open_gaps(shown: Sequence[SymbolStatus]) -> None:
    with_gaps = [one for one in shown if one.gap_count]
    if not with_gaps:
        return
    gaps = counted(sum(one.gap_count for one in with_gaps), "open gap")
    who = " ".join(one.symbol.ticker for one in with_gaps[:SYMBOLS_NAMED_MAX])
    more = len(with_gaps) - SYMBOLS_NAMED_MAX
    click.echo(f"{gaps}: barfill gaps {who}" + (f" (and {counted(more, 'other symbol')})" if more > 0 else ""))


def _remedy(unhealthy: Sequence[SymbolStatus], now: datetime) -> str:
    """The backfill that reaches the oldest open gap and the newest missing session, in the timeframes on record."""
    who = " ".join(one.symbol.ticker for one in unhealthy) if len(unhealthy) <= SYMBOLS_NAMED_MAX else "--all"
    on_record = {timeframe for one in unhealthy for timeframe in (*one.rows, *one.open_gaps)}
    names = ",".join(timeframe.label for timeframe in Timeframe if timeframe in on_record)
    days = [row.days_behind for one in unhealthy for row in one.rows.values() if row.days_behind is not None]
    # A day more: --days begins at 00:00 UTC, and the oldest gap must lie behind it wherever the day is cut.
    days += [(now - gaps.oldest).days + 1 for one in unhealthy for gaps in one.open_gaps.values()]
    timeframes = f" --timeframes {names}" if names and len(on_record) < len(Timeframe) else ""
    return f"barfill backfill {who}{timeframes}" + (f" --days {max(days) + 1}" if days else "")


def _show_errors(unhealthy: Sequence[SymbolStatus]) -> None:
    errors = [(one.symbol.ticker, row) for one in unhealthy for row in one.failed]
    for ticker, row in errors[:ERRORS_SHOWN_MAX]:
        click.echo(clean(f"{row.last_error_code}: {ticker} {row.timeframe.label}: {row.last_error or ''}"))
    if len(errors) > ERRORS_SHOWN_MAX:
        click.echo(f"... and {len(errors) - ERRORS_SHOWN_MAX:,} more: barfill status --unhealthy --json")


def _behind(one: SymbolStatus, *, is_narrow: bool) -> Text:
    from rich.text import Text  # noqa: PLC0415  slow to load

    sessions, days = one.sessions_behind, one.days_behind
    if sessions is None or days is None:
        return Text("empty" if is_narrow else "nothing stored", style="yellow")
    text = f"{sessions}s {days}d" if is_narrow else f"{counted(sessions, 'session')}, {counted(days, 'day')}"
    return Text(text, style="green" if sessions <= SESSIONS_BEHIND_MAX else "red")


def _is_unremarkable(one: SymbolStatus) -> bool:
    return one.is_healthy and all(state.is_complete for state in one.states.values())

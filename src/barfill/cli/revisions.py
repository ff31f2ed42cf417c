"""`barfill revisions`: final bars that were changed or taken out, with what was there before."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.inputs import FIRST_YEAR, parse_tickers, parse_timeframes, parse_window
from barfill.cli.naming import symbol_ids
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, console, counted, json_option, print_json
from barfill.core.instants import parse_instant
from barfill.core.revisions import FieldChange, field_changes
from barfill.settings import read_settings

if TYPE_CHECKING:
    from barfill.store.revisions import BarChange, ChangeCount

DEFAULT_LIMIT = 50
ALARM = "W05"
INDENT = " " * 4

EPILOG = """\
\b
Examples:
  barfill revisions                              the newest corrections
  barfill revisions AAPL --timeframes 1m --days 5
  barfill revisions --since 2026-03-01T09:30Z --json

\b
Why: corrected (a later answer has another value), derived (made anew from bars that changed),
withdrawn (two pages of an answer contradict each other), misplaced (another company's bar),
changed and removed (by another program, or by hand). W05 marks what moved by more than 0.01 %
in a price or 0.5 % in the volume. --days, --start and --end are about the bars, --since about
the changes. How to read all bars as they were: docs/asof.md.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]")
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="Bars of the last N days. [default: all]")
@click.option("--start", metavar="D", help="Bars from this date or instant on.")
@click.option("--end", metavar="D", help="Bars up to this date or instant, which is excluded.")
@click.option("--since", metavar="T", help="Only what was changed at this date or instant, or later.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def revisions(
    symbols: tuple[str, ...],
    timeframes: tuple[str, ...],
    days: int | None,
    start: str | None,
    end: str | None,
    since: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """
    Final bars that were changed or taken out, with what was there before.

    The newest changes come first, each with its time, the bar, who sent what came instead, and why (all times UTC);
    below them, all changes are summed up by series.
    """
    from barfill.store.revisions import ChangeFilter, count_changes, list_changes  # noqa: PLC0415  slow to load

    tickers = parse_tickers(symbols)
    window = None
    if (days, start, end) != (None, None, None):
        begin = f"{FIRST_YEAR}-01-01" if days is None and start is None else start
        window = parse_window(days=days, start=begin, end=end, now=datetime.now(UTC))
    changed_since = None if since is None else parse_instant(since, "--since")
    with open_store(read_settings()) as database:
        wanted = ChangeFilter(
            symbol_ids=symbol_ids(database, tickers),
            timeframes=parse_timeframes(timeframes),
            window=window,
            since=changed_since,
        )
        found = database.run(list_changes, wanted, limit=limit)
        counts = database.run(count_changes, wanted)
    if as_json:
        print_json({"revisions": [_as_json(one) for one in found], "series": [_count_as_json(one) for one in counts]})
        return 0
    if not found:
        click.echo("No final bar was changed or taken out.")
        return 0
    _show(found)
    listed = sum(one.changes for one in counts)
    if listed > len(found):
        click.echo(f"... and {listed - len(found):,} more: --limit {listed}")
    for one in counts:
        click.echo(clean(_sum(one)))
    return 0


def _show(found: Sequence[BarChange]) -> None:
    """Two lines or more for each: which bar, by whom and why, and below it what has changed."""
    width = console().width
    for one in found:
        changed, bar = f"{one.changed_at:%Y-%m-%d %H:%M:%S}", f"{one.ts:%Y-%m-%d %H:%M}"
        why = one.reason if one.run_id is None else f"{one.reason}, run {one.run_id}"
        mark = f"  {ALARM}" if one.is_alarm else ""
        by = one.new_provider or one.old_provider
        click.echo(clean(f"{changed}  {one.ticker} {one.timeframe.label} {bar}  {by}: {why}{mark}"))
        for line in textwrap.wrap(clean(_what(one)), width, initial_indent=INDENT, subsequent_indent=INDENT):
            click.echo(line)


def _what(one: BarChange) -> str:
    """`close 10.2 -> 10.3 (+0.98 %)`."""
    if one.new is None:
        return f"taken out: close {one.old.close:.10g}, volume {one.old.volume:.10g}"
    changes = field_changes(one.old, one.new)
    return ", ".join(_field(change) for change in changes) or "no value: who sent it, or when"


def _field(change: FieldChange) -> str:
    old, new = _number(change.old), _number(change.new)
    if old == new:
        old, new = repr(change.old), repr(change.new)
    apart = "" if change.distance is None else f" ({change.distance * 100:+.3g} %)"
    return f"{change.field} {old} -> {new}{apart}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.10g}"


def _sum(one: ChangeCount) -> str:
    parts = [f"{counted(one.changes, 'change')} of {counted(one.bars, 'bar')}"]
    parts += [f"{one.removed:,} taken out"] if one.removed else []
    parts += [f"{one.alarms:,} {ALARM}"] if one.alarms else []
    return f"{one.ticker} {one.timeframe.label}: {', '.join(parts)}"


def _as_json(one: BarChange) -> dict[str, Any]:
    changes = () if one.new is None else field_changes(one.old, one.new)
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "ts": one.ts,
        "believed_from": one.believed_from,
        "changed_at": one.changed_at,
        "reason": one.reason,
        "run_id": one.run_id,
        "old_provider": one.old_provider,
        "new_provider": one.new_provider,
        "is_removed": one.new is None,
        "is_alarm": one.is_alarm,
        "changes": [
            {"field": change.field, "old": change.old, "new": change.new, "distance": change.distance}
            for change in changes
        ],
    }


def _count_as_json(one: ChangeCount) -> dict[str, Any]:
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "changes": one.changes,
        "bars": one.bars,
        "removed": one.removed,
        "alarms": one.alarms,
        "newest_change": one.newest,
    }

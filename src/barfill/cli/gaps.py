"""`barfill gaps`: expected bars that are not there, each with its kind and reason."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args

import click

from barfill.cli.inputs import parse_tickers, parse_timeframes
from barfill.cli.opening import open_store
from barfill.cli.terminal import ago, clean, console, counted, json_option, print_json, print_table
from barfill.core.timeframe import Timeframe
from barfill.errors import SymbolNotFound
from barfill.settings import read_settings
from barfill.store.writes import OPEN_KINDS, GapKind

if TYPE_CHECKING:
    from datetime import datetime

    from barfill.store.database import Connection
    from barfill.store.gaps import ListedGap
    from barfill.store.status import GapCount

KINDS: tuple[GapKind, ...] = get_args(GapKind)
DEFAULT_LIMIT = 50
TITLES = ("symbol", "timeframe", "from", "to (UTC, excluded)", "bars", "kind")
WIDE = 130
"""From so many columns on, a line holds the reason as well."""
INDENT = " " * 4

EPILOG = """\
\b
Examples:
  barfill gaps                          what may still fill, or needs a look
  barfill gaps THIN --kind no_trade
  barfill gaps --settled --timeframes 1d --json

\b
Kinds: missing (asked, expected, absent), failed (asked, never answered),
quarantined (rows that broke a rule), and the settled no_trade, halted, unavailable
(before listing, after delisting, beyond the plan's history), not_entitled.
Ranges that were never asked for are not listed: 'barfill backfill --dry-run' plans them.
"""


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Only these. [default: all]")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind; may be repeated.")
@click.option("--settled", "with_settled", is_flag=True, help="Settled ones too.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="How many.")
@json_option
def gaps(
    symbols: tuple[str, ...],
    timeframes: tuple[str, ...],
    kinds: tuple[GapKind, ...],
    with_settled: bool,
    limit: int,
    as_json: bool,
) -> int:
    """Expected bars that are not there, each with its reason."""
    tickers = parse_tickers(symbols)
    wanted = parse_timeframes(timeframes)
    chosen = kinds or (KINDS if with_settled else OPEN_KINDS)
    with open_store(read_settings()) as database:
        from barfill.store.gaps import list_gaps  # noqa: PLC0415  slow to load
        from barfill.store.status import count_gaps  # noqa: PLC0415

        ids = database.run(_ids, tickers)
        # One timeframe at a time: their names do not sort as their lengths do, and the limit must cut the last ones.
        parts = [database.run(list_gaps, symbol_ids=ids, timeframes=[one], kinds=chosen, limit=limit) for one in wanted]
        found = sorted(chain.from_iterable(parts), key=_place)[:limit]
        counts = database.run(count_gaps, ids)
        now = database.now()
    by_kind = _by_kind({key: count for key, count in counts.items() if key[1] in wanted})
    if as_json:
        print_json({"gaps": [_as_json(one) for one in found], "counts": by_kind})
        return 0
    if found:
        _show(found, now)
    elif kinds:
        click.echo("No gaps of this kind." if len(kinds) == 1 else "No gaps of these kinds.")
    listed = sum(by_kind[kind]["gaps"] for kind in chosen if kind in by_kind)
    if listed > len(found):
        click.echo(f"... and {listed - len(found):,} more: --limit {listed}")
    _show_counts(by_kind, chosen)
    return 0


def _place(one: ListedGap) -> tuple[str, int, datetime]:
    return one.ticker, list(Timeframe).index(one.timeframe), one.gap.range.start


def _ids(conn: Connection, tickers: Sequence[str]) -> list[int] | None:
    """The ids of the named symbols; None, which stands for all, where none is named."""
    from barfill.store.symbols import find_symbols  # noqa: PLC0415  slow to load

    if not tickers:
        return None
    known = find_symbols(conn, tickers)
    unknown = [ticker for ticker in tickers if ticker not in known]
    if unknown:
        raise SymbolNotFound(f"Symbol {unknown[0]!r} is not on record. See: barfill symbols list")
    return [symbol.id for symbol in known.values()]


def _by_kind(counts: dict[Any, GapCount]) -> dict[str, dict[str, int]]:
    gap_count: Counter[str] = Counter()
    bar_count: Counter[str] = Counter()
    for (_, _, kind), count in counts.items():
        gap_count[kind] += count.gaps
        bar_count[kind] += count.bars
    return {kind: {"gaps": gap_count[kind], "bars": bar_count[kind]} for kind in KINDS if gap_count[kind]}


def _show(found: Sequence[ListedGap], now: datetime) -> None:
    width = console().width
    if width < WIDE:
        _show_narrow(found, width)
    else:
        _show_wide(found, now)


def _show_wide(found: Sequence[ListedGap], now: datetime) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (*TITLES, "asked", "last", "reason"):
        table.add_column(title, justify="right" if title in ("bars", "asked") else "left", no_wrap=title != "reason")
    for one in found:
        gap = one.gap
        last = ago(gap.last_checked_at, now) if gap.last_checked_at else ""
        table.add_row(*(Text(clean(cell)) for cell in (*_cells(one), f"{gap.attempts} x", last, gap.reason)))
    print_table(table)


def _show_narrow(found: Sequence[ListedGap], width: int) -> None:
    """Two lines or more for each: what is missing, and below it the reason."""
    rows = [_cells(one) for one in found]
    widths = [max(map(len, column)) for column in zip(TITLES, *rows, strict=True)]
    click.secho(_line(TITLES, widths), bold=True)
    for one, row in zip(found, rows, strict=True):
        click.echo(clean(_line(row, widths)))
        reason = clean(one.gap.reason)
        for line in textwrap.wrap(reason, width, initial_indent=INDENT, subsequent_indent=INDENT):
            click.echo(line)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    bars = TITLES.index("bars")
    padded = (
        f"{cell:>{width}}" if position == bars else f"{cell:<{width}}"
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _cells(one: ListedGap) -> tuple[str, ...]:
    """What stands below TITLES."""
    gap = one.gap
    start, end = f"{gap.range.start:%Y-%m-%d %H:%M}", f"{gap.range.end:%Y-%m-%d %H:%M}"
    return one.ticker, one.timeframe.label, start, end, f"{gap.expected_bars:,}", gap.kind


def _show_counts(by_kind: dict[str, dict[str, int]], chosen: Sequence[str]) -> None:
    if set(chosen) >= set(OPEN_KINDS) and not any(kind in by_kind for kind in OPEN_KINDS):
        click.echo("No open gaps: every expected bar that was asked for is there or accounted for.")
    for kind, count in by_kind.items():
        hint = "" if kind in OPEN_KINDS else f"   (settled; list them: --kind {kind})"
        click.echo(f"{kind:<12} {counted(count['bars'], 'bar')} in {counted(count['gaps'], 'gap')}{hint}")


def _as_json(one: ListedGap) -> dict[str, Any]:
    gap = one.gap
    return {
        "symbol": one.ticker,
        "timeframe": one.timeframe.label,
        "gap_from": gap.range.start,
        "gap_to": gap.range.end,
        "expected_bars": gap.expected_bars,
        "kind": gap.kind,
        "attempts": gap.attempts,
        "first_seen_at": gap.first_seen_at,
        "last_checked_at": gap.last_checked_at,
        "next_check_at": gap.next_check_at,
        "reason": gap.reason,
    }

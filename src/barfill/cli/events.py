"""`barfill events`: splits, dividends, earnings, ticker changes and delistings, on file and asked for anew."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from barfill.cli.inputs import DEFAULT_DAYS, parse_tickers
from barfill.cli.naming import symbol_ids, today_s_tickers
from barfill.cli.opening import open_store
from barfill.cli.terminal import clean, counted, json_option, print_json, print_table, say
from barfill.core.corporate import EventKind
from barfill.core.event_plan import AHEAD
from barfill.core.instants import parse_instant
from barfill.errors import InvalidInput
from barfill.settings import Settings, read_settings
from barfill.wiring import EVENT_PROVIDERS, check_provider, events_sources, open_clients

if TYPE_CHECKING:
    from barfill.core.event_conflicts import Conflict
    from barfill.core.event_plan import Days
    from barfill.engine.corporate import EventsReport
    from barfill.engine.quota import Purpose
    from barfill.store.database import Connection, Database
    from barfill.store.events import Row

EXIT_FAILED = 1
DEFAULT_LIMIT = 50
CONFLICTS_SHOWN_MAX = 20

EPILOG = """\
\b
Examples:
  barfill events AAPL                        what is on file
  barfill events --kind splits --days 3650
  barfill events AAPL MSFT --refresh         asks the provider before
  barfill events --kind changes,delistings --json

\b
Without --refresh nothing is asked; 'barfill schedule' keeps events up to date by
itself. What providers list differently is told below the tables. Exit codes: 0, or 1
if a provider could not be asked.
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What is on file of what was asked for."""

    rows: dict[EventKind, list[Row]]
    conflicts: list[Conflict]
    askers: list[str]


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--kind", "kinds", multiple=True, metavar="splits,...", help="Only these. [default: all five]")
@click.option("--days", type=click.IntRange(1, 40_000), metavar="N", help="The last N days. [default: 730]")
@click.option("--start", metavar="DATE", help="From this date on.")
@click.option("--end", metavar="DATE", help="Up to, not including, this date. [default: what is announced]")
@click.option(
    "--refresh", "is_refresh", is_flag=True, help="Ask the providers now; without dates, for all that is kept."
)
@click.option(
    "--provider", "providers", multiple=True, type=click.Choice(EVENT_PROVIDERS), help="Only this one's events."
)
@click.option("--withdrawn", "with_withdrawn", is_flag=True, help="Also what a provider no longer lists.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=DEFAULT_LIMIT, show_default=True, help="Of each kind."
)
@json_option
def events(
    symbols: tuple[str, ...],
    kinds: tuple[str, ...],
    days: int | None,
    start: str | None,
    end: str | None,
    is_refresh: bool,
    providers: tuple[str, ...],
    with_withdrawn: bool,
    limit: int,
    as_json: bool,
) -> int:
    """
    Splits, dividends, earnings, ticker changes and delistings.

    Those on file, the newest first; with --refresh the providers are asked before. Days are ex dates, or those on which
    a report, a new ticker or a delisting takes effect.
    """
    tickers = parse_tickers(symbols)
    wanted = _kinds(kinds)
    window = _window(days, start, end, datetime.now(UTC).date())
    settings = read_settings()
    if is_refresh:
        check_provider(settings, tickers=tickers)
    with open_store(settings) as database:
        asked = window if (days, start, end) != (None, None, None) else None
        report = asyncio.run(_refresh(settings, database, tickers, wanted, asked, providers)) if is_refresh else None
        ids = symbol_ids(database, tickers)
        found = database.run(_read, wanted, window, ids, providers)
    shown = {
        kind: [row for row in rows if with_withdrawn or row["withdrawn_at"] is None]
        for kind, rows in found.rows.items()
    }
    if as_json:
        print_json(_as_json(shown, found.conflicts, report))
    else:
        _show(shown, found, limit, window)
        if report is not None:
            _tell(report)
    return EXIT_FAILED if report is not None and report.failures else 0


def _kinds(texts: Iterable[str]) -> tuple[EventKind, ...]:
    names = dict.fromkeys(part.strip().lower() for text in texts for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in list(EventKind)]
    if unknown:
        raise InvalidInput(f"Kind {unknown[0][:40]!r} is unknown. Use {', '.join(EventKind)}.")
    return tuple(kind for kind in EventKind if not names or kind in names)


def _window(days: int | None, start: str | None, end: str | None, today: date) -> Days:
    """The days that are asked for: as for bars, but what is announced lies ahead."""
    if days is not None and start is not None:
        raise InvalidInput("--days and --start both say where to begin. Give one of them.")
    until = parse_instant(end, "--end").date() if end is not None else today + AHEAD
    if start is not None:
        first = parse_instant(start, "--start").date()
    else:
        first = min(today, until) - timedelta(days=days or DEFAULT_DAYS)
    if first >= until:
        raise InvalidInput(f"--end {end} is not after --start {start}. The end itself is excluded.")
    return first, until


async def _refresh(
    settings: Settings,
    database: Database,
    tickers: Sequence[str],
    kinds: Iterable[EventKind],
    window: Days | None,
    providers: Sequence[str],
) -> EventsReport:
    """Asks the providers; a symbol that is not on record is added if one offers it."""
    from barfill.engine.catalog import add_symbols, not_asked_text  # noqa: PLC0415  slow to load
    from barfill.engine.corporate import EventsRequest, keep_events  # noqa: PLC0415

    purpose: Purpose = "interactive" if tickers else "bulk"
    async with open_clients(settings, database, purpose=purpose, tickers=tickers) as clients:
        named = await asyncio.to_thread(today_s_tickers, database, tickers)
        ids = None
        if named:
            added = await add_symbols(database, clients, named)
            unasked = (not_asked_text(ticker, error) for ticker, error in added.unasked.items())
            for text in (*added.refused.values(), *unasked):
                say(text)
            if added.added:
                say(f"added {counted(len(added.added), 'symbol')}: {', '.join(added.added)}")
            usable = [ticker for ticker in named if ticker not in added.refused and ticker not in added.unasked]
            on_record = await asyncio.to_thread(symbol_ids, database, usable)
            ids = tuple(on_record or ())
        sources = [one for one in events_sources(settings, clients) if not providers or one.provider.name in providers]
        say(f"asking {', '.join(source.provider.name for source in sources)}")
        return await keep_events(database, sources, EventsRequest(kinds=frozenset(kinds), symbol_ids=ids, days=window))


def _read(
    conn: Connection, kinds: Iterable[EventKind], window: Days, ids: Sequence[int] | None, providers: Sequence[str]
) -> Found:
    from barfill.engine.event_findings import find_conflicts  # noqa: PLC0415  slow to load
    from barfill.store.events import read_askers, read_events  # noqa: PLC0415

    first, end = window
    rows = {
        kind: read_events(conn, kind, first=first, end=end, symbol_ids=ids, providers=providers or None)
        for kind in kinds
    }
    conflicts = [one for one in find_conflicts(conn, ids, first, end) if one.kind in rows]
    return Found(rows, conflicts, read_askers(conn))


def _show(shown: dict[EventKind, list[Row]], found: Found, limit: int, window: Days) -> None:
    if not any(shown.values()):
        if found.askers:
            click.echo(
                f"No such events on file from {window[0]} up to {window[1]}. Of other days: --start, --end, --days."
            )
        else:
            click.echo(
                "No provider was asked for events yet. Ask: barfill events --refresh, or leave it to the schedule."
            )
    for kind, rows in shown.items():
        if rows:
            _show_kind(kind, rows, limit)
    for conflict in found.conflicts[:CONFLICTS_SHOWN_MAX]:
        click.echo(clean(f"To look at: {conflict.ticker}: {conflict.text}"))
    if len(found.conflicts) > CONFLICTS_SHOWN_MAX:
        click.echo(f"... and {len(found.conflicts) - CONFLICTS_SHOWN_MAX:,} more: --json")


def _show_kind(kind: EventKind, rows: Sequence[Row], limit: int) -> None:
    """A table in which what several providers list alike is one line."""
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    listed: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        listed.setdefault(_cells(kind, row), []).append(row["provider"])
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title=kind.value)
    for title in (*TITLES[kind], "provider"):
        table.add_column(title, justify="right" if title in NUMBERS else "left", no_wrap=True)
    for cells, providers in list(listed.items())[:limit]:
        names = ", ".join(dict.fromkeys(providers))
        table.add_row(*(Text(clean(cell)) for cell in (*cells, names)))
    print_table(table)
    if len(listed) > limit:
        click.echo(f"... and {len(listed) - limit:,} more: --limit {len(listed)}")
    click.echo()


TITLES = {
    EventKind.SPLITS: ("symbol", "ex date", "new:old", "form"),
    EventKind.DIVIDENDS: ("symbol", "ex date", "amount", "form", "paid"),
    EventKind.EARNINGS: ("symbol", "date", "hour", "quarter", "estimate", "actual"),
    EventKind.CHANGES: ("symbol", "date", "was", "is"),
    EventKind.DELISTINGS: ("symbol", "date", "form", "successor"),
}
NUMBERS = ("new:old", "amount", "estimate", "actual")


def _cells(kind: EventKind, row: Row) -> tuple[str, ...]:
    """What stands below TITLES."""
    values = {
        EventKind.SPLITS: ("ex_on", "ratio", "form"),
        EventKind.DIVIDENDS: ("ex_on", "paid", "form", "paid_on"),
        EventKind.EARNINGS: ("report_on", "hour", "quarter", "eps_estimate", "eps_actual"),
        EventKind.CHANGES: ("effective_on", "old_ticker", "new_ticker"),
        EventKind.DELISTINGS: ("effective_on", "form", "successor"),
    }[kind]
    made = {
        "ratio": f"{row.get('numerator')}:{row.get('denominator')}",
        "paid": f"{row.get('amount')} {row.get('currency')}".rstrip(),
        "quarter": f"{row.get('fiscal_year') or ''} Q{row.get('fiscal_quarter')}" if row.get("fiscal_quarter") else "",
    }
    cells = [made[name] if name in made else row[name] for name in values]
    gone = " (withdrawn)" if row["withdrawn_at"] is not None else ""
    return (row["ticker"] + gone, *("" if cell is None else str(cell).replace("_", " ") for cell in cells))


def _tell(report: EventsReport) -> None:
    """What the question has brought, to stderr."""
    for text in (*report.renamed, *report.put_right, *report.delisted, *report.notes, *report.failures):
        say(text)
    withdrawn = f", {report.withdrawn:,} withdrawn" if report.withdrawn else ""
    say(f"{counted(report.calls, 'call')}: {counted(report.seen, 'event')} of symbols on record{withdrawn}")


def _as_json(
    shown: dict[EventKind, list[Row]], conflicts: Sequence[Conflict], report: EventsReport | None
) -> dict[str, Any]:
    found: dict[str, Any] = {
        kind.value: [{**row, "symbol": row["ticker"]} for row in rows] for kind, rows in shown.items()
    }
    for rows in found.values():
        for row in rows:
            del row["ticker"], row["symbol_id"]
    found["conflicts"] = [
        {"symbol": one.ticker, "on": one.on, "kind": one.kind.value, "text": one.text} for one in conflicts
    ]
    if report is not None:
        found["refresh"] = {
            "calls": report.calls,
            "events_seen": report.seen,
            "withdrawn": report.withdrawn,
            "renamed": report.renamed,
            "put_right": report.put_right,
            "delisted": report.delisted,
            "notes": report.notes,
            "failures": report.failures,
        }
    return found

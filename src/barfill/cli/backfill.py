"""`barfill backfill`: fetch what is missing, show how it goes, tell what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barfill.cli.inputs import parse_timeframes, parse_window, sort_tickers
from barfill.cli.matrix import legend, matrix_table, shown_rows, summary_lines
from barfill.cli.naming import today_s_tickers
from barfill.cli.opening import open_store
from barfill.cli.progress import NO_SESSIONS, Watcher, derived_line, plan_line, resumed_line, watcher
from barfill.cli.symbols import inactive_note
from barfill.cli.terminal import (
    INTERRUPTED,
    clean,
    counted,
    json_option,
    print_json,
    print_table,
    say,
    shown_bytes,
    shown_duration,
)
from barfill.core.ranges import Range
from barfill.core.timeframe import Timeframe
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN, BackfillReport, Failure
from barfill.engine.request import BackfillRequest
from barfill.errors import (
    BadResponse,
    InvalidInput,
    OutsideCalendar,
    ProviderTimeout,
    ProviderUnavailable,
    SymbolNotFound,
)
from barfill.settings import Settings, read_settings, shown_path
from barfill.wiring import PROVIDERS, check_provider, events_sources, make_backfill, open_clients, parse_provider

if TYPE_CHECKING:
    from barfill.engine.backfill import Backfill
    from barfill.engine.clients import Clients
    from barfill.engine.events import PlanEstimate
    from barfill.store.database import Connection, Database

FAILURES_SHOWN_MAX = 20
EXIT_INTERRUPTED = 130
PASSING = frozenset({ProviderUnavailable.code, ProviderTimeout.code, BadResponse.code})
"""Failures that nobody but the provider can correct."""

EPILOG = """\
\b
Examples:
  barfill backfill AAPL MSFT                  two years, all eight timeframes
  barfill backfill AAPL --timeframe 1d --days 30
  barfill backfill --symbols SPY,QQQ --timeframes 1m,15m,1d --days 90
  barfill backfill SPY --timeframes 1m --start 2024-01-02 --end 2024-02-01
  barfill backfill --watchlist tech --dry-run     calls and minutes it would take
  barfill backfill --all --max-calls 500 --output report.json

\b
A date stands for 00:00 UTC of that day, and --end is excluded:
'--start 2024-01-02 --end 2024-01-05' holds the sessions of the 2nd, 3rd and 4th.

\b
Exit codes: 0 done and complete, 1 something failed, 2 usage or settings,
3 finished but gaps remain that may still fill, 130 interrupted (run it again to resume).
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for, before the symbols are looked up; `malformed` says of texts why they are none."""

    named: tuple[str, ...]
    malformed: dict[str, str]
    watchlist: str | None
    wants_all: bool
    request: BackfillRequest
    is_dry_run: bool
    as_json: bool
    output: Path | None
    provider: str | None


@click.command(epilog=EPILOG)
@click.argument("symbols", nargs=-1, metavar="[SYMBOL]...")
@click.option("--symbols", "listed", multiple=True, metavar="A,B", help="Symbols, with commas between them.")
@click.option("--watchlist", metavar="NAME", help="The symbols of this watchlist.")
@click.option("--all", "wants_all", is_flag=True, help="All active symbols.")
@click.option(
    "--timeframes", "--timeframe", multiple=True, metavar="1h,1d", help="Of 1m 5m 15m 30m 1h 4h 1d 1w. [default: all]"
)
@click.option("--days", type=click.IntRange(min=1), metavar="N", help="The last N days. [default: 730]")
@click.option("--start", metavar="D", help="From this date or instant on (2024-03-01, 2024-03-01T09:30-05:00).")
@click.option("--end", metavar="D", help="Up to this date or instant, which is excluded. [default: now]")
@click.option("--full", "is_full", is_flag=True, help="Ask again for what is covered already.")
@click.option(
    "--provider",
    metavar="NAME",
    help=f"Ask this one alone: {', '.join(PROVIDERS)} or another venue of ccxt. [default: as PROVIDER_ORDER says]",
)
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Make no more than N requests for bars.")
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Show the plan and its cost; fetch no bars.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write the report as JSON here.")
@json_option
def backfill(
    symbols: tuple[str, ...],
    listed: tuple[str, ...],
    watchlist: str | None,
    wants_all: bool,
    timeframes: tuple[str, ...],
    days: int | None,
    start: str | None,
    end: str | None,
    is_full: bool,
    provider: str | None,
    max_calls: int | None,
    is_dry_run: bool,
    output: Path | None,
    as_json: bool,
) -> int:
    """
    Fetch what is missing, so that the database is complete.

    Only what is not there yet is asked for; running it again costs nothing. A symbol that is not known yet is added
    if the provider offers it.
    """
    provider = parse_provider(provider)
    window = parse_window(days=days, start=start, end=end, now=datetime.now(UTC))
    named, malformed = sort_tickers([*symbols, *listed])
    wish = Wish(
        named=named,
        malformed=malformed,
        watchlist=watchlist,
        wants_all=wants_all,
        request=BackfillRequest(
            tickers=(),
            windows=dict.fromkeys(parse_timeframes(timeframes), window),
            is_full=is_full,
            max_calls=max_calls,
        ),
        is_dry_run=is_dry_run,
        as_json=as_json,
        output=output,
        provider=provider,
    )
    if not (wish.named or watchlist or wants_all):
        if malformed:
            raise InvalidInput(" ".join(malformed.values()))
        raise InvalidInput("No symbols are named. Give some (barfill backfill AAPL), --watchlist NAME or --all.")
    _check_output(output)
    settings = read_settings()
    check_provider(settings, provider, None if watchlist or wants_all else named)
    with open_store(settings) as database:
        tickers = _chosen(wish, database)
        return asyncio.run(_carry_out(wish, tickers, settings, database))


async def _carry_out(wish: Wish, tickers: tuple[str, ...], settings: Settings, database: Database) -> int:
    with watcher(is_terminal=sys.stderr.isatty()) as listener:
        listener.asked_of = wish.provider
        local = settings.would_mix_in_invented_bars
        if local:
            listener.note(
                f"{local} is a server on this machine. If its bars are invented, keep them out of "
                f"{shown_path(settings.barfill_home)}: set BARFILL_HOME to a directory of their own."
            )
        async with open_clients(settings, database, listener, only=wish.provider, tickers=tickers) as clients:
            known, refused = await _known(tickers, database, clients, listener)
            await _learn_former_tickers(settings, database, clients, listener)
            failures = (*refused, *_malformed(wish))
            request = replace(wish.request, tickers=known)
            listener.has_sessions = await asyncio.to_thread(database.run, _has_sessions, request)
            engine = make_backfill(settings, database, clients, listener)
            if wish.is_dry_run:
                estimate = await engine.estimate(request)
            else:
                with stopping(engine, listener):
                    report = await engine.run(request)
    if wish.is_dry_run:
        _show_estimate(estimate, listener, as_json=wish.as_json)
        for failure in failures:
            say(failure.message)
        return EXIT_FAILED if failures else EXIT_COMPLETE
    report = _with_failures(report, failures)
    _write_report(report, wish.output)
    if wish.as_json:
        print_json(report.to_json())
    else:
        window = next(iter(wish.request.windows.values()))
        _show_report(report, window, has_sessions=listener.has_sessions)
    return report.exit_code


def _chosen(wish: Wish, database: Database) -> tuple[str, ...]:
    """All tickers that were asked for, by name, by watchlist or as all that are active."""
    from barfill.store import symbols, watchlists  # noqa: PLC0415  only once the arguments are known to be good

    chosen = dict.fromkeys(today_s_tickers(database, wish.named))
    if wish.watchlist is not None:
        chosen |= dict.fromkeys(database.run(watchlists.read_members, wish.watchlist))
    if wish.wants_all:
        chosen |= dict.fromkeys(symbol.ticker for symbol in database.run(symbols.read_active))
    if not chosen:
        empty = f"The watchlist {wish.watchlist!r} is empty" if wish.watchlist else "There are no active symbols yet"
        raise InvalidInput(f"{empty}. Add some with: barfill symbols add AAPL MSFT")
    return tuple(chosen)


async def _known(
    tickers: tuple[str, ...], database: Database, clients: Clients, listener: Watcher
) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    """The tickers that can be fetched, new ones added, and a failure for each other one: refused, or not looked up."""
    from barfill.engine.catalog import add_symbols, not_asked_text  # noqa: PLC0415

    result = await add_symbols(database, clients, tickers)
    if result.added:
        listener.note(f"added {counted(len(result.added), 'symbol')}: {_shortened(result.added)}")
    failures = tuple(
        Failure((ticker,), None, SymbolNotFound.code, "not_offered", reason)
        for ticker, reason in result.refused.items()
    ) + tuple(
        Failure((ticker,), None, error.code, getattr(error, "reason", ""), not_asked_text(ticker, error))
        for ticker, error in result.unasked.items()
    )
    usable = {*result.known, *result.added}
    if not usable:
        raise SymbolNotFound(" ".join(result.refused.values()))
    for ticker, provider in result.inactive.items():
        listener.note(inactive_note(ticker, provider))
    return tuple(ticker for ticker in tickers if ticker in usable), failures


async def _learn_former_tickers(settings: Settings, database: Database, clients: Clients, listener: Watcher) -> None:
    """
    Asks for the changes of new symbols' tickers where a provider knows tickers only: before a change it has the bars of
    whoever bore the ticker then.
    """
    from barfill.engine.corporate import learn_former_tickers  # noqa: PLC0415

    sources = events_sources(settings, clients)
    report = await learn_former_tickers(database, sources)
    for text in (*report.renamed, *report.put_right, *report.notes, *report.failures):
        listener.note(text)


def _malformed(wish: Wish) -> Iterator[Failure]:
    """A failure for each text that cannot be a ticker: like one that no provider knows, it fails alone."""
    for text, reason in wish.malformed.items():
        yield Failure((text,), None, SymbolNotFound.code, "malformed", reason)


def _has_sessions(conn: Connection, request: BackfillRequest) -> bool:
    """Whether a bar can be expected at all in what is asked for."""
    from barfill.core.calendar import trading_calendar  # noqa: PLC0415  slow to load
    from barfill.store.database import clock  # noqa: PLC0415
    from barfill.store.symbols import find_symbols  # noqa: PLC0415

    last_year = clock(conn).year + 1
    names = {symbol.calendar for symbol in find_symbols(conn, request.tickers).values()}
    calendars = [trading_calendar(name, last_year) for name in names]
    try:
        counts = (one.expected_count(*wanted) for one in calendars for wanted in request.windows.items())
        return any(counts)
    except OutsideCalendar:
        return True  # the engine says what is wrong with it


@contextlib.contextmanager
def stopping(engine: Backfill, listener: Watcher) -> Iterator[None]:
    """The first SIGINT or SIGTERM ends the backfill after the pages in hand, the second ends the process."""
    loop = asyncio.get_running_loop()
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            _leave_at_once()
        listener.stopping(
            "Stopping after the pages in hand; what is stored stays. Press Ctrl-C again to leave at once."
        )
        engine.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _leave_at_once() -> None:
    """Ends without clean-up: the database undoes what is open, the next run resumes."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # the cursor, which moving bars hide
    say(INTERRUPTED)
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)


def _check_output(output: Path | None) -> None:
    """Refuses now what would fail after an hour's work."""
    if output is None:
        return
    if not output.parent.is_dir():
        raise InvalidInput(f"--output {str(output)!r}: the directory does not exist. Make it, or choose another.")
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise InvalidInput(f"--output {str(output)!r} cannot be written. Choose another place.")


def _write_report(report: BackfillReport, output: Path | None) -> None:
    if output is None:
        return
    partial = output.with_name(output.name + ".partial")
    partial.write_text(json.dumps(report.to_json(), indent=2, default=str) + "\n", encoding="utf-8")
    partial.replace(output)


def _with_failures(report: BackfillReport, failures: tuple[Failure, ...]) -> BackfillReport:
    if not failures:
        return report
    summary = replace(report.summary, symbols_failed=report.summary.symbols_failed + len(failures))
    return replace(report, summary=summary, failures=(*failures, *report.failures))


def _show_estimate(estimate: PlanEstimate, listener: Watcher, *, as_json: bool) -> None:
    if as_json:
        by_timeframe = {timeframe.label: calls for timeframe, calls in estimate.by_timeframe.items()}
        bars = {timeframe.label: count for timeframe, count in estimate.bars_by_timeframe.items()}
        made = {target.label: [source.label for source in finer] for target, finer in estimate.derived.items()}
        derived = {"derived": list(made), "derived_from": made}
        names = {"by_timeframe": by_timeframe, "bars_by_timeframe": bars} | derived
        print_json({"dry_run": True} | asdict(estimate) | names)
        return
    if estimate.is_empty:
        reason = plan_line(estimate, has_sessions=listener.has_sessions, asked_of=listener.asked_of)
        click.echo(f"{reason[0].upper()}{reason[1:]}.")
        if estimate.derived:
            click.echo(f"Derived   {derived_line(estimate)}, of what is stored")
        return
    fetched = ", ".join(f"{timeframe.label}: {calls:,}" for timeframe, calls in estimate.by_timeframe.items())
    click.echo(f"Slices    {estimate.slices:,}" + (f"; {resumed_line(estimate.resumed)}" if estimate.resumed else ""))
    click.echo(f"Calls     {estimate.calls:,}" + (f" ({fetched})" if fetched else ""))
    click.echo(f"Time      {shown_duration(estimate.minutes * 60)} at the rate limit")
    click.echo(f"Rows      {estimate.rows:,} on all pages, extended hours included")
    click.echo(f"Bars      {estimate.bars:,} to store, about {shown_bytes(estimate.bytes_stored)}")
    if estimate.derived:
        click.echo(f"Derived   {derived_line(estimate)}")
    click.echo("\nNothing was fetched. Run it without --dry-run to do it.")


def _show_report(report: BackfillReport, window: Range, *, has_sessions: bool) -> None:
    rows, left_out = shown_rows(report.matrix)
    if rows:
        click.echo()
        print_table(matrix_table(rows))
        click.echo(legend(rows) + (f"   ({left_out})" if left_out else ""))
        last = window.end - timedelta(microseconds=1)
        click.echo(f"of {window.start:%Y-%m-%d} to {last:%Y-%m-%d}; of all that was ever asked for: barfill status")
    elif left_out:
        click.echo(left_out)
    if not report.did_nothing:
        click.echo()
        for label, text in summary_lines(report):
            click.echo(f"{label:<12} {text}")
    _show_failures(report)
    click.echo()
    click.echo(_verdict(report, has_sessions=has_sessions))
    _show_next_steps(report)


def _show_failures(report: BackfillReport) -> None:
    if report.failures:
        click.echo()
    for failure in report.failures[:FAILURES_SHOWN_MAX]:
        timeframe = f" {failure.timeframe.label}" if failure.timeframe else ""
        click.echo(clean(f"{failure.error_code}: {_shortened(failure.symbols)}{timeframe}: {failure.message}"))
    hidden = len(report.failures) - FAILURES_SHOWN_MAX
    if hidden > 0:
        click.echo(f"... and {hidden:,} more: use --json or --output FILE to see all")


def _verdict(report: BackfillReport, *, has_sessions: bool) -> str:
    remaining = report.summary.gaps_remaining
    if report.was_interrupted:
        return INTERRUPTED
    if report.exit_code == EXIT_FAILED:
        is_passing = all(failure.error_code in PASSING for failure in report.failures)
        advice = "Run the same command again once it is over" if is_passing else "Correct it, then run it again"
        return f"Finished, but something failed (above). {advice}."
    if report.bound:
        return f"Stopped. {report.bound}"
    if report.was_bounded:
        return "Stopped at --max-calls. Run the same command again to go on."
    if report.exit_code == EXIT_GAPS_REMAIN:
        return f"Finished; {counted(remaining, 'gap')} may still fill. Run it again later."
    return "Done: complete." if has_sessions else f"Done: {NO_SESSIONS}."


def _show_next_steps(report: BackfillReport) -> None:
    tickers = list(dict.fromkeys(state.ticker for state in report.matrix))
    if not tickers:
        return
    timeframe = next((state.timeframe for state in report.matrix if state.present), Timeframe.D1)
    click.echo()
    click.echo("Next:")
    click.echo("  barfill status")
    if report.gaps_remaining:
        click.echo(clean(f"  barfill gaps {report.gaps_remaining[0].symbol}"))
    series = f"symbol = '{tickers[0]}' and timeframe = '{timeframe.label}'"
    click.echo(clean(f'  barfill sql "select * from market_data where {series} order by time desc limit 5"'))  # noqa: S608  shown, not run


def _shortened(tickers: tuple[str, ...]) -> str:
    shown = 8
    more = f" and {len(tickers) - shown:,} more" if len(tickers) > shown else ""
    return ", ".join(tickers[:shown]) + more

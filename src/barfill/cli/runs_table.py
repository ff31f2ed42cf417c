"""Job runs as text and as JSON: the list, and one run in full."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from barfill.cli.terminal import ago, clean, console, counted, print_table, shown_duration
from barfill.core.capabilities import FILES
from barfill.engine.listed_runs import advice

if TYPE_CHECKING:
    from barfill.core.ranges import Range
    from barfill.core.timeframe import Timeframe
    from barfill.store.runlist import ListedRun, Status

WIDE = 130
"""From so many columns on, a line holds everything."""
PIPED_WIDTH = 2_000
"""For grep and the like a run is one line, however long its error is."""
NARROW_TITLES = ("id", "what", "slice (UTC)", "status", "done", "rows", "age")
WIDE_TITLES = ("id", "symbols", "timeframe", "slice (UTC)", "status", "done", "rows", "calls", "attempt", "age", "note")
RIGHT = frozenset({"id", "done", "rows", "calls", "attempt", "age"})
INDENT = " " * 4
LABEL_WIDTH = 12
COLOURS = {"running": "cyan", "success": "green", "failed": "red", "cancelled": "yellow"}
WORKER_GONE = "its worker is gone"
GOES_ON = "another worker, or the next backfill of its symbols, goes on with it"
IMPORT_GOES_ON = "importing the same files again goes on with it; barfill jobs cancel ends it"


def show_list(runs: Sequence[ListedRun], now: datetime) -> None:
    """One line for each run, or two where there is little room and something to say."""
    width = console().width
    if width < WIDE:
        _show_narrow(runs, now, width)
    else:
        _show_wide(runs, now)


def show_run(run: ListedRun, now: datetime) -> None:
    """All that is known of one run."""
    width = console().width
    click.secho(f"Run {run.id}: {_outcome(run, now)}", bold=True)
    for label, value in _facts(run, now):
        indent = " " * LABEL_WIDTH
        # A token or a worker's name is broken only where it does not fit otherwise.
        lines = textwrap.wrap(clean(value), width - LABEL_WIDTH, break_on_hyphens=False) or [""]
        click.echo(f"{label:<{LABEL_WIDTH}}" + f"\n{indent}".join(lines))


def what(symbols: Sequence[str], timeframe: Timeframe) -> str:
    """A short name of a run or a definition: `AAPL 15m`, `AAPL +49 15m`."""
    others = f" +{len(symbols) - 1}" if len(symbols) > 1 else ""
    return f"{symbols[0]}{others} {timeframe.label}"


def shown_slice(wanted: Range) -> str:
    """The days that a slice touches, or its hours where it lies within one: `2024-03-01..2026-02-28`."""
    last = wanted.end - timedelta(microseconds=1)
    if wanted.start.date() != last.date():
        return f"{wanted.start:%Y-%m-%d}..{last:%Y-%m-%d}"
    midnight = datetime.min.time()
    if wanted.start.time() == wanted.end.time() == midnight:
        return f"{wanted.start:%Y-%m-%d}"
    return f"{wanted.start:%Y-%m-%d %H:%M}..{wanted.end:%H:%M}"


def shown_percent(run: ListedRun) -> str:
    """How far it is, rounded down: 100% means that all is there."""
    return f"{int(run.progress_percent)}%"


def counts_line(counts: Mapping[Status, int]) -> str:
    """`2 running, 5 queued, 120 success`."""
    return ", ".join(f"{count:,} {status}" for status, count in counts.items())


def _show_narrow(runs: Sequence[ListedRun], now: datetime, width: int) -> None:
    rows = [_narrow_cells(run, now) for run in runs]
    widths = [max(map(len, column)) for column in zip(NARROW_TITLES, *rows, strict=True)]
    is_tight = sum(widths) + 2 * (len(widths) - 1) > width
    between = " " if is_tight else "  "
    click.secho(between.join(_padded(NARROW_TITLES, widths)).rstrip(), bold=True)
    for run, row in zip(runs, rows, strict=True):
        cells = _padded(row, widths)
        status = NARROW_TITLES.index("status")
        cells[status] = click.style(cells[status], fg=COLOURS.get(run.status))
        click.echo(between.join(cells))
        for line in textwrap.wrap(clean(_note(run)), width, initial_indent=INDENT, subsequent_indent=INDENT):
            click.echo(line)


def _show_wide(runs: Sequence[ListedRun], now: datetime) -> None:
    from rich.table import Table  # noqa: PLC0415  slow to load
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in WIDE_TITLES:
        table.add_column(title, justify="right" if title in RIGHT else "left", no_wrap=title != "note")
    for run in runs:
        cells = [Text(clean(cell)) for cell in _wide_cells(run, now)]
        cells[WIDE_TITLES.index("status")].stylize(COLOURS.get(run.status, ""))
        table.add_row(*cells)
    print_table(table, width=None if sys.stdout.isatty() else PIPED_WIDTH)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        f"{clean(cell):>{width}}" if title in RIGHT else f"{clean(cell):<{width}}"
        for title, cell, width in zip(NARROW_TITLES, cells, widths, strict=True)
    ]


def _narrow_cells(run: ListedRun, now: datetime) -> tuple[str, ...]:
    """What stands below NARROW_TITLES."""
    return (
        str(run.id),
        what(run.symbols, run.timeframe),
        shown_slice(run.range),
        run.status,
        shown_percent(run),
        f"{run.rows_written:,}",
        _age(run, now),
    )


def _wide_cells(run: ListedRun, now: datetime) -> tuple[str, ...]:
    """What stands below WIDE_TITLES."""
    return (
        str(run.id),
        _few(run.symbols, 3),
        run.timeframe.label,
        shown_slice(run.range),
        run.status,
        shown_percent(run),
        f"{run.rows_written:,}",
        f"{run.actual_cost:,}",
        f"{run.attempt:,}",
        _age(run, now),
        _note(run),
    )


def _age(run: ListedRun, now: datetime) -> str:
    return ago(run.created_at, now).removesuffix(" ago")


def _note(run: ListedRun) -> str:
    """What is remarkable about a run, or ""."""
    if run.status == "running" and not run.is_alive:
        return f"{WORKER_GONE}; {_goes_on(run)}"
    if run.status == "queued" and run.provider == FILES:
        return f"interrupted; {IMPORT_GOES_ON}"
    said = ": ".join(filter(None, (run.error_code, run.error_message or run.reason)))
    if run.attempt and run.status == "queued":
        return f"failed {run.attempt} x, waits to be tried again: {said or 'no reason given'}"
    return said


def _outcome(run: ListedRun, now: datetime) -> str:
    if run.finished_at is not None:
        took = f" after {_duration(run.started_at, run.finished_at)}" if run.started_at else ""
        return f"{run.status}{took}, {ago(run.finished_at, now)}"
    if run.status == "running":
        return f"running for {_duration(run.started_at, now)}" if run.is_alive else f"running, but {WORKER_GONE}"
    return f"queued for {_duration(run.created_at, now)}"


def _duration(start: datetime | None, end: datetime) -> str:
    return shown_duration(max(0.0, (end - start).total_seconds()) if start else 0.0)


def _facts(run: ListedRun, now: datetime) -> Iterator[tuple[str, str]]:
    yield "symbols", _few(run.symbols, 20)
    yield "timeframe", run.timeframe.label
    yield "slice", f"{_minute(run.range.start)} to {_minute(run.range.end)} UTC, the end excluded"
    yield "progress", f"{shown_percent(run)}, {counted(run.page_no, 'page')}"
    yield "rows", f"{run.rows_written:,} written, {run.rows_received:,} received"
    yield "calls", f"{run.actual_cost:,}"
    yield "source", f"{run.provider}, {run.feed}, {run.basis} prices"
    if run.calendar_version is not None:
        yield "calendar", run.calendar_version
    yield "triggered", f"by {run.triggered_by}, {run.job_type}"
    if run.job_def_id is not None:
        yield "definition", str(run.job_def_id)
    for label, instant in (("created", run.created_at), ("started", run.started_at), ("finished", run.finished_at)):
        if instant is not None:
            yield label, f"{instant:%Y-%m-%d %H:%M:%S} UTC, {ago(instant, now)}"
    yield from _worker_facts(run, now)
    yield from _error_facts(run)


def _worker_facts(run: ListedRun, now: datetime) -> Iterator[tuple[str, str]]:
    if run.worker:
        life = "" if run.status != "running" else ", alive" if run.is_alive else ", gone"
        yield "worker", f"{run.worker}{life}, epoch {run.epoch}"
    if run.heartbeat_at is not None and run.status == "running":
        yield "heartbeat", ago(run.heartbeat_at, now)
    if run.page_token is not None:
        yield "next page", run.page_token
    if run.request_id:
        yield "request id", run.request_id


def _error_facts(run: ListedRun) -> Iterator[tuple[str, str]]:
    if run.attempt:
        yield "attempt", f"failed {run.attempt} x before"
    if run.error_code or run.error_message or run.reason:
        code = " ".join(filter(None, (run.error_code, f"({run.reason})" if run.reason else "")))
        yield "error", ": ".join(filter(None, (code, run.error_message)))
    what_to_do = advice(run)
    if what_to_do:
        yield "what to do", what_to_do
    if run.status in ("failed", "cancelled"):
        yield "again", f"barfill jobs retry {run.id}"
    elif run.status == "running" and not run.is_alive:
        yield "then", _goes_on(run)


def _goes_on(run: ListedRun) -> str:
    """Who takes over a run whose worker is gone."""
    return IMPORT_GOES_ON if run.provider == FILES else GOES_ON


def _few(symbols: Sequence[str], most: int) -> str:
    others = f" and {len(symbols) - most:,} more" if len(symbols) > most else ""
    return ", ".join(symbols[:most]) + others


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"

"""
The live view of job runs, read from the database again and again: whoever works on them, and wherever.

On a terminal a bar for each run moves in place, elsewhere a line is printed now and then, with --json one object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from barfill.cli.runs_table import shown_percent, what
from barfill.cli.terminal import clean, console, counted, print_json_line
from barfill.engine.listed_runs import run_to_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from barfill.store.database import Connection, Database
    from barfill.store.runlist import Ended, ListedRun

IDLE_S = 5.0
"""So long nobody may work on a run before the watch ends: between two stages of a backfill nobody does."""
QUEUED_SHOWN_MAX = 5
NAMED_MAX = 3
BAR_WIDTH = 20
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class Look:
    """
    What was seen at one time.

    Attributes:
        runs: All running ones and the first of the queue.
        queued: How many wait.
        ended: How those ended that did since the watch began.
    """

    at: datetime
    runs: Sequence[ListedRun]
    queued: int
    ended: Ended

    @property
    def running(self) -> list[ListedRun]:
        """Those that are not waiting."""
        return [run for run in self.runs if run.status == "running"]

    @property
    def is_moving(self) -> bool:
        """Whether a living worker is on any of them."""
        return any(run.is_alive for run in self.runs)


Show = Callable[[Look], None]


def watch_runs(database: Database, *, every_s: float, is_terminal: bool, as_json: bool) -> int:
    """
    Shows what is running until nobody works on anything any more.

    Returns:
        0, or 1 where a run failed meanwhile.
    """
    since = database.now()
    with ExitStack() as stack:
        show = _json_line if as_json else _live(stack) if is_terminal else _plain()
        look = _watch(database, since, show, every_s)
    if not as_json:
        _conclude(look, since)
    return EXIT_FAILED if look.ended.failed else 0


def look_at(conn: Connection, since: datetime) -> Look:
    """What there is to see now; *since* is when the watch began."""
    from barfill.store.database import clock  # noqa: PLC0415  slow to load
    from barfill.store.runlist import RunFilter, count_by_status, ended_since, open_runs  # noqa: PLC0415

    queued = count_by_status(conn, RunFilter(statuses=("queued",))).get("queued", 0)
    return Look(clock(conn), open_runs(conn, queued_max=QUEUED_SHOWN_MAX), queued, ended_since(conn, since))


def _watch(database: Database, since: datetime, show: Show, every_s: float) -> Look:
    """The last look, after which there was nothing more to see."""
    has_moved = False
    moved_at = time.monotonic()
    while True:
        look = database.run(look_at, since)
        show(look)
        if look.is_moving:
            has_moved, moved_at = True, time.monotonic()
        elif not (look.runs or has_moved) or time.monotonic() - moved_at >= IDLE_S:
            return look
        time.sleep(every_s)


def _conclude(look: Look, since: datetime) -> None:
    ended = look.ended
    parts = {"done": ended.success, "failed": ended.failed, "cancelled": ended.cancelled}
    told = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
    click.echo("Nothing is running." + (f" Since {since:%H:%M:%S} UTC: {told}." if told else ""))
    if look.queued:
        waiting = "1 run waits" if look.queued == 1 else f"{look.queued:,} runs wait"
        click.echo(f"{waiting} in the queue, for a worker or the next backfill of the same symbols.")
    if look.running:
        lost = counted(len(look.running), "run")
        click.echo(f"{lost} lost the worker: another one, or the next backfill of the same symbols, goes on there.")
    if ended.failed:
        click.echo("What failed, and why: barfill jobs list --status failed")


def _json_line(look: Look) -> None:
    ended = look.ended
    line = {
        "at": look.at,
        "running": [run_to_json(run) for run in look.running],
        "queued": look.queued,
        "ended": {"success": ended.success, "failed": ended.failed, "cancelled": ended.cancelled},
    }
    print_json_line(line)


def _plain() -> Show:
    said = ""

    def show(look: Look) -> None:
        nonlocal said
        line = _plain_line(look)
        if line != said:
            said = line
            click.echo(clean(line))

    return show


def _plain_line(look: Look) -> str:
    names = [f"{what(run.symbols, run.timeframe)} {shown_percent(run)}" for run in look.running]
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    doing = f"; {', '.join(names[:NAMED_MAX])}{more}" if names else ""
    return _heading(look) + doing


def _heading(look: Look) -> str:
    rows = sum(run.rows_written for run in look.running)
    calls = sum(run.actual_cost for run in look.running)
    ended = look.ended
    heading = f"{len(look.running):,} running ({rows:,} rows, {counted(calls, 'call')}), {look.queued:,} queued"
    over = "".join(
        f", {count:,} {name}"
        for name, count in (("done", ended.success), ("failed", ended.failed), ("cancelled", ended.cancelled))
        if count
    )
    return heading + over


def _live(stack: ExitStack) -> Show:
    from rich.live import Live  # noqa: PLC0415  slow to load

    output = console()
    live = stack.enter_context(Live(console=output, auto_refresh=False, vertical_overflow="crop"))

    def show(look: Look) -> None:
        live.update(_picture(look, rows_max=max(1, output.height - 4)), refresh=True)

    return show


def _picture(look: Look, *, rows_max: int) -> RenderableType:
    from rich.console import Group  # noqa: PLC0415  slow to load
    from rich.progress_bar import ProgressBar  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    for justify in ("right", "left", "left", "right", "right", "right", "left"):
        table.add_column(justify=justify, no_wrap=True)
    shown = look.runs[:rows_max]
    for run in shown:
        is_lost = run.status == "running" and not run.is_alive
        table.add_row(
            str(run.id),
            Text(clean(what(run.symbols, run.timeframe))),
            ProgressBar(total=100, completed=run.progress_percent, width=BAR_WIDTH),
            shown_percent(run),
            f"{run.rows_written:,} rows",
            counted(run.actual_cost, "call"),
            Text("queued", "dim") if run.status == "queued" else Text("no worker", "yellow") if is_lost else "",
        )
    hidden = len(look.running) + look.queued - len(shown)
    more = [Text(f"... and {hidden:,} more", "dim")] if hidden > 0 else []
    return Group(Text(_heading(look), "bold"), table, *more)

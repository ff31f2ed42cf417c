"""`barfill schedule`: keeps what the definitions want complete, again and again or once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from barfill.cli.matrix import legend, matrix_table, shown_rows
from barfill.cli.opening import open_store
from barfill.cli.service import EXIT_INTERRUPTED, ServiceLog, quiet_libraries, stopped_by_signals
from barfill.cli.terminal import counted, json_option, print_json, print_table, say
from barfill.cli.worker import told as told_worker
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN
from barfill.engine.schedule import told
from barfill.settings import Settings, read_settings
from barfill.store.runs import count_queued
from barfill.wiring import check_provider, make_schedule, make_worker, open_clients

if TYPE_CHECKING:
    from barfill.engine.findings import Findings
    from barfill.engine.tick import Tick
    from barfill.engine.worker import QueueWorker
    from barfill.store.database import Database

EVERY_MINUTES = 15

EPILOG = """\
\b
Examples:
  barfill watchlist add tech AAPL MSFT      says what is to be kept complete
  barfill schedule                          looks every 15 minutes, and after closes
  barfill schedule --once --max-calls 500   for cron, systemd timers, GitHub Actions
  barfill schedule --plan-only              only fills the queue, for workers elsewhere

\b
Exit codes of --once: 0 complete, 1 a run or symbol failed or the key is refused,
2 usage or settings, 3 something is still to be fetched, 130 interrupted. With
--plan-only 0 means that all is in the queue. Without --once a signal is the orderly
end: 0.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--every",
    type=click.IntRange(1, 1440),
    default=EVERY_MINUTES,
    show_default=True,
    metavar="MINUTES",
    help="Look so often; a session's close is looked at besides.",
)
@click.option("--once", is_flag=True, help="Look once, carry out what was found, and end.")
@click.option("--plan-only", is_flag=True, help="Put the work into the queue and leave it to workers.")
@click.option("--max-calls", type=click.IntRange(min=1), metavar="N", help="Ask for no more than N pages at each look.")
@click.option("--concurrency", type=click.IntRange(1, 64), metavar="N", help="As of barfill worker.")
@json_option
def schedule(
    every: int, once: bool, plan_only: bool, max_calls: int | None, concurrency: int | None, as_json: bool
) -> int:
    """
    Keep what the job definitions want complete.

    Looks at what is missing, puts it into the queue and carries it out. With --json, --once prints a report.
    """
    if as_json and not once:
        raise click.UsageError("--json reports what --once did. Add --once, or look with: barfill jobs list --json")
    quiet_libraries()
    settings = read_settings()
    check_provider(settings)
    with open_store(settings) as database:
        command = _once if once else _forever
        return asyncio.run(
            command(settings, database, timedelta(minutes=every), max_calls, concurrency, plan_only, as_json)
        )


async def _forever(
    settings: Settings,
    database: Database,
    every: timedelta,
    max_calls: int | None,
    concurrency: int | None,
    plan_only: bool,
    _as_json: bool,
) -> int:
    log = ServiceLog()
    async with open_clients(settings, database, log) as clients:
        looking = make_schedule(settings, database, clients, log, every=every, max_calls=max_calls)
        carrying = make_worker(settings, database, clients, log, concurrency=concurrency)

        def stop() -> None:
            looking.stop()
            carrying.stop()

        with stopped_by_signals(stop, log):
            async with asyncio.TaskGroup() as group:
                group.create_task(looking.run())
                if not plan_only:
                    group.create_task(carrying.run())
        if not plan_only:
            log.note(told_worker(carrying))
    return EXIT_COMPLETE


async def _once(
    settings: Settings,
    database: Database,
    every: timedelta,
    max_calls: int | None,
    concurrency: int | None,
    plan_only: bool,
    as_json: bool,
) -> int:
    log = ServiceLog()
    begun_at = await asyncio.to_thread(database.now)
    async with open_clients(settings, database, log) as clients:
        looking = make_schedule(settings, database, clients, log, every=every, max_calls=max_calls)
        carrying = make_worker(settings, database, clients, log, concurrency=concurrency)

        def stop() -> None:
            looking.stop()
            carrying.stop()

        with stopped_by_signals(stop, log) as was_stopped:
            found = await looking.look()
            log.note(told(found))
            if not (plan_only or found.held):
                await carrying.run_until_empty()
                await looking.derive()
                log.note(told_worker(carrying))
        await looking.close()
        if plan_only:
            return _planned(found, as_json=as_json)
        findings = await looking.findings(begun_at=begun_at)
        waiting = await asyncio.to_thread(database.run, count_queued)
    code = EXIT_INTERRUPTED if was_stopped() else _exit_code(found, carrying, findings)
    if as_json:
        print_json(_as_json(found, carrying, findings, waiting, code))
    else:
        _show(findings, waiting)
    return code


def _planned(found: Tick, *, as_json: bool) -> int:
    """What there is for workers to do; the exit code."""
    code = EXIT_FAILED if found.held or found.held_back or found.unserved else EXIT_COMPLETE
    waiting = len(found.runs) + found.waiting
    if as_json:
        print_json(
            {
                "exit_code": code,
                "symbols": found.symbols,
                "runs_made": len(found.runs),
                "runs_waiting": waiting,
                "slices_left": found.left_out,
            }
        )
    elif waiting:
        say(f"{counted(waiting, 'run')} in the queue, for: barfill worker")
    return code


def _exit_code(found: Tick, carrying: QueueWorker, findings: Findings) -> int:
    if (
        found.held
        or found.held_back
        or found.unserved
        or carrying.tally.failed
        or any(state.has_failed for state in findings.states)
    ):
        return EXIT_FAILED
    return EXIT_GAPS_REMAIN if findings.open_gaps else EXIT_COMPLETE


def _as_json(found: Tick, carrying: QueueWorker, findings: Findings, waiting: int, code: int) -> dict[str, object]:
    tally = carrying.tally
    return {
        "exit_code": code,
        "symbols": found.symbols,
        "runs_made": len(found.runs),
        "runs_waiting": waiting,
        "slices_left": found.left_out,
        "runs_done": tally.done,
        "runs_failed": tally.failed,
        "runs_postponed": tally.postponed,
        "calls_made": tally.calls,
        "bars_written": tally.bars_written,
        "series_failed": [f"{state.ticker} {state.timeframe.label}" for state in findings.states if state.has_failed],
        "gaps_remaining": len(findings.open_gaps),
    }


def _show(findings: Findings, waiting: int) -> None:
    rows, left_out = shown_rows(findings.states)
    if rows:
        print_table(matrix_table(rows))
        click.echo(legend(rows) + (f"   ({left_out})" if left_out else ""))
    for ticker in dict.fromkeys(state.ticker for state in findings.states if state.has_failed):
        say(f"{ticker} is not offered by the provider (SYMBOL_NOT_FOUND). Take it out: barfill symbols remove {ticker}")
    asked = findings.of_what_was_asked()
    if asked.open_gaps:
        say(f"{counted(len(asked.open_gaps), 'gap')} may still fill: barfill gaps")
    unfetched = {(gap.symbol, gap.timeframe) for gap in asked.not_come_to}
    if unfetched:
        queued = f"; {counted(waiting, 'run')} in the queue, for the next look or: barfill worker" if waiting else ""
        say(f"{counted(len(unfetched), 'series', 'series')} still to be fetched{queued}")

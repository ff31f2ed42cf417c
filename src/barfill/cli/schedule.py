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
from barfill.wiring import check_provider, make_schedule, make_worker, open_client

if TYPE_CHECKING:
    from barfill.engine.findings import Findings
    from barfill.engine.tick import Tick
    from barfill.engine.worker import QueueWorker
    from barfill.store.database import Database

EVERY_MINUTES = 15

EPILOG = """\
\b
Examples:
  barfill watchlist add tech AAPL MSFT    says what is to be kept complete
  barfill schedule                        looks every 15 minutes, and after each close
  barfill schedule --once --max-calls 500 for cron, systemd timers and GitHub Actions
  barfill schedule --plan-only            only fills the queue, for workers elsewhere

\b
Exit codes of --once: 0 complete, 1 a run failed, 2 usage or settings, 3 gaps remain
that may still fill, 130 interrupted.
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
    async with open_client(settings, database, log) as client:
        looking = make_schedule(settings, database, client, log, every=every, max_calls=max_calls)
        carrying = make_worker(settings, database, client, log, concurrency=concurrency)

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
    async with open_client(settings, database, log) as client:
        looking = make_schedule(settings, database, client, log, every=every, max_calls=max_calls)
        carrying = make_worker(settings, database, client, log, concurrency=concurrency)
        with stopped_by_signals(carrying.stop, log) as was_stopped:
            found = await looking.look()
            log.note(told(found))
            if not plan_only:
                await carrying.run_until_empty()
                await looking.derive()
                log.note(told_worker(carrying))
        findings = await looking.findings(begun_at=begun_at)
    code = EXIT_INTERRUPTED if was_stopped() else _exit_code(carrying, findings)
    if as_json:
        print_json(_as_json(found, carrying, findings, code))
    else:
        _show(findings)
    return code


def _exit_code(carrying: QueueWorker, findings: Findings) -> int:
    if carrying.tally.failed:
        return EXIT_FAILED
    return EXIT_GAPS_REMAIN if findings.open_gaps else EXIT_COMPLETE


def _as_json(found: Tick, carrying: QueueWorker, findings: Findings, code: int) -> dict[str, object]:
    tally = carrying.tally
    return {
        "exit_code": code,
        "symbols": found.symbols,
        "runs_made": len(found.runs),
        "slices_left": found.left_out,
        "runs_done": tally.done,
        "runs_failed": tally.failed,
        "runs_postponed": tally.postponed,
        "calls_made": tally.calls,
        "bars_written": tally.bars_written,
        "gaps_remaining": len(findings.open_gaps),
    }


def _show(findings: Findings) -> None:
    rows, left_out = shown_rows(findings.states)
    if rows:
        print_table(matrix_table(rows))
        click.echo(legend(rows) + (f"   ({left_out})" if left_out else ""))
    if findings.open_gaps:
        say(f"{counted(len(findings.open_gaps), 'gap')} may still fill: barfill gaps")

"""`barfill worker`: carries out runs from the queue, one of any number on any machines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from barfill.cli.opening import open_store
from barfill.cli.service import ServiceLog, quiet_libraries, stopped_by_signals
from barfill.cli.terminal import counted
from barfill.settings import Settings, read_settings
from barfill.wiring import check_provider, make_worker, open_client

if TYPE_CHECKING:
    from barfill.engine.worker import QueueWorker
    from barfill.store.database import Database

CONCURRENCY_MAX = 64

EPILOG = """\
\b
Examples:
  barfill worker                      until it is stopped
  barfill worker --concurrency 10
  barfill worker --until-empty        what is due now, then end

\b
Start as many as you like, on any machines that share DATABASE_URL: they share the
queue and the provider's rate limit. What one leaves behind when it is killed another
goes on with, at the page it had reached. Where the work comes from: barfill schedule.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--concurrency",
    type=click.IntRange(1, CONCURRENCY_MAX),
    metavar="N",
    help="Carry out so many runs at a time. [default: MAX_CONCURRENT_JOBS]",
)
@click.option("--until-empty", is_flag=True, help="End when nothing is due any more.")
def worker(concurrency: int | None, until_empty: bool) -> None:
    """Carry out runs from the queue."""
    quiet_libraries()
    settings = read_settings()
    check_provider(settings)
    with open_store(settings) as database:
        asyncio.run(_work(settings, database, concurrency, until_empty=until_empty))


async def _work(settings: Settings, database: Database, concurrency: int | None, *, until_empty: bool) -> None:
    log = ServiceLog()
    async with open_client(settings, database, log) as client:
        carrying = make_worker(settings, database, client, log, concurrency=concurrency)
        with stopped_by_signals(carrying.stop, log):
            log.note("worker started")
            await (carrying.run_until_empty() if until_empty else carrying.run())
            log.note(told(carrying))


def told(worker: QueueWorker) -> str:
    """What a worker has done, as a sentence."""
    tally = worker.tally
    parts = [counted(tally.done, "run") + " done"]
    parts += [f"{count:,} {word}" for count, word in ((tally.failed, "failed"), (tally.postponed, "put off")) if count]
    return f"worker ended: {', '.join(parts)}, {tally.calls:,} calls, {tally.bars_written:,} bars written"

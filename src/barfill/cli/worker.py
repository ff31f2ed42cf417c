"""`barfill worker`: carries out runs from the queue, one of any number on any machines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from barfill.cli.opening import open_store
from barfill.cli.service import ServiceLog, quiet_libraries, stopped_by_signals
from barfill.cli.terminal import counted
from barfill.engine.holding import look_at_key
from barfill.engine.report import EXIT_COMPLETE, EXIT_FAILED, EXIT_GAPS_REMAIN
from barfill.errors import ProviderError
from barfill.settings import Settings, read_settings
from barfill.wiring import check_provider, make_worker, open_clients

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

\b
With --until-empty the exit code is 1 if a run failed, else 0.
"""


@click.command(epilog=EPILOG)
@click.option(
    "--concurrency",
    type=click.IntRange(1, CONCURRENCY_MAX),
    metavar="N",
    help="Carry out so many runs of each provider at a time. [default: MAX_CONCURRENT_JOBS]",
)
@click.option("--until-empty", is_flag=True, help="End when nothing is due any more.")
def worker(concurrency: int | None, until_empty: bool) -> int:
    """Carry out runs from the queue."""
    quiet_libraries()
    settings = read_settings()
    check_provider(settings)
    with open_store(settings) as database:
        return asyncio.run(_work(settings, database, concurrency, until_empty=until_empty))


async def _work(settings: Settings, database: Database, concurrency: int | None, *, until_empty: bool) -> int:
    log = ServiceLog()
    async with open_clients(settings, database, log) as clients:
        carrying = make_worker(settings, database, clients, log, concurrency=concurrency)
        with stopped_by_signals(carrying.stop, log):
            log.note(f"worker started, for runs of {', '.join(clients.names)}")
            await (carrying.run_until_empty() if until_empty else carrying.run())
            log.note(told(carrying))
            if not until_empty:
                return EXIT_COMPLETE
            held = [error for one in clients.all if (error := await look_at_key(database, one)) is not None]
    if carrying.tally.failed or any(isinstance(error, ProviderError) for error in held):
        return EXIT_FAILED
    return EXIT_GAPS_REMAIN if held or carrying.tally.postponed else EXIT_COMPLETE


def told(worker: QueueWorker) -> str:
    """What a worker has done, as a sentence."""
    tally = worker.tally
    parts = [counted(tally.done, "run") + " done"]
    parts += [f"{count:,} {word}" for count, word in ((tally.failed, "failed"), (tally.postponed, "put off")) if count]
    parts += [counted(tally.calls, "call"), counted(tally.bars_written, "bar") + " written"]
    return f"worker ended: {', '.join(parts)}"

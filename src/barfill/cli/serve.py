"""`barfill serve`: HTTP API, scheduler and worker in one process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from barfill.cli.opening import open_store
from barfill.cli.service import ServiceLog, quiet_libraries, stopped_by_signals
from barfill.errors import SettingsError
from barfill.settings import Settings, read_settings
from barfill.wiring import check_provider, make_schedule, make_worker, open_clients

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

    from barfill.store.database import Database

DEFAULT_PORT = 8480
EVERY_MINUTES = 5
GRACE_S = 5
BACKLOG = 512

EPILOG = """\
\b
Examples:
  barfill serve
  barfill serve --port 9000 --no-worker     others carry the work out
  curl 'http://127.0.0.1:8480/api/v1/chart?symbol=AAPL&timeframe=1d&limit=5'

\b
It answers on this machine only. To serve others set BARFILL_API_KEY and API_HOSTS,
put a server that speaks HTTPS before it, and give --host. What it answers:
/api/v1/openapi.json, docs/http.md.
"""


@click.command(epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0 takes any free one."
)
@click.option(
    "--every",
    type=click.IntRange(1, 1440),
    default=EVERY_MINUTES,
    show_default=True,
    metavar="MINUTES",
    help="How often to look at what is missing.",
)
@click.option("--no-schedule", is_flag=True, help="Another process looks: barfill schedule.")
@click.option("--no-worker", is_flag=True, help="Other processes carry the work out: barfill worker.")
def serve(host: str, port: int, every: int, no_schedule: bool, no_worker: bool) -> int:
    """Serve the HTTP API, and keep everything complete meanwhile."""
    quiet_libraries()
    settings = read_settings()
    _check_address(host, settings)
    check_provider(settings)
    with _listening(host, port) as listener, open_store(settings) as database:
        parts = timedelta(minutes=every) if not no_schedule else None
        return asyncio.run(_serve(settings, database, listener, every=parts, has_worker=not no_worker))


async def _serve(
    settings: Settings, database: Database, listener: socket.socket, *, every: timedelta | None, has_worker: bool
) -> int:
    from barfill.wiring.serving import make_app  # noqa: PLC0415  slow to load

    log = ServiceLog()
    async with open_clients(settings, database, log) as clients:
        looking = make_schedule(settings, database, clients, log, every=every or timedelta(days=1), max_calls=None)
        carrying = make_worker(settings, database, clients, log, concurrency=None)
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(looking.wake)

        server = _server(make_app(settings, database, clients, wake=wake))

        def stop() -> None:
            server.should_exit = True
            looking.stop()
            carrying.stop()

        with stopped_by_signals(stop, log):
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[listener]))
                if every is not None:
                    group.create_task(looking.run())
                if has_worker:
                    group.create_task(carrying.run())
                host, port = listener.getsockname()[:2]
                log.note(f"Serving at http://{f'[{host}]' if ':' in host else host}:{port}")
    return 0


def _server(app: FastAPI) -> uvicorn.Server:
    import uvicorn  # noqa: PLC0415  slow to load

    class Server(uvicorn.Server):
        """One whose signals are ours: the worker and the scheduler end with it."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leaves them alone."""
            yield

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=GRACE_S,
    )
    return Server(config)


def _check_address(host: str, settings: Settings) -> None:
    """
    Refuses to be reached from elsewhere without a key.

    Raises:
        SettingsError: Another address than this machine's own, and no BARFILL_API_KEY.
    """
    try:
        is_own = ip_address(host).is_loopback
    except ValueError:
        is_own = host == "localhost"
    if not is_own and settings.barfill_api_key is None:
        raise SettingsError(
            f"With --host {host} other machines can reach barfill, and BARFILL_API_KEY is not set. Set it to a long "
            "random text, or leave --host out to serve this machine only."
        )


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}. Give another --port, or end what "
            "is there."
        ) from error
    with listener:
        yield listener

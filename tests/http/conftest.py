"""The API as an application meets it: over HTTP on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from barfill.core.routing import Roster
from barfill.engine.settings import EngineSettings
from barfill.http import Context, create_app
from barfill.providers.alpaca import Alpaca
from barfill.settings import Settings
from barfill.store.database import Database
from tests.store.fixtures import database, server_url

__all__ = ["database", "server_url"]

KEY = "CANARYKEY0123456789"
START_S = 20.0
Serve = Callable[..., httpx.Client]


@contextmanager
def serving(app: ASGIApp) -> Iterator[httpx.Client]:
    """A client of *app*, which a real server serves while the block runs."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none", server_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    give_up_at = time.monotonic() + START_S
    while not server.started:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(START_S)


@pytest.fixture
def context(database: Database) -> Context:
    """What the endpoints work with; Alpaca could be asked."""
    alpaca = Alpaca("key", "secret")
    return Context(
        database=database,
        settings=Settings(),
        roster=Roster((alpaca.capabilities,)),
        engine=EngineSettings(),
        key=KEY,
    )


@pytest.fixture
def api(context: Context) -> Iterator[httpx.Client]:
    """A client of the API."""
    with serving(create_app(context)) as client:
        yield client


@pytest.fixture
def serve(context: Context) -> Iterator[Serve]:
    """Makes clients of APIs with other settings."""
    opened = []

    def make(**changes: Any) -> httpx.Client:
        block = serving(create_app(replace(context, **changes)))
        opened.append(block)
        return block.__enter__()

    yield make
    for block in opened:
        block.__exit__(None, None, None)

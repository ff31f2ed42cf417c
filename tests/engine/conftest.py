"""A backfill between the simulated exchange and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.rig import Rig
from tests.store.fixtures import database, server_url

__all__ = ["database", "server_url"]


@pytest.fixture(scope="session")
def shared_exchange() -> Iterator[SimulatedExchange]:
    """One exchange for all tests; its limit is out of the way."""
    with running_exchange(ExchangeConfig(port=0, requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture
def exchange(shared_exchange: SimulatedExchange) -> Iterator[SimulatedExchange]:
    """The shared exchange without faults and with an empty request log."""
    shared_exchange.set_faults([])
    shared_exchange.forget_requests()
    yield shared_exchange
    shared_exchange.set_faults([])


@pytest.fixture
def rig(exchange: SimulatedExchange, database: Database) -> Rig:
    """A backfill between the two."""
    return Rig(exchange, database)

"""A backfill between the simulated exchange and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from barfill.providers.http import Timeouts
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.honesty import PAIR, FaultyRig
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


@pytest.fixture
def faulty(exchange: SimulatedExchange, database: Database) -> FaultyRig:
    """A rig with small pages and short timeouts; two symbols are known."""
    rig = FaultyRig(exchange, database, page_size=20, timeouts=Timeouts(connect_s=1, read_s=0.4, total_s=0.8))
    rig.add_symbols(PAIR)
    exchange.forget_requests()
    return rig

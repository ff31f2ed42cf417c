"""A running exchange and ways to ask it."""

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange

with warnings.catch_warnings():
    # alpaca-py 0.44 imports a deprecated part of websockets; imported here once, the tests need not care.
    warnings.simplefilter("ignore")
    import alpaca.trading.client

assert alpaca.trading.client

#: A Monday at 14:00 New York: the market is open.
NOW = datetime(2026, 8, 17, 18, 0, 0, 500_000, tzinfo=UTC)
KEYS = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}

Ask = Callable[..., httpx.Response]
Spoil = Callable[..., None]


@pytest.fixture(scope="session")
def shared_exchange() -> Iterator[SimulatedExchange]:
    """One exchange for all tests that only ask; its clock stands still."""
    config = ExchangeConfig(
        port=0, plan="paid", requests_per_minute=1_000_000, start_clock=NOW, clock_is_frozen=True, symbols=60
    )
    with running_exchange(config) as exchange:
        yield exchange


@pytest.fixture
def exchange(shared_exchange: SimulatedExchange) -> Iterator[SimulatedExchange]:
    """The shared exchange, without faults and with an empty request log."""
    shared_exchange.forget_requests()
    yield shared_exchange
    shared_exchange.set_faults([])
    shared_exchange.set_clock(NOW)


@pytest.fixture
def client(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    """An HTTP client with keys for the exchange."""
    with httpx.Client(base_url=exchange.alpaca_url, headers=KEYS, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def ask(client: httpx.Client) -> Ask:
    """Ask for bars: by default three sessions of daily bars of AAPL and MSFT."""

    def ask(**params: Any) -> httpx.Response:
        defaults = {"symbols": "AAPL,MSFT", "timeframe": "1Day", "start": "2026-08-10", "end": "2026-08-12"}
        wanted = {name: value for name, value in {**defaults, **params}.items() if value is not None}
        return client.get("/v2/stocks/bars", params=wanted)

    return ask


@pytest.fixture
def spoil(exchange: SimulatedExchange) -> Spoil:
    """Put a fault script of one line in force."""

    def spoil(fault: str, match: dict[str, Any] | None = None, **args: Any) -> None:
        exchange.set_faults([{"match": match or {}, "fault": fault, "args": args}])

    return spoil


@pytest.fixture
def drain(ask: Ask) -> Callable[..., list[dict[str, Any]]]:
    """Follow the tokens of a query to the end and give its pages."""

    def drain(pages_max: int = 200, **params: Any) -> list[dict[str, Any]]:
        pages: list[dict[str, Any]] = []
        token: str | None = None
        while len(pages) < pages_max:
            pages.append(ask(**params, page_token=token).json())
            token = pages[-1]["next_page_token"]
            if token is None:
                break
        return pages

    return drain

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
def massive(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    """An HTTP client of Massive with a key."""
    headers = {"Authorization": "Bearer k"}
    with httpx.Client(base_url=exchange.massive_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def tradier(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    """An HTTP client of Tradier with a token, who accepts JSON."""
    headers = {"Authorization": "Bearer k", "Accept": "application/json"}
    with httpx.Client(base_url=exchange.tradier_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def finnhub(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    """An HTTP client of Finnhub with a token."""
    headers = {"X-Finnhub-Token": "k"}
    url = f"{exchange.finnhub_url}/api/v1"
    with httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def aggs(massive: httpx.Client) -> Ask:
    """Ask Massive for a range of bars: a ticker, and the rest of the path behind it."""

    def aggs(ticker: str = "AAPL", window: str = "1/day/2026-08-10/2026-08-12", **params: Any) -> httpx.Response:
        return massive.get(f"/v2/aggs/ticker/{ticker}/range/{window}", params=params)

    return aggs


@pytest.fixture
def drain_aggs(aggs: Ask, massive: httpx.Client) -> Callable[..., list[dict[str, Any]]]:
    """Follow next_url of a range to the end and give its pages."""

    def drain(*names: str, pages_max: int = 800, **params: Any) -> list[dict[str, Any]]:
        pages = [aggs(*names, **params).json()]
        while len(pages) < pages_max and "next_url" in pages[-1]:
            pages.append(massive.get(pages[-1]["next_url"]).json())
        return pages

    return drain


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

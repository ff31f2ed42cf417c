"""Starting and stopping, as a library and as a command."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import httpx
import pytest

from barfill.errors import InvalidInput
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange


async def test_start_and_stop_in_a_loop() -> None:
    """start gives the URL, stop frees the port."""
    exchange = SimulatedExchange(ExchangeConfig(symbols=1))
    url = await exchange.start(port=0)
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{url}/simulate/healthz")).status_code == 200
        await exchange.stop()
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/simulate/healthz")


def test_a_taken_port_is_an_error() -> None:
    """A port that is in use is named in the error."""
    with running_exchange(ExchangeConfig(port=0, symbols=1)) as exchange:
        port = int(exchange.url.rsplit(":", 1)[1])
        with pytest.raises(InvalidInput, match=f"Port {port} is in use"):
            asyncio.run(SimulatedExchange(ExchangeConfig(port=port, symbols=1)).start())
        with pytest.raises(InvalidInput), running_exchange(ExchangeConfig(port=port, symbols=1)):
            pass


@pytest.mark.parametrize(
    "settings",
    [
        {"plan": "gold"},
        {"port": 70_000},
        {"symbols": 0},
        {"requests_per_minute": 0},
        {"start_clock": datetime(2026, 1, 1)},
        {"wrong_key_status": 500},
        {"next_url_host": "other"},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    """Each setting that cannot be is an error at once."""
    with pytest.raises(InvalidInput):
        ExchangeConfig(**settings)  # type: ignore[arg-type]


def test_an_exchange_has_no_url_before_it_starts() -> None:
    """Asking for the URL of an exchange that is not started says what to do."""
    with pytest.raises(InvalidInput, match="start"):
        _ = SimulatedExchange(ExchangeConfig(symbols=1)).url


def test_the_clock_runs_unless_frozen() -> None:
    """A started clock goes on from where it was set."""
    moving = SimulatedExchange(ExchangeConfig(symbols=1, start_clock=datetime(2026, 8, 17, tzinfo=UTC))).clock
    first = moving.now_ns()

    assert 0 <= moving.now_ns() - first < 10**9
    moving.freeze()
    assert moving.now_ns() == moving.now_ns()
    moving.resume()
    assert moving.now().date() == datetime(2026, 8, 17, tzinfo=UTC).date()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_announces_and_counts(number: signal.Signals) -> None:
    """serve prints the lines to export, runs until a signal and then says what was asked."""
    program = textwrap.dedent("""
        import asyncio
        from barfill.simulate import ExchangeConfig, serve
        asyncio.run(serve(ExchangeConfig(port=0, symbols=2), lambda line: print(line, flush=True)))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(13)]
    url = lines[1].removeprefix("export ALPACA_BASE_URL=")
    httpx.get(f"{url}/v2/clock", headers={"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"})
    process.send_signal(number)
    rest, _ = process.communicate(timeout=20)

    assert url.endswith("/alpaca")
    assert lines[2:] == [
        "export ALPACA_API_KEY=sim-key",
        "export ALPACA_API_SECRET=sim-secret",
        f"export MASSIVE_BASE_URL={url.removesuffix('/alpaca')}/massive",
        "export MASSIVE_API_KEY=sim-key",
        f"export TRADIER_BASE_URL={url.removesuffix('/alpaca')}/tradier",
        "export TRADIER_API_TOKEN=sim-key",
        f"export FINNHUB_BASE_URL={url.removesuffix('/alpaca')}/finnhub",
        "export FINNHUB_API_KEY=sim-key",
        *(
            f"export {name.upper()}_BASE_URL={url.removesuffix('/alpaca')}/{name}"
            for name in ("binance", "coinbaseexchange", "kraken")
        ),
    ]
    assert process.returncode == 0
    assert rest.splitlines() == ["# 1 requests", "#   clock: 1 x 200", "# at most 1 in any 60 s, 200 allowed"]

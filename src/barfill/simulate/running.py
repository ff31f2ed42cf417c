"""
Running an exchange: in a thread for tests, in the foreground for the command line.
"""

import asyncio
import contextlib
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from threading import Event, Thread
from typing import Any

from barfill.simulate.config import ExchangeConfig
from barfill.simulate.exchange import SimulatedExchange
from barfill.simulate.faults.catalogue import CRYPTO_VENUES
from barfill.simulate.market.replay import Served

_START_S = 30.0
_SERIES = re.compile(r"another file holds \S+ \S+")


@contextlib.contextmanager
def running_exchange(config: ExchangeConfig | None = None) -> Iterator[SimulatedExchange]:
    """
    An exchange that listens while the block runs, in a thread with an event loop of its own.

    Without a config it is the default one on a free port.
    """
    exchange = SimulatedExchange(config or ExchangeConfig(port=0))
    is_up, loop = Event(), asyncio.new_event_loop()
    failure: list[BaseException] = []

    def run() -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(exchange.start())
        except BaseException as error:
            failure.append(error)
            return
        finally:
            is_up.set()
        loop.run_forever()
        loop.run_until_complete(exchange.stop())

    thread = Thread(target=run, name="exchange", daemon=True)
    thread.start()
    is_up.wait(_START_S)
    try:
        if failure:
            raise failure[0]
        yield exchange
    finally:
        if not failure:
            loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def serve(
    config: ExchangeConfig,
    announce: Callable[[str], None],
    *,
    show_served: Callable[[Sequence[Served]], None] | None = None,
    named_max: int = 3,
) -> None:
    """
    Run an exchange until SIGINT or SIGTERM.

    Args:
        announce: Gets the lines for people: what to export, files left out of a replay, and at the end the counts.
        show_served: Gets what a replay serves, after the lines to export.
        named_max: How many files left out for the same reason are named; of more only their number is told.
    """
    exchange = SimulatedExchange(config)
    url = await exchange.start()
    for line in _left_out(exchange.messages, named_max):
        announce(f"# {line}")
    announce(f"# The simulated exchange listens on {url}; its request counts: {url}/simulate/requests")
    announce(f"export ALPACA_BASE_URL={exchange.alpaca_url}")
    announce("export ALPACA_API_KEY=sim-key")
    announce("export ALPACA_API_SECRET=sim-secret")
    announce(f"export MASSIVE_BASE_URL={exchange.massive_url}")
    announce("export MASSIVE_API_KEY=sim-key")
    announce(f"export TRADIER_BASE_URL={exchange.tradier_url}")
    announce("export TRADIER_API_TOKEN=sim-key")
    announce(f"export FINNHUB_BASE_URL={exchange.finnhub_url}")
    announce("export FINNHUB_API_KEY=sim-key")
    for venue in CRYPTO_VENUES if config.replay is None else ():
        announce(f"export {venue.upper()}_BASE_URL={exchange.venue_url(venue)}")
    if show_served is not None:
        show_served(exchange.served)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        await exchange.stop()
        for line in _counts(exchange):
            announce(line)


def _left_out(messages: Sequence[str], named_max: int) -> list[str]:
    """One line for each reason for which files are left out."""
    files: dict[str, list[str]] = {}
    for message in messages:
        name, _, reason = message.partition(" left out: ")
        files.setdefault(_SERIES.sub("another file holds the same series", reason), []).append(name)
    return [
        f"{', '.join(names) if len(names) <= named_max else f'{len(names)} files'} left out: {reason}"
        for reason, names in files.items()
    ]


def _counts(exchange: SimulatedExchange) -> list[str]:
    summary = exchange.ledger.summary()
    lines = [f"# {summary['total']} requests"]
    vendors: dict[str, Any] = summary["by_vendor"]
    for vendor, asked in vendors.items():
        # Of one vendor alone its name would say nothing.
        name = f"{vendor} " if len(vendors) > 1 else ""
        for endpoint, statuses in asked["by_endpoint"].items():
            told = ", ".join(f"{count} x {status}" for status, count in statuses.items())
            lines.append(f"#   {name}{endpoint}: {told}")
        fullest, limit = asked["max_in_any_60s"], asked["requests_per_minute"]
        lines.append(f"# {name}at most {fullest} in any 60 s, {limit} allowed")
    return lines

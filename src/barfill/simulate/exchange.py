"""
The simulated exchange as an object: started and stopped, asked what it knows, told what to do.
"""

import errno
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import polars as pl
from aiohttp import web

from barfill.errors import InvalidInput
from barfill.simulate.answers import Answers
from barfill.simulate.app import make_app
from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.ledger import Ledger, Request
from barfill.simulate.listings import Listing
from barfill.simulate.market import SyntheticMarket
from barfill.simulate.pages import Market, rows_of
from barfill.simulate.queries import BarsQuery
from barfill.simulate.replay import ReplayMarket, Served
from barfill.simulate.sessions import to_ns
from barfill.simulate.timeframes import named_timeframe
from barfill.simulate.wire import Page

_THREADS = 2
_REQUEST_BYTES_MAX = 1_000_000
_PORT_MAX = 65_535
_SHUTDOWN_S = 0.2


class SimulatedExchange:
    """
    One exchange over real HTTP. Use it in an event loop (*start*, *stop*), or from threads by *running_exchange*.

    Everything but *start* and *stop* may be called from any thread.
    """

    def __init__(self, config: ExchangeConfig | None = None) -> None:
        self.config = config or ExchangeConfig()
        self.clock = MovableClock(self.config.start_clock, frozen=self.config.clock_is_frozen)
        self.ledger = Ledger(self.config.allowed_per_minute)
        self.script = FaultScript(self.config.faults, self.config.seed)
        self.wrong_key_status = self.config.wrong_key_status
        self.messages: list[str] = []
        self.served: list[Served] = []
        self._market = self._make_market()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="simulate")
        self.answers = Answers(self._market, self.clock, self._pool, is_free=self.config.plan == "free")
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Where it listens, for instance http://127.0.0.1:8900."""
        if self._url is None:
            raise InvalidInput("The exchange is not started. Call start() first.")
        return self._url

    @property
    def alpaca_url(self) -> str:
        """The base URL to give to a client of Alpaca, for both the data and the trading host."""
        return f"{self.url}/alpaca"

    @property
    def requests(self) -> list[Request]:
        """The requests since the start or the last *forget_requests*, oldest first."""
        return list(self.ledger.requests)

    @property
    def listings(self) -> dict[str, Listing]:
        """The symbols that are served."""
        return dict(self._market.listings)

    async def start(self, port: int | None = None) -> str:
        """Listen on *port* (the config's if None, 0 for a free one); gives the URL."""
        self._runner = web.AppRunner(
            make_app(self), access_log=None, shutdown_timeout=_SHUTDOWN_S, handle_signals=False,
            max_line_size=_REQUEST_BYTES_MAX, max_field_size=_REQUEST_BYTES_MAX,
        )  # fmt: skip
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port if port is None else port)
        try:
            await site.start()
        except OSError as error:
            await self.stop()
            raise _port_error(self.config.port if port is None else port, error) from error
        bound = self._runner.addresses[0]
        self._url = f"http://{self.config.host}:{bound[1]}"
        return self._url

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._pool.shutdown(wait=False, cancel_futures=True)

    def forget_requests(self) -> None:
        """Empty the request log and its counts."""
        self.ledger.forget()

    def set_clock(self, instant: datetime) -> None:
        """Go on from *instant*, which must have a zone."""
        self.clock.set(instant)

    def set_faults(self, lines: list[dict[str, Any]]) -> None:
        """Replace the fault script; counts start anew."""
        self.script = FaultScript(lines, self.config.seed)

    def page(self, query: BarsQuery) -> Page:
        """The true page of a query."""
        return self.answers.page(query)

    def truth(
        self,
        symbol: str,
        timeframe: str,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        feed: str = "sip",
        adjustment: str = "raw",
    ) -> pl.DataFrame:
        """
        What the exchange holds, without plan, pages and faults: every bar with start <= ts <= end begun before now.

        Args:
            timeframe: As the vendor writes it or by its stored name: 1Min or m1.

        Returns:
            ts (datetime, UTC, the vendor's key), open, high, low, close, volume, trades, vwap. As the vendor has them:
            extended hours included, hours on the clock, days at New York midnight.
        """
        known = named_timeframe(timeframe)
        if known is None:
            raise InvalidInput(
                f"Timeframe '{timeframe}' is unknown. Write 1Min, 15Min, 1Hour, 1Day or m1, m15, h1, d1."
            )
        now_ns = self.clock.now_ns()
        query = BarsQuery(
            symbols=(symbol,),
            timeframe=known,
            start_ns=0 if start is None else to_ns(start),
            end_ns=now_ns if end is None else to_ns(end),
            limit=1,
            feed=feed,
            is_split_adjusted=adjustment in {"split", "all"},
            is_descending=False,
            currency=None,
            after=None,
            single=None,
        )
        return rows_of(self._market, query, symbol, now_ns).to_frame()

    def _make_market(self) -> Market:
        if self.config.replay is None:
            return SyntheticMarket(self.config.seed, self.config.symbols)
        market = ReplayMarket(self.config.replay)
        self.messages += market.messages
        self.served += market.served
        return market


def _port_error(port: int, error: OSError) -> InvalidInput:
    """What a failure to listen on *port* means, and which other one to take."""
    other = f"Use --port {port + 1 if port < _PORT_MAX else port - 1}, or --port 0 for any free one."
    if error.errno == errno.EADDRINUSE:
        return InvalidInput(
            f"Port {port} is in use: another program, maybe another 'barfill simulate', listens there. {other}"
        )
    return InvalidInput(f"Port {port} cannot be listened on: {error.strerror}. {other}")

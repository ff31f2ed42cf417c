"""
The simulated exchange as an object: started and stopped, asked what it knows, told what to do.
"""

import errno
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from aiohttp import web
from numpy.typing import NDArray

from barfill.errors import InvalidInput
from barfill.simulate.alpaca.vendor import Alpaca
from barfill.simulate.answers import Answers
from barfill.simulate.app import make_app
from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.crypto_venues.binance import Binance
from barfill.simulate.crypto_venues.coinbaseexchange import CoinbaseExchange
from barfill.simulate.crypto_venues.kraken import Kraken
from barfill.simulate.faults.script import FaultScript
from barfill.simulate.finnhub.vendor import Finnhub
from barfill.simulate.ledger import Ledger, Request
from barfill.simulate.market.absence import why_absent
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.crypto_minutes import LOTS_PER_COIN
from barfill.simulate.market.listings import Listing
from barfill.simulate.market.replay import ReplayMarket, Served
from barfill.simulate.market.sessions import to_ns
from barfill.simulate.market.source import Market, read_rows
from barfill.simulate.market.synthetic import SyntheticMarket
from barfill.simulate.market.timeframes import named_timeframe
from barfill.simulate.market.wanted import Wanted
from barfill.simulate.massive.vendor import Massive
from barfill.simulate.tradier.vendor import Tradier
from barfill.simulate.vendor import Vendor

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
        self.script = FaultScript(self.config.faults, self.config.seed)
        self.messages: list[str] = []
        self.served: list[Served] = []
        self._market = self._make_market()
        # Files hold no crypto yet, and invented bars never stand beside replayed ones.
        self._crypto = CryptoMarket(self.config.seed, is_open=self.config.replay is None)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="simulate")
        vendors: list[Vendor] = [
            Alpaca(self._market, self._crypto, self.clock, self.config),
            Massive(self._market, self._crypto, self.clock, self.config, lambda: self.url),
            Tradier(self._market, self.clock, self.config),
            Finnhub(self._market, self.clock, self.config),
            Binance(self._crypto, self.clock, self.config),
            CoinbaseExchange(self._crypto, self.clock, self.config),
            Kraken(self._crypto, self.clock, self.config),
        ]
        self.ledger = Ledger(
            {vendor.name: vendor.requests_per_minute for vendor in vendors},
            {vendor.name: vendor.new_limit for vendor in vendors},
        )
        self._counters: list[tuple[Vendor, Answers]] = [
            (vendor, Answers(vendor, self.clock, self._pool)) for vendor in vendors
        ]
        self._runner: web.AppRunner | None = None
        self._url: str | None = None

    @property
    def counters(self) -> Sequence[tuple[Vendor, Answers]]:
        """Each vendor with what answers for it."""
        return self._counters

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
    def massive_url(self) -> str:
        """The base URL to give to a client of Massive."""
        return f"{self.url}/massive"

    def venue_url(self, venue: str) -> str:
        """The base URL to give to a client of a crypto venue: binance, coinbaseexchange or kraken."""
        return f"{self.url}/{venue}"

    @property
    def tradier_url(self) -> str:
        """The base URL to give to a client of Tradier, above /v1 and /beta."""
        return f"{self.url}/tradier"

    @property
    def finnhub_url(self) -> str:
        """The base URL to give to a client of Finnhub, above /api/v1."""
        return f"{self.url}/finnhub"

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
            adjustment: raw, split, dividend or all.

        Returns:
            ts (datetime, UTC, the vendor's key), open, high, low, close, volume, trades, vwap. As the vendor has them:
            extended hours included, hours on the clock, days at New York midnight.
        """
        wanted = self._wanted(timeframe, start, end, feed)
        adjust = ("split", "dividend") if adjustment == "all" else (adjustment,)
        return read_rows(self._market, symbol, wanted, None, adjust=adjust, is_descending=False).to_frame()

    def why_absent(self, symbol: str, timeframe: str, starts: NDArray[np.int64]) -> NDArray[np.str_]:
        """
        Why there is no bar of *symbol* at each of *starts*, where there is none: see market/absence.py.

        Args:
            symbol: A company's newest ticker.
            timeframe: As for *truth*: intraday, or days.
            starts: Microseconds since 1970 in UTC, ascending, as *truth* keys its bars; shape (n,).

        Returns:
            traded, closed, before_listing, after_delisting, halted or no_trade, shape (n,).
        """
        wanted = self._wanted(timeframe, None, None, "sip")
        return why_absent(self._market, symbol, wanted.timeframe, starts * 1000, wanted.visible_ns)

    def crypto_truth(
        self, venue: str, symbol: str, timeframe: str, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame:
        """
        What was traded of a pair on a venue, as *truth*: without rows of volume 0, the bar under way included.

        Args:
            venue: binance, coinbaseexchange, kraken, alpaca, or massive: the tape of all.
            symbol: As ``BTC/USD``.

        Returns:
            As *truth*, volume in coins; days begin at 00:00 UTC, weeks on Monday.
        """
        bars = self._crypto.read(symbol, self._wanted(timeframe, start, end, venue))
        return bars.to_frame().with_columns(volume=pl.Series(bars.volume / LOTS_PER_COIN))

    def _wanted(self, timeframe: str, start: datetime | None, end: datetime | None, feed: str) -> Wanted:
        known = named_timeframe(timeframe)
        if known is None:
            raise InvalidInput(
                f"Timeframe '{timeframe}' is unknown. Write 1Min, 15Min, 1Hour, 1Day or m1, m15, h1, d1."
            )
        now_ns = self.clock.now_ns()
        return Wanted(
            timeframe=known,
            start_ns=0 if start is None else to_ns(start),
            end_ns=now_ns if end is None else to_ns(end),
            feed=feed,
            visible_ns=now_ns,
        )

    def _make_market(self) -> Market:
        if self.config.replay is None:
            return SyntheticMarket(self.config.seed, self.config.symbols, is_eventful=self.config.is_eventful)
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

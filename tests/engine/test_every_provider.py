"""What each provider declares of itself holds: the same tests for all of them, over HTTP, from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import pytest

from barfill.core.capabilities import CRYPTO
from barfill.core.page import BarsQuery
from barfill.core.plan import Resampling
from barfill.core.ranges import Range, to_us
from barfill.core.timeframe import Timeframe
from barfill.engine.backfill import Backfill
from barfill.engine.catalog import add_symbols
from barfill.engine.clients import Clients
from barfill.engine.report import EXIT_COMPLETE, BackfillReport
from barfill.engine.request import BackfillRequest
from barfill.providers.alpaca import Alpaca
from barfill.providers.base import Provider
from barfill.providers.ccxt_venue import make_venue
from barfill.providers.finnhub import Finnhub
from barfill.providers.massive import Massive
from barfill.providers.tradier import Tradier
from barfill.providers.yahoo import Yahoo
from barfill.simulate import ExchangeConfig, SimulatedExchange, running_exchange
from barfill.store.database import Database
from tests.engine.rig import Bars, Rig

KEY = "CANARYCANARYCANARY"
STOCKS: dict[str, Callable[[SimulatedExchange], Provider]] = {
    "alpaca": lambda exchange: Alpaca(KEY, KEY + "S", base_url=exchange.alpaca_url, plan="paid"),
    "massive": lambda exchange: Massive(KEY, base_url=exchange.massive_url, plan="paid"),
    "tradier": lambda exchange: Tradier(KEY, base_url=exchange.tradier_url, plan="paid"),
    "finnhub": lambda exchange: Finnhub(KEY, base_url=exchange.finnhub_url, plan="paid"),
}
VENUES = ("binance", "coinbaseexchange", "kraken")
NAMES = (*STOCKS, *VENUES)


def some_days(timeframe: Timeframe) -> Range:
    """A few days of two weeks ago, more of coarse bars."""
    today = datetime.combine(datetime.now(UTC).date(), time(), UTC)
    monday = today - timedelta(days=today.weekday() + 14)
    return Range(monday, monday + timedelta(days=2 if timeframe is Timeframe.M1 else 7))


@dataclass
class ProviderRig(Rig):
    """Backfills from any one provider of the exchange."""

    name: str = ""

    @property
    def provider(self) -> Provider:
        """The provider."""
        if self.name in VENUES:
            return make_venue(self.name, self.exchange.venue_url(self.name), requests_per_minute=100_000)
        return STOCKS[self.name](self.exchange)

    @property
    def ticker(self) -> str:
        """A liquid symbol of its."""
        return "BTC/USD" if self.name in VENUES else "MSFT"

    def window(self, timeframe: Timeframe) -> Range:
        """A few days, or some hours where the provider has no more."""
        usual = some_days(timeframe)
        oldest = self.provider.capabilities.history_start_at(datetime.now(UTC), timeframe)
        if oldest is None or oldest < usual.start:
            return usual
        start = oldest.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
        return Range(start, start + timedelta(hours=8))

    def fill(self, timeframe: Timeframe, wanted: Range) -> BackfillReport:
        """One backfill of the symbol."""

        async def run() -> BackfillReport:
            clients = Clients(self.client_of(self.provider))
            try:
                await add_symbols(self.database, clients, [self.ticker])
                request = BackfillRequest(tickers=(self.ticker,), windows={timeframe: wanted})
                return await Backfill(self.database, clients, self.settings, self.listener).run(request)
            finally:
                await clients.aclose()

        return asyncio.run(run())

    def traded(self, timeframe: Timeframe, wanted: Range) -> Bars:
        """What the exchange holds of *wanted*."""
        if self.name not in VENUES:
            return self.truth(self.ticker, timeframe, wanted)
        frame = self.exchange.crypto_truth(
            self.name, self.ticker, timeframe.value, wanted.start, wanted.end - timedelta(microseconds=1)
        )
        starts = frame["ts"].dt.epoch("us").to_list()
        return dict(zip(starts, frame.select("open", "high", "low", "close", "volume").iter_rows(), strict=True))


@pytest.fixture(scope="module")
def paid() -> Iterator[SimulatedExchange]:
    """An exchange whose keys are on paying plans."""
    with running_exchange(ExchangeConfig(port=0, plan="paid", requests_per_minute=1_000_000)) as exchange:
        yield exchange


@pytest.fixture(params=NAMES)
def each(request: pytest.FixtureRequest, paid: SimulatedExchange, database: Database) -> ProviderRig:
    """Each provider in turn."""
    paid.forget_requests()
    return ProviderRig(paid, database, name=str(request.param))


def test_each_declared_timeframe_comes_as_the_exchange_has_it(each: ProviderRig) -> None:
    """Stamps, values and counts; each bar with provider and feed; a second run asks nothing."""
    fetched_all = Resampling(from_m1=False, h1=False, h4=False, w1=False)
    each.settings = replace(each.settings, resampling=fetched_all)
    for timeframe in sorted(each.provider.capabilities.timeframes, key=lambda one: one.length):
        wanted = each.window(timeframe)

        report = each.fill(timeframe, wanted)

        truth = each.traded(timeframe, wanted)
        inside = {ts: bar for ts, bar in each.stored(each.ticker, timeframe).items() if ts < to_us(wanted.end)}
        assert {ts: bar for ts, bar in inside.items() if bar[-1] > 0} == truth, timeframe
        assert truth, timeframe
        assert report.failures == (), timeframe
    feed = each.provider.capabilities.feed
    assert each.query("select distinct provider, feed from ohlc_bars") == [(each.name, feed)]
    asked = len(each.exchange.requests)
    assert each.fill(Timeframe.D1, some_days(Timeframe.D1)).exit_code == EXIT_COMPLETE
    assert len(each.exchange.requests) == asked


def test_all_eight_timeframes_can_be_had_of_each(each: ProviderRig) -> None:
    """Fetched or derived, as the calendar lets one expect."""
    for timeframe in Timeframe:
        report = each.fill(timeframe, each.window(timeframe))

        (state,) = report.matrix
        assert state.expected > 0, timeframe
        assert state.present >= 0.95 * state.expected, timeframe


@pytest.mark.parametrize("name", [*NAMES, "yahoo"])
def test_what_is_declared_is_sound(paid: SimulatedExchange, name: str) -> None:
    """Names, units, bounds; and no key anywhere but in a header."""
    provider: Provider = Yahoo() if name == "yahoo" else ProviderRig(paid, None, name=name).provider  # type: ignore[arg-type]
    found = provider.capabilities

    assert provider.name == found.provider == name
    assert found.timeframes
    assert found.page_size > 0
    assert found.requests_per_minute > 0
    assert found.symbols_per_call_max >= 1
    assert found.feed
    assert found.asset_types
    for timeframe in Timeframe:
        assert timedelta() <= found.delay_of(timeframe) <= timedelta(days=1)
        assert found.basis(timeframe) in {"raw", "split", "all"}
        oldest = found.history_start_at(datetime.now(UTC), timeframe)
        assert oldest is None or oldest.tzinfo is not None
    assert all(url.startswith(("https://", "http://127.0.0.1")) for url in provider.base_urls)
    assert KEY not in repr(provider)


@pytest.mark.parametrize("name", STOCKS)
def test_a_key_is_sent_in_a_header_to_the_providers_host(paid: SimulatedExchange, name: str) -> None:
    """Not in the URL, not in its parameters, not in what is shown of the request."""
    provider = STOCKS[name](paid)
    timeframe = min(provider.capabilities.timeframes, key=lambda one: one.length)
    feed, basis = provider.capabilities.feed, provider.capabilities.basis(timeframe)

    request = provider.bars_request(BarsQuery(("MSFT",), timeframe, some_days(timeframe), feed, basis), None)

    assert KEY not in f"{request.url} {dict(request.params)} {request.shown} {request!r}"
    assert any(KEY in value for value in request.headers.values())
    assert request.url.startswith(tuple(provider.base_urls))
    assert provider.capabilities.asset_types.isdisjoint(CRYPTO)

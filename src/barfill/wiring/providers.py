"""The providers that the settings name, each with its key, and their clients under the shared quota."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from barfill.core.capabilities import FILES
from barfill.core.ticker import asset_types_of
from barfill.errors import InvalidInput, SettingsError
from barfill.settings import Settings
from barfill.settings.kinds import NAME
from barfill.settings.model import DEFAULT_ORDER

if TYPE_CHECKING:
    from barfill.engine.clients import Clients
    from barfill.engine.corporate import EventsSource
    from barfill.engine.events import BackfillListener
    from barfill.engine.market_calendar import SessionsSource
    from barfill.engine.quota import Purpose
    from barfill.errors import ProviderError
    from barfill.providers.base import Provider, Sender
    from barfill.providers.client import ProviderClient
    from barfill.providers.events import EventsProvider
    from barfill.providers.limiter import Quota
    from barfill.providers.sessions import SessionsProvider
    from barfill.store.database import Database

NO_KEYS = (
    "No provider has a key: set ALPACA_API_KEY and ALPACA_API_SECRET (a free account at alpaca.markets gives both). "
    "To try barfill without an account, run 'barfill simulate' in another terminal and paste the export lines that it "
    "prints here."
)


@dataclass(frozen=True, slots=True)
class Configured:
    """
    A provider as the settings have it.

    Attributes:
        key: What its requests are counted by.
        daily_budget: No more requests than so many in a day; None for no bound.
    """

    provider: Provider
    key: str
    daily_budget: int | None


def _alpaca(settings: Settings) -> Configured | None:
    from barfill.providers.alpaca import Alpaca  # noqa: PLC0415

    if settings.alpaca_api_key is None or settings.alpaca_api_secret is None:
        return None
    provider = Alpaca(
        settings.alpaca_api_key,
        settings.alpaca_api_secret,
        base_url=settings.alpaca_base_url,
        plan=settings.alpaca_plan,
        feed=settings.alpaca_feed,
        page_size=settings.alpaca_page_size,
        requests_per_minute=settings.alpaca_requests_per_minute,
    )
    return Configured(provider, settings.alpaca_api_key, settings.alpaca_daily_budget)


def _massive(settings: Settings) -> Configured | None:
    from barfill.providers.massive import Massive  # noqa: PLC0415

    if settings.massive_api_key is None:
        return None
    provider = Massive(
        settings.massive_api_key,
        base_url=settings.massive_base_url,
        plan=settings.massive_plan,
        page_size=settings.massive_page_size,
        requests_per_minute=settings.massive_requests_per_minute,
    )
    return Configured(provider, settings.massive_api_key, settings.massive_daily_budget)


def _tradier(settings: Settings) -> Configured | None:
    from barfill.providers.tradier import Tradier  # noqa: PLC0415

    if settings.tradier_api_token is None:
        return None
    provider = Tradier(
        settings.tradier_api_token,
        base_url=settings.tradier_base_url,
        plan=settings.tradier_plan,
        requests_per_minute=settings.tradier_requests_per_minute,
    )
    return Configured(provider, settings.tradier_api_token, settings.tradier_daily_budget)


def _finnhub(settings: Settings) -> Configured | None:
    from barfill.providers.finnhub import Finnhub  # noqa: PLC0415

    if settings.finnhub_api_key is None:
        return None
    provider = Finnhub(
        settings.finnhub_api_key,
        base_url=settings.finnhub_base_url,
        plan=settings.finnhub_plan,
        requests_per_minute=settings.finnhub_requests_per_minute,
    )
    return Configured(provider, settings.finnhub_api_key, settings.finnhub_daily_budget)


def _yahoo(_settings: Settings) -> Configured:
    from barfill.providers.yahoo import Yahoo  # noqa: PLC0415

    return Configured(Yahoo(), _this_machine(), None)


def _venue(settings: Settings, name: str) -> Configured:
    """A crypto venue by its ccxt id."""
    from barfill.providers.ccxt_venue import make_venue  # noqa: PLC0415

    base_url = getattr(settings, f"{name}_base_url", None)
    return Configured(make_venue(name, base_url=base_url), _this_machine(), None)


def _this_machine() -> str:
    """What requests without a key are counted by: providers count them by their address."""
    return socket.gethostname()


_MAKERS: Mapping[str, Callable[[Settings], Configured | None]] = MappingProxyType(
    {"alpaca": _alpaca, "massive": _massive, "tradier": _tradier, "finnhub": _finnhub, "yahoo": _yahoo}
)
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "alpaca": "ALPACA_API_KEY and ALPACA_API_SECRET",
        "massive": "MASSIVE_API_KEY",
        "tradier": "TRADIER_API_TOKEN",
        "finnhub": "FINNHUB_API_KEY",
    }
)
PROVIDERS = (*_MAKERS, "coinbase", "kraken", "binance")
"""The best known of the names that `--provider` takes; any other venue of ccxt is one, too."""


EVENT_PROVIDERS = ("alpaca", "massive", "finnhub")
"""Those that list corporate actions."""


def configured(
    settings: Settings, only: str | None = None, *, tickers: Sequence[str] | None = None
) -> tuple[Configured, ...]:
    """
    The providers that have a key or need none, in the order in which they are asked.

    Args:
        only: The one that is to be asked, whatever the order says.
        tickers: What they are asked for; None for whatever may come. Crypto venues are left out where no pair is asked
            for, since their library is slow to load.

    Raises:
        SettingsError: None has a key, or a name is unknown.
    """
    names = dict.fromkeys((only,) if only else (*settings.provider_order, *_helpers(settings)))
    has_pairs = only is not None or _has_pairs(tickers)
    found = [one for name in names if (one := _configured(settings, name, has_pairs=has_pairs))]
    if not only:
        _check_helpers(settings, {one.provider.name for one in found})
    if only and not found:
        raise SettingsError(f"{only} has no key: set {_KEYS[only]}.")
    if not any(only or one.provider.name in settings.provider_order for one in found):
        raise SettingsError(_no_keys(settings))
    return tuple(found)


def _no_keys(settings: Settings) -> str:
    """That nothing can be asked; where a key is set of a provider that the order leaves out, that."""
    left_out = [name for name, make in _MAKERS.items() if name in _KEYS and make(settings) is not None]
    if not left_out:
        return NO_KEYS
    named = ", ".join(settings.provider_order)
    return (
        f"PROVIDER_ORDER ({named}) names none that has a key, but {left_out[0]} has one: name it there, or set the key "
        "of one that is named."
    )


def _check_helpers(settings: Settings, found: Collection[str]) -> None:
    """Whoever names a provider for a task means to use it."""
    live = (settings.live_provider,) if settings.live_provider else ()
    for setting, names in (("LIVE_PROVIDER", live), ("FALLBACK_PROVIDERS", settings.fallback_providers)):
        for name in names:
            if name in _KEYS and name not in found:
                raise SettingsError(f"{setting} names {name}, which has no key: set {_KEYS[name]}.")
    for name in (*settings.provider_order, *_helpers(settings)):
        if name not in PROVIDERS and name not in DEFAULT_ORDER:  # loading a venue takes a second
            _venue(settings, name)  # says so where there is none


def _configured(settings: Settings, name: str, *, has_pairs: bool) -> Configured | None:
    if name in _MAKERS:
        return _MAKERS[name](settings)
    return _venue(settings, name) if has_pairs else None


def parse_provider(text: str | None) -> str | None:
    """
    A provider's name as `--provider` takes it: in any case, and by its former name.

    Raises:
        InvalidInput: It can be none.
    """
    if text is None:
        return None
    try:
        return str(NAME.parse(text))
    except ValueError as error:
        raise InvalidInput(f"--provider {text[:40]!r} {error}.") from None


def check_provider(settings: Settings, only: str | None = None, tickers: Sequence[str] | None = None) -> None:
    """
    Says at once, before anything is started, when no request could be made.

    Raises:
        SettingsError: No provider of such symbols has a key.
    """
    found = configured(settings, only, tickers=tickers)
    if only is not None and not found[0].provider.capabilities.timeframes:
        raise SettingsError(
            f"{only} has no bars on the plan that is set. Where yours has, set {only.upper()}_PLAN to it."
        )
    types = {kind for one in found for kind in one.provider.capabilities.asset_types}
    strange = next((one for one in tickers or () if types.isdisjoint(asset_types_of(one))), None)
    if strange is not None and only is not None:
        raise SettingsError(f"{only} has no symbols such as {strange}. Leave out --provider, or name one that has.")
    if strange is not None:
        raise SettingsError(_no_keys(settings))


def events_sources(settings: Settings, clients: Clients) -> list[EventsSource]:
    """The providers among *clients* that list corporate actions, and what asks each for them."""
    from barfill.engine.corporate import EventsSource  # noqa: PLC0415

    found = ((_events_of(settings, client.provider.name), client) for client in clients.all)
    return [EventsSource(events, client) for events, client in found if events is not None]


def _events_of(settings: Settings, name: str) -> EventsProvider | None:
    from barfill.providers.alpaca_events import AlpacaEvents  # noqa: PLC0415
    from barfill.providers.finnhub_events import FinnhubEvents  # noqa: PLC0415
    from barfill.providers.massive_events import MassiveEvents  # noqa: PLC0415

    if name == AlpacaEvents.name and settings.alpaca_api_key and settings.alpaca_api_secret:
        return AlpacaEvents(settings.alpaca_api_key, settings.alpaca_api_secret, base_url=settings.alpaca_base_url)
    if name == MassiveEvents.name and settings.massive_api_key:
        return MassiveEvents(settings.massive_api_key, base_url=settings.massive_base_url)
    if name == FinnhubEvents.name and settings.finnhub_api_key:
        return FinnhubEvents(settings.finnhub_api_key, base_url=settings.finnhub_base_url)
    return None


def sessions_source(settings: Settings, client: ProviderClient) -> SessionsSource | None:
    """What asks the provider of *client* for its market calendar; None where it has none."""
    from barfill.engine.market_calendar import SessionsSource  # noqa: PLC0415

    provider = _sessions_of(settings, client.provider.name)
    return SessionsSource(provider, client) if provider is not None else None


def _sessions_of(settings: Settings, name: str) -> SessionsProvider | None:
    from barfill.providers.alpaca_sessions import AlpacaSessions  # noqa: PLC0415
    from barfill.providers.finnhub_sessions import FinnhubSessions  # noqa: PLC0415
    from barfill.providers.massive_sessions import MassiveSessions  # noqa: PLC0415
    from barfill.providers.tradier_sessions import TradierSessions  # noqa: PLC0415

    if name == AlpacaSessions.name and settings.alpaca_api_key and settings.alpaca_api_secret:
        return AlpacaSessions(settings.alpaca_api_key, settings.alpaca_api_secret, base_url=settings.alpaca_base_url)
    if name == MassiveSessions.name and settings.massive_api_key:
        return MassiveSessions(settings.massive_api_key, base_url=settings.massive_base_url)
    if name == TradierSessions.name and settings.tradier_api_token:
        token, plan = settings.tradier_api_token, settings.tradier_plan
        return TradierSessions(token, base_url=settings.tradier_base_url, plan=plan)
    if name == FinnhubSessions.name and settings.finnhub_api_key:
        return FinnhubSessions(settings.finnhub_api_key, base_url=settings.finnhub_base_url)
    return None


@asynccontextmanager
async def open_clients(
    settings: Settings,
    database: Database | None,
    listener: BackfillListener | None = None,
    *,
    purpose: Purpose = "bulk",
    only: str | None = None,
    tickers: Sequence[str] | None = None,
) -> AsyncIterator[Clients]:
    """
    The clients of all providers that have a key, their connections closed at the end; waits are told to *listener*.

    Those that somebody has named with `--provider` are among them for as long as series hold what they brought.

    Args:
        database: Shares each key's quota among all processes; None where there is none, for a few requests.
        purpose: Interactive requests go before bulk ones.
        only: The one provider that is to be asked.
        tickers: What they are asked for; None for whatever may come.

    Raises:
        SettingsError: No key is set.
    """
    from barfill.engine.clients import Clients  # noqa: PLC0415
    from barfill.engine.events import SilentListener  # noqa: PLC0415
    from barfill.store.series import read_providers  # noqa: PLC0415

    told = listener or SilentListener()
    chosen = {one.provider.name: one for one in configured(settings, only, tickers=tickers)}
    kept: dict[str, Configured] = {}
    if not only and database is not None:
        bringers = await asyncio.to_thread(database.run, read_providers)
        kept = _kept(settings, bringers, has_pairs=_has_pairs(tickers))
    clients = Clients(
        *(_client(one, database, told, purpose) for one in (kept | chosen).values()),
        order=list(chosen) if only else [name for name in settings.provider_order if name in chosen],
        fallbacks=() if only else [name for name in settings.fallback_providers if name in chosen],
        live=settings.live_provider if not only and settings.live_provider in chosen else None,
        kept=list(kept),
    )
    try:
        yield clients
    finally:
        await clients.aclose()


def _kept(settings: Settings, bringers: Sequence[str], *, has_pairs: bool) -> dict[str, Configured]:
    """Those of *bringers* that the order does not name and that can be asked: not files, nor one without a key."""
    found: dict[str, Configured] = {}
    for name in bringers:
        if name in settings.provider_order or name == FILES:
            continue
        with suppress(SettingsError):  # a venue that ccxt has no longer
            if one := _configured(settings, name, has_pairs=has_pairs):
                found[name] = one
    return found


def _has_pairs(tickers: Sequence[str] | None) -> bool:
    return tickers is None or any("/" in ticker for ticker in tickers)


def _helpers(settings: Settings) -> tuple[str, ...]:
    """Those that take over from others or bring what these do not have yet."""
    live = (settings.live_provider,) if settings.live_provider else ()
    return (*settings.fallback_providers, *live)


def _client(one: Configured, database: Database | None, told: BackfillListener, purpose: Purpose) -> ProviderClient:
    from barfill.providers.client import ProviderClient  # noqa: PLC0415

    def on_wait(seconds: float, error: ProviderError) -> None:
        told.waiting(seconds, str(error))

    quota = _quota(one, database, told, purpose)
    return ProviderClient(one.provider, _sender(one.provider), quota, on_wait=on_wait)


def _sender(provider: Provider) -> Sender:
    """What sends its requests."""
    if provider.name == "yahoo":
        from barfill.providers.yahoo_http import YahooHttp  # noqa: PLC0415  an extra

        return YahooHttp()
    from barfill.providers.http import HttpClient  # noqa: PLC0415

    return HttpClient(provider.base_urls)


def _quota(one: Configured, database: Database | None, told: BackfillListener, purpose: Purpose) -> Quota:
    from barfill.engine.quota import SharedQuota, key_id_of  # noqa: PLC0415
    from barfill.providers.limiter import SlidingQuota  # noqa: PLC0415
    from barfill.store.quota import QuotaTerms  # noqa: PLC0415

    limit = one.provider.capabilities.requests_per_minute
    if database is None:
        return SlidingQuota(limit)

    async def told_sleep(seconds: float, reason: str) -> None:
        told.waiting(seconds, reason)
        await asyncio.sleep(seconds)

    terms = QuotaTerms(
        provider=one.provider.name,
        key_id=key_id_of(one.provider.name, one.key),
        requests_per_minute=limit,
        requests_per_second=one.provider.capabilities.requests_per_second,
        day_budget=one.daily_budget,
    )
    return SharedQuota(database, terms, purpose=purpose, sleep=told_sleep)

"""
Builds the store, the provider's client and the engine from the settings.

Everything below is handed what it needs; nothing below knows settings. Imports are made when something is built,
since most commands need only a part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from barfill.settings import Settings

if TYPE_CHECKING:
    from datetime import timedelta

    from barfill.engine.backfill import Backfill
    from barfill.engine.events import BackfillListener
    from barfill.engine.quota import Purpose
    from barfill.engine.schedule import Schedule
    from barfill.engine.settings import EngineSettings
    from barfill.engine.worker import QueueWorker
    from barfill.errors import ProviderError
    from barfill.providers.base import Provider
    from barfill.providers.client import ProviderClient
    from barfill.providers.limiter import Quota
    from barfill.store.database import Database

PROVIDERS = ("alpaca",)
"""Names that `--provider` takes, the default first."""


@contextmanager
def open_store(settings: Settings) -> Iterator[Database]:
    """The database, its schema up to date; a private server runs as long as the block."""
    from barfill.store.database import open_database  # noqa: PLC0415

    with open_database(settings.database_url, settings.barfill_home, is_pooled=settings.database_pooler) as database:
        yield database


def check_provider(settings: Settings) -> None:
    """
    Says at once, before anything is started, when no request could be made.

    Raises:
        SettingsError: The keys are not set.
    """
    settings.alpaca_keys()


@asynccontextmanager
async def open_client(
    settings: Settings,
    database: Database | None,
    listener: BackfillListener | None = None,
    *,
    purpose: Purpose = "bulk",
) -> AsyncIterator[ProviderClient]:
    """
    Alpaca with the keys of the settings, its connections closed at the end; waits are told to *listener*.

    Args:
        database: Shares the key's quota among all processes; None where there is none, for a few requests.
        purpose: Interactive requests go before bulk ones.

    Raises:
        SettingsError: The keys are not set.
    """
    from barfill.engine.events import SilentListener  # noqa: PLC0415
    from barfill.providers.alpaca import Alpaca  # noqa: PLC0415
    from barfill.providers.client import ProviderClient  # noqa: PLC0415
    from barfill.providers.http import HttpClient  # noqa: PLC0415

    told = listener or SilentListener()
    key, secret = settings.alpaca_keys()
    provider = Alpaca(
        key,
        secret,
        base_url=settings.alpaca_base_url,
        plan=settings.alpaca_plan,
        feed=settings.alpaca_feed,
        page_size=settings.alpaca_page_size,
        requests_per_minute=settings.alpaca_requests_per_minute,
    )

    def on_wait(seconds: float, error: ProviderError) -> None:
        told.waiting(seconds, str(error))

    quota = _quota(settings, provider, key, database, told, purpose)
    client = ProviderClient(provider, HttpClient(provider.base_urls), quota, on_wait=on_wait)
    try:
        yield client
    finally:
        await client.aclose()


def _quota(
    settings: Settings,
    provider: Provider,
    key: str,
    database: Database | None,
    told: BackfillListener,
    purpose: Purpose,
) -> Quota:
    from barfill.engine.quota import SharedQuota, key_id_of  # noqa: PLC0415
    from barfill.providers.limiter import SlidingQuota  # noqa: PLC0415
    from barfill.store.quota import QuotaTerms  # noqa: PLC0415

    limit = provider.capabilities.requests_per_minute
    if database is None:
        return SlidingQuota(limit)

    async def told_sleep(seconds: float, reason: str) -> None:
        told.waiting(seconds, reason)
        await asyncio.sleep(seconds)

    terms = QuotaTerms(
        provider=provider.name,
        key_id=key_id_of(provider.name, key),
        requests_per_minute=limit,
        day_budget=settings.alpaca_daily_budget,
    )
    return SharedQuota(database, terms, purpose=purpose, sleep=told_sleep)


def make_backfill(
    settings: Settings, database: Database, client: ProviderClient, listener: BackfillListener
) -> Backfill:
    """The engine's backfill, told what the settings say."""
    from barfill.engine.backfill import Backfill  # noqa: PLC0415

    return Backfill(database, client, _engine_settings(settings), listener)


def make_worker(
    settings: Settings,
    database: Database,
    client: ProviderClient,
    listener: BackfillListener,
    *,
    concurrency: int | None,
) -> QueueWorker:
    """A worker of the queue; *concurrency* None is what the settings say."""
    from barfill.engine.worker import QueueWorker  # noqa: PLC0415

    engine = _engine_settings(settings)
    return QueueWorker(
        database,
        client,
        replace(engine, max_concurrent_jobs=concurrency or engine.max_concurrent_jobs),
        listener,
        retention_days=settings.job_runs_retention_days,
    )


def make_schedule(
    settings: Settings,
    database: Database,
    client: ProviderClient,
    listener: BackfillListener,
    *,
    every: timedelta,
    max_calls: int | None,
) -> Schedule:
    """What looks at the job definitions again and again."""
    from barfill.engine.schedule import Schedule  # noqa: PLC0415

    return Schedule(database, client, _engine_settings(settings), listener, every=every, max_calls=max_calls)


def _engine_settings(settings: Settings) -> EngineSettings:
    from barfill.engine.settings import EngineSettings  # noqa: PLC0415

    return EngineSettings(
        max_concurrent_jobs=settings.max_concurrent_jobs,
        h1_from_m15=settings.resample_h1_from_m15,
        h4_from_m15=settings.resample_h4_from_m15,
        worker_patience_s=settings.worker_patience_seconds,
    )

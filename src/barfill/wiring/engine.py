"""The store, and the parts of the engine, as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from barfill.settings import Settings
from barfill.wiring.providers import events_sources

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from barfill.engine.backfill import Backfill
    from barfill.engine.clients import Clients, PageSource
    from barfill.engine.events import BackfillListener
    from barfill.engine.importing import Import
    from barfill.engine.schedule import Schedule
    from barfill.engine.settings import EngineSettings
    from barfill.engine.worker import QueueWorker
    from barfill.store.database import Database


@contextmanager
def open_store(settings: Settings) -> Iterator[Database]:
    """
    The database, its schema up to date; a private server runs as long as the block.

    Raises:
        SettingsError: CALENDAR_FILE cannot be read, or says nothing clear.
    """
    from barfill.core.library_sessions import use_kept_sessions  # noqa: PLC0415
    from barfill.store.database import open_database  # noqa: PLC0415
    from barfill.wiring.sessions_on_disk import SessionsOnDisk  # noqa: PLC0415

    use_kept_sessions(SessionsOnDisk(cache_directory() / "calendars"))
    if settings.calendar_file is not None:
        _go_by(settings.calendar_file)
    with open_database(settings.database_url, settings.barfill_home, is_pooled=settings.database_pooler) as database:
        yield database


def cache_directory() -> Path:
    """Where the platform keeps what may be deleted at any time (Linux: ~/.cache/barfill)."""
    import platformdirs  # noqa: PLC0415

    return platformdirs.user_cache_path("barfill", appauthor=False)


def _go_by(calendar_file: Path) -> None:
    """Makes this process go by the days that a user's file tells of."""
    from barfill.core.calendar import calendar_name, use_own_sessions  # noqa: PLC0415
    from barfill.core.own_sessions import parse_own_sessions  # noqa: PLC0415
    from barfill.errors import InvalidInput, SettingsError  # noqa: PLC0415

    try:
        sessions = parse_own_sessions(calendar_file.read_text("utf-8"), f"CALENDAR_FILE {calendar_file}")
        use_own_sessions(replace(one, calendar=calendar_name(one.calendar)) for one in sessions)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"CALENDAR_FILE {calendar_file} cannot be read: {error}. Correct the path, or leave the setting out."
        ) from error
    except InvalidInput as error:
        raise SettingsError(str(error)) from error


def make_backfill(settings: Settings, database: Database, clients: Clients, listener: BackfillListener) -> Backfill:
    """The engine's backfill, told what the settings say."""
    from barfill.engine.backfill import Backfill  # noqa: PLC0415

    return Backfill(database, clients, engine_settings(settings), listener)


def make_import(settings: Settings, database: Database, source: PageSource, listener: BackfillListener) -> Import:
    """What brings the bars of files in, told what the settings say."""
    from barfill.engine.importing import Import  # noqa: PLC0415

    return Import(database, source, engine_settings(settings), listener)


def make_worker(
    settings: Settings,
    database: Database,
    clients: Clients,
    listener: BackfillListener,
    *,
    concurrency: int | None,
) -> QueueWorker:
    """A worker of the queue; *concurrency* None is what the settings say."""
    from barfill.engine.worker import QueueWorker  # noqa: PLC0415

    engine = engine_settings(settings)
    return QueueWorker(
        database,
        clients,
        replace(engine, max_concurrent_jobs=concurrency or engine.max_concurrent_jobs),
        listener,
        retention_days=settings.job_runs_retention_days,
    )


def make_schedule(
    settings: Settings,
    database: Database,
    clients: Clients,
    listener: BackfillListener,
    *,
    every: timedelta,
    max_calls: int | None,
) -> Schedule:
    """What looks at the job definitions again and again."""
    from barfill.engine.corporate import CALLS_MAX, FRESH_FOR, EventsRequest, keep_events  # noqa: PLC0415
    from barfill.engine.schedule import Schedule  # noqa: PLC0415

    sources = events_sources(settings, clients)
    wanted = EventsRequest(fresh_for=FRESH_FOR, calls_max=min(CALLS_MAX, max_calls or CALLS_MAX))
    return Schedule(
        database,
        clients,
        engine_settings(settings),
        listener,
        every=every,
        max_calls=max_calls,
        retention_days=settings.job_runs_retention_days,
        keep_events=lambda: keep_events(database, sources, wanted),
    )


def engine_settings(settings: Settings) -> EngineSettings:
    """What the engine is told of the settings."""
    from barfill.core.plan import Resampling  # noqa: PLC0415
    from barfill.engine.settings import EngineSettings  # noqa: PLC0415

    return EngineSettings(
        max_concurrent_jobs=settings.max_concurrent_jobs,
        resampling=Resampling(
            from_m1=settings.resample_from_m1,
            h1=settings.resample_h1_from_m15,
            h4=settings.resample_h4_from_m15,
            w1=settings.resample_w1_from_d1,
        ),
        extended_hours=settings.extended_hours,
        worker_patience_s=settings.worker_patience_seconds,
        restatement_sessions=settings.restatement_sessions,
    )

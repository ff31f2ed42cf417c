"""The HTTP API as the settings say, and its key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from barfill.errors import SettingsError
from barfill.settings import Settings, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from barfill.engine.clients import Clients
    from barfill.store.database import Database

KEY_FILE = "api-key"
_KEY_BYTES = 24
_OWNER_ONLY = 0o600


def make_app(settings: Settings, database: Database, clients: Clients, *, wake: Callable[[], None]) -> FastAPI:
    """
    The application; *wake* is called when there is something new for the scheduler.

    Raises:
        SettingsError: Its key cannot be read or written.
    """
    from barfill.http import Context, create_app  # noqa: PLC0415  slow to load
    from barfill.wiring.engine import engine_settings  # noqa: PLC0415

    return create_app(
        Context(
            database=database,
            settings=settings,
            roster=clients.roster,
            engine=engine_settings(settings),
            key=api_key(settings),
            hosts=settings.api_hosts,
            origins=settings.api_origins,
            wake=wake,
        )
    )


def api_key(settings: Settings) -> str:
    """
    What writers must know: the setting, or the key made once for this installation, which only its user can read.

    Raises:
        SettingsError: The file of the key cannot be read or written, or others can read it.
    """
    if settings.barfill_api_key is not None:
        return settings.barfill_api_key
    path = settings.barfill_home / KEY_FILE
    try:
        return _own_key(path)
    except OSError as error:
        raise SettingsError(
            f"The key of the HTTP API, {shown_path(path)}, cannot be read or written: {error.strerror}. Mend that, or "
            "set BARFILL_API_KEY."
        ) from error


def _own_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        pass
    else:
        with os.fdopen(made, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_KEY_BYTES))
    if path.stat().st_mode & 0o077:
        raise SettingsError(f"Others can read the key of the HTTP API. Run: chmod 600 {shown_path(path)}")
    key = path.read_text(encoding="ascii").strip()
    if not key:
        raise SettingsError(f"The key of the HTTP API is empty. Remove {shown_path(path)}; a new one is made then.")
    return key

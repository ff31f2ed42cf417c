"""
Builds the store, the providers' clients and the engine from the settings.

Everything below is handed what it needs; nothing below knows settings. Imports are made when something is built,
since most commands need only a part.
"""

from barfill.wiring.engine import engine_settings, make_backfill, make_import, make_schedule, make_worker, open_store
from barfill.wiring.providers import (
    EVENT_PROVIDERS,
    PROVIDERS,
    check_provider,
    configured,
    events_sources,
    open_clients,
    parse_provider,
    sessions_source,
)

__all__ = [
    "EVENT_PROVIDERS",
    "PROVIDERS",
    "check_provider",
    "configured",
    "engine_settings",
    "events_sources",
    "make_backfill",
    "make_import",
    "make_schedule",
    "make_worker",
    "open_clients",
    "open_store",
    "parse_provider",
    "sessions_source",
]

"""What the endpoints work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from barfill.core.routing import Roster
from barfill.engine.settings import EngineSettings
from barfill.settings import Settings
from barfill.store.database import Database


def _nobody() -> None:
    """Where no scheduler runs in this process, nobody is told."""


@dataclass(slots=True, kw_only=True)
class Context:
    """
    Attributes:
        roster: The providers that whoever carries runs out can ask; an endpoint asks none of them.
        engine: What the engine is told.
        key: Whoever writes must know it.
        hosts: Names under which this server may be asked besides loopback's own.
        origins: Of pages elsewhere that may read the answers, as `https://example.com`.
        wake: Tells the scheduler, from any thread, that there is something new to look at.
        streams: How many streams of events are open.
    """

    database: Database
    settings: Settings
    roster: Roster
    engine: EngineSettings
    key: str = field(repr=False)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    wake: Callable[[], None] = _nobody
    streams: int = 0


def context_of(request: Request) -> Context:
    """That of the application which the request came to."""
    found = request.app.state.context
    assert isinstance(found, Context)
    return found


InContext = Annotated[Context, Depends(context_of)]

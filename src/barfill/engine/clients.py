"""The clients of the providers that can be asked, and what one may hand over to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from barfill.core.capabilities import Capabilities
from barfill.core.page import BarsQuery, Page
from barfill.core.routing import Roster
from barfill.providers.client import ProviderClient, RequestCounts


class Declared(Protocol):
    """What a source of pages says of itself."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; the name of the provider is among it."""


class PageSource(Protocol):
    """What the engine needs of whoever brings pages: a provider's client, or files."""

    @property
    def provider(self) -> Declared:
        """Who is behind it."""

    async def fetch_page(self, query: BarsQuery, token: str | None, *, counts: RequestCounts | None = None) -> Page:
        """
        One page of bars; *token* None asks for the first.

        Args:
            counts: Also counts the requests that this page took.

        Raises:
            BarfillError: There is none; the class says what may happen next.
        """


@dataclass(frozen=True, slots=True, init=False)
class Clients:
    """
    The providers that can be asked.

    Args:
        clients: At least one.
        order: Names of those that bring final bars, the preferred first; all in the order given, if None.
        fallbacks: Names of those that take over, in order, what another cannot bring.
        live: The name of the one that brings the bars of the current session.
        kept: Names of those that are asked only for series that hold what they bring.
    """

    all: tuple[ProviderClient, ...]
    fallbacks: tuple[Capabilities, ...]
    roster: Roster

    def __init__(
        self,
        *clients: ProviderClient,
        order: Sequence[str] | None = None,
        fallbacks: Sequence[str] = (),
        live: str | None = None,
        kept: Sequence[str] = (),
    ) -> None:
        found = {client.provider.name: client.provider.capabilities for client in clients}
        roster = Roster(
            tuple(found[name] for name in (found if order is None else order)),
            found[live] if live else None,
            tuple(found[name] for name in kept),
            tuple(found[name] for name in fallbacks),
        )
        object.__setattr__(self, "all", clients)
        object.__setattr__(self, "fallbacks", tuple(found[name] for name in fallbacks))
        object.__setattr__(self, "roster", roster)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all."""
        return tuple(client.provider.name for client in self.all)

    @property
    def looked_up_at(self) -> tuple[ProviderClient, ...]:
        """Those that are asked which symbols there are: all but those that only bring what their series hold."""
        asked = (*self.roster.order, *self.fallbacks, self.roster.live)
        return tuple(client for client in self.all if client.provider.capabilities in asked)

    @property
    def requests_made(self) -> int:
        """How many requests all of them have sent so far."""
        return sum(client.requests_made.all for client in self.all)

    def __getitem__(self, name: str) -> ProviderClient:
        return next(client for client in self.all if client.provider.name == name)

    async def aclose(self) -> None:
        """Closes all connections."""
        for client in self.all:
            await client.aclose()

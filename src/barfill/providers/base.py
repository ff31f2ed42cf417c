"""
The Provider protocol: three pure steps around one shared client.

A provider builds the request, parses the answer and knows what a failure means. It does no I/O, keeps no state,
retries nothing: `providers.client` does that for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from barfill.core.capabilities import Capabilities
from barfill.core.page import BarsQuery, Page
from barfill.errors import ProviderError

REQUEST_ID_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """
    A GET request.

    Attributes:
        url: Without the query.
        params: Query parameters in the order sent; values are not yet encoded.
        headers: Credentials are in here, so this is never shown: `repr` leaves it out.
        shown: What messages may say of the request.
    """

    url: str
    params: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    shown: str


@dataclass(frozen=True, slots=True, eq=False)
class HttpResponse:
    """A complete answer; `body` is decompressed, header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime

    @property
    def request_id(self) -> str:
        """The provider's id of the request, or ""."""
        return self.headers.get("x-request-id", "")[:REQUEST_ID_LENGTH_MAX]


@dataclass(frozen=True, slots=True)
class OfferedSymbol:
    """A symbol as a provider's reference data has it, in barfill's spelling."""

    ticker: str
    name: str
    asset_type: str
    is_active: bool


class Sender(Protocol):
    """Sends one attempt at a request: `http.HttpClient`, wherever a provider can be asked by it."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """
        The complete answer, whatever its status.

        Raises:
            ProviderError: There is none.
        """

    async def aclose(self) -> None:
        """Closes all connections."""


class Provider(Protocol):
    """A source of bars."""

    @property
    def name(self) -> str:
        """Lower-case, as stored with each bar."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do on the configured plan."""

    @property
    def base_urls(self) -> Sequence[str]:
        """The only places that its requests go to: each a scheme, host, port and path prefix."""

    @property
    def secrets(self) -> Sequence[str]:
        """What must never be shown: for the log filter, and to clean answers that echo the key."""

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """The request for a page; *token* None asks for the first."""

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The page in a 200 answer.

        Raises:
            BadResponse: It does not parse, or is not an answer to *query*.
        """

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """The requests that tell which of *tickers* the provider offers: one each, or one for all."""

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """The same for those that were not found so, where who no longer trades must be asked for apart."""

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """The symbols in a 200 answer to a symbol request."""

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """The request for the symbols that follow those of a 200 answer; None where these are all."""

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """What an answer that is not 200 means."""

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """How long the rate headers of any answer ask to wait before the next request; None where they do not."""

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """The requests per minute that the headers of any answer say the key has; None where they do not."""


@runtime_checkable
class Preparing(Protocol):
    """
    What a provider has besides that must be told something, once, before it can build requests for bars.

    It keeps what it was told: the one state that a provider has.
    """

    def preparation_request(self) -> HttpRequest | None:
        """
        What is to be asked next; None once it knows enough. May take a moment, and is called by one thread at a time.

        Raises:
            BadResponse: What it was told cannot be understood (`schema`). It has forgotten all of it.
        """

    def prepare(self, request: HttpRequest, response: HttpResponse) -> None:
        """
        Keeps the 200 answer to a preparation request.

        Raises:
            ProviderError: It is none.
        """

    def prepared_symbols(self) -> Sequence[OfferedSymbol]:
        """All symbols that it was told of: those are not asked for."""


@runtime_checkable
class Windowing(Protocol):
    """What a provider has besides whose answers do not tell which page they are."""

    def parse_page(self, query: BarsQuery, token: str | None, response: HttpResponse) -> Page:
        """
        The page that *token* asked for, in a 200 answer; `parse_bars` is the same for the first.

        Raises:
            BadResponse: It does not parse, or is not an answer to *query*.
        """

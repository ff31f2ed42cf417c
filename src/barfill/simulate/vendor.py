"""
What a vendor is to the exchange: routes, a gate, queries, pages, and the words for its errors.

Each vendor's package has one class that is all of this. Exchange and faults know vendors by it only, except for the
oddities of single vendors (faults/quirks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from barfill.simulate.limits import Allowance, Limit
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.queries import BarsQuery, Page, Position
from barfill.simulate.replies import Reply

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """
    A path below the vendor's prefix, the endpoint's name, and the host of the vendor's that has it.

    *cost* is what a request counts towards the limit.
    """

    path: str
    endpoint: str
    host: str = "data"
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A request as a vendor sees it: which endpoint, the names in its path, its parameters and headers, and what the
    limit said to it.
    """

    endpoint: str
    path: str
    names: Mapping[str, str]
    params: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    accepts_gzip: bool = False
    allowance: Allowance | None = None


class Dialect(Protocol):
    """
    How a vendor writes what the faults spoil, and what it says when it refuses: a document, or a str where it is text.

    A document is a page as plain values, with rows whose fields are t, o, h, l, c, v, n and vw, those that the vendor
    has; what becomes of it on the wire is up to *written*. Its *next* is what leads to the next page, a token or a URL.
    """

    name: str
    #: The key of a page's rows.
    rows_key: str
    #: A page without rows, as short as can be.
    empty_body: bytes
    #: What an exhausted limit adds to the headers.
    exhausted: Mapping[str, str]
    #: The header that tells when the limit resets, empty where there is none, and all those that tell of it.
    reset_header: str
    limit_headers: tuple[str, ...]

    def document(self, query: BarsQuery, page: Page) -> Document: ...

    def encode(self, query: BarsQuery, page: Page) -> bytes: ...

    def written(self, query: BarsQuery, document: Document) -> bytes:
        """A document, spoiled or not, as JSON of the vendor's."""

    def groups(self, document: Document) -> dict[str, list[dict[str, Any]]]:
        """The rows by symbol; nothing where an earlier fault left no such rows."""

    def with_rows(self, document: Document, symbol: str, rows: Any) -> Document:
        """The document with other rows for *symbol*."""

    def emptied(self, document: Document, symbol: str | None = None) -> Document:
        """The document as it is without rows, or without those of *symbol*; its next stays."""

    def renamed(self, document: Document, symbol: str, other: str) -> Document:
        """The rows of *symbol* under another name."""

    def with_count(self, document: Document, count: int) -> Document:
        """The document that declares to have *count* rows."""

    def with_basis(self, document: Document, query: BarsQuery, *, told: bool) -> Document:
        """A page on the other basis than *query* asks for: it says so if *told*."""

    def next_of(self, document: Document) -> str | None: ...

    def with_next(self, document: Document, text: str | None) -> Document: ...

    def next_after(self, query: BarsQuery, position: Position, serial: int | None = None) -> str:
        """What leads on behind *position*; a *serial* number makes another text for the same place."""

    def came_by(self, asked: Asked) -> str | None:
        """The next of the page before, by which this request came."""

    def chain_of(self, query: BarsQuery) -> str:
        """What is the same for all pages of a query."""

    def stamp(self, at_ns: int) -> Any: ...

    def instant_ns(self, stamp: Any) -> int: ...

    def too_many(self, endpoint: str, until_s: float) -> Document | str:
        """The limit is exhausted until an instant, in seconds since 1970."""

    def broken(self) -> Document | str: ...

    def rejected(self, status: int) -> Document | str: ...

    def not_found(self, endpoint: str, name: str) -> Document | str: ...

    def stale_next(self) -> Document: ...


@runtime_checkable
class Throttling(Protocol):
    """A vendor that answers what is over its limit in its own way, not by a plain 429."""

    def over_limit(self, asked: Asked, allowance: Allowance) -> Reply: ...


class Vendor(Protocol):
    """One vendor over the market."""

    name: str
    dialect: Dialect
    routes: tuple[Route, ...]
    #: The endpoints that give bars: page faults act on these.
    bars_endpoints: frozenset[str]
    #: The endpoints that list splits or dividends: faults of events act on these.
    events_endpoints: frozenset[str]
    #: The endpoints that tell of sessions: faults of calendars act on these.
    calendar_endpoints: frozenset[str]
    #: Requests allowed per key and minute.
    requests_per_minute: int

    def new_limit(self) -> Limit:
        """The limit of one more key on one host."""

    def key_of(self, asked: Asked) -> str:
        """The key whose limit counts the request."""

    def key_refusal(self, asked: Asked) -> Reply | None:
        """The reply to a request without a good key."""

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        """What each reply says of the limit."""

    def unknown_path(self) -> Reply: ...

    def dressed(self, asked: Asked, reply: Reply) -> Reply:
        """A reply of JSON in the form that the request asks for."""

    def symbols(self, asked: Asked) -> tuple[str, ...]:
        """The symbols that a request names."""

    def timeframe(self, asked: Asked) -> Timeframe | None:
        """The timeframe that a request names, as fault scripts mean it."""

    def query(self, asked: Asked) -> BarsQuery:
        """
        The query that a request for bars makes.

        Raises:
            Refusal: with the vendor's status and body.
        """

    def page(self, query: BarsQuery) -> Page:
        """The true page of *query*."""

    def freshness(self, query: BarsQuery) -> object:
        """What the page of *query* depends on besides: equal queries of equal freshness have equal pages."""

    def lookup(self, asked: Asked) -> Any:
        """
        The document of an endpoint that is not for bars.

        Raises:
            Refusal: with the vendor's status and body.
        """

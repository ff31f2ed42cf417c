"""
The catalogue of faults: every id, what it does on the wire, and the args that choose its variant.

A fault acts at one of five stages:

* ``reply``: instead of the page. It gets the occasion and gives a Reply, or None when it has nothing to do this time.
* ``page``: on the rows and token of a good page, as plain values, before they are encoded.
* ``events``: as ``page``, on a list of splits or dividends.
* ``calendar``: as ``page``, on a market calendar.
* ``wire``: on the encoded reply, on its way to the socket.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from barfill.errors import InvalidInput
from barfill.simulate.queries import BarsQuery, Page
from barfill.simulate.vendor import Asked, Dialect, Document

#: The vendors that are simulated: those of stocks, and crypto venues.
STOCK_VENDORS = ("alpaca", "massive", "tradier", "finnhub")
CRYPTO_VENUES = ("binance", "coinbaseexchange", "kraken")
VENDORS = (*STOCK_VENDORS, *CRYPTO_VENUES)
#: Those whose answers come in pages.
PAGING = ("alpaca", "massive")


class Laboratory(Protocol):
    """What a fault may ask of the exchange."""

    def now_ns(self) -> int: ...

    def query(self, asked: Asked) -> BarsQuery | None:
        """The query that a request for bars makes; None where it is another one, or refused."""

    def page(self, query: BarsQuery) -> Page:
        """The true page of *query*."""


@dataclass(slots=True)
class Occasion:
    """
    One request that a fault fires on.

    Attributes:
        dialect: How the vendor writes.
        symbols: Those that the request names.
        count: How often this line of the script has fired, this time included.
        state: Kept from one firing of the line to the next.
        query: The request, where it is a valid one for bars; always there at the page stage.
        spoiled: At the wire stage the page as plain values, where page faults have made another one.
        symbol: The symbol that the line's match names, if any.
        on_decline: What *decline* calls: the firing does not count.
    """

    asked: Asked
    dialect: Dialect
    symbols: tuple[str, ...]
    args: Mapping[str, Any]
    count: int
    state: dict[str, Any]
    rng: Random
    lab: Laboratory
    symbol: str | None
    on_decline: Callable[[], None]
    query: BarsQuery | None = None
    spoiled: Document | None = None

    @property
    def bars_query(self) -> BarsQuery:
        """The query, at the page stage."""
        assert self.query is not None
        return self.query

    def bars_asked(self) -> BarsQuery | None:
        """The query at the reply stage, where the request is a valid one for bars."""
        return self.lab.query(self.asked)

    def document_of(self, query: BarsQuery) -> Document:
        """The true page of *query* as plain values."""
        return self.dialect.document(query, self.lab.page(query))

    def decline(self) -> None:
        """This request gives the fault nothing to do: it was not a firing."""
        self.on_decline()


@dataclass(frozen=True, slots=True)
class Arg:
    """One arg of a fault: its default, what it means, and its values where they are a closed set."""

    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    is_any: bool = False


Act = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of the catalogue."""

    id: str
    stage: str
    does: str
    act: Act
    args: dict[str, Arg] = field(default_factory=dict)
    vendors: tuple[str, ...] = VENDORS

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All args with their values: those *given*, else the defaults."""
        for name, value in given.items():
            if name not in self.args:
                known = ", ".join(self.args) or "none"
                raise InvalidInput(f"Fault {self.id} has no arg '{name}'. Its args are: {known}.")
            _check(self, name, value)
        return {name: given.get(name, arg.default) for name, arg in self.args.items()}


_CATALOGUE: dict[str, Fault] = {}


def fault(id_: str, stage: str, does: str, *, vendors: tuple[str, ...] = VENDORS, **args: Arg) -> Callable[[Act], Act]:
    """Enter the decorated function into the catalogue; *vendors* are those that can do so."""

    def enter(act: Act) -> Act:
        assert id_ not in _CATALOGUE, id_
        _CATALOGUE[id_] = Fault(id_, stage, does, act, args, vendors)
        return act

    return enter


def catalogue(vendor: str | None = "alpaca") -> dict[str, Fault]:
    """The faults of a vendor (None: of all) by id, sorted."""
    return {id_: entry for id_, entry in sorted(_CATALOGUE.items()) if vendor is None or vendor in entry.vendors}


def find_fault(id_: str, vendor: str | None = None) -> Fault:
    """The fault with this id that *vendor* (None: any) has; the error names those there are."""
    known = catalogue(vendor)
    if id_ not in known:
        where = ", ".join(f"/{name}" for name in ([vendor] if vendor else VENDORS))
        raise InvalidInput(f"Fault '{id_}' is unknown to {where}. Use one of {', '.join(known)}.")
    return known[id_]


def fault_table() -> str:
    """The catalogue as a Markdown table, for the documentation."""
    lines = ["| id | stage | vendors | does | args (default) |", "|---|---|---|---|---|"]
    for entry in catalogue(None).values():
        args = "; ".join(_describe(name, arg) for name, arg in entry.args.items()) or "-"
        lines.append(f"| {entry.id} | {entry.stage} | {', '.join(entry.vendors)} | {entry.does} | {args} |")
    return "\n".join(lines)


def _describe(name: str, arg: Arg) -> str:
    values = f", one of {', '.join(map(str, arg.choices))}" if arg.choices else ""
    return f"`{name}` ({arg.default}{values}): {arg.help}"


def _check(entry: Fault, name: str, value: Any) -> None:
    arg = entry.args[name]
    if arg.choices and value not in arg.choices:
        raise InvalidInput(
            f"Fault {entry.id}: {name} cannot be '{value}'. Use one of {', '.join(map(str, arg.choices))}."
        )
    if arg.is_any or arg.choices or arg.default is None:
        return
    wanted = (
        (int, float)
        if isinstance(arg.default, (int, float)) and not isinstance(arg.default, bool)
        else type(arg.default)
    )
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise InvalidInput(
            f"Fault {entry.id}: {name} cannot be {value!r}. Its default is {arg.default!r}: use that type."
        )

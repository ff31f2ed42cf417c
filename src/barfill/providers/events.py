"""
Corporate actions from providers: two pure steps, and what the readers of all vendors have in common.

A row that cannot be right is kept out with a sentence; it never takes its page with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import msgspec

from barfill.core.corporate import TERM_MAX, CorporateEvent, EventKind
from barfill.core.event_plan import EventsOffer
from barfill.errors import InvalidInput, excerpt
from barfill.providers.base import HttpRequest, HttpResponse

ONE_DAY = timedelta(days=1)
DECIMALS_MAX = 12

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class EventsQuery:
    """
    Events of a kind in a range of days.

    Attributes:
        end: Excluded.
        tickers: Of these, as the offer says how many; None for the whole market.
    """

    kind: EventKind
    first: date
    end: date
    tickers: tuple[str, ...] | None = None

    @property
    def last(self) -> date:
        """The last day, for wires whose bounds are both included."""
        return self.end - ONE_DAY

    def __str__(self) -> str:
        who = "the market" if self.tickers is None else ",".join(self.tickers)
        return f"{self.kind} of {excerpt(who)} {self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class EventsPage:
    """
    Attributes:
        rejected: A sentence for each row that was kept out.
        more: The request for the page that follows; None at the end.
    """

    events: tuple[CorporateEvent, ...]
    rejected: tuple[str, ...] = ()
    more: HttpRequest | None = None


class EventsProvider(Protocol):
    """A source of corporate actions; the client of the same vendor sends what it builds."""

    @property
    def name(self) -> str:
        """Lower-case, as stored with each event."""

    @property
    def offers(self) -> Mapping[EventKind, EventsOffer]:
        """What it has, and how it is asked."""

    def events_request(self, query: EventsQuery) -> HttpRequest:
        """
        The request for the first page.

        Raises:
            SymbolNotOffered: A text that is no ticker; it is never sent.
        """

    def parse_events(self, query: EventsQuery, response: HttpResponse) -> EventsPage:
        """
        The page in a 200 answer.

        Raises:
            BadResponse: It does not parse.
        """


def read_rows(
    raws: Iterable[msgspec.Raw], decoder: msgspec.json.Decoder[S], event_of: Callable[[S], CorporateEvent | None]
) -> EventsPage:
    """
    The events in *raws*, and a sentence for each row that cannot be one; where *event_of* gives None, there is none.
    """
    events, rejected = [], []
    for raw in raws:
        try:
            event = event_of(decoder.decode(raw))
        except (msgspec.MsgspecError, InvalidInput, ValueError, ArithmeticError) as error:
            text = bytes(raw).decode(errors="replace")
            rejected.append(f"{excerpt(str(error)).rstrip('.')}: kept out. The row: {excerpt(text)}")
        else:
            if event is not None:
                events.append(event)
    return EventsPage(tuple(events), tuple(rejected))


def joined(pages: Sequence[EventsPage]) -> EventsPage:
    """Several parts of one answer as one page."""
    return EventsPage(
        tuple(event for page in pages for event in page.events), tuple(text for page in pages for text in page.rejected)
    )


def terms(new: Decimal, old: Decimal) -> dict[str, Any]:
    """
    Numerator and denominator of a split that gives *new* shares for *old* ones, exact.

    Raises:
        InvalidInput: They are no positive numbers, or no ratio that could be kept.
    """
    for one in (new, old):
        exponent = one.as_tuple().exponent
        if (
            not one.is_finite()
            or one <= 0
            or not isinstance(exponent, int)
            or not -DECIMALS_MAX <= exponent <= DECIMALS_MAX
        ):
            raise InvalidInput(f"a split of {excerpt(str(old))} shares into {excerpt(str(new))} cannot be")
    ratio = Fraction(new) / Fraction(old)
    if max(ratio.numerator, ratio.denominator) > TERM_MAX:
        raise InvalidInput(f"a split of {excerpt(str(old))} shares into {excerpt(str(new))} is too large to be true")
    return {"numerator": ratio.numerator, "denominator": ratio.denominator}


def in_days(query: EventsQuery, page: EventsPage) -> EventsPage:
    """The page without events that were not asked for: providers send rows outside of the range, or of others."""
    kept = tuple(
        event
        for event in page.events
        if query.first <= event.filed_on < query.end and (query.tickers is None or _names(event) & set(query.tickers))
    )
    return EventsPage(kept, page.rejected, page.more)


def _names(event: CorporateEvent) -> set[str]:
    return {event.ticker, getattr(event, "new_ticker", event.ticker)}

"""
Alpaca's corporate actions: of the whole market, or of many symbols in one request.

- Windows are dates of processing, both bounds included; today where none is given. The ex date of an event may lie some
  weeks before. Nothing is promised about when a row appears.
- One answer holds groups by type; a group without rows is absent. Pages hold up to 1,000 rows and end at a null token.
- Query types are singular (`cash_dividend`), the groups of an answer plural.
- Beside `id` and `process_date` any field may be missing; a row that lacks what makes an event is kept out.
- Not read: `unit_splits`, `spin_offs`, `rights_distributions`, `redemptions`, `partial_calls`, `reorganizations`: they
  give other things than shares of the same company, or cash.

Source:
    providers.md 3.3 and 3.4; vendor OpenAPI, `/v1/corporate-actions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from barfill.core.corporate import CorporateEvent, Delisting, Dividend, EventKind, Split, TickerChange
from barfill.core.event_plan import EventsOffer
from barfill.errors import InvalidInput
from barfill.providers.alpaca import DATA_URL
from barfill.providers.alpaca_errors import PROVIDER
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.events import EventsPage, EventsQuery, in_days, joined, read_rows, terms
from barfill.providers.strict_json import check_is_json, read_json
from barfill.providers.tickers import checked_ticker

PATH = "/v1/corporate-actions"
PAGE_SIZE = 1_000
SYMBOLS_PER_CALL_MAX = 100

_CURRENCY = "USD"
"""Rates are in dollars, those of foreign companies too."""
# Rows of the market in a year, in round figures: for planning only.
_ROWS_PER_YEAR = MappingProxyType(
    {EventKind.SPLITS: 1_500, EventKind.DIVIDENDS: 40_000, EventKind.CHANGES: 2_000, EventKind.DELISTINGS: 2_000}
)


class _Row(msgspec.Struct, gc=False):
    process_date: date
    id: str = ""


class _Split(_Row, kw_only=True):
    symbol: str
    ex_date: date
    new_rate: Decimal
    old_rate: Decimal
    record_date: date | None = None
    payable_date: date | None = None


class _StockDividend(_Row, kw_only=True):
    symbol: str
    ex_date: date
    rate: Decimal
    record_date: date | None = None
    payable_date: date | None = None


class _CashDividend(_Row, kw_only=True):
    symbol: str
    ex_date: date
    rate: Decimal
    special: bool = False
    record_date: date | None = None
    payable_date: date | None = None


class _NameChange(_Row, kw_only=True):
    old_symbol: str
    new_symbol: str


class _Merger(_Row, kw_only=True):
    acquiree_symbol: str
    effective_date: date | None = None
    acquirer_symbol: str | None = None


class _Removal(_Row, kw_only=True):
    symbol: str


class _Answer(msgspec.Struct):
    corporate_actions: dict[str, list[msgspec.Raw]] | None = None
    next_page_token: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


class AlpacaEvents:
    """
    Corporate actions of the provider `alpaca`.

    Args:
        key, secret: `ALPACA_API_KEY` and `ALPACA_API_SECRET`.
        base_url: Replaces the data host, for instance by a simulated exchange.
    """

    name = PROVIDER
    offers: Mapping[EventKind, EventsOffer] = MappingProxyType(
        {
            kind: EventsOffer(symbols_per_call=SYMBOLS_PER_CALL_MAX, market_rows_per_year=rows, page_size=PAGE_SIZE)
            for kind, rows in _ROWS_PER_YEAR.items()
        }
    )

    def __init__(self, key: str, secret: str, *, base_url: str | None = None) -> None:
        self._headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self._url = (base_url or DATA_URL).rstrip("/") + PATH

    def events_request(self, query: EventsQuery) -> HttpRequest:
        """`GET /v1/corporate-actions`, without symbols for the whole market."""
        return self._request(query, None)

    def parse_events(self, query: EventsQuery, response: HttpResponse) -> EventsPage:
        """The rows of the groups that *query* is about; other groups are passed over."""
        check_is_json(response)
        answer = read_json(response.body, _ANSWER, "list of corporate actions")
        groups = answer.corporate_actions or {}
        readers = _READERS[query.kind]
        page = in_days(query, joined([read(groups.get(group, [])) for group, read in readers.items()]))
        more = self._request(query, answer.next_page_token) if answer.next_page_token else None
        return EventsPage(page.events, page.rejected, more)

    def _request(self, query: EventsQuery, token: str | None) -> HttpRequest:
        params = {
            "types": ",".join(group.removesuffix("s") for group in _READERS[query.kind]),
            "start": query.first.isoformat(),
            "end": query.last.isoformat(),
            "limit": str(PAGE_SIZE),
            "sort": "asc",
        }
        if query.tickers is not None:
            params["symbols"] = ",".join(map(checked_ticker, query.tickers))
        if token is not None:
            params["page_token"] = token
        shown = f"{PATH} {query}" + (" (a later page)" if token is not None else "")
        return HttpRequest(self._url, params, self._headers, shown)


def _split(row: _Split) -> Split:
    return Split(
        ticker=row.symbol,
        on=row.ex_date,
        filed_on=row.process_date,
        event_id=row.id,
        record_on=row.record_date,
        paid_on=row.payable_date,
        **terms(row.new_rate, row.old_rate),
    )


def _directed(*, is_reverse: bool) -> Callable[[_Split], Split]:
    """A split that is what its group says: an inverted one contradicts it (D26)."""

    def split(row: _Split) -> Split:
        found = _split(row)
        if (found.ratio < 1) != is_reverse:
            group = "reverse" if is_reverse else "forward"
            raise InvalidInput(f"{row.symbol} {row.ex_date}: {row.new_rate}:{row.old_rate} is no {group} split")
        return found

    return split


def _stock_dividend(row: _StockDividend) -> Split:
    return Split(
        ticker=row.symbol,
        on=row.ex_date,
        filed_on=row.process_date,
        event_id=row.id,
        form="stock_dividend",
        record_on=row.record_date,
        paid_on=row.payable_date,
        **terms(1 + row.rate, Decimal(1)),
    )


def _cash_dividend(row: _CashDividend) -> Dividend:
    return Dividend(
        ticker=row.symbol,
        on=row.ex_date,
        filed_on=row.process_date,
        event_id=row.id,
        amount=row.rate,
        currency=_CURRENCY,
        form="special" if row.special else "cash",
        record_on=row.record_date,
        paid_on=row.payable_date,
    )


def _name_change(row: _NameChange) -> TickerChange | None:
    """None where only the company's number changes."""
    if row.old_symbol == row.new_symbol:
        return None
    day = row.process_date
    return TickerChange(ticker=row.old_symbol, on=day, filed_on=day, event_id=row.id, new_ticker=row.new_symbol)


def _merged(form: str) -> Callable[[_Merger], Delisting]:
    def delisting(row: _Merger) -> Delisting:
        return Delisting(
            ticker=row.acquiree_symbol,
            on=row.effective_date or row.process_date,
            filed_on=row.process_date,
            event_id=row.id,
            form=form,
            successor=row.acquirer_symbol or "",
        )

    return delisting


def _removal(row: _Removal) -> Delisting:
    day = row.process_date
    return Delisting(ticker=row.symbol, on=day, filed_on=day, event_id=row.id, form="worthless")


Reader = Callable[[list[msgspec.Raw]], EventsPage]


def _reader(row: type[Any], event_of: Callable[[Any], CorporateEvent | None]) -> Reader:
    decoder = msgspec.json.Decoder(row)
    return lambda raws: read_rows(raws, decoder, event_of)


_READERS: Mapping[EventKind, Mapping[str, Reader]] = {
    EventKind.SPLITS: {
        "forward_splits": _reader(_Split, _directed(is_reverse=False)),
        "reverse_splits": _reader(_Split, _directed(is_reverse=True)),
        "stock_dividends": _reader(_StockDividend, _stock_dividend),
    },
    EventKind.DIVIDENDS: {"cash_dividends": _reader(_CashDividend, _cash_dividend)},
    EventKind.CHANGES: {"name_changes": _reader(_NameChange, _name_change)},
    EventKind.DELISTINGS: {
        "cash_mergers": _reader(_Merger, _merged("cash_merger")),
        "stock_mergers": _reader(_Merger, _merged("stock_merger")),
        "stock_and_cash_mergers": _reader(_Merger, _merged("stock_and_cash_merger")),
        "worthless_removals": _reader(_Removal, _removal),
    },
}

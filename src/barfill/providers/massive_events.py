"""
Massive's splits and dividends of the whole market by days, and the tickers that one company has had.

- Lists hold up to 1,000 rows a page; `next_url` leads on until it is absent, and only on the host that was asked.
- Rows stand under the ticker that the company had on the day.
- Splits say neither whether they are reverse ones nor what they were called: an inverted one is not seen from the row.
- Ticker events are those of one company, found under any of its tickers: the first date of each ticker that it had.

Source:
    providers.md 4.2; vendor OpenAPI, `/v3/reference/splits`, `/v3/reference/dividends`,
    `/vX/reference/tickers/{id}/events`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec

from barfill.core.corporate import CorporateEvent, Dividend, EventKind, Split, TickerChange
from barfill.core.event_plan import EventsOffer
from barfill.core.ticker import is_ticker
from barfill.errors import BadResponse, InvalidInput, excerpt
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.events import EventsPage, EventsQuery, in_days, read_rows, terms
from barfill.providers.massive import FORMER_URL, URL
from barfill.providers.massive_errors import PROVIDER
from barfill.providers.next_urls import behind, path_and_params
from barfill.providers.strict_json import check_is_json, read_json
from barfill.providers.tickers import checked_ticker

PAGE_SIZE = 1_000

_SPLITS, _DIVIDENDS = "/v3/reference/splits", "/v3/reference/dividends"
_PATHS = MappingProxyType({EventKind.SPLITS: _SPLITS, EventKind.DIVIDENDS: _DIVIDENDS})
_DATES = MappingProxyType({EventKind.SPLITS: "execution_date", EventKind.DIVIDENDS: "ex_dividend_date"})
_FORMS = MappingProxyType({"CD": "cash", "SC": "special", "LT": "long_term_gain", "ST": "short_term_gain"})
_LISTED = EventsOffer(symbols_per_call=1, market_rows_per_year=1_500, page_size=PAGE_SIZE)


class _Split(msgspec.Struct, gc=False):
    ticker: str
    execution_date: date
    split_from: Decimal
    split_to: Decimal
    id: str = ""


class _Dividend(msgspec.Struct, gc=False):
    ticker: str
    ex_dividend_date: date
    cash_amount: Decimal
    currency: str | None = None
    dividend_type: str = "CD"
    declaration_date: date | None = None
    record_date: date | None = None
    pay_date: date | None = None
    id: str = ""


class _List(msgspec.Struct):
    status: str
    results: list[msgspec.Raw] | None = None
    next_url: str | None = None


class _NewTicker(msgspec.Struct, gc=False):
    ticker: str


class _Change(msgspec.Struct, gc=False):
    date: date
    ticker_change: _NewTicker | None = None


class _Company(msgspec.Struct):
    events: list[_Change] = []


class _Names(msgspec.Struct):
    status: str
    results: _Company | None = None


_LIST = msgspec.json.Decoder(_List)
_NAMES = msgspec.json.Decoder(_Names)


class MassiveEvents:
    """
    Corporate actions of the provider `massive`.

    Args:
        key: `MASSIVE_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange.
    """

    name = PROVIDER
    offers: Mapping[EventKind, EventsOffer] = MappingProxyType(
        {
            EventKind.SPLITS: _LISTED,
            EventKind.DIVIDENDS: replace(_LISTED, market_rows_per_year=40_000),
            EventKind.CHANGES: EventsOffer(
                symbols_per_call=1,
                market_rows_per_year=None,
                page_size=PAGE_SIZE,
                by_day=False,
                has_companies=True,
                rests=timedelta(days=7),
            ),
        }
    )

    def __init__(self, key: str, *, base_url: str | None = None) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._url = (base_url or URL).rstrip("/")

    def events_request(self, query: EventsQuery) -> HttpRequest:
        """A list by days, without a ticker for the whole market; or the names of one company."""
        if query.kind is EventKind.CHANGES:
            path = f"/vX/reference/tickers/{quote(_one(query), safe='')}/events"
            return HttpRequest(f"{self._url}{path}", {"types": "ticker_change"}, self._headers, f"{path} {query}")
        name = _DATES[query.kind]
        params = {f"{name}.gte": query.first.isoformat(), f"{name}.lt": query.end.isoformat()}
        if query.tickers is not None:
            params["ticker"] = _one(query)
        params |= {"order": "asc", "sort": name, "limit": str(PAGE_SIZE)}
        return self._list_request(query, params)

    def parse_events(self, query: EventsQuery, response: HttpResponse) -> EventsPage:
        """The rows of a list, or the changes between the names of one company."""
        check_is_json(response)
        if query.kind is EventKind.CHANGES:
            return _changes(query, response.body)
        answer = read_json(response.body, _LIST, "list of events")
        _check_status(answer.status)
        raws = answer.results or []
        page = in_days(query, _READERS[query.kind](raws))
        return EventsPage(page.events, page.rejected, self._more(query, answer.next_url))

    def _more(self, query: EventsQuery, next_url: str | None) -> HttpRequest | None:
        if not next_url:
            return None
        kept = behind(next_url, _PATHS[query.kind], (self._url, URL, FORMER_URL))
        return self._list_request(query, path_and_params(kept)[1], " (a later page)")

    def _list_request(self, query: EventsQuery, params: Mapping[str, str], note: str = "") -> HttpRequest:
        path = _PATHS[query.kind]
        return HttpRequest(f"{self._url}{path}", params, self._headers, f"{path} {query}{note}")


def _one(query: EventsQuery) -> str:
    if query.tickers is None or len(query.tickers) != 1:
        raise InvalidInput(f"Massive is asked for one symbol at a time, not for {query}.")
    return checked_ticker(query.tickers[0])


def _check_status(status: str) -> None:
    if status != "OK":
        raise BadResponse(f"The answer calls itself '{excerpt(status)}' instead of OK.", reason="body")


def _split(row: _Split) -> Split:
    day = row.execution_date
    return Split(ticker=row.ticker, on=day, filed_on=day, event_id=row.id, **terms(row.split_to, row.split_from))


def _dividend(row: _Dividend) -> Dividend:
    if row.dividend_type not in _FORMS:
        raise InvalidInput(f"{row.ticker}: the dividend type '{excerpt(row.dividend_type)}' is unknown")
    return Dividend(
        ticker=row.ticker,
        on=row.ex_dividend_date,
        filed_on=row.ex_dividend_date,
        event_id=row.id,
        amount=row.cash_amount,
        currency=row.currency or "",
        form=_FORMS[row.dividend_type],
        declared_on=row.declaration_date,
        record_on=row.record_date,
        paid_on=row.pay_date,
    )


def _reader(
    row: type[Any], event_of: Callable[[Any], CorporateEvent | None]
) -> Callable[[Sequence[msgspec.Raw]], EventsPage]:
    decoder = msgspec.json.Decoder(row)
    return lambda raws: read_rows(raws, decoder, event_of)


_READERS = {EventKind.SPLITS: _reader(_Split, _split), EventKind.DIVIDENDS: _reader(_Dividend, _dividend)}


def _changes(query: EventsQuery, body: bytes) -> EventsPage:
    """
    From each name of a company to the next.

    The whole history is given, whatever days are asked for, and under whichever of its tickers the company is named.
    """
    answer = read_json(body, _NAMES, "history of tickers")
    _check_status(answer.status)
    events = answer.results.events if answer.results is not None else []
    names = sorted((one.date, one.ticker_change.ticker) for one in events if one.ticker_change is not None)
    changes, rejected = [], []
    for (_, old), (day, new) in pairwise(names):
        if old == new:
            continue
        if is_ticker(old) and is_ticker(new):
            changes.append(TickerChange(ticker=old, on=day, filed_on=day, new_ticker=new))
        else:
            rejected.append(f"'{excerpt(old)}' to '{excerpt(new)}' on {day} is no change of tickers: kept out.")
    return EventsPage(tuple(changes), tuple(rejected))

"""
Finnhub's splits and dividends of one symbol, earnings of the whole market, and changes of tickers.

- No paging anywhere. `/stock/split` and `/stock/dividend` take one symbol and days; a symbol means the company that
  bears it today. Both are premium, as is `/ca/symbol-change`; `/calendar/earnings` is free for one month.
- `/ca/symbol-change` holds 2,000 changes at most in a call, of all exchanges: asked for in short ranges, and an answer
  that is as long as that is not believed to be whole.
- Bounds are dates; whether `to` is included is not documented: one day more is asked for, and rows outside are dropped.
- Tickers of other exchanges (`MEN.L`) come in the same lists.

Source:
    providers.md 6 and 6.1; vendor swagger, the samples of each path.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import msgspec

from barfill.core.corporate import Dividend, Earnings, EventKind, Split, TickerChange
from barfill.core.event_plan import EventsOffer
from barfill.errors import BadResponse, InvalidInput
from barfill.providers.adapter_settings import check_key
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.events import EventsPage, EventsQuery, in_days, read_rows, terms
from barfill.providers.finnhub import URL, VERSION
from barfill.providers.strict_json import check_is_json, read_json
from barfill.providers.tickers import checked_ticker

PROVIDER = "finnhub"
CHANGES_MAX = 2_000
"""Of one answer to `/ca/symbol-change`."""

_PATHS = MappingProxyType(
    {
        EventKind.SPLITS: "/stock/split",
        EventKind.DIVIDENDS: "/stock/dividend",
        EventKind.EARNINGS: "/calendar/earnings",
        EventKind.CHANGES: "/ca/symbol-change",
    }
)
_HOURS = MappingProxyType({"bmo": "before_open", "amc": "after_close", "dmh": "during"})
_ONE_SYMBOL = EventsOffer(
    symbols_per_call=1, market_rows_per_year=None, page_size=1_000, has_companies=True, rests=timedelta(days=7)
)


class _Split(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    date: date
    from_factor: Decimal
    to_factor: Decimal


class _Dividend(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    date: date
    amount: Decimal
    currency: str | None = None
    pay_date: str | None = None
    record_date: str | None = None
    declaration_date: str | None = None


class _Report(msgspec.Struct, rename="camel", gc=False):
    symbol: str
    date: date
    hour: str | None = None
    year: int | None = None
    quarter: int | None = None
    eps_estimate: Decimal | None = None
    eps_actual: Decimal | None = None


class _Change(msgspec.Struct, rename="camel", gc=False):
    at_date: date
    old_symbol: str
    new_symbol: str


class _Calendar(msgspec.Struct, rename="camel"):
    earnings_calendar: list[msgspec.Raw] | None = None


class _Changes(msgspec.Struct):
    data: list[msgspec.Raw] | None = None


_ROWS: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_CALENDAR = msgspec.json.Decoder(_Calendar)
_CHANGES = msgspec.json.Decoder(_Changes)


class FinnhubEvents:
    """
    Corporate actions of the provider `finnhub`.

    Args:
        key: `FINNHUB_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange; with or without `/api/v1`.

    Raises:
        SettingsError: The key is missing or cannot be sent.
    """

    name = PROVIDER
    offers: Mapping[EventKind, EventsOffer] = MappingProxyType(
        {
            EventKind.SPLITS: _ONE_SYMBOL,
            EventKind.DIVIDENDS: _ONE_SYMBOL,
            EventKind.EARNINGS: EventsOffer(
                symbols_per_call=1,
                market_rows_per_year=26_000,
                page_size=1_500,
                days_per_call_max=14,
                has_companies=True,
            ),
            EventKind.CHANGES: EventsOffer(
                symbols_per_call=0, market_rows_per_year=15_000, page_size=CHANGES_MAX, days_per_call_max=30
            ),
        }
    )

    def __init__(self, key: str, *, base_url: str | None = None) -> None:
        check_key("Finnhub", "FINNHUB_API_KEY", key)
        self._headers = {"X-Finnhub-Token": key}
        self._url = (base_url or URL).rstrip("/").removesuffix(VERSION) + VERSION

    def events_request(self, query: EventsQuery) -> HttpRequest:
        """One call, with its range of days; one symbol where a symbol is asked for."""
        path = _PATHS[query.kind]
        params = {"from": query.first.isoformat(), "to": query.end.isoformat()}
        if query.tickers is not None:
            if len(query.tickers) != 1:
                raise InvalidInput(f"Finnhub is asked for one symbol at a time, not for {query}.")
            params["symbol"] = checked_ticker(query.tickers[0])
        return HttpRequest(f"{self._url}{path}", params, self._headers, f"{path} {query}")

    def parse_events(self, query: EventsQuery, response: HttpResponse) -> EventsPage:
        """All there is: one page."""
        check_is_json(response)
        return in_days(query, _READERS[query.kind](response.body))


def _splits(body: bytes) -> EventsPage:
    def split(row: _Split) -> Split:
        return Split(ticker=row.symbol, on=row.date, filed_on=row.date, **terms(row.to_factor, row.from_factor))

    rows = read_json(body, _ROWS, "list of splits")
    return read_rows(rows, _decoder(_Split), split)


def _dividends(body: bytes) -> EventsPage:
    def dividend(row: _Dividend) -> Dividend:
        return Dividend(
            ticker=row.symbol,
            on=row.date,
            filed_on=row.date,
            amount=row.amount,
            currency=row.currency or "",
            declared_on=_day(row.declaration_date),
            record_on=_day(row.record_date),
            paid_on=_day(row.pay_date),
        )

    rows = read_json(body, _ROWS, "list of dividends")
    return read_rows(rows, _decoder(_Dividend), dividend)


def _earnings(body: bytes) -> EventsPage:
    def earnings(row: _Report) -> Earnings:
        return Earnings(
            ticker=row.symbol,
            on=row.date,
            filed_on=row.date,
            hour=_HOURS.get(row.hour or "", ""),
            fiscal_year=row.year or None,
            fiscal_quarter=row.quarter or None,
            eps_estimate=row.eps_estimate,
            eps_actual=row.eps_actual,
        )

    rows = read_json(body, _CALENDAR, "calendar of earnings").earnings_calendar or []
    return read_rows(rows, _decoder(_Report), earnings)


def _changes(body: bytes) -> EventsPage:
    def change(row: _Change) -> TickerChange | None:
        if row.old_symbol == row.new_symbol:
            return None
        return TickerChange(ticker=row.old_symbol, on=row.at_date, filed_on=row.at_date, new_ticker=row.new_symbol)

    rows = read_json(body, _CHANGES, "list of changes").data or []
    if len(rows) >= CHANGES_MAX:
        raise BadResponse(
            f"The answer holds {len(rows):,} changes of tickers, which is as many as one can: more may be missing. Ask "
            "for fewer days.",
            reason="count",
        )
    return read_rows(rows, _decoder(_Change), change)


_READERS = {
    EventKind.SPLITS: _splits,
    EventKind.DIVIDENDS: _dividends,
    EventKind.EARNINGS: _earnings,
    EventKind.CHANGES: _changes,
}


def _decoder(row: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(row)


def _day(text: str | None) -> date | None:
    """Dates that are not known are null or ""."""
    return date.fromisoformat(text) if text else None

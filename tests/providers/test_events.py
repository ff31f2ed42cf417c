"""Corporate actions on the wire: what is asked, what is kept out, and where pages lead."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from barfill.core.corporate import EventKind, Split
from barfill.errors import BadResponse, InvalidInput, SettingsError, SymbolNotOffered
from barfill.providers.alpaca_events import AlpacaEvents
from barfill.providers.base import HttpResponse
from barfill.providers.events import EventsPage, EventsProvider, EventsQuery
from barfill.providers.finnhub_events import CHANGES_MAX, FinnhubEvents
from barfill.providers.massive_events import MassiveEvents
from tests.providers.conftest import KEY, SECRET
from tests.providers.dialects import JSON

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST, END = date(2024, 1, 1), date(2025, 1, 1)
ALPACA, MASSIVE, FINNHUB = AlpacaEvents(KEY, SECRET), MassiveEvents(KEY), FinnhubEvents(KEY)
PROVIDERS: dict[str, EventsProvider] = {"alpaca": ALPACA, "massive": MASSIVE, "finnhub": FINNHUB}


def query(kind: str = "splits", *tickers: str) -> EventsQuery:
    return EventsQuery(EventKind(kind), FIRST, END, tickers or None)


def answered(provider: EventsProvider, wanted: EventsQuery, document: object) -> EventsPage:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return provider.parse_events(wanted, HttpResponse(200, JSON, body, NOW))


@pytest.mark.parametrize(
    ("provider", "wanted", "path", "params"),
    [
        ("alpaca", query("splits"), "/v1/corporate-actions",
         {"types": "forward_split,reverse_split,stock_dividend", "start": "2024-01-01", "end": "2024-12-31",
          "limit": "1000", "sort": "asc"}),
        ("alpaca", query("dividends", "AAPL", "BRK.B"), "/v1/corporate-actions",
         {"types": "cash_dividend", "start": "2024-01-01", "end": "2024-12-31", "limit": "1000", "sort": "asc",
          "symbols": "AAPL,BRK.B"}),
        ("massive", query("dividends"), "/v3/reference/dividends",
         {"ex_dividend_date.gte": "2024-01-01", "ex_dividend_date.lt": "2025-01-01", "order": "asc",
          "sort": "ex_dividend_date", "limit": "1000"}),
        ("massive", query("changes", "BRK/B"), "/vX/reference/tickers/BRK%2FB/events", {"types": "ticker_change"}),
        ("finnhub", query("splits", "AAPL"), "/stock/split",
         {"from": "2024-01-01", "to": "2025-01-01", "symbol": "AAPL"}),
        ("finnhub", query("earnings"), "/calendar/earnings", {"from": "2024-01-01", "to": "2025-01-01"}),
    ],
)  # fmt: skip
def test_requests(provider: str, wanted: EventsQuery, path: str, params: dict[str, str]) -> None:
    """Everything is said, the market is asked for without symbols, and the key is in a header only."""
    request = PROVIDERS[provider].events_request(wanted)

    assert request.url.endswith(path)
    assert request.params == params
    assert KEY not in f"{request!r}{request.url}"
    assert any(KEY in value for value in request.headers.values())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_text_that_is_no_ticker_is_never_sent(provider: str) -> None:
    """As for bars (X08)."""
    with pytest.raises(SymbolNotOffered):
        PROVIDERS[provider].events_request(query("splits", "../x"))


@pytest.mark.parametrize("provider", [MASSIVE, FINNHUB])
def test_one_symbol_at_a_time(provider: EventsProvider) -> None:
    """Who takes one symbol is not asked for two."""
    with pytest.raises(InvalidInput, match="one symbol at a time"):
        provider.events_request(query("splits", "A", "B"))


def test_finnhubs_key_is_checked() -> None:
    """A key that no header can carry is refused by its variable's name."""
    with pytest.raises(SettingsError, match="FINNHUB_API_KEY"):
        FinnhubEvents("")


GOOD: dict[str, Any] = {"id": "E1", "ticker": "AAPL", "execution_date": "2024-06-10", "split_from": 1, "split_to": 4}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split_to": 0}, "cannot be"),
        ({"split_from": -1}, "cannot be"),
        ({"split_to": "NaN"}, "cannot be"),
        ({"split_to": "1e400"}, "cannot be"),
        ({"split_to": 1}, "changes nothing"),
        ({"split_to": 1e9}, "too large to be true"),
        ({"execution_date": "2024-02-30"}, "date"),
        ({"execution_date": None}, "date"),
        ({"ticker": "AA PL"}, "no ticker"),
        ({"ticker": 7}, "str"),
        ({"split_to": None}, "split_to"),
    ],
)
def test_a_bad_row_is_kept_out_with_a_sentence(change: dict[str, Any], told: str) -> None:
    """The rows beside it are kept: a page is never lost for one of its rows (D26)."""
    rows = [GOOD, GOOD | {"ticker": "BAD"} | change, GOOD | {"ticker": "MSFT"}]

    page = answered(MASSIVE, query(), {"status": "OK", "results": rows})

    assert [event.ticker for event in page.events] == ["AAPL", "MSFT"]
    (sentence,) = page.rejected
    assert told in sentence
    assert "kept out. The row: " in sentence


def test_an_inverted_split_contradicts_its_group() -> None:
    """Alpaca says which way a split goes: one that goes the other way is kept out (D26)."""
    row = {"process_date": "2024-06-10", "ex_date": "2024-06-10", "symbol": "NVDA", "new_rate": 1, "old_rate": 10}

    page = answered(ALPACA, query(), {"corporate_actions": {"forward_splits": [row], "reverse_splits": [row]}})

    assert [isinstance(event, Split) and event.numerator for event in page.events] == [1]
    assert "no forward split" in page.rejected[0]


def test_missing_optional_fields_do_no_harm() -> None:
    """Beside what makes an event any field may be missing."""
    row = {"process_date": "2024-06-10", "ex_date": "2024-06-07", "symbol": "X", "rate": 0.1}

    page = answered(ALPACA, query("dividends"), {"corporate_actions": {"cash_dividends": [row]}})

    assert (page.events[0].event_id, page.events[0].on, page.rejected) == ("", date(2024, 6, 7), ())


def test_rows_that_were_not_asked_for_are_dropped() -> None:
    """Other days and other symbols, as providers send them."""
    rows = [
        GOOD,
        GOOD | {"execution_date": "2023-12-31"},
        GOOD | {"execution_date": "2025-01-01"},
        GOOD | {"ticker": "B"},
    ]

    page = answered(MASSIVE, query("splits", "AAPL"), {"status": "OK", "results": rows})

    assert [(event.ticker, event.on) for event in page.events] == [("AAPL", date(2024, 6, 10))]


@pytest.mark.parametrize(
    ("provider", "kind", "document", "reason"),
    [
        (ALPACA, "splits", b"<html>", "body"),
        (ALPACA, "splits", b'{"corporate_actions": [}', "json"),
        (ALPACA, "splits", {"corporate_actions": []}, "schema"),
        (MASSIVE, "splits", {"status": "ERROR", "results": []}, "body"),
        (MASSIVE, "splits", {"status": "OK", "next_url": "https://evil.example/v3/reference/splits?cursor=x"},
         "foreign_next_url"),
        (MASSIVE, "changes", {"status": "OK", "results": []}, "schema"),
        (FINNHUB, "splits", {"error": "no"}, "schema"),
        (FINNHUB, "changes",
         {"data": [{"atDate": "2024-01-02", "oldSymbol": "A", "newSymbol": "B"}] * CHANGES_MAX}, "count"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(provider: EventsProvider, kind: str, document: object, reason: str) -> None:
    """As a whole, with its reason."""
    with pytest.raises(BadResponse) as caught:
        answered(provider, query(kind, "AAPL") if provider is MASSIVE else query(kind), document)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("provider", "document"),
    [
        (ALPACA, {"corporate_actions": {}, "next_page_token": None}),
        (ALPACA, {"next_page_token": None}),
        (MASSIVE, {"status": "OK"}),
        (MASSIVE, {"status": "OK", "results": None}),
        (FINNHUB, []),
    ],
)
def test_nothing_is_a_page(provider: EventsProvider, document: object) -> None:
    """In each of its shapes."""
    assert answered(provider, query("splits"), document) == EventsPage(())


def test_massives_next_page_is_asked_where_the_first_was() -> None:
    """Only the cursor of its URL is kept, without a key."""
    url = "https://api.polygon.io/v3/reference/splits?cursor=abc&apiKey=k"

    page = answered(MASSIVE, query(), {"status": "OK", "results": [GOOD], "next_url": url})

    assert page.more is not None
    assert (page.more.url, page.more.params) == ("https://api.massive.com/v3/reference/splits", {"cursor": "abc"})

"""
What each provider's wire looks like, for the tests that all of them must pass.

A new provider is one more `Dialect` in `DIALECTS`: how it writes a page, a stamp and a token, and its odd pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from barfill.core.page import BarsQuery, Page
from barfill.errors import (
    AnswerTooLong,
    BadResponse,
    CredentialsRejected,
    PlanTooSmall,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestTooLong,
    SymbolNotOffered,
    TooOld,
    TooRecent,
)
from barfill.providers import alpaca_decode, finnhub, finnhub_decode, massive_decode, tradier, tradier_decode
from barfill.providers.alpaca import Alpaca
from barfill.providers.bar_pages import GeneralPath, TypedPath
from barfill.providers.base import HttpResponse, Provider
from barfill.providers.finnhub import Finnhub
from barfill.providers.massive import Massive
from barfill.providers.tradier import Tradier
from tests.providers.conftest import KEY, SECRET, bars_query

NOW = datetime(2024, 6, 1, tzinfo=UTC)
JSON = {"content-type": "application/json"}

GOOD: Mapping[str, object] = MappingProxyType(
    {"t": None, "o": 10.5, "h": 12, "l": 10, "c": 11.25, "v": 100, "n": 7, "vw": 11.1}
)
"""A good one-minute bar, but for its stamp."""

Row = dict[str, object]
Refusals = Sequence[tuple[int, object, type[ProviderError]]]


def at(text: str) -> datetime:
    """An instant, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """
    Attributes:
        make: The provider with such a page size, where it can be set.
        fixed_page_size: The page size, where it cannot.
        keys: A row's keys as the provider writes them, by those of a good row here; what it does not give is not in it.
        is_columnar: Whether it sends an array for each key, so that a single row cannot lack one.
        has_dated_days: Whether a day is stamped by a text with its date, and comes in a layout of its own.
        declares_count: Whether a page says how many rows it holds.
        without: Tickers that the provider cannot have.
        stamp: An instant as the provider writes it.
        envelope: What a page holds beside its rows and its token, by how many rows it has.
        put: A page's rows under its key.
        token_key, token, kept: The key of the token, one as sent, and the same as barfill keeps it; None without pages.
        typed, general: The two paths that read a page, or the one.
        empty: Pages without rows (H11, H12).
        reshaped: Pages with one good row in another shape (H12), by a function of the row.
        mistyped: Changes of a page's keys that no page may have (H30); `...` takes a key away.
        foreign, variants: Changes that make it an answer for another symbol (H27), or of another kind (H29).
        refusals: Status, body and meaning of what is no page, for a request for AAPL.
        headers: How the key is sent.
    """

    name: str
    make: Callable[[int], Provider]
    stamp: Callable[[datetime], object]
    envelope: Callable[[int], dict[str, object]]
    put: Callable[[Sequence[object]], dict[str, object]]
    general: GeneralPath
    empty: Sequence[object]
    reshaped: Sequence[Callable[[Row], Mapping[str, object]]]
    mistyped: Sequence[Mapping[str, object]]
    foreign: Sequence[Mapping[str, object]]
    variants: Sequence[Mapping[str, object]]
    refusals: Refusals
    headers: Mapping[str, str] = field(repr=False)
    token_key: str | None = None
    token: str | None = None
    kept: str | None = None
    typed: TypedPath | None = None
    fixed_page_size: int | None = None
    keys: Mapping[str, str] = field(default_factory=lambda: {key: key for key in GOOD})
    is_columnar: bool = False
    has_dated_days: bool = False
    declares_count: bool = True
    without: frozenset[str] = frozenset()

    def with_token(self, *rows: object) -> dict[str, object]:
        """A page that leads on to another; the same as without where there are none."""
        return self.page(*rows, **({self.token_key: self.token} if self.token_key is not None else {}))

    @property
    def provider(self) -> Provider:
        """The provider with its usual page size."""
        return self.make(10_000)

    def row(self, when: str = "2024-03-05T15:00", **changes: Any) -> Row:
        """A good one-minute bar, with changes; `...` takes a key away."""
        whole = {**GOOD, "t": self.stamp(at(when)), **changes}
        given = {self.keys.get(key, key): value for key, value in whole.items() if key in self.keys or key not in GOOD}
        return {key: value for key, value in given.items() if value is not ...}

    def page(self, *rows: object, **changes: object) -> dict[str, object]:
        """A page of AAPL, with changes; `...` takes a key away."""
        page: dict[str, object] = {**self.put(rows), **self.envelope(len(rows)), **changes}
        return {key: value for key, value in page.items() if value is not ...}

    def body(self, *rows: object) -> bytes:
        """The same as sent."""
        return self.encoded(self.page(*rows))

    @staticmethod
    def encoded(page: object) -> bytes:
        """A page, or anything else, as sent; what is bytes already stays."""
        return page if isinstance(page, bytes) else json.dumps(page).encode()

    def parse(self, page: object, query: BarsQuery | None = None, *, page_size: int = 10_000) -> Page:
        """What the adapter makes of a page that arrived now."""
        response = HttpResponse(200, JSON, self.encoded(page), NOW)
        return self.make(page_size).parse_bars(query or bars_query(), response)

    def refusal(self, page: object, query: BarsQuery | None = None, *, page_size: int = 10_000) -> str:
        """The reason for which a page is refused."""
        with pytest.raises(BadResponse) as caught:
            self.parse(page, query, page_size=page_size)
        return caught.value.reason

    def meaning(self, status: int, body: object, **headers: str) -> ProviderError:
        """The error for such an answer to a request for AAPL."""
        request = self.provider.bars_request(bars_query(), None)
        return self.provider.error_of(request, HttpResponse(status, headers, self.encoded(body), NOW))


def _epoch_ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _massive_envelope(rows: int) -> dict[str, Any]:
    counts = {"queryCount": rows, "resultsCount": rows, "count": rows}
    return {"ticker": "AAPL", "adjusted": False, "status": "OK", "request_id": "6a7e", **counts}


def _massive_without(*results: object) -> dict[str, object]:
    return {**_massive_envelope(0), **({"results": results[0]} if results else {})}


ALPACA = Dialect(
    name="alpaca",
    make=lambda page_size: Alpaca(KEY, SECRET, page_size=page_size),
    stamp=lambda instant: instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
    envelope=lambda _rows: {"next_page_token": None},
    put=lambda rows: {"bars": {"AAPL": list(rows)}},
    token_key="next_page_token",
    token="QUFQTA==",
    kept="QUFQTA==",
    typed=alpaca_decode.decode_typed,
    general=alpaca_decode.decode_general,
    empty=(
        {"bars": {}, "next_page_token": None},
        {"bars": {"AAPL": []}, "next_page_token": None},
        {"bars": None, "next_page_token": None},
        {"bars": "null"},
        {"next_page_token": None},
        {"bars": {"AAPL": None}},
        {"bars": [], "symbol": "AAPL"},
        {},
    ),
    reshaped=(
        lambda row: {"bars": [row], "symbol": "AAPL", "next_page_token": None},
        lambda row: {"bars": [row]},
        lambda row: {"bars": row},
        lambda row: {"bars": {"AAPL": row}},
    ),
    mistyped=(
        {"bars": ..., "candles": [1]},
        {"bars": ..., "results": [{"t": 1}]},
        {"next_page_token": ..., "nextPageToken": "abc"},
        {"next_page_token": 7},
        {"bars": 7},
        {"bars": {"AAPL": 7}},
    ),
    foreign=({"bars": {"MSFT": [{"t": "2024-03-05T15:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}]}},),
    variants=({"currency": "EUR"}, {"feed": "iex"}, {"adjustment": "split"}),
    refusals=(
        (400, {"message": "invalid symbol: AAPL"}, SymbolNotOffered),
        (400, {"message": "invalid end"}, BadResponse),
        (401, {"message": "unauthorized"}, CredentialsRejected),
        (403, {"message": "subscription does not permit querying recent SIP data"}, TooRecent),
        (403, {"message": "subscription does not permit querying this feed"}, PlanTooSmall),
        (414, b"<html>414 Request-URI Too Large</html>", RequestTooLong),
        (429, {"message": "too many requests."}, RateLimited),
    ),
    headers={"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET},
)

_NEXT = "/v2/aggs/ticker/AAPL/range/1/minute/1709650860000/1709683199999?cursor=bGltaXQ9Mg"
_TIMEFRAME = "Your plan doesn't include this data timeframe. Please upgrade your plan at https://massive.com/pricing"

MASSIVE = Dialect(
    name="massive",
    make=lambda page_size: Massive(KEY, page_size=page_size),
    stamp=_epoch_ms,
    envelope=_massive_envelope,
    put=lambda rows: {"results": list(rows)},
    token_key="next_url",
    token=f"https://api.massive.com{_NEXT}",
    kept="1709650860000/1709683199999?cursor=bGltaXQ9Mg",
    typed=massive_decode.decode_typed,
    general=massive_decode.decode_general,
    empty=(_massive_without(), _massive_without([]), _massive_without(None), _massive_without("null")),
    reshaped=(
        lambda row: {**_massive_envelope(1), "results": row},
        lambda row: {**_massive_envelope(1), "results": [row], "status": "DELAYED"},
    ),
    mistyped=(
        {"results": ..., "bars": [1]},
        {"next_url": ..., "nextUrl": "abc"},
        {"next_url": 7},
        {"results": 7},
        {"results": {"o": [1]}},
        {"ticker": ...},
        {"adjusted": ...},
        {"adjusted": "false"},
        {"status": ...},
    ),
    foreign=({"ticker": "MSFT"}, {"ticker": "aapl"}),
    variants=({"adjusted": True},),
    refusals=(
        (400, {"status": "ERROR", "error": "Could not parse the time parameter: 'from'."}, BadResponse),
        (401, {"status": "ERROR", "error": "Unknown API Key"}, CredentialsRejected),
        (403, {"status": "NOT_AUTHORIZED", "message": _TIMEFRAME}, PlanTooSmall),
        (403, {"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, PlanTooSmall),
        (404, {"status": "NOT_FOUND", "request_id": "x"}, SymbolNotOffered),
        (404, b"404 page not found", BadResponse),
        (429, {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"}, RateLimited),
    ),
    headers={"Authorization": f"Bearer {KEY}"},
)


def _epoch_s(instant: datetime) -> int:
    return int(instant.timestamp())


def _fault(text: str, code: str = "unverified") -> dict[str, object]:
    return {"fault": {"faultstring": text, "detail": {"errorcode": code}}}


TRADIER = Dialect(
    name="tradier",
    make=lambda _page_size: Tradier(KEY),
    fixed_page_size=tradier.ROWS_MAX,
    keys={"t": "timestamp", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vw": "vwap"},
    has_dated_days=True,
    declares_count=False,
    without=frozenset({"BTC/USD"}),
    stamp=_epoch_s,
    envelope=lambda _rows: {},
    put=lambda rows: {"series": {"data": list(rows)}},
    general=tradier_decode.decode_answer,
    empty=(
        {"series": None},
        {"series": "null"},
        {"series": {}},
        {"series": {"data": None}},
        {"series": {"data": "null"}},
        {"series": {"data": []}},
    ),
    reshaped=(lambda row: {"series": {"data": row}},),
    mistyped=(
        {"series": ...},
        {"series": ..., "history": {"day": []}},
        {"series": 7},
        {"series": [1]},
        {"series": {"rows": [1]}},
        {"series": {"data": 7}},
        {"series": {"data": {"open": [1]}}},
    ),
    foreign=(),
    variants=(),
    refusals=(
        (400, b"Invalid parameter, start: must be on or after 2024-01-15 00:00:00.", TooOld),
        (400, b"Invalid parameter, start: must be on or after 2024-13-15 00:00:00.", BadResponse),
        (400, {"errors": {"error": ["Invalid parameter, interval"]}}, BadResponse),
        (401, _fault("Access Token expired", "keymanagement.service.access_token_expired"), CredentialsRejected),
        (404, b"<html>404</html>", ProviderUnavailable),
        (429, b"Quota Violation ... 1369168800001", RateLimited),
        (400, b"Quota Violation ... 1369168800001", RateLimited),
        (500, _fault("Rate limit quota violation", "policies.ratelimit.QuotaViolation"), RateLimited),
        (500, _fault("Datastore Error"), ProviderUnavailable),
        (500, _fault("Body buffer overflow", "protocol.http.TooBigBody"), AnswerTooLong),
        (413, _fault("Body buffer overflow", "protocol.http.TooBigBody"), AnswerTooLong),
    ),
    headers={"Authorization": f"Bearer {KEY}", "Accept": "application/json"},
)

_ARRAYS = ("t", "o", "h", "l", "c", "v")


def _columns(rows: Sequence[object]) -> dict[str, object]:
    """An array of each key that a row has."""
    objects = [row for row in rows if isinstance(row, dict)]
    given = {key: [row[key] for row in objects if key in row] for key in _ARRAYS}
    return {key: values for key, values in given.items() if values or not rows}


FINNHUB = Dialect(
    name="finnhub",
    make=lambda _page_size: Finnhub(KEY, plan="paid"),
    fixed_page_size=finnhub.ROWS_MAX,
    keys={key: key for key in _ARRAYS},
    is_columnar=True,
    declares_count=False,
    stamp=_epoch_s,
    envelope=lambda _rows: {"s": "ok"},
    put=_columns,
    general=finnhub_decode.decode_candles,
    empty=(
        {"s": "no_data"},
        {"s": "no_data", **dict.fromkeys(_ARRAYS)},
        {"s": "no_data", **{key: [] for key in _ARRAYS}},
        {"s": "ok", **{key: [] for key in _ARRAYS}},
    ),
    reshaped=(),
    mistyped=(
        {"c": ...},
        {"c": ..., "close": [1]},
        {"c": [1, 2]},
        {"c": []},
        {"c": 7},
        {"s": ...},
        {"s": 7},
        {"s": "no_data"},
    ),
    foreign=(),
    variants=(),
    refusals=(
        (401, {"error": "Invalid API key."}, CredentialsRejected),
        (401, {"error": "Please use an API key."}, CredentialsRejected),
        (403, {"error": "You don't have access to this resource."}, PlanTooSmall),
        (404, b"404 page not found", BadResponse),
        (429, {"error": "API limit reached. Please try again later. Remaining Limit: 0"}, RateLimited),
        (
            429,
            {"error": "API limit reached. Please sign up for a free account to continue using the API"},
            CredentialsRejected,
        ),
    ),
    headers={"X-Finnhub-Token": KEY},
)

DIALECTS = (ALPACA, MASSIVE, TRADIER, FINNHUB)


def each(is_meant: Callable[[Dialect], bool]) -> pytest.MarkDecorator:
    """Runs a test for each provider in turn that *is_meant*."""
    meant = [dialect for dialect in DIALECTS if is_meant(dialect)]
    return pytest.mark.parametrize("dialect", meant, ids=lambda dialect: dialect.name)


EACH = each(lambda _dialect: True)
PAGED = each(lambda dialect: dialect.token is not None)
ROW_BY_ROW = each(lambda dialect: not dialect.is_columnar)
DAYS_BY_INSTANT = each(lambda dialect: not dialect.has_dated_days)

"""
Crypto venues by their ccxt id: spot bars around the clock, one symbol in a request, without a key.

ccxt knows what each venue is asked and what its answers mean (`ccxt_venue_replay`); barfill sends, waits and retries.

- Limits: requests per minute and the time between two of them as ccxt keeps to them (8.1).
- Pages: windows of `page_size` bars, one after the other to the end of the range; the token is the start of the next.
  An empty window means nothing (Coinbase 1h has holes of days, 8.3), so the one behind it follows. Kraken always
  sends its newest 720 bars, so that there is one page, and what lies before them was not looked at.
- Stamps: start of the bar, UTC (8.1). Days begin at 00:00 UTC, hours on the hour; weeks on Mondays at Binance only.
- Late data: the last row may be the open candle; the rules hold it back by `delay`.
- Quiet intervals: Binance and Kraken send a row with volume 0 at the close before, Coinbase none (8.1). Rows are kept
  as sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import ccxt

from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.ranges import Range, to_us
from barfill.core.ticker import is_ticker
from barfill.errors import BadResponse, InvalidInput, ProviderError, SettingsError
from barfill.providers.adapter_settings import check_page_size
from barfill.providers.bar_pages import Contents, decode, read_rows
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.ccxt_venue_errors import Asked, meaning_of, not_offered
from barfill.providers.ccxt_venue_replay import GARBAGE, Replay, Unanswered
from barfill.providers.ccxt_venue_traits import PAGE_SIZE_MAX, capabilities_of, rows_max, traits_of
from barfill.providers.ccxt_venue_windows import check_days, looked_from, next_token, window_of
from barfill.providers.instants import FUTURE_MAX
from barfill.providers.rate_headers import told_wait_s
from barfill.providers.rows import check_range
from barfill.providers.strict_json import check_is_json, shown, strict_json
from barfill.providers.tickers import checked_ticker

ASSET_TYPE = "crypto"

_UTC = ZoneInfo("UTC")
_MILLISECOND = timedelta(milliseconds=1)
_MINUTE_S = 60.0
_WEIGHT_HEADER = "x-mbx-used-weight-1m"
_WEIGHT_SHARE = 0.98
_KEYS = ("t", "o", "h", "l", "c", "v")
_EMPTY_BODY_BYTES_MAX = 1_000
"""More than this is no answer without rows."""
_HOST = re.compile(r"^https://[^/]+")


@dataclass(frozen=True, slots=True)
class _VenueRequest(HttpRequest):
    """
    Attributes:
        wire_url: As ccxt builds it: some venues' errors are told apart by it.
        symbol: Whose bars it asks for.
    """

    wire_url: str = ""
    symbol: str | None = None


def make_venue(
    name: str, base_url: str | None = None, requests_per_minute: int | None = None, page_size: int | None = None
) -> CcxtVenue:
    """
    The provider for the venue with ccxt id *name*.

    Args:
        base_url: Takes the place of scheme and host of all its URLs, for instance of a simulated exchange.
        requests_per_minute: None is what ccxt keeps to.
        page_size: Bars in a window; None is the most that the venue sends. Kraken always sends that many.

    Raises:
        SettingsError: There is no such venue, it cannot be used, or a setting has no meaning here.
    """
    return CcxtVenue(name, base_url=base_url, requests_per_minute=requests_per_minute, page_size=page_size)


class CcxtVenue:
    """
    One crypto venue; see `make_venue`.

    Its state is the list of its markets, which it is told before the first page.
    """

    def __init__(
        self, name: str, *, base_url: str | None, requests_per_minute: int | None, page_size: int | None
    ) -> None:
        self._traits = traits_of(name)
        self._replay = Replay(name, options=self._traits.options, not_asked=self._traits.not_asked)
        self.name = name
        self._base_url = base_url.rstrip("/") if base_url else None
        self._markets_told: list[HttpResponse] = []
        self._symbols: Mapping[str, OfferedSymbol] | None = None
        exchange = self._replay.exchange
        self._rows_max = rows_max(exchange)
        if page_size is not None:
            check_page_size(name, page_size, self._rows_max)
        self.capabilities = capabilities_of(
            exchange,
            page_size=self._rows_max if page_size is None or self._traits.newest_only else page_size,
            requests_per_minute=requests_per_minute,
            is_real=base_url is None,
        )

    def __repr__(self) -> str:
        return f"CcxtVenue({self.name})"

    @property
    def base_urls(self) -> Sequence[str]:
        """The hosts that ccxt lists for the venue, or the one place that stands for all of them."""
        if self._base_url is not None:
            return (self._base_url,)
        exchange = self._replay.exchange
        urls = (exchange.implode_hostname(url) for url in _leaves(exchange.urls["api"]))
        return sorted({match[0] for url in urls if (match := _HOST.match(url))})

    @property
    def secrets(self) -> Sequence[str]:
        """None: bars are public."""
        return ()

    def preparation_request(self) -> HttpRequest | None:
        """
        The next of the requests for the venue's markets, of which most venues need one.

        Raises:
            SettingsError: The venue cannot be asked without a key, or by GET.
            BadResponse: What was told is no list of markets (`schema`).
        """
        if self._symbols is not None:
            return None
        try:
            symbols = {one.ticker: one for one in self._read_markets()}
        except Unanswered as asked:
            return self._request(asked, "markets", None)
        except ProviderError:
            self._markets_told.clear()
            raise
        self._markets_told.clear()
        self._symbols = symbols
        return None

    def prepare(self, request: HttpRequest, response: HttpResponse) -> None:
        """
        Keeps a list of markets.

        Raises:
            ProviderError: It is a refusal.
            BadResponse: It is no JSON (`body`).
        """
        check_is_json(response)
        try:
            self._replay.check(request.wire_url if isinstance(request, _VenueRequest) else request.url, response)
        except ccxt.BaseError as error:
            raise meaning_of(error, self.name, Asked(request.shown, None), response) from None
        self._markets_told.append(response)

    def prepared_symbols(self) -> Sequence[OfferedSymbol]:
        """The spot markets, as `BTC/USD`."""
        return tuple(self._known_symbols().values())

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        The request for the window that begins at *token*, or at the range's start.

        Raises:
            InvalidInput: A timeframe or feed that the venue cannot be asked for, or more than one symbol.
            SymbolNotOffered: It has no such spot market.
        """
        symbol = self._check(query)
        window = self._window(query, token)
        try:
            self._bars(query, window, ())
        except Unanswered as asked:
            return self._request(asked, str(query), symbol)
        except ccxt.BadSymbol as error:
            raise not_offered(self.name, symbol) from error
        except ccxt.BaseError as error:
            kind = type(error).__name__
            raise InvalidInput(f"{self.name} cannot be asked for {query} ({kind}). Take another timeframe.") from error
        raise AssertionError(f"ccxt asked nothing of {self.name} for {query}.")

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """The page of the range's first window."""
        return self.parse_page(query, None, response)

    def parse_page(self, query: BarsQuery, token: str | None, response: HttpResponse) -> Page:
        """
        The page of the window that begins at *token*.

        Raises:
            ProviderError: It is a refusal, with status 200 (8.2).
            BadResponse: Its reason is one of `body`, `json`, `schema`, `too_large`, `out_of_range`, `wrong_variant`.
        """
        self._check(query)
        window = self._window(query, token)
        check_is_json(response)
        contents = decode(
            response.body,
            query,
            _no_typed_path,
            partial(self._decode, window, response),
            page_size=PAGE_SIZE_MAX,  # some send more than they are asked for
            latest_us=to_us(response.received_at + FUTURE_MAX),
        )
        rows = contents.rows
        check_days(rows.ts, query.timeframe, self.name)
        is_beyond = rows.ts >= to_us(window.end)
        check_range(rows.ts if self._traits.takes_end else rows.ts[~is_beyond], replace(query, range=window), _UTC)
        inside = ~is_beyond & (rows.ts >= to_us(window.start))
        return Page(
            symbols=contents.tickers,
            rows=rows.take(inside),
            rejected=contents.rejected,
            next_token=next_token(query, window, rows.ts[inside]),
            feed=query.feed,
            basis=RAW,
            received_at=response.received_at,
            request_id=response.request_id,
            byte_count=len(response.body),
            looked_from=looked_from(query, window, rows.ts, self._traits, self._rows_max, response.received_at),
            is_window=True,
        )

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """None: the markets are known before anything is asked for."""
        return ()

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """None: who no longer trades is marked so in the list of markets, or gone."""
        return ()

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """Nothing, as nothing is asked."""
        return ()

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """None, as nothing is asked."""
        return None

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """See `ccxt_venue_errors`."""
        wire_url, symbol = request.url, None
        if isinstance(request, _VenueRequest):
            wire_url, symbol = request.wire_url, request.symbol
        error = None
        try:
            self._replay.check(wire_url, response)
        except ccxt.BaseError as found:
            error = found
        except GARBAGE:  # a refusal in other words than the venue's own
            pass
        return meaning_of(error, self.name, Asked(request.shown, symbol), response)

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """`Retry-After`; and to the minute's end where the address has used up its weight, whoever did (8.1)."""
        told_s = told_wait_s(response)
        used, most = response.headers.get(_WEIGHT_HEADER, ""), self._traits.weight_max
        if told_s is None and most is not None and used.isdecimal() and int(used) >= _WEIGHT_SHARE * most:
            return _MINUTE_S - response.received_at.timestamp() % _MINUTE_S
        return told_s

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """None: venues count in weights of their own."""
        return None

    def _known_symbols(self) -> Mapping[str, OfferedSymbol]:
        if self._symbols is None:
            raise AssertionError(f"The markets of {self.name} were not asked for before its bars.")
        return self._symbols

    def _read_markets(self) -> Sequence[OfferedSymbol]:
        try:
            found = tuple(_offered(self._replay.run(self._replay.exchange.load_markets, self._markets_told)))
        except ccxt.AuthenticationError:
            raise SettingsError(
                f"{self.name} wants a key for its markets. Use another venue, such as binance."
            ) from None
        except ccxt.BaseError as error:
            raise _no_markets(self.name, type(error).__name__) from None
        if not found:
            raise _no_markets(self.name, "no spot market")
        return found

    def _check(self, query: BarsQuery) -> str:
        """The one symbol of a query that can be asked for."""
        if query.timeframe not in self.capabilities.timeframes:
            raise InvalidInput(f"{self.name} has no {query.timeframe.label} bars on barfill's anchors; derive them.")
        if len(query.symbols) != 1 or query.feed != self.name:
            raise InvalidInput(
                f"{self.name} is asked for one symbol of the feed '{self.name}' at a time, not for {query}."
            )
        symbol = checked_ticker(query.symbols[0])
        if symbol not in self._known_symbols():
            raise not_offered(self.name, symbol)
        return symbol

    def _window(self, query: BarsQuery, token: str | None) -> Range:
        """What one page answers for."""
        return query.range if self._traits.newest_only else window_of(query, token, self.capabilities.page_size)

    def _decode(
        self, window: Range, response: HttpResponse, body: bytes, query: BarsQuery, *, latest_us: int
    ) -> Contents:
        """The rows of an answer as ccxt reads them, once it is sure that it is strict JSON."""
        strict_json(body)
        try:
            sent = self._bars(query, window, (response,))
        except ccxt.BaseError as error:
            raise meaning_of(error, self.name, Asked("", query.symbols[0]), response) from None
        except Unanswered:
            raise InvalidInput(
                f"{self.name} takes more than one request for a page of bars; barfill sends one. Use another venue."
            ) from None
        _check_is_empty(sent, response)
        lists = {query.symbols[0]: [_row(values) for values in sent]} if sent else {}
        rows, rejected = read_rows(lists, query, latest_us=latest_us, raw_rows=lambda: None)
        return Contents(tuple(lists), rows, rejected, None, {})

    def _bars(self, query: BarsQuery, window: Range, answers: Sequence[HttpResponse]) -> Sequence[Sequence[object]]:
        """The rows of ccxt, in the order of time: milliseconds, open, high, low, close, volume."""
        length = query.timeframe.length
        count = min(-(-window.length // length), self.capabilities.page_size)
        params = {"until": _ms(window.end - _MILLISECOND)} if self._traits.takes_end else {}
        fetch = partial(
            self._replay.exchange.fetch_ohlcv,
            query.symbols[0],
            query.timeframe.label,
            _ms(window.start),
            count,
            params,
        )
        rows: Sequence[Sequence[object]] = self._replay.run(fetch, answers)
        return rows

    def _request(self, asked: Unanswered, what: str, symbol: str | None) -> HttpRequest:
        url = urlsplit(asked.url)
        place = urlunsplit((url.scheme, url.netloc, url.path, "", ""))
        if self._base_url is not None:
            place = self._base_url + url.path
        headers = {name: value for name, value in asked.headers.items() if name.lower() != "accept-encoding"}
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        return _VenueRequest(place, params, headers, f"{url.path} {what}", asked.url, symbol)


def _offered(markets: Mapping[str, Mapping[str, Any]]) -> Iterable[OfferedSymbol]:
    for symbol, market in markets.items():
        if market.get("spot") and is_ticker(symbol):
            is_active = market.get("active") is not False
            yield OfferedSymbol(symbol, f"{market['base']} in {market['quote']}", ASSET_TYPE, is_active)


def _no_typed_path(body: bytes, *, latest_us: int) -> None:
    """A venue's limit leaves time enough for ccxt's path: a page of 1,000 rows takes 6 ms."""


def _no_markets(venue: str, why: str) -> BadResponse:
    return BadResponse(
        f"The list of markets of {venue} cannot be read ({why}). Try again later, or use another venue.",
        provider=venue,
        reason="schema",
    )


def _leaves(urls: object) -> Iterable[str]:
    if isinstance(urls, str):
        yield urls
    elif isinstance(urls, Mapping):
        for value in urls.values():
            yield from _leaves(value)


def _row(values: Sequence[object]) -> Mapping[str, object]:
    """A row of ccxt by its keys; what ccxt could not read is left out."""
    return {key: value for key, value in zip(_KEYS, values, strict=False) if value is not None}


def _ms(instant: datetime) -> int:
    return to_us(instant) // 1000


def _check_is_empty(sent: Sequence[object], response: HttpResponse) -> None:
    """
    Refuses an answer in which ccxt finds no rows although there seem to be some.

    Raises:
        BadResponse: It is too long for one without rows (`schema`).
    """
    if not sent and len(response.body) > _EMPTY_BODY_BYTES_MAX:
        raise BadResponse(
            f"ccxt finds no bars in an answer of {len(response.body):,} bytes: {shown(response.body)}", reason="schema"
        )

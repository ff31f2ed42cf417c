"""
Yahoo Finance: bars of US stocks and funds, split-adjusted, without a key and without a contract.

Optional (`pip install 'barfill[yahoo]'`), and a last resort: everything here is observed behaviour (providers.md 7).

- Limits: none are documented; over-driven, it leaves data out in silence (7.3). 30 requests a minute, 2 s apart.
- Pages: none. One answer holds a whole range, of bounded length and age for intraday bars (7.2).
- Stamps: start of the bar in epoch seconds; a day by its open. The end may come along, and the live price as a last
  row; both lie outside of the range and are dropped (7.3).
- Prices and volume: adjusted for splits, of any later date too, so a series of them never mixes with raw bars. Read
  anew after a split, they are all other numbers.
- Not offered: 30m, which is wrong at Yahoo (7.2), and weeks. Both are derived.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from urllib.parse import quote

from barfill.core.capabilities import Capabilities, PageCounts
from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import to_us
from barfill.core.ticker import is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, PlanTooSmall, ProviderError, ProviderUnavailable, SymbolNotOffered
from barfill.providers.bar_pages import Contents, decode
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.instants import FUTURE_MAX, local_midnight
from barfill.providers.rate_headers import told_wait_s
from barfill.providers.refusals import Facts, Refusals, refused, told, unknown_symbol
from barfill.providers.rows import check_range, stamped
from barfill.providers.strict_json import check_is_json
from barfill.providers.tickers import checked_ticker
from barfill.providers.wire_ranges import session_dates
from barfill.providers.yahoo_decode import chart_of, decode_chart

URL = "https://query2.finance.yahoo.com"
PROVIDER = "yahoo"
SPLIT = "split"
"""Its adjustment basis."""

_VENDOR = "Yahoo"
_PATH = "/v8/finance/chart/"
_REQUESTS_PER_MINUTE = 30
_DELAY = timedelta(minutes=30)
_ROWS_MAX = 20_000
"""More than any answer has: 80 years of days, 30 days of minutes."""
_NEW_YORK = "America/New_York"
_ASSET_TYPES = MappingProxyType({"EQUITY": "stock", "ETF": "etf"})
_INTERVALS = MappingProxyType(
    {
        Timeframe.M1: "1m",
        Timeframe.M5: "5m",
        Timeframe.M15: "15m",
        Timeframe.H1: "1h",
        Timeframe.D1: "1d",
    }
)
_DAY = timedelta(days=1)
# A day less than Yahoo has, so that a request is not too old by the time it is sent.
_HISTORY = MappingProxyType(
    {
        Timeframe.M1: 29 * _DAY,
        Timeframe.M5: 59 * _DAY,
        Timeframe.M15: 59 * _DAY,
        Timeframe.M30: 59 * _DAY,
        Timeframe.H1: 729 * _DAY,
        Timeframe.H4: 729 * _DAY,
    }
)
_LONGEST = MappingProxyType({Timeframe.M1: 7 * _DAY, Timeframe.M5: 59 * _DAY, Timeframe.M15: 59 * _DAY})


class Yahoo:
    """
    The provider `yahoo`; its requests are sent by `yahoo_http.YahooHttp`.

    Args:
        base_url: Replaces the vendor's host, for instance by a simulated exchange.
        requests_per_minute: None is what it has been seen to bear.
    """

    name = PROVIDER

    def __init__(self, *, base_url: str | None = None, requests_per_minute: int | None = None) -> None:
        self._url = (base_url or URL).rstrip("/")
        limit = requests_per_minute or _REQUESTS_PER_MINUTE
        self.capabilities = Capabilities(
            provider=PROVIDER,
            follows_companies=True,
            timeframes=frozenset(_INTERVALS),
            symbols_per_call_max=1,
            symbols_length_max=100,
            page_size=_ROWS_MAX,
            page_counts=PageCounts.BARS,
            delay=_DELAY,
            history_start=None,
            has_extended_hours=False,
            requests_per_minute=limit,
            feed=PROVIDER,
            bars_per_session=MappingProxyType({}),
            history_length_of=MappingProxyType({}) if base_url else _HISTORY,
            range_per_call_max=_LONGEST,
            adjusted=MappingProxyType(dict.fromkeys(Timeframe, SPLIT)),
            spacing_s=60.0 / limit,
        )

    def __repr__(self) -> str:
        return f"Yahoo({self._url})"

    @property
    def base_urls(self) -> Sequence[str]:
        """The one host of charts; cookies and crumb come from others of Yahoo's."""
        return (self._url,)

    @property
    def secrets(self) -> Sequence[str]:
        """None: there is no key."""
        return ()

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        `GET /v8/finance/chart/{symbol}` for the whole range.

        Raises:
            InvalidInput: A timeframe, feed or basis that Yahoo cannot be asked for, or more than one symbol.
            SymbolNotOffered: A ticker that is none of a stock.
        """
        if query.timeframe not in _INTERVALS:
            raise InvalidInput(f"Yahoo has no {query.timeframe.label} bars on barfill's anchors; derive them.")
        if len(query.symbols) != 1 or (query.feed, query.basis) != (PROVIDER, SPLIT):
            raise InvalidInput(f"Yahoo is asked for split-adjusted bars of one symbol at a time, not for {query}.")
        start, end = query.range.start, query.range.end
        if query.timeframe is Timeframe.D1:
            first, last = session_dates(query.range)
            start, end = local_midnight(first), local_midnight(last + _DAY)
        bounds = {"period1": _seconds(to_us(start)), "period2": _seconds(to_us(end))}
        return self._request(query.symbols[0], {**bounds, "interval": _INTERVALS[query.timeframe]}, str(query))

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The page in a 200 answer: the rows that lie in the range.

        Raises:
            BadResponse: Its reason is one of `body`, `json`, `schema`, `too_large`, `wrong_symbol`, `wrong_variant`,
                `out_of_range`.
        """
        check_is_json(response)
        contents = decode(
            response.body,
            query,
            _no_typed_path,
            partial(decode_chart, wire_symbol(query.symbols[0]), _INTERVALS[query.timeframe]),
            page_size=_ROWS_MAX,
            latest_us=to_us(response.received_at + FUTURE_MAX),
        )
        stamps = stamped(contents.rows.ts, query.timeframe)
        is_before_the_end = stamps < to_us(query.range.end)
        check_range(stamps[is_before_the_end], query)
        rows = replace(contents.rows, ts=stamps).take(is_before_the_end)
        return Page(
            symbols=contents.tickers,
            rows=rows,
            rejected=contents.rejected,
            next_token=None,
            feed=PROVIDER,
            basis=SPLIT,
            received_at=response.received_at,
            request_id=response.request_id,
            byte_count=len(response.body),
        )

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """The chart of the last day of each: its `meta` tells what it is."""
        asked = [ticker for ticker in tickers if is_ticker(ticker) and not set(ticker) & set("/:^")]
        return [self._request(ticker, {"range": "1d", "interval": "1d"}, f"{ticker} (what it is)") for ticker in asked]

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """None: Yahoo forgets who no longer trades."""
        return ()

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """
        The symbol that a chart is of, if it is a stock or a fund that trades in New York.

        Raises:
            BadResponse: It is no chart (`body`, `json`, `schema`).
        """
        check_is_json(response)
        meta = chart_of(response.body)["meta"]
        asset_type = _ASSET_TYPES.get(str(meta.get("instrumentType")))
        ticker = str(meta.get("symbol")).replace("-", ".")
        if asset_type is None or meta.get("exchangeTimezoneName") != _NEW_YORK or not is_ticker(ticker):
            return ()
        return (OfferedSymbol(ticker, str(meta.get("longName") or ""), asset_type, is_active=True),)

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """None: a chart is of one symbol."""
        return None

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """What an answer that is not 200 means (7.4)."""
        return _REFUSALS.error_of(request, response)

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """`Retry-After`, should Yahoo send it; no rate headers have been seen."""
        return told_wait_s(response)

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """None: no rate headers have been seen."""
        return None

    def _request(self, ticker: str, params: Mapping[str, str], what: str) -> HttpRequest:
        symbol = quote(wire_symbol(ticker), safe="")
        return HttpRequest(f"{self._url}{_PATH}{symbol}", {**params, "includePrePost": "false"}, {}, f"{_PATH}{what}")


def wire_symbol(ticker: str) -> str:
    """
    A stock's ticker as Yahoo writes it: `BRK.B` is `BRK-B` (7.3).

    Raises:
        SymbolNotOffered: It is no ticker, or one of something else.
    """
    if set(checked_ticker(ticker)) & set("/:^"):
        raise SymbolNotOffered(f"barfill asks Yahoo for stocks and funds only, not for '{ticker}'.", symbol=ticker)
    return ticker.replace(".", "-")


def _seconds(instant_us: int) -> str:
    return str(instant_us // 1_000_000)


def _no_typed_path(body: bytes, *, latest_us: int) -> Contents | None:
    """Two seconds pass between answers, which is time enough for the general path."""
    return None


def _not_found(request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    return unknown_symbol(_VENDOR, request.url.rpartition("/")[2].replace("-", "."), response, facts)


def _not_had(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """A range that is too old is refused in the same way as one that is too long (7.4)."""
    if b"must be within the last" in response.body:
        return PlanTooSmall(f"Yahoo no longer has bars that old ({told(response)}).", **facts)
    return refused(_VENDOR, response, facts)


def _no_crumb(_request: HttpRequest, response: HttpResponse, facts: Facts) -> ProviderError:
    """No key was rejected, as there is none: yfinance's crumb has run out, and it takes another one next time."""
    return ProviderUnavailable(f"Yahoo wants another cookie ({told(response)}).", **facts)


_REFUSALS = Refusals(PROVIDER, _VENDOR, {400: _not_had, 401: _no_crumb, 403: _no_crumb, 404: _not_found, 422: _not_had})

"""
Alpaca Market Data: bars of US stocks, many symbols in one request.

- Limits: 200 requests a minute on the free plan, 10,000 on the paid one (providers.md 3.6).
- Pages: 10,000 bars over all symbols, sorted by symbol, then time; the chain ends at a null token only. An absent
  symbol, a short or an empty page mean nothing (3.2).
- Stamps: start of the bar in UTC; a day by New York midnight. `start` and `end` are both inclusive on the wire.
- Late data: minutes are recalculated about 30 s after their end (3.5); the free plan bars the newest 15 minutes of SIP.
- Not offered: hours (whole clock hours, so 09:00 mixes pre-market and session), weeks (derived from days).
- `asof` is left out, so that a symbol means the company that bears it today: META then has the rows of FB, which is
  the one continuous series that SPEC 5.8 wants. With `asof=-`, META would begin with another company's bars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from barfill.core.capabilities import EXTENDED_TRADING, Capabilities, PageCounts
from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.ranges import to_us
from barfill.core.ticker import is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import InvalidInput, ProviderError, SettingsError, excerpt
from barfill.providers.adapter_settings import check_key, check_page_size
from barfill.providers.alpaca_decode import decode_general, decode_typed
from barfill.providers.alpaca_errors import PROVIDER, REFUSALS
from barfill.providers.bar_pages import check_count, decode
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.instants import FUTURE_MAX, local_midnight, rfc_3339
from barfill.providers.rate_headers import told_limit, told_wait_s
from barfill.providers.rows import check_distinct, check_range, check_symbols, check_variant, stamped
from barfill.providers.strict_json import check_is_json, read_json
from barfill.providers.tickers import checked_ticker
from barfill.providers.wire_ranges import inclusive_bounds, session_dates

DATA_URL = "https://data.alpaca.markets"
PAPER_URL = "https://paper-api.alpaca.markets"
LIVE_URL = "https://api.alpaca.markets"
PAGE_SIZE_MAX = 10_000
SYMBOLS_PER_CALL_MAX = 1_000
"""No maximum is documented; lists of up to this many are known to work."""
SYMBOLS_LENGTH_MAX = 7_000
"""Of 8 kB that a request line may usually have; the rest of ours takes less than 500."""
LOOKUPS_MAX = 20
"""Up to so many symbols are looked up one by one; beyond, the whole list costs one call."""

_PAPER_KEY = "PK"
_FREE, _PAID = "free", "paid"
_SIP, _IEX = "sip", "iex"
_CURRENCY = "USD"
_REQUESTS_PER_MINUTE = MappingProxyType({_FREE: 200, _PAID: 10_000})
# 15 minutes are barred, and a clock may be a little off.
_DELAYED, _LIVE_GRACE = timedelta(minutes=16), timedelta(minutes=1)
_HISTORY_STARTS = MappingProxyType({_SIP: datetime(2016, 1, 1, tzinfo=UTC), _IEX: datetime(2020, 7, 1, tzinfo=UTC)})
_WIRE_TIMEFRAMES = MappingProxyType(
    {
        Timeframe.M1: "1Min",
        Timeframe.M5: "5Min",
        Timeframe.M15: "15Min",
        Timeframe.M30: "30Min",
        Timeframe.D1: "1Day",
    }
)
# From 04:00 to 20:00 New York for SIP, where a liquid stock trades in 800 of 960 minutes; IEX is quiet outside of
# regular hours. Estimates for planning, never for judging what is missing.
_BARS_PER_SESSION: Mapping[str, Mapping[Timeframe, float]] = {
    _SIP: {Timeframe.M1: 800, Timeframe.M5: 188, Timeframe.M15: 64, Timeframe.M30: 32, Timeframe.D1: 1},
    _IEX: {Timeframe.M1: 390, Timeframe.M5: 85, Timeframe.M15: 30, Timeframe.M30: 16, Timeframe.D1: 1},
}
_FUND_NAME = re.compile(r"\bET[FNP]s?\b")


class Alpaca:
    """
    The provider `alpaca`.

    Args:
        key, secret: `ALPACA_API_KEY` and `ALPACA_API_SECRET`.
        base_url: Replaces both hosts, for instance by a simulated exchange.
        plan: `free` or `paid`.
        feed: `sip` (delayed on the free plan) or `iex`; None takes `sip`.
        page_size: Bars per page, at most 10,000.
        requests_per_minute: None takes the plan's limit.

    Raises:
        SettingsError: A key is missing or cannot be sent, or a setting has no meaning here.
    """

    name = PROVIDER

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        base_url: str | None = None,
        plan: str = _FREE,
        feed: str | None = None,
        page_size: int = PAGE_SIZE_MAX,
        requests_per_minute: int | None = None,
    ) -> None:
        _check_settings(key, secret, plan, feed, page_size)
        self._headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
        self._data_url = (base_url or DATA_URL).rstrip("/")
        self._bars_url = f"{self._data_url}/v2/stocks/bars"
        self._trading_url = trading_url(key, base_url)
        feed = feed or _SIP
        self.capabilities = Capabilities(
            provider=PROVIDER,
            follows_companies=True,
            day_settles_after=EXTENDED_TRADING,
            timeframes=frozenset(_WIRE_TIMEFRAMES),
            symbols_per_call_max=SYMBOLS_PER_CALL_MAX,
            symbols_length_max=SYMBOLS_LENGTH_MAX,
            page_size=page_size,
            page_counts=PageCounts.BARS,
            delay=_DELAYED if (plan, feed) == (_FREE, _SIP) else _LIVE_GRACE,
            # A simulated exchange may replay bars of any year.
            history_start=None if base_url else _HISTORY_STARTS[feed],
            has_extended_hours=True,
            requests_per_minute=requests_per_minute or _REQUESTS_PER_MINUTE[plan],
            feed=feed,
            bars_per_session=MappingProxyType(dict(_BARS_PER_SESSION[feed])),
        )

    def __repr__(self) -> str:
        return f"Alpaca({self._data_url}, feed={self.capabilities.feed!r})"

    @property
    def base_urls(self) -> Sequence[str]:
        """The data host and the trading host, which knows the symbols."""
        return tuple(dict.fromkeys((self._data_url, self._trading_url)))

    @property
    def secrets(self) -> Sequence[str]:
        """The key and its secret."""
        return tuple(self._headers.values())

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        `GET /v2/stocks/bars`, with everything said that has a default.

        Raises:
            InvalidInput: A timeframe that Alpaca cannot be asked for.
            SymbolNotOffered: A text that is no ticker; it is never sent.
        """
        if query.timeframe not in _WIRE_TIMEFRAMES:
            raise InvalidInput(f"Alpaca has no {query.timeframe.label} bars on barfill's anchors; derive them.")
        start, end = _wire_range(query)
        params = {
            "symbols": ",".join(map(checked_ticker, query.symbols)),
            "timeframe": _WIRE_TIMEFRAMES[query.timeframe],
            "start": rfc_3339(start),
            "end": rfc_3339(end),
            "limit": str(self.capabilities.page_size),
            "adjustment": RAW,
            "feed": query.feed,
            "sort": "asc",
        }
        if token is not None:
            params["page_token"] = token
        shown = f"/v2/stocks/bars {query}" + (" (a later page)" if token is not None else "")
        return HttpRequest(self._bars_url, params, self._headers, shown)

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The page in a 200 answer.

        Raises:
            BadResponse: Its reason is one of `body`, `json`, `schema`, `too_large`, `count`, `wrong_symbol`,
                `wrong_variant`, `out_of_range`.
        """
        check_is_json(response)
        contents = decode(
            response.body,
            query,
            decode_typed,
            decode_general,
            page_size=self.capabilities.page_size,
            latest_us=to_us(response.received_at + FUTURE_MAX),
        )
        check_count(contents.echo.get("count"), contents.received)  # none is declared so far
        check_symbols(contents.tickers, query)
        check_distinct(contents.tickers, contents.rows)
        for key, asked in (("currency", _CURRENCY), ("feed", query.feed), ("adjustment", RAW)):
            check_variant(key, contents.echo.get(key), asked)
        rows = replace(contents.rows, ts=stamped(contents.rows.ts, query.timeframe))
        check_range(rows.ts, query)
        return Page(
            symbols=contents.tickers,
            rows=rows,
            rejected=contents.rejected,
            next_token=contents.next_token,
            feed=query.feed,
            basis=RAW,
            received_at=response.received_at,
            request_id=response.request_id,
            byte_count=len(response.body),
            may_lack_rows=contents.may_lack_rows,
        )

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """
        `GET /v2/assets/{symbol}` for each of a few, `GET /v2/assets` for many; none for texts that are no tickers.
        """
        checked = [ticker for ticker in tickers if is_ticker(ticker)]
        url = f"{self._trading_url}/v2/assets"
        if len(checked) > LOOKUPS_MAX:
            return [
                HttpRequest(url, {"asset_class": "us_equity"}, self._headers, f"/v2/assets ({len(checked)} symbols)")
            ]
        return [HttpRequest(f"{url}/{quote(one, safe='')}", {}, self._headers, f"/v2/assets/{one}") for one in checked]

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """None: the assets hold those that no longer trade, too."""
        return ()

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """
        The US stocks and funds in an asset, or in a list of them.

        Raises:
            BadResponse: It is no asset (`body`, `json`, `schema`).
        """
        check_is_json(response)
        assets = read_json(response.body, _ASSETS, "list of assets")
        listed = assets if isinstance(assets, list) else [assets]
        return [_offered(asset) for asset in listed if asset.asset_class == "us_equity" and is_ticker(asset.symbol)]

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """None: assets come in one answer."""
        return None

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """See `alpaca_errors`."""
        return REFUSALS.error_of(request, response)

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """`Retry-After`, or `X-RateLimit-Reset` in epoch seconds where none remain."""
        return told_wait_s(response)

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """`X-RateLimit-Limit` of the data host; the trading host is counted apart."""
        return told_limit(response) if request.url == self._bars_url else None


def trading_url(key: str, base_url: str | None) -> str:
    """The host that knows symbols and sessions; one for each kind of key."""
    return (base_url or (PAPER_URL if key.startswith(_PAPER_KEY) else LIVE_URL)).rstrip("/")


class _Asset(msgspec.Struct, gc=False):
    symbol: str
    status: str
    asset_class: str = msgspec.field(name="class")
    name: str | None = None


_ASSETS = msgspec.json.Decoder(list[_Asset] | _Asset)


def _offered(asset: _Asset) -> OfferedSymbol:
    """Alpaca does not tell funds from stocks; their names do, mostly."""
    name = asset.name or ""
    return OfferedSymbol(asset.symbol, name, "etf" if _FUND_NAME.search(name) else "stock", asset.status == "active")


def _wire_range(query: BarsQuery) -> tuple[datetime, datetime]:
    """
    The first and the last instant to ask for, both inclusive, in whole seconds.

    A day's bar is stamped by New York midnight, so that of the last session date ends the range, with a second to
    spare; a later end would reach into the barred newest minutes.
    """
    if query.timeframe is Timeframe.D1:
        first, last = session_dates(query.range)
        return local_midnight(first), local_midnight(last) + timedelta(seconds=1)
    return inclusive_bounds(query.range, timedelta(seconds=1))


def _check_settings(key: str, secret: str, plan: str, feed: str | None, page_size: int) -> None:
    check_key("Alpaca", "ALPACA_API_KEY", key)
    check_key("Alpaca", "ALPACA_API_SECRET", secret)
    if plan not in _REQUESTS_PER_MINUTE:
        raise SettingsError(f"Alpaca's plan '{excerpt(plan)}' is unknown. Use free or paid.")
    if feed is not None and feed not in _HISTORY_STARTS:
        raise SettingsError(f"Alpaca's feed '{excerpt(feed)}' is unknown. Use sip or iex.")
    check_page_size("Alpaca", page_size, PAGE_SIZE_MAX)

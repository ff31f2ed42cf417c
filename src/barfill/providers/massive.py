"""
Massive (formerly Polygon.io): bars of US stocks, one symbol in a request.

- Limits: 5 requests a minute on the free plan, none that is told on the others (providers.md 4.3; `massive_plans`).
- Pages: 50,000 base bars of one symbol: minutes behind intraday bars, days behind days. `next_url` leads on until it
  is absent; only its path and cursor are followed, on the host that the first page came from (4.1; `next_urls`).
- Stamps: start of the bar in epoch milliseconds; a day by New York midnight. Both bounds are inclusive and are widened
  to whole bars, so rows just outside of the range may come (4.1).
- Late data: minutes change for 15 minutes, and once more at the end of the day (4.1).
- History: a range that straddles the wall of the plan's history comes without its old part, and nothing says so (4.3).
  Near the wall only what lies behind the first row counts as looked at.
- Not offered: hours (whole clock hours of New York, so 09:00 mixes pre-market and session) and weeks (from Sunday).
- A ticker is a string to Massive, not a company: META before 2022-01-31 is a fund that bore the name (4.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from urllib.parse import quote

from barfill.core.capabilities import EXTENDED_TRADING, Capabilities, PageCounts
from barfill.core.page import RAW, BarsQuery, Page
from barfill.core.ranges import Range, from_us, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse, ProviderError, excerpt
from barfill.providers.adapter_settings import check_key, check_page_size, check_plan
from barfill.providers.bar_pages import Contents, check_count, decode
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.instants import FUTURE_MAX, local_midnight
from barfill.providers.massive_days import PARAMS, day_of, read_day
from barfill.providers.massive_days import PATH as DAYS_PATH
from barfill.providers.massive_decode import decode_general, decode_typed
from barfill.providers.massive_errors import PROVIDER, REFUSALS
from barfill.providers.massive_plans import FIRST_DAY, PLANS, surely_looked_from
from barfill.providers.massive_symbols import PATH as TICKERS_PATH
from barfill.providers.massive_symbols import lookups, read_symbols
from barfill.providers.next_urls import behind, path_and_params
from barfill.providers.rate_headers import told_wait_s
from barfill.providers.rows import check_range, check_symbols, check_variant, stamped
from barfill.providers.strict_json import check_is_json
from barfill.providers.tickers import only_ticker
from barfill.providers.wire_ranges import inclusive_bounds, session_dates

URL = "https://api.massive.com"
FORMER_URL = "https://api.polygon.io"
PAGE_SIZE_MAX = 50_000

_FREE = "free"
_FEED = "sip"
"""All US exchanges and the trades reported to the tape: what Alpaca calls by this name."""
_SUCCESS = ("OK", "DELAYED")
_MILLISECOND = timedelta(milliseconds=1)
_WIRE_TIMEFRAMES = MappingProxyType(
    {
        Timeframe.M1: "1/minute",
        Timeframe.M5: "5/minute",
        Timeframe.M15: "15/minute",
        Timeframe.M30: "30/minute",
        Timeframe.D1: "1/day",
    }
)
_MADE_OF_THEMSELVES = (Timeframe.M1, Timeframe.D1)
"""Behind their bars stands one base bar each."""
# From 04:00 to 20:00 New York a liquid stock trades in 800 of 960 minutes: an estimate for planning.
_TAKEN_PER_SESSION = MappingProxyType({one: 800.0 if one.is_intraday else 1.0 for one in _WIRE_TIMEFRAMES})


class Massive:
    """
    The provider `massive`.

    Args:
        key: `MASSIVE_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange.
        plan: `free`, `starter`, `developer`, `advanced`, or `paid` for any but the first.
        page_size: Base bars per page, at most 50,000.
        requests_per_minute: None takes the plan's limit.

    Raises:
        SettingsError: The key is missing or cannot be sent, or a setting has no meaning here.
    """

    name = PROVIDER

    def __init__(
        self,
        key: str,
        *,
        base_url: str | None = None,
        plan: str = _FREE,
        page_size: int = PAGE_SIZE_MAX,
        requests_per_minute: int | None = None,
    ) -> None:
        check_key("Massive", "MASSIVE_API_KEY", key)
        check_plan("Massive", plan, PLANS)
        check_page_size("Massive", page_size, PAGE_SIZE_MAX)
        self._key = key
        self._headers = {"Authorization": f"Bearer {key}"}
        self._url = (base_url or URL).rstrip("/")
        self._plan = PLANS[plan]
        self.capabilities = Capabilities(
            provider=PROVIDER,
            day_settles_after=EXTENDED_TRADING,
            timeframes=frozenset(_WIRE_TIMEFRAMES),
            symbols_per_call_max=1,
            symbols_length_max=100,
            page_size=page_size,
            page_counts=PageCounts.BASE_MINUTES,
            delay=self._plan.delay,
            # A simulated exchange may replay bars of any year, as far as its plan goes back.
            history_start=None if base_url else FIRST_DAY,
            has_extended_hours=True,
            requests_per_minute=requests_per_minute or self._plan.requests_per_minute,
            feed=_FEED,
            bars_per_session=_TAKEN_PER_SESSION,
            history_length=self._plan.history_length,
            follows_companies=False,
            has_market_days=True,
        )

    def __repr__(self) -> str:
        return f"Massive({self._url})"

    @property
    def base_urls(self) -> Sequence[str]:
        """The one host; pages that follow are asked for there, whatever host their URL names."""
        return (self._url,)

    @property
    def secrets(self) -> Sequence[str]:
        """The key."""
        return (self._key,)

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        `GET /v2/aggs/ticker/{ticker}/range/{multiplier}/{timespan}/{from}/{to}`, with everything said.

        Raises:
            InvalidInput: A symbol, timeframe or feed that Massive cannot be asked for, or more than one symbol.
        """
        if _is_by_days(query):
            url = f"{self._url}{DAYS_PATH}/{day_of(query, token)}"
            return HttpRequest(url, PARAMS, self._headers, f"{DAYS_PATH} {query}" + (f" from {token}" if token else ""))
        path = _path(query, quoted=True)
        shown = f"/v2/aggs {query}" + (" (a later page)" if token is not None else "")
        if token is not None:
            bounds, params = path_and_params(token)
            return HttpRequest(f"{self._url}{path}{quote(bounds)}", params, self._headers, shown)
        start, end = _wire_range(query)
        params = {"adjusted": "false", "sort": "asc", "limit": str(self.capabilities.page_size)}
        return HttpRequest(f"{self._url}{path}{_ms(start)}/{_ms(end)}", params, self._headers, shown)

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The page in a 200 answer.

        Raises:
            BadResponse: Its reason is one of `body`, `json`, `schema`, `too_large`, `count`, `wrong_symbol`,
                `wrong_variant`, `out_of_range`, `foreign_next_url`.
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
        _check_echo(contents, query)
        rows = replace(contents.rows, ts=stamped(contents.rows.ts, query.timeframe))
        check_range(rows.ts, query)
        told = contents.echo.get("queryCount")
        base_bars = max(told, contents.received) if isinstance(told, int) else contents.received
        is_lossy = query.timeframe in _MADE_OF_THEMSELVES and base_bars > contents.received
        page = Page(
            symbols=contents.tickers,
            rows=rows,
            rejected=contents.rejected,
            next_token=self._token(contents.next_token, query),
            feed=query.feed,
            basis=RAW,
            received_at=response.received_at,
            request_id=str(contents.echo.get("request_id", "")) or response.request_id,
            byte_count=len(response.body),
            may_lack_rows=contents.may_lack_rows or is_lossy,
            counted=self._counted(base_bars, query.timeframe),
        )
        return replace(page, looked_from=self._looked_from(page, query.range))

    def parse_page(self, query: BarsQuery, token: str | None, response: HttpResponse) -> Page:
        """
        The page in the answer to the request for *token*: of several symbols, a day of the whole market.

        Raises:
            BadResponse: As `parse_bars`, and `read_day`.
        """
        if _is_by_days(query):
            return read_day(query, token, response, page_size=self.capabilities.page_size)
        return self.parse_bars(query, response)

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """
        `GET /v3/reference/tickers` for those that trade: see `massive_symbols` for which calls.

        Raises:
            InvalidInput: A text that is no ticker.
        """
        return self._symbol_requests(tickers, is_active=True)

    def delisted_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """The same for those that no longer trade."""
        return self._symbol_requests(tickers, is_active=False)

    def _symbol_requests(self, tickers: Sequence[str], *, is_active: bool) -> Sequence[HttpRequest]:
        return [self._tickers_request(params) for params in lookups(tickers, is_active=is_active)]

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """
        The stocks and funds on a page.

        Raises:
            BadResponse: It is no list of tickers (`body`, `json`, `schema`).
        """
        check_is_json(response)
        return read_symbols(response.body)[0]

    def more_symbols_request(self, response: HttpResponse) -> HttpRequest | None:
        """
        The page that `next_url` leads on to.

        Raises:
            BadResponse: It leads elsewhere (`foreign_next_url`).
        """
        _, next_url = read_symbols(response.body)
        if not next_url:
            return None
        return self._tickers_request(path_and_params(behind(next_url, TICKERS_PATH, self._known_urls()))[1])

    def error_of(self, request: HttpRequest, response: HttpResponse) -> ProviderError:
        """See `massive_errors`."""
        return REFUSALS.error_of(request, response)

    def told_wait_s(self, response: HttpResponse) -> float | None:
        """`Retry-After`, should Massive begin to send it; no rate headers are documented."""
        return told_wait_s(response)

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """None: no rate headers are documented."""
        return None

    def _tickers_request(self, params: Mapping[str, str]) -> HttpRequest:
        bounds = (params[key] for key in ("ticker", "ticker.gte", "ticker.lte") if key in params)
        shown = f"{TICKERS_PATH} {' to '.join(bounds) or '(a later page)'}"
        return HttpRequest(f"{self._url}{TICKERS_PATH}", params, self._headers, shown)

    def _token(self, next_url: str | None, query: BarsQuery) -> str | None:
        """Bounds and cursor of the next page: what of its URL lies behind the path that was asked for."""
        return None if next_url is None else behind(next_url, _path(query, quoted=False), self._known_urls())

    def _counted(self, base_bars: int, timeframe: Timeframe) -> int:
        """What a page takes of its size: all of it where the next bar no longer fits, which is then left out."""
        each = timeframe.length // timedelta(minutes=1) if timeframe.is_intraday else 1
        size = self.capabilities.page_size
        return base_bars if base_bars + each <= size else max(base_bars, size)

    def _known_urls(self) -> Sequence[str]:
        return (self._url, URL, FORMER_URL)

    def _looked_from(self, page: Page, wanted: Range) -> datetime | None:
        """From the wall of the plan's history on, or from the first row on where that is before it."""
        sure = surely_looked_from(self._plan, page.received_at)
        if wanted.start >= sure:
            return None
        stamps = [*page.rows.ts.tolist(), *(row.ts for row in page.rejected if row.ts is not None)]
        return min(sure, from_us(min(stamps))) if stamps else sure


def _is_by_days(query: BarsQuery) -> bool:
    """Whether days of the whole market are asked for, instead of one symbol's."""
    return len(query.symbols) > 1 and query.timeframe is Timeframe.D1 and query.feed == _FEED


def _path(query: BarsQuery, *, quoted: bool) -> str:
    ticker = only_ticker("Massive", query, _WIRE_TIMEFRAMES, _FEED)
    ticker = quote(ticker, safe="") if quoted else ticker
    return f"/v2/aggs/ticker/{ticker}/range/{_WIRE_TIMEFRAMES[query.timeframe]}/"


def _wire_range(query: BarsQuery) -> tuple[datetime, datetime]:
    """
    The first and the last instant to ask for, both inclusive: Massive widens them to whole bars.

    A day is asked for by its midnight alone; a later end would touch the day after.
    """
    if query.timeframe is Timeframe.D1:
        first, last = session_dates(query.range)
        return local_midnight(first), local_midnight(last)
    return inclusive_bounds(query.range, _MILLISECOND)


def _ms(instant: datetime) -> int:
    return to_us(instant) // 1000


def _check_echo(contents: Contents, query: BarsQuery) -> None:
    """
    Refuses an answer that is none to *query* by what it says of itself.

    Raises:
        BadResponse: No success (`body`), another symbol (`wrong_symbol`), adjusted prices (`wrong_variant`) or other
            counts than rows (`count`).
    """
    echo = contents.echo
    if echo["status"] not in _SUCCESS:
        raise BadResponse(f"The answer calls itself '{excerpt(str(echo['status']))}' instead of OK.", reason="body")
    check_symbols([str(echo["ticker"])], query)
    check_variant("basis", "adjusted" if echo["adjusted"] else RAW, RAW)
    for key in ("resultsCount", "count"):
        check_count(echo.get(key), contents.received)

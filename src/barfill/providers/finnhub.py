"""
Finnhub: bars of US stocks, one symbol in a request, a range in one answer. On the free plan it has no bars.

- Limits: 60 requests a minute; more where the plan has more, which is for `requests_per_minute` (providers.md 6.4).
- Pages: none. A call covers a month of intraday bars, and about 5,000 rows at most, so that a slice is as long as the
  busiest symbol allows: from 04:00 to 20:00 New York every minute (6.2).
- Stamps: start of the bar in epoch seconds; a day by 00:00 UTC, or by the market's open before July 2021 and sometimes
  in the last row, so that one date may come twice (rule Q11). Whether the end of a range is included is not known, and
  a row before its start may come: what lies outside is dropped (W01).
- Late data: nothing is told; 16 minutes as on the same tape at others.
- Basis: intraday prices are raw, days are adjusted for splits and cannot be had otherwise (6.2).
- Not offered: hours (60-minute bars begin at 09:30 and then at 10:00, 11:00), and weeks (adjusted).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from barfill.core.capabilities import EXTENDED_TRADING, Capabilities, PageCounts
from barfill.core.page import BarsQuery
from barfill.core.ranges import to_us
from barfill.core.ticker import is_ticker
from barfill.core.timeframe import Timeframe
from barfill.errors import PlanTooSmall
from barfill.providers.adapter_settings import check_key, check_plan
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.finnhub_decode import decode_candles
from barfill.providers.finnhub_errors import PROVIDER, REFUSALS, VENDOR
from barfill.providers.finnhub_symbols import PARAMS as SYMBOLS_PARAMS
from barfill.providers.finnhub_symbols import PATH as SYMBOLS_PATH
from barfill.providers.finnhub_symbols import read_symbols
from barfill.providers.rate_headers import told_limit
from barfill.providers.strict_json import check_is_json
from barfill.providers.tickers import only_ticker
from barfill.providers.whole_answers import WholeAnswers
from barfill.providers.wire_ranges import inclusive_bounds

URL = "https://finnhub.io"
ROWS_MAX = 5_000

_FREE = "free"
PLANS = (_FREE, "paid")
_FEED = "sip"
"""Its daily volumes are those of the consolidated tape."""
_NO_BARS = "Finnhub's free plan has no bars. Set FINNHUB_PLAN to paid where you have another."
VERSION = "/api/v1"
_REQUESTS_PER_SECOND = 30
"""Over all plans."""
_REQUESTS_PER_MINUTE = 60
_LATE_TRADES = timedelta(minutes=16)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_WIRE_RESOLUTIONS = MappingProxyType(
    {Timeframe.M1: "1", Timeframe.M5: "5", Timeframe.M15: "15", Timeframe.M30: "30", Timeframe.D1: "D"}
)
_MINUTES_FROM_4_TO_20 = 960.0
_BARS_PER_SESSION = MappingProxyType(
    {
        one: _MINUTES_FROM_4_TO_20 * timedelta(minutes=1) / one.length if one.is_intraday else 1.0
        for one in _WIRE_RESOLUTIONS
    }
)
# Five sessions of minutes are 4,800 rows at most, 19 years have 4,800 sessions. "A month" of the coarser ones is taken
# for 30 days, as nobody says how long it is. The week in which the clocks go back has an hour more.
_RANGE_MAX = MappingProxyType(
    dict.fromkeys(_WIRE_RESOLUTIONS, timedelta(days=30))
    | {Timeframe.M1: timedelta(days=7, hours=1), Timeframe.D1: timedelta(days=19 * 365)}
)


class Finnhub(WholeAnswers):
    """
    The provider `finnhub`.

    Args:
        key: `FINNHUB_API_KEY`.
        base_url: Replaces the vendor's host, for instance by a simulated exchange; with or without `/api/v1`.
        plan: `free`, which has no bars, or `paid`.
        requests_per_minute: None takes the 60 that every plan has.

    Raises:
        SettingsError: The key is missing or cannot be sent, or the plan is unknown.
    """

    name = PROVIDER
    refusals = REFUSALS

    def __init__(
        self, key: str, *, base_url: str | None = None, plan: str = _FREE, requests_per_minute: int | None = None
    ) -> None:
        check_key(VENDOR, "FINNHUB_API_KEY", key)
        check_plan(VENDOR, plan, PLANS)
        bars_per_session = {} if plan == _FREE else _BARS_PER_SESSION
        capabilities = Capabilities(
            provider=PROVIDER,
            follows_companies=True,
            day_settles_after=EXTENDED_TRADING,
            timeframes=frozenset(bars_per_session),
            symbols_per_call_max=1,
            symbols_length_max=100,
            page_size=ROWS_MAX,
            page_counts=PageCounts.BARS,
            delay=_LATE_TRADES,
            history_start=None,
            has_extended_hours=True,
            requests_per_minute=requests_per_minute or _REQUESTS_PER_MINUTE,
            requests_per_second=_REQUESTS_PER_SECOND,
            feed=_FEED,
            bars_per_session=bars_per_session,
            range_per_call_max=_RANGE_MAX,
            adjusted={Timeframe.D1: "split"},
        )
        url = (base_url or URL).rstrip("/").removesuffix(VERSION)
        super().__init__(url, key, {"X-Finnhub-Token": key}, capabilities, decode_candles)

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        `GET /api/v1/stock/candle`, up to the excluded end, as nobody tells whether that is included.

        Raises:
            InvalidInput: A timeframe or feed that Finnhub cannot be asked for, or more than one symbol.
            PlanTooSmall: The free plan is set: nothing is sent.
            SymbolNotOffered: A text that is no ticker.
        """
        if not self.capabilities.timeframes:
            raise PlanTooSmall(_NO_BARS, provider=PROVIDER)
        symbol = only_ticker(VENDOR, query, self.capabilities.timeframes, _FEED)
        unit = _SECOND if query.timeframe.is_intraday else _DAY
        start, last = inclusive_bounds(query.range, unit)
        bounds = {"from": _epoch_s(start), "to": _epoch_s(last + unit)}
        params = {"symbol": symbol, "resolution": _WIRE_RESOLUTIONS[query.timeframe], **bounds}
        return self._request("/api/v1/stock/candle", params, str(query))

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """`GET /api/v1/stock/symbol`, one list for all; see `finnhub_symbols`."""
        is_any = any(map(is_ticker, tickers))
        return [self._request(SYMBOLS_PATH, SYMBOLS_PARAMS, "(all US symbols)")] if is_any else ()

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """
        All US symbols.

        Raises:
            BadResponse: It is no list of symbols (`body`, `json`, `schema`).
        """
        check_is_json(response)
        return read_symbols(response.body)

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """`X-Ratelimit-Limit`, which some have seen and nobody has recorded; taken where it is credible."""
        return told_limit(response)


def _epoch_s(instant: datetime) -> str:
    return str(to_us(instant) // 1_000_000)

"""
Tradier: bars of US stocks, one symbol in a request, a whole range in one answer.

- Limits: 120 requests a minute for the token of a brokerage account, 60 in the sandbox, whose data are delayed by 15
  minutes; in windows that begin with their first request (providers.md 5.5).
- Pages: none. `history` holds all of a symbol's days, `timesales` at most 20 days of minutes and 40 of the others.
- Stamps: intraday bars by their start in epoch seconds, days by their date in New York. Ranges of days include their
  end; whether those of intraday bars do is not known, so that one bar more may come and is dropped (5.1, W01).
- Late data: nothing is told; 16 minutes as on the same tape at others.
- Basis: intraday prices are raw, days are adjusted for splits and cannot be had otherwise (5.2).
- Sessions: regular hours alone (`session_filter=open`), whose history goes back twice as far.
- Not offered: half hours and hours, which it does not have, and weeks (adjusted, and stamped in a way nobody tells).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from barfill.core.capabilities import EXTENDED_TRADING, Capabilities, PageCounts
from barfill.core.page import BarsQuery, Page
from barfill.core.timeframe import Timeframe
from barfill.errors import excerpt
from barfill.providers.adapter_settings import check_key, check_plan
from barfill.providers.base import HttpRequest, HttpResponse, OfferedSymbol
from barfill.providers.instants import NEW_YORK
from barfill.providers.rate_headers import told_limit
from barfill.providers.strict_json import check_is_json
from barfill.providers.tickers import only_ticker
from barfill.providers.tradier_decode import decode_answer
from barfill.providers.tradier_errors import PROVIDER, REFUSALS, VENDOR, refuse_the_quota
from barfill.providers.tradier_symbols import PATH as QUOTES_PATH
from barfill.providers.tradier_symbols import lookups, read_symbols, to_wire
from barfill.providers.whole_answers import WholeAnswers
from barfill.providers.wire_ranges import inclusive_bounds, session_dates

ROWS_MAX = 10_000
"""Answers stay below: 36 years of days, and minutes of all the days that there are."""

_FREE = "free"
_FEED = "sip"
"""The consolidated tape, delayed or not."""
_VERSION = "/v1"
_MINUTE = timedelta(minutes=1)
_LATE_TRADES = timedelta(minutes=16)
_WIRE_INTERVALS = MappingProxyType(
    {Timeframe.M1: "1min", Timeframe.M5: "5min", Timeframe.M15: "15min", Timeframe.D1: "daily"}
)
_BARS_PER_SESSION = MappingProxyType({Timeframe.M1: 390.0, Timeframe.M5: 78.0, Timeframe.M15: 26.0, Timeframe.D1: 1.0})
_COARSE = timedelta(days=40)
# Of half hours and hours, that of the quarters they are made of.
_HISTORY = MappingProxyType(
    {Timeframe.M1: timedelta(days=20)}
    | dict.fromkeys((Timeframe.M5, Timeframe.M15, Timeframe.M30, Timeframe.H1, Timeframe.H4), _COARSE)
)


@dataclass(frozen=True, slots=True)
class _Plan:
    url: str
    requests_per_minute: int
    delay: timedelta


PLANS = MappingProxyType(
    {
        _FREE: _Plan("https://sandbox.tradier.com", 60, timedelta(minutes=15) + _LATE_TRADES),
        "paid": _Plan("https://api.tradier.com", 120, _LATE_TRADES),
    }
)


class Tradier(WholeAnswers):
    """
    The provider `tradier`.

    Args:
        token: `TRADIER_API_TOKEN`.
        base_url: Replaces the plan's host, for instance by a simulated exchange; with or without `/v1`.
        plan: `free`, the sandbox, or `paid`, a brokerage account.
        requests_per_minute: None takes the plan's limit.

    Raises:
        SettingsError: The token is missing or cannot be sent, or the plan is unknown.
    """

    name = PROVIDER
    refusals = REFUSALS

    def __init__(
        self, token: str, *, base_url: str | None = None, plan: str = _FREE, requests_per_minute: int | None = None
    ) -> None:
        check_key(VENDOR, "TRADIER_API_TOKEN", token)
        check_plan(VENDOR, plan, PLANS)
        capabilities = Capabilities(
            provider=PROVIDER,
            follows_companies=True,
            day_settles_after=EXTENDED_TRADING,
            timeframes=frozenset(_WIRE_INTERVALS),
            symbols_per_call_max=1,
            symbols_length_max=100,
            page_size=ROWS_MAX,
            page_counts=PageCounts.BARS,
            delay=PLANS[plan].delay,
            history_start=None,
            has_extended_hours=False,
            requests_per_minute=requests_per_minute or PLANS[plan].requests_per_minute,
            feed=_FEED,
            bars_per_session=_BARS_PER_SESSION,
            history_length_of=_HISTORY,
            range_per_call_max={Timeframe.D1: timedelta(days=36 * 365)},
            adjusted={Timeframe.D1: "split"},
        )
        super().__init__(root_url(base_url, plan), token, request_headers(token), capabilities, decode_answer)

    def bars_request(self, query: BarsQuery, token: str | None) -> HttpRequest:
        """
        `GET /v1/markets/history` for days, `GET /v1/markets/timesales` for anything shorter.

        Raises:
            InvalidInput: A timeframe or feed that Tradier cannot be asked for, or more than one symbol.
            SymbolNotOffered: A text that is no ticker, or none of Tradier's.
        """
        symbol = to_wire(only_ticker(VENDOR, query, _WIRE_INTERVALS, _FEED))
        params = {"symbol": symbol, "interval": _WIRE_INTERVALS[query.timeframe]}
        if query.timeframe.is_intraday:
            start, last = inclusive_bounds(query.range, _MINUTE)
            params |= {"start": _local(start), "end": _local(last + _MINUTE), "session_filter": "open"}
            return self._request("/v1/markets/timesales", params, str(query))
        first, until = session_dates(query.range)
        params |= {"start": first.isoformat(), "end": until.isoformat()}
        return self._request("/v1/markets/history", params, str(query))

    def parse_bars(self, query: BarsQuery, response: HttpResponse) -> Page:
        """
        The whole range, in a 200 answer.

        Raises:
            BadResponse: As of all such answers.
            RateLimited: It is the text of a quota that is used up.
        """
        refuse_the_quota(response)
        return super().parse_bars(query, response)

    def symbol_requests(self, tickers: Sequence[str]) -> Sequence[HttpRequest]:
        """`GET /v1/markets/quotes`, up to 100 symbols in each; see `tradier_symbols`."""
        return [self._request(QUOTES_PATH, {"symbols": symbols}, excerpt(symbols)) for symbols in lookups(tickers)]

    def parse_symbols(self, response: HttpResponse) -> Sequence[OfferedSymbol]:
        """
        The stocks and funds that have a quote.

        Raises:
            BadResponse: There are no quotes in it (`body`, `json`, `schema`).
            RateLimited: It is the text of a quota that is used up.
        """
        refuse_the_quota(response)
        check_is_json(response)
        return read_symbols(response.body)

    def told_limit(self, request: HttpRequest, response: HttpResponse) -> int | None:
        """`X-Ratelimit-Allowed`."""
        return told_limit(response, limit="x-ratelimit-allowed")


def request_headers(token: str) -> Mapping[str, str]:
    """What every request carries. Without the header Accept it answers in XML."""
    return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


def root_url(base_url: str | None, plan: str) -> str:
    """What precedes all paths; each begins with the version or `/beta`."""
    return (base_url or PLANS[plan].url).rstrip("/").removesuffix(_VERSION)


def _local(instant: datetime) -> str:
    """A whole minute as New York's clocks show it. Those that they show twice lie on Sundays, without any bar."""
    return instant.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M")

"""
Binance spot (providers.md 8.1, 8.2): klines as arrays of text in ascending order, weights instead of requests, 429,
then 418.

Where sources are silent, the choice is ours and stands here: a limit above 1000 is 1000; bounds that cross give no
rows; the weight is that of a sliding minute; after 20 refusals within a minute the address is banned (418) for two
minutes. Candles of one second are refused as unknown: the market is made of minutes.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.crypto_venues.dialect import PRICES, CryptoDialect, Row, decimal, decimals_in, in_order
from barfill.simulate.crypto_venues.queries import EVERYTHING_NS, CryptoQuery, crypto_query
from barfill.simulate.crypto_venues.vendor import CryptoVendor, whole
from barfill.simulate.json_text import encode_json
from barfill.simulate.limits import MINUTE_S, Allowance
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.utc_buckets import utc_after_ns, width_ns
from barfill.simulate.market.venues import Traded
from barfill.simulate.queries import BarsQuery, Page, Refusal
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Document, Route

WEIGHT_PER_MINUTE = 6_000
ROWS_DEFAULT, ROWS_MAX = 500, 1_000
_MILLISECOND_NS = 1_000_000
_REFUSALS_UNTIL_BAN, _BAN_S = 20, 120.0
_DECIMALS = 8
_FIELDS = ("t", *PRICES, "v", "T", "q", "n", "taker_v", "taker_q", "ignored")
_IN_TEXT = (*PRICES, "v", "q", "taker_v", "taker_q")
_USED_HEADERS = ("X-MBX-USED-WEIGHT", "X-MBX-USED-WEIGHT-1M")


class BinanceDialect(CryptoDialect):
    """Rows are ``[open time, o, h, l, c, v, close time, quote volume, trades, taker's base, taker's quote, "0"]``."""

    name = "binance"
    unit_ns = _MILLISECOND_NS
    exhausted: Mapping[str, str] = {_USED_HEADERS[1]: str(WEIGHT_PER_MINUTE)}
    limit_headers: tuple[str, ...] = _USED_HEADERS

    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        return (*PRICES, "v", "n", "vw")

    def document(self, query: BarsQuery, page: Page) -> Document:
        document = super().document(query, page)
        width = width_ns(query.timeframe)
        for row in document["rows"]:
            row["q"] = row["v"] * row.pop("vw")
            row |= {"taker_v": row["v"] / 2, "taker_q": row["q"] / 2, "ignored": "0"}
            next_ns = row["t"] * _MILLISECOND_NS + width
            if query.timeframe.unit == "Month":
                next_ns = utc_after_ns(row["t"] * _MILLISECOND_NS, query.timeframe)
            row["T"] = next_ns // _MILLISECOND_NS - 1
        return document

    def wire_row(self, row: Row, document: Document) -> list[Any]:
        return in_order({**row, **decimals_in(row, _IN_TEXT, _DECIMALS)}, _FIELDS)

    def too_many(self, endpoint: str, until_s: float) -> Document:
        return _too_much(WEIGHT_PER_MINUTE)

    def broken(self) -> Document:
        return _error(-1001, "Internal error; unable to process your request. Please try again.")

    def not_found(self, endpoint: str, name: str) -> Document:
        return _error(-1121, "Invalid symbol.")


class Binance(CryptoVendor):
    """The spot API's public part."""

    name = "binance"
    bars_endpoints = frozenset({"klines"})
    routes: tuple[Route, ...] = (
        Route("/api/v3/ping", "ping"),
        Route("/api/v3/time", "time"),
        Route("/api/v3/exchangeInfo", "exchange_info", cost=20),
        Route("/api/v3/klines", "klines", cost=2),
    )
    timeframes: Mapping[str, Timeframe] = {
        "1m": Timeframe(1, "Min"), "3m": Timeframe(3, "Min"), "5m": Timeframe(5, "Min"), "15m": Timeframe(15, "Min"),
        "30m": Timeframe(30, "Min"), "1h": Timeframe(1, "Hour"), "2h": Timeframe(2, "Hour"),
        "4h": Timeframe(4, "Hour"), "6h": Timeframe(6, "Hour"), "8h": Timeframe(8, "Hour"),
        "12h": Timeframe(12, "Hour"), "1d": Timeframe(1, "Day"), "3d": Timeframe(3, "Day"), "1w": Timeframe(1, "Week"),
        "1M": Timeframe(1, "Month"),
    }  # fmt: skip
    pair_name, timeframe_name = "symbol", "interval"

    def __init__(self, market: CryptoMarket, clock: MovableClock, config: ExchangeConfig) -> None:
        super().__init__(market, clock, config, WEIGHT_PER_MINUTE)
        self.dialect = BinanceDialect()
        self._refused_s: deque[float] = deque(maxlen=_REFUSALS_UNTIL_BAN)
        self._banned_until_s = 0.0

    def native(self, traded: Traded) -> str:
        return traded.symbol.replace("/", "")

    def limit_headers(self, allowance: Allowance) -> dict[str, str]:
        return dict.fromkeys(_USED_HEADERS, str(allowance.limit - allowance.remaining))

    def key_refusal(self, asked: Asked) -> Reply | None:
        """A banned address gets nowhere, whatever its weight."""
        return self._banned() if time.time() < self._banned_until_s else None

    def over_limit(self, asked: Asked, allowance: Allowance) -> Reply:
        """429 that says how long to wait; who goes on asking is banned."""
        now_s = time.time()
        if now_s < self._banned_until_s:
            return self._banned()
        self._refused_s.append(now_s)
        if len(self._refused_s) == _REFUSALS_UNTIL_BAN and self._refused_s[0] > now_s - MINUTE_S:
            self._banned_until_s = now_s + _BAN_S
            return self._banned()
        wait_s = max(1, math.ceil(allowance.resets_at_s - now_s))
        return Reply(429, encode_json(_too_much(allowance.limit)), headers={"Retry-After": str(wait_s)})

    def _banned(self) -> Reply:
        text = (
            f"Way too much request weight used; IP banned until {round(self._banned_until_s * 1000)}. "
            "Please use the websocket for live updates to avoid bans."
        )
        wait_s = max(1, round(self._banned_until_s - time.time()))
        return Reply(418, encode_json(_error(-1003, text)), headers={"Retry-After": str(wait_s)})

    def unknown_path(self) -> Reply:
        return Reply(404, b"<html><body><h2>404 Not found</h2></body></html>", "text/html")

    def query(self, asked: Asked) -> CryptoQuery:
        params = asked.params
        for name in ("symbol", "interval"):
            if not params.get(name):
                raise _bad(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        traded, timeframe = self.pair(params["symbol"]), self.timeframes.get(params["interval"])
        if traded is None:
            raise _bad(-1121, "Invalid symbol.")
        if timeframe is None:
            raise _bad(-1120, "Invalid interval.")
        start, end, limit = (_number(asked, name) for name in ("startTime", "endTime", "limit"))
        return crypto_query(
            self.name,
            traded.symbol,
            timeframe,
            self._clock.now_ns(),
            limit=min(ROWS_DEFAULT if limit is None else limit, ROWS_MAX),
            start_ns=0 if start is None else start * _MILLISECOND_NS,
            end_ns=EVERYTHING_NS if end is None else min(end * _MILLISECOND_NS, EVERYTHING_NS),
            takes_newest=start is None,
        )

    def lookup(self, asked: Asked) -> Any:
        if asked.endpoint == "ping":
            return {}
        if asked.endpoint == "time":
            return {"serverTime": self._now_ms}
        wanted = asked.params.get("symbol")
        if wanted and wanted not in self._pairs:
            raise _bad(-1121, "Invalid symbol.")
        return {
            "timezone": "UTC",
            "serverTime": self._now_ms,
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1,
                 "limit": self.requests_per_minute},
            ],
            "exchangeFilters": [],
            "symbols": [_symbol(name, one) for name, one in self._pairs.items() if wanted in {None, "", name}],
        }  # fmt: skip


def _symbol(name: str, traded: Traded) -> dict[str, Any]:
    tick = decimal(10.0**-traded.decimals, _DECIMALS)
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": traded.coin.name,
        "baseAssetPrecision": 8,
        "quoteAsset": traded.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
            {"filterType": "MIN_NOTIONAL", "minNotional": "10.00000000", "applyToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": ["SPOT"],
    }


def _number(asked: Asked, name: str) -> int | None:
    text = asked.params.get(name)
    if not text:
        return None
    number = whole(text)
    if number is None:
        raise _bad(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return number


def _too_much(limit: int) -> Document:
    return _error(-1003, f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE.")


def _bad(code: int, text: str) -> Refusal:
    return Refusal(400, _error(code, text))


def _error(code: int, text: str) -> Document:
    return {"code": code, "msg": text}

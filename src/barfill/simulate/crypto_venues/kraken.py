"""
Kraken (providers.md 8.1, 8.2): always the newest 720 intervals and the one under way, and errors inside a reply of
200.

Where sources are silent, the choice is ours and stands here: *since* (exclusive) only leaves rows out; weeks and the
15 days of ``2w`` are counted from 1970, so that a week begins on Thursday; intervals of maintenance have rows of
volume 0; at most 60 requests in a minute and two in a second.
"""

from collections.abc import Mapping
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.crypto_venues.dialect import PRICES, CryptoDialect, Row, decimals_in, in_order
from barfill.simulate.crypto_venues.queries import CryptoQuery, crypto_query
from barfill.simulate.crypto_venues.vendor import CryptoVendor, whole
from barfill.simulate.json_text import encode_json
from barfill.simulate.limits import Allowance
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import SECOND_NS, from_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.venues import COINS, Traded
from barfill.simulate.queries import BarsQuery, Page, Refusal
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Document, Route

REQUESTS_PER_MINUTE, REQUESTS_PER_SECOND = 60, 2
#: 720 that are over and the one under way.
ROWS = 721
_FIELDS = ("t", *PRICES, "vw", "v", "n")
_OWN_NAMES = {"BTC": "XBT"}
#: Old assets have a letter before their name, X for coins and Z for money.
_LETTERS = {"BTC": "X", "ETH": "X", "USD": "Z"}


class KrakenDialect(CryptoDialect):
    """Rows are ``[time, "o", "h", "l", "c", "vwap", "v", count]`` under the pair's name, beside ``last``."""

    name = "kraken"
    empty_body = b'{"error":[],"result":{}}'

    def __init__(self, keys: dict[str, str], decimals: dict[str, int]) -> None:
        self._keys = keys
        self._decimals = decimals

    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        return (*PRICES, "vw", "v", "n")

    def document(self, query: BarsQuery, page: Page) -> Document:
        assert isinstance(query, CryptoQuery)
        document = super().document(query, page)
        closed = [row["t"] for row in document["rows"] if row["t"] * SECOND_NS < query.open_ns]
        return {
            **document,
            "key": self._keys[document["symbol"]],
            "decimals": self._decimals[document["symbol"]],
            # What to ask with next: the start of the last interval that is over.
            "last": closed[-1] if closed else 0,
        }

    def wire(self, document: Document) -> Any:
        return {"error": [], "result": {document["key"]: super().wire(document), "last": document["last"]}}

    def wire_row(self, row: Row, document: Document) -> list[Any]:
        texts = {**decimals_in(row, (*PRICES, "vw"), document["decimals"]), **decimals_in(row, ("v",), 8)}
        # Of an interval without a trade the vwap is 0.0.
        idle = {"vw": "0.0"} if "vw" in row and row.get("n") == 0 else {}
        return in_order({**row, **texts, **idle}, _FIELDS)

    def renamed(self, document: Document, symbol: str, other: str) -> Document:
        return {**document, "key": other}

    def too_many(self, endpoint: str, until_s: float) -> Document:
        return _error("EGeneral:Too many requests")

    def broken(self) -> Document:
        return _error("EService:Unavailable")

    def not_found(self, endpoint: str, name: str) -> Document:
        return _error("EQuery:Unknown asset pair")


class Kraken(CryptoVendor):
    """The public part of the spot API. A pair answers to three names, ``XXBTZUSD``, ``XBTUSD`` and ``XBT/USD``."""

    name = "kraken"
    bars_endpoints = frozenset({"ohlc"})
    routes: tuple[Route, ...] = (
        Route("/0/public/Time", "time"),
        Route("/0/public/SystemStatus", "system_status"),
        Route("/0/public/Assets", "assets"),
        Route("/0/public/AssetPairs", "asset_pairs"),
        Route("/0/public/OHLC", "ohlc"),
    )
    timeframes: Mapping[str, Timeframe] = {
        "1": Timeframe(1, "Min"), "5": Timeframe(5, "Min"), "15": Timeframe(15, "Min"), "30": Timeframe(30, "Min"),
        "60": Timeframe(1, "Hour"), "240": Timeframe(4, "Hour"), "1440": Timeframe(1, "Day"),
        "10080": Timeframe(7, "Day"), "21600": Timeframe(15, "Day"),
    }  # fmt: skip
    pair_name, timeframe_name = "pair", "interval"

    def __init__(self, market: CryptoMarket, clock: MovableClock, config: ExchangeConfig) -> None:
        super().__init__(market, clock, config, REQUESTS_PER_MINUTE, REQUESTS_PER_SECOND)
        traded = market.venue(self.name).traded
        self.dialect = KrakenDialect(
            {one.symbol: self.native(one) for one in traded}, {one.symbol: one.decimals for one in traded}
        )
        self._aliases = {alias: one for one in traded for alias in (_plain(one, ""), _plain(one, "/"))}

    def native(self, traded: Traded) -> str:
        if traded.coin.name in _LETTERS and traded.quote in _LETTERS:
            return _asset(traded.coin.name) + _asset(traded.quote)
        return _plain(traded, "")

    def pair(self, text: str) -> Traded | None:
        return super().pair(text) or self._aliases.get(text)

    def over_limit(self, asked: Asked, allowance: Allowance) -> Reply:
        """An error in a reply of 200, as all of them are."""
        return Reply(200, encode_json(self.dialect.too_many(asked.endpoint, allowance.resets_at_s)))

    def unknown_path(self) -> Reply:
        return Reply(404, encode_json(_error("EGeneral:Unknown method")))

    def query(self, asked: Asked) -> CryptoQuery:
        traded = self.pair(asked.params.get("pair", ""))
        timeframe = self.timeframes.get(asked.params.get("interval") or "1")
        since = whole(asked.params.get("since") or "0")
        if traded is None:
            raise Refusal(200, _error("EQuery:Unknown asset pair"))
        if timeframe is None or since is None:
            raise Refusal(200, _error("EGeneral:Invalid arguments"))
        return crypto_query(
            self.name, traded.symbol, timeframe, self._clock.now_ns(), limit=ROWS, takes_newest=True,
            start_ns=since * SECOND_NS + 1 if since else 0,
        )  # fmt: skip

    def lookup(self, asked: Asked) -> Any:
        now_ns = self._clock.now_ns()
        if asked.endpoint == "time":
            told = from_ns(now_ns).strftime("%a, %d %b %y %H:%M:%S +0000")
            return _result({"unixtime": now_ns // SECOND_NS, "rfc1123": told})
        if asked.endpoint == "system_status":
            return _result({"status": "online", "timestamp": from_ns(now_ns).strftime("%Y-%m-%dT%H:%M:%SZ")})
        if asked.endpoint == "assets":
            names = [*(coin.name for coin in COINS), "USDT", "USD"]
            return _result({_asset(name): _asset_row(name) for name in names})
        wanted = asked.params.get("pair")
        found = self._pairs.values() if not wanted else [self.pair(name) for name in wanted.split(",")]
        if None in found:
            raise Refusal(200, _error("EQuery:Unknown asset pair"))
        return _result({self.native(one): _pair_row(one) for one in found if one is not None})


def _own_name(name: str) -> str:
    return _OWN_NAMES.get(name, name)


def _asset(name: str) -> str:
    return _LETTERS.get(name, "") + _own_name(name)


def _plain(traded: Traded, between: str) -> str:
    return f"{_own_name(traded.coin.name)}{between}{traded.quote}"


def _asset_row(name: str) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": _own_name(name),
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }


def _pair_row(traded: Traded) -> dict[str, Any]:
    return {
        "altname": _plain(traded, ""),
        "wsname": _plain(traded, "/"),
        "aclass_base": "currency",
        "base": _asset(traded.coin.name),
        "aclass_quote": "currency",
        "quote": _asset(traded.quote),
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": traded.decimals,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4], [10000, 0.35]],
        "fees_maker": [[0, 0.25], [10000, 0.2]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": f"{10.0**-traded.decimals:.{traded.decimals}f}",
        "status": "online",
    }


def _result(found: dict[str, Any]) -> Document:
    return {"error": [], "result": found}


def _error(text: str) -> Document:
    return {"error": [text]}

"""
Coinbase Exchange (providers.md 8.1): candles as arrays of numbers, the newest first, none where nothing was traded.

Where sources are silent, the choice is ours and stands here: the wording of refusals; a range of exactly 300 widths
is served (its 300 newest rows), a longer one refused; without both bounds the newest 300 rows; 10 requests a second
on average with bursts of 15.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from barfill.simulate.clock import MovableClock
from barfill.simulate.config import ExchangeConfig
from barfill.simulate.crypto_venues.dialect import PRICES, CryptoDialect, Row, in_order
from barfill.simulate.crypto_venues.queries import CryptoQuery, crypto_query
from barfill.simulate.crypto_venues.vendor import CryptoVendor, message, whole
from barfill.simulate.json_text import encode_json
from barfill.simulate.market.crypto import CryptoMarket
from barfill.simulate.market.sessions import SECOND_NS, from_ns, to_ns
from barfill.simulate.market.timeframes import Timeframe
from barfill.simulate.market.utc_buckets import width_ns
from barfill.simulate.market.venues import COINS, Traded
from barfill.simulate.queries import BarsQuery, Refusal
from barfill.simulate.replies import Reply
from barfill.simulate.vendor import Asked, Document, Route

REQUESTS_PER_MINUTE, REQUESTS_PER_SECOND = 600, 15
ROWS_MAX = 300
_FIELDS = ("t", "l", "h", "o", "c", "v")
_TOO_LONG = "granularity too small for the requested time range. Count of aggregations requested exceeds 300"


class CoinbaseExchangeDialect(CryptoDialect):
    """Rows are ``[time, LOW, HIGH, open, close, volume]``."""

    name = "coinbaseexchange"

    def fields(self, query: BarsQuery) -> tuple[str, ...]:
        return (*PRICES, "v")

    def wire_row(self, row: Row, document: Document) -> list[Any]:
        return in_order(row, _FIELDS)

    def too_many(self, endpoint: str, until_s: float) -> Document:
        return message("Public rate limit exceeded")

    def broken(self) -> Document:
        return message("Internal server error")

    def not_found(self, endpoint: str, name: str) -> Document:
        return message("NotFound")


class CoinbaseExchange(CryptoVendor):
    """The public part of the Exchange API."""

    name = "coinbaseexchange"
    bars_endpoints = frozenset({"candles"})
    routes: tuple[Route, ...] = (
        Route("/time", "time"),
        Route("/currencies", "currencies"),
        Route("/products", "products"),
        Route("/products/{id}", "product"),
        Route("/products/{id}/candles", "candles"),
    )
    timeframes: Mapping[str, Timeframe] = {
        "60": Timeframe(1, "Min"), "300": Timeframe(5, "Min"), "900": Timeframe(15, "Min"),
        "3600": Timeframe(1, "Hour"), "21600": Timeframe(6, "Hour"), "86400": Timeframe(1, "Day"),
    }  # fmt: skip
    pair_name, timeframe_name = "id", "granularity"

    def __init__(self, market: CryptoMarket, clock: MovableClock, config: ExchangeConfig) -> None:
        super().__init__(market, clock, config, REQUESTS_PER_MINUTE, REQUESTS_PER_SECOND)
        self.dialect = CoinbaseExchangeDialect()

    def native(self, traded: Traded) -> str:
        return traded.symbol.replace("/", "-")

    def unknown_path(self) -> Reply:
        return Reply(404, encode_json(message("Route not found")))

    def query(self, asked: Asked) -> CryptoQuery:
        traded = self._known(asked)
        timeframe = self.timeframes.get(asked.params.get("granularity") or "60")
        if timeframe is None:
            raise Refusal(400, message("Unsupported granularity"))
        now_ns, width = self._clock.now_ns(), width_ns(timeframe)
        start, end = asked.params.get("start"), asked.params.get("end")
        if start and end:
            start_ns, end_ns = _instant_ns(start, "start"), _instant_ns(end, "end")
        else:
            # One bound alone is ignored, as documented.
            start_ns, end_ns = now_ns - ROWS_MAX * width + 1, now_ns
        if end_ns < start_ns:
            raise Refusal(400, message("start must be before end"))
        if end_ns - start_ns > ROWS_MAX * width:
            raise Refusal(400, message(_TOO_LONG))
        return crypto_query(
            self.name,
            traded.symbol,
            timeframe,
            now_ns,
            limit=ROWS_MAX,
            start_ns=start_ns,
            end_ns=end_ns,
            is_descending=True,
        )

    def lookup(self, asked: Asked) -> Any:
        if asked.endpoint == "time":
            now_ns = self._clock.now_ns()
            iso = from_ns(now_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            return {"iso": iso, "epoch": now_ns // 1_000_000 / 1000}
        if asked.endpoint == "currencies":
            return [_currency(coin.name, coin.title, "crypto") for coin in COINS] + [
                _currency("USD", "US Dollar", "fiat"),
                _currency("USDT", "Tether", "crypto"),
            ]
        if asked.endpoint == "product":
            return _product(asked.names["id"], self._known(asked))
        return [_product(name, one) for name, one in self._pairs.items()]

    def _known(self, asked: Asked) -> Traded:
        traded = self.pair(asked.names["id"])
        if traded is None:
            raise Refusal(404, message("NotFound"))
        return traded


def _instant_ns(text: str, name: str) -> int:
    """ISO 8601 (UTC where no zone is written) or seconds since 1970."""
    seconds = whole(text)
    try:
        if seconds is not None:
            return to_ns(datetime.fromtimestamp(seconds, UTC))
        instant = datetime.fromisoformat(text)
        return to_ns(instant if instant.tzinfo else instant.replace(tzinfo=UTC)) // SECOND_NS * SECOND_NS
    except (ValueError, OverflowError, OSError):
        raise Refusal(400, message(f"Invalid {name}")) from None


def _product(name: str, traded: Traded) -> dict[str, Any]:
    return {
        "id": name,
        "base_currency": traded.coin.name,
        "quote_currency": traded.quote,
        "quote_increment": f"{10.0**-traded.decimals:.{traded.decimals}f}",
        "base_increment": "0.00000001",
        "display_name": name,
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": "online",
        "status_message": "",
        "trading_disabled": False,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def _currency(name: str, title: str, kind: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": title,
        "min_size": "0.00000001" if kind == "crypto" else "0.01",
        "status": "online",
        "message": "",
        "max_precision": "0.00000001" if kind == "crypto" else "0.01",
        "convertible_to": [],
        "details": {"type": kind, "symbol": None, "sort_order": 0, "push_payment_methods": [], "group_types": []},
        "default_network": "",
        "supported_networks": [],
        "display_name": title,
    }

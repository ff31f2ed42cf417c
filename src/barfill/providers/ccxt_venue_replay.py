"""
ccxt without its network: what it would ask is captured, and what was answered is replayed to it.

ccxt's calls send requests in the middle of themselves. Here a call runs until it asks for something that there is no
answer to, which ends it with `Unanswered`; once the answer has come, the call runs again from its beginning. A call
asks for the same things in the same order as long as it is told the same, so answers need no names.

barfill's own client sends; ccxt knows paths, symbols, units and errors. Measured with ccxt 4.5.90: the first request
of every one of its 84 venues with candles that asks by GET and without a key is captured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import ccxt

from barfill.errors import BadResponse, SettingsError, excerpt
from barfill.providers.base import HttpResponse

T = TypeVar("T")

GARBAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What ccxt raises when it is told something that has not the shape it expects."""


class Unanswered(BaseException):
    """
    ccxt asks for something that there is no answer to.

    No `Exception`: ccxt catches those in places, and takes them for a refusal.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(url)
        self.url = url
        self.headers = headers


class Replay:
    """
    One venue's ccxt object, cut off from the network. For one thread at a time.

    Args:
        venue: Its id in ccxt.
        options: For ccxt.
        not_asked: What has this in its URL is not asked for; there is nothing of it.

    Raises:
        SettingsError: ccxt has no such venue, or none whose candles can be had without a key.
    """

    def __init__(self, venue: str, *, options: Mapping[str, object], not_asked: str | None) -> None:
        if venue not in ccxt.exchanges:
            raise SettingsError(
                f"There is no crypto venue '{excerpt(venue)}'. Use an exchange id of ccxt, such as binance, coinbase, "
                "coinbaseexchange or kraken."
            )
        self.exchange: Any = getattr(ccxt, venue)({"enableRateLimit": False, "options": dict(options)})
        if self.exchange.has.get("fetchOHLCV") is not True:
            raise SettingsError(f"The crypto venue '{venue}' has no candles. Use another one, such as binance.")
        # Currencies are asked for apart, at many venues with a key only, and tell nothing of bars.
        self.exchange.has["fetchCurrencies"] = False
        # Rows outside of what was asked for are judged, not dropped in silence.
        self.exchange.filter_by_since_limit = _as_they_are
        self.exchange.fetch = self._fetch
        self._not_asked = not_asked
        self._answers: list[HttpResponse] = []
        self._is_closed = True

    def run(self, call: Callable[[], T], answers: Sequence[HttpResponse]) -> T:
        """
        What *call* of ccxt gives when its requests are answered by *answers*, in their order.

        Raises:
            Unanswered: It asks for more than that.
            ccxt.BaseError: An answer is a refusal, or the call is not possible.
            SettingsError: It asks by something else than GET.
            BadResponse: An answer has not the shape that ccxt expects (`schema`).
        """
        self._answers = list(answers)
        self._is_closed = False
        try:
            return call()
        except GARBAGE as error:
            raise BadResponse(
                f"ccxt cannot read the answer of {self.exchange.id} ({type(error).__name__}: {excerpt(str(error))}).",
                reason="schema",
            ) from error
        finally:
            self._is_closed = True

    def check(self, url: str, response: HttpResponse) -> object:
        """
        The document in an answer to *url*, as ccxt reads it; text where it is no JSON.

        Raises:
            ccxt.BaseError: The answer is a refusal by its status or its body.
        """
        exchange, status = self.exchange, response.status
        text, words = response.body.decode(errors="replace"), _phrase(status)
        headers = dict(response.headers)
        body = exchange.on_rest_response(status, words, url, "GET", headers, text, {}, None)
        document = exchange.parse_json(body)
        exchange.handle_errors(status, words, url, "GET", headers, body, document, {}, None)
        if status >= HTTPStatus.BAD_REQUEST:
            exchange.handle_http_status_code(status, words, url, "GET", body)
        return body if document is None else document

    def _fetch(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: object = None
    ) -> object:
        """Takes the place of the one method of ccxt that goes to the network."""
        if method != "GET" or body or self._is_closed:
            raise SettingsError(
                f"The crypto venue '{self.exchange.id}' is asked by {method}, which barfill does not send. Use another "
                "one, such as binance."
            )
        if self._not_asked is not None and self._not_asked in url:
            return {}
        if not self._answers:
            raise Unanswered(url, headers or {})
        return self.check(url, self._answers.pop(0))


def _as_they_are(rows: list[object], *_: object, **__: object) -> list[object]:
    return rows


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""

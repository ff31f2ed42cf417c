"""
Yahoo's answers by way of yfinance's session: its cookies, its crumb and its imitation of a browser.

Yahoo answers plain HTTP clients of Python with 429 at once (providers.md 7.4), so this is the one provider whose
requests `providers.http` does not send. Only the bottom of yfinance is used, one attempt at one URL; what it does above
that hides errors, keeps answers of past ranges for the life of the process, and asks for each symbol's time zone apart
(7.5).

Not within barfill's usual bounds: a refused attempt is repeated once by yfinance with another cookie, cookies and the
crumb cost requests of their own, and Yahoo's redirects are followed. There is no key that they could lead away.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from barfill.errors import BadResponse, ProviderError, ProviderTimeout, ProviderUnavailable, SettingsError
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.http import BODY_BYTES_MAX

TIMEOUT_S = 30
TOTAL_S = 120.0

_TOO_MANY_REQUESTS = 429


def _utc_now() -> datetime:
    return datetime.now(UTC)


class YahooHttp:
    """
    Sends requests to Yahoo, one at a time: yfinance has one session for the whole process.

    Args:
        base_url: Takes the place of scheme and host of all that yfinance asks for, for instance a simulated exchange.
        now: The clock that dates answers.

    Raises:
        SettingsError: yfinance is not installed.
    """

    def __init__(self, base_url: str | None = None, *, now: Callable[[], datetime] = _utc_now) -> None:
        try:
            from curl_cffi import CurlOpt  # noqa: PLC0415  an optional requirement
            from curl_cffi import requests as backend  # noqa: PLC0415
            from yfinance.cache import set_cache_location  # noqa: PLC0415
            from yfinance.data import YfData  # noqa: PLC0415
            from yfinance.exceptions import YFRateLimitError  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError("Yahoo needs yfinance. Install it with: pip install 'barfill[yahoo]'") from error
        self._now = now
        self._rate_limited = YFRateLimitError
        self._errors = backend.exceptions
        set_cache_location(_cookie_directory().name)
        options: Any = {CurlOpt.NOPROXY: "*", CurlOpt.MAXFILESIZE_LARGE: BODY_BYTES_MAX}
        session: Any = backend.Session(impersonate="chrome", trust_env=False, curl_options=options)
        self._data = YfData(session=_redirected(session, base_url.rstrip("/")) if base_url else session)
        self._session = session
        self._turn = asyncio.Lock()

    async def aclose(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._session.close)

    async def get(self, request: HttpRequest) -> HttpResponse:
        """
        One attempt: the complete answer, whatever its status.

        Raises:
            ProviderUnavailable: No connection, or it broke.
            ProviderTimeout: Too slow.
            BadResponse: Too much (`too_large`).
        """
        async with self._turn:
            try:
                async with asyncio.timeout(TOTAL_S):
                    return await asyncio.to_thread(self._ask, request)
            except TimeoutError:
                raise ProviderTimeout(f"Yahoo did not answer within {TOTAL_S:g} s.", reason="total") from None

    def _ask(self, request: HttpRequest) -> HttpResponse:
        try:
            answer = self._data.get(request.url, params=dict(request.params), timeout=TIMEOUT_S)
        except self._rate_limited:
            return HttpResponse(_TOO_MANY_REQUESTS, {}, b"Too Many Requests", self._now())
        except self._errors.RequestException as error:
            raise self._meaning(error) from None
        if len(answer.content) > BODY_BYTES_MAX:
            raise BadResponse(f"Yahoo's answer has more than {BODY_BYTES_MAX:,} bytes.", reason="too_large")
        headers = {name.lower(): value or "" for name, value in answer.headers.items()}
        return HttpResponse(answer.status_code, headers, answer.content, self._now())

    def _meaning(self, error: Exception) -> ProviderError:
        kind = type(error).__name__
        if isinstance(error, self._errors.Timeout):
            return ProviderTimeout(f"Yahoo did not answer in time ({kind}).", reason="read")
        return ProviderUnavailable(f"No answer from Yahoo ({kind}). Check network and firewall.", reason="connect")


@cache
def _cookie_directory() -> tempfile.TemporaryDirectory[str]:
    """
    Where yfinance keeps its cookies, gone with the process: those of one are not for the next.

    One for the whole process, since yfinance opens its files there once.
    """
    return tempfile.TemporaryDirectory(prefix="barfill-yahoo-", ignore_cleanup_errors=True)


def _redirected(session: Any, base_url: str) -> Any:
    """*session*, with all that it is asked for asked of *base_url*."""
    for method in ("get", "post"):
        send = getattr(session, method)

        def to_base(url: str, *args: Any, _send: Callable[..., Any] = send, **options: Any) -> Any:
            if url.startswith(f"{base_url}/"):
                return _send(url, *args, **options)
            parts = urlsplit(url)
            query = f"?{parts.query}" if parts.query else ""
            return _send(f"{base_url}{parts.path}{query}", *args, **options)

        setattr(session, method, to_base)
    return session

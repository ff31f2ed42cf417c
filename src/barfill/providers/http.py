"""
The one HTTP client: a single attempt at a GET, with limits on time, size and place.

It retries nothing, follows no redirect, takes no proxy, netrc, certificate file or cookie from anywhere, and sends
only to the pinned places of its provider. httpx's errors become barfill's here and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from barfill.crash import crash_point, is_wanted
from barfill.errors import BadResponse, BarfillError, ProviderError
from barfill.providers.base import HttpRequest, HttpResponse
from barfill.providers.bodies import ACCEPT_ENCODING, BodyReader, too_large
from barfill.providers.http_errors import FOREIGN, Phase, bare, timed_out, translated
from barfill.providers.origins import URL_LENGTH_MAX, Origin, host_of

BODY_BYTES_MAX = 64 * 1024 * 1024
ERROR_BODY_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 64

_OK = 200
_FIRST_REDIRECT, _FIRST_ERROR = 300, 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """
    Attributes:
        connect_s: Until a connection stands, TLS included.
        read_s: Between two parts of an answer.
        total_s: From the start of the request to the end of the answer.
    """

    connect_s: float = 5.0
    read_s: float = 30.0
    total_s: float = 120.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class HttpClient:
    """
    Sends requests to one provider.

    Args:
        base_urls: The places that requests may go to; anything else is refused unsent.
        body_bytes_max: Cap of an answer, decompressed.
        now: The clock that dates answers.
        tls: Certificates to trust instead of the built-in ones, for tests.
        transport: How bytes get there, instead of over sockets; it decides about certificates itself.

    Raises:
        SettingsError: A base URL cannot be used.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        *,
        timeouts: Timeouts | None = None,
        body_bytes_max: int = BODY_BYTES_MAX,
        now: Callable[[], datetime] = _utc_now,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        for name in ("httpx", "httpcore"):  # both log whole URLs below WARNING
            logging.getLogger(name).setLevel(logging.WARNING)
        self._origins = tuple(Origin.parse(base_url) for base_url in base_urls)
        self._timeouts = timeouts or Timeouts()
        self._body_bytes_max = body_bytes_max
        self._now = now
        self._client = httpx.AsyncClient(
            verify=tls if tls is not None else True,
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(self._timeouts.read_s, connect=self._timeouts.connect_s, pool=None),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
            headers={
                "Accept": "application/json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "User-Agent": f"barfill/{version('barfill')}",
            },
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def get(self, request: HttpRequest) -> HttpResponse:
        """
        One attempt: the complete answer, whatever its status unless that is a redirect.

        Raises:
            ProviderUnavailable: No connection, or it broke.
            ProviderTimeout: Too slow, or the answer was cut off (`cut`).
            BadResponse: A redirect (`redirect`), too much (`too_large`), an encoding that was not asked for or
                damaged data (`body`), or a URL outside of the pinned places, which is not sent (`foreign_next_url`).
            CredentialsRejected: The host's certificate does not prove it (`certificate`).
        """
        url = self._pinned(request)
        try:
            async with asyncio.timeout(self._timeouts.total_s):
                return await self._attempt(url, request)
        except TimeoutError as error:
            raise timed_out(host_of(url), self._timeouts.total_s, request.shown) from bare(error)
        except ProviderError as error:
            error.request = error.request or request.shown
            raise

    async def _attempt(self, url: str, request: HttpRequest) -> HttpResponse:
        async with _translation(Phase.HEAD, url), self._sent(url, request) as response:
            crash_point("k3")
            if _FIRST_REDIRECT <= response.status_code < _FIRST_ERROR:
                raise _redirect(response)
            if response.status_code < _FIRST_ERROR:
                body = await self._whole_body(response, url)
            else:
                body = await _message_of(response, url)
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status_code, headers, body, self._now())

    @contextlib.asynccontextmanager
    async def _sent(self, url: str, request: HttpRequest) -> AsyncIterator[httpx.Response]:
        """
        The open answer; its connection is given up unless the body was read to the end.
        """
        extensions = {"trace": _crash_when_sent} if is_wanted("k2") else {}
        async with self._client.stream("GET", url, headers=dict(request.headers), extensions=extensions) as response:
            yield response

    async def _whole_body(self, response: httpx.Response, url: str) -> bytes:
        declared = response.headers.get("content-length", "")
        length = int(declared) if declared.isascii() and declared.isdigit() else 0
        if length > self._body_bytes_max:
            raise too_large(self._body_bytes_max)
        reader = BodyReader(response.headers.get("content-encoding", ""), self._body_bytes_max)
        arrived, is_half = 0, False
        async with _translation(Phase.BODY, url):
            async for chunk in response.aiter_raw():
                arrived += len(chunk)
                if not is_half and 2 * arrived >= length:
                    is_half = True
                    crash_point("k4")
                reader.feed(chunk)
        return reader.finish()

    def _pinned(self, request: HttpRequest) -> str:
        url = f"{request.url}?{urlencode(request.params, safe=',:')}" if request.params else request.url
        if not any(origin.admits(url) for origin in self._origins):
            allowed = " or ".join(map(str, self._origins))
            too_long = f" (longer than {URL_LENGTH_MAX} characters)" if len(url) > URL_LENGTH_MAX else ""
            raise BadResponse(
                f"A request to {host_of(url)}{too_long} was not sent: it lies outside of {allowed}. "
                "If the provider has moved, set its base URL.",
                request=request.shown,
                reason="foreign_next_url",
            )
        return url


@contextlib.asynccontextmanager
async def _translation(phase: Phase, url: str) -> AsyncIterator[None]:
    try:
        yield
    except FOREIGN as error:
        mapped, cause = translated(error, phase, host_of(url))
        raise mapped from cause


async def _message_of(response: httpx.Response, url: str) -> bytes:
    """The start of an error's body: enough for its message; its status counts even if the body breaks off."""
    reader = BodyReader("", ERROR_BODY_BYTES_MAX)
    with contextlib.suppress(BarfillError):
        reader = BodyReader(response.headers.get("content-encoding", ""), ERROR_BODY_BYTES_MAX)
        async with _translation(Phase.BODY, url):
            async for chunk in response.aiter_raw():
                reader.feed(chunk)
    return reader.so_far()


def _redirect(response: httpx.Response) -> BadResponse:
    target = host_of(response.headers.get("location", ""))
    return BadResponse(
        f"{response.url.host} redirects to {target} (HTTP {response.status_code}). barfill follows no redirect, since "
        "that would hand the key on. If the provider has moved, set its base URL.",
        status=response.status_code,
        reason="redirect",
    )


async def _crash_when_sent(event: str, _info: dict[str, Any]) -> None:
    if event.endswith("send_request_body.complete"):
        crash_point("k2")

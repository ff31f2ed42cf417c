"""
Where requests may go: the pinned scheme, host, port and path prefix of a provider's base URL.

HTTP libraries send `APCA-API-SECRET-KEY` and `X-API-Key` wherever they are pointed, so everything outside of the
pinned places is refused before a connection is made (X19, X20).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from barfill.errors import SettingsError, excerpt

URL_LENGTH_MAX = 16_384

_PRINTABLE = re.compile(r"[!-~]+")
_FORBIDDEN = re.compile(r"[\\#<>\"{}^`|]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """
    One pinned place.

    Attributes:
        path: Without a slash at its end; "" pins the whole host.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, base_url: str) -> Origin:
        """
        Reads a base URL such as `https://data.alpaca.markets` or `http://127.0.0.1:8900/alpaca`.

        Raises:
            SettingsError: It is no plain http(s) address: user-info, query, fragment and odd characters are refused.
        """
        url = _plain_url(base_url)
        if url is None or url.query or "?" in base_url:
            raise SettingsError(
                f"Base URL '{_without_extras(base_url)}' cannot be used. Write scheme, host, port and path only, "
                "as in https://data.alpaca.markets or http://127.0.0.1:8900/alpaca."
            )
        return cls(url.scheme, url.host, _port(url), url.path.rstrip("/"))

    def admits(self, url: str) -> bool:
        """Whether a request to *url* stays within this place."""
        parsed = _plain_url(url)
        if parsed is None or (parsed.scheme, parsed.host, _port(parsed)) != (self.scheme, self.host, self.port):
            return False
        return parsed.path == self.path or parsed.path.startswith(self.path + "/")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


def host_of(url: str) -> str:
    """The host that *url* names, for messages; never its user-info, path or query."""
    try:
        return excerpt(httpx.URL(url).host) or "the same host"
    except (httpx.InvalidURL, ValueError):
        return "an unreadable address"


def _plain_url(text: str) -> httpx.URL | None:
    """*text* as httpx will send it, or None where it holds anything that two parsers could read differently."""
    if len(text) > URL_LENGTH_MAX or not _PRINTABLE.fullmatch(text) or _FORBIDDEN.search(text):
        return None
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return None
    if url.scheme not in _DEFAULT_PORTS or not url.host or url.userinfo:
        return None
    authority = text.partition("://")[2].split("/", 1)[0].split("?", 1)[0]
    if "@" in authority or "%" in authority or _has_dot_segment(text):
        return None
    return url


def _has_dot_segment(text: str) -> bool:
    path = text.partition("://")[2].partition("?")[0]
    return any(unquote(segment) in (".", "..") for segment in path.split("/")[1:])


def _port(url: httpx.URL) -> int:
    return url.port or _DEFAULT_PORTS[url.scheme]


def _without_extras(base_url: str) -> str:
    """The part of a base URL that can hold no secret."""
    scheme, separator, rest = base_url.partition("://")
    return excerpt(scheme + separator + rest.split("?")[0].split("#")[0].rpartition("@")[2])

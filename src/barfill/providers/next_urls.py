"""
Absolute URLs by which answers lead on to the next page: kept only as far as they stay where the first page came from.

What is kept is the part behind a known path, without host and without key, and it is sent to barfill's own base URL:
an answer cannot choose where a key goes (H25, X20).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from barfill.errors import BadResponse
from barfill.providers.origins import Origin, host_of

_KEY_PARAMETERS = frozenset({"apikey", "api_key", "token"})


def behind(next_url: str, path: str, base_urls: Iterable[str]) -> str:
    """
    What *next_url* says behind *path*, its query included, without a key.

    Args:
        path: Not encoded, below the base URL, such as `/v2/aggs/ticker/AAPL/range/1/day/`.
        base_urls: Those of the vendor, and the configured one.

    Raises:
        BadResponse: It leads to another place (`foreign_next_url`).
    """
    for base_url in base_urls:
        origin = Origin.parse(base_url)
        if not origin.admits(next_url):
            continue
        url = urlsplit(next_url)
        asked = unquote(url.path.removeprefix(origin.path))
        if not asked.startswith(path):
            continue
        query = [pair for pair in parse_qsl(url.query) if pair[0].lower() not in _KEY_PARAMETERS]
        return f"{asked.removeprefix(path)}?{urlencode(query, safe=',:')}"
    raise BadResponse(
        f"The answer leads on to {host_of(next_url)}, to a page that does not follow on what was asked for; it is not "
        "followed, since that would hand the key on. If the provider has moved, set its base URL.",
        reason="foreign_next_url",
    )


def path_and_params(kept: str) -> tuple[str, dict[str, str]]:
    """A part of a URL that was kept by `behind`, as path and parameters."""
    path, _, query = kept.partition("?")
    return path, dict(parse_qsl(query))

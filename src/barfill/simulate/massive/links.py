"""
``next_url``: absolute, with a cursor that holds the query's parameters, but never the key.

A range goes on in its path (``.../range/1/day/1578114000000/2020-01-10?cursor=...``), a list in its cursor. The host is
the vendor's own in life (providers.md 4.1); here it is this exchange, or the vendor's, as the config says.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode

from barfill.simulate.massive.refusals import bad

VENDOR_URL = "https://api.massive.com"
_PRIVATE = ("apiKey", "cursor")


class Links:
    """Makes URLs below *base*, which is asked for each time: the exchange's own is known once it listens."""

    def __init__(self, base: Callable[[], str]) -> None:
        self._base = base

    def url(self, path: str, params: Mapping[str, str]) -> str:
        """The URL of a page: all of *params* go into the cursor."""
        return self.url_by(path, make_cursor(params))

    def url_by(self, path: str, cursor: str) -> str:
        """The URL of a page by its cursor."""
        return f"{self._base()}{path}?{urlencode({'cursor': cursor})}"


def make_cursor(params: Mapping[str, str]) -> str:
    """Base64 of a query string, sorted, as recorded: ``limit=2&sort=asc``."""
    kept = sorted((name, value) for name, value in params.items() if name not in _PRIVATE)
    return base64.urlsafe_b64encode(urlencode(kept).encode()).decode().rstrip("=")


def cursor_params(cursor: str) -> dict[str, str]:
    """
    The parameters that a cursor holds.

    Raises:
        Refusal: 400, it is none of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        return dict(parse_qsl(text, keep_blank_values=True, strict_parsing=True)) if text else {}
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise bad(BAD_CURSOR) from None


BAD_CURSOR = "Invalid cursor. Please start the query again from its first page."

"""
How long an answer asks to wait, and what it allows: `Retry-After` and `X-RateLimit-*`, in all their dialects.

Resets come in epoch seconds (Alpaca) or milliseconds (Tradier), told apart by magnitude. They are read against the
answer's own `Date`, so that a wrong clock on this machine does not matter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from barfill.providers.base import HttpResponse

CREDIBLE_WAIT_S_MAX = 7 * 86_400.0
"""A longer wait is taken for garbage, as is one that is over."""

_TOO_MANY_REQUESTS = 429
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,9})?")
_LIMIT = re.compile(r"[1-9]\d{0,6}")
_EPOCH_S_MIN = 100_000_000  # 1973; below it stands a number of seconds to wait
_EPOCH_MS_MIN = 100_000_000_000


def told_wait_s(
    response: HttpResponse, *, remaining: str = "x-ratelimit-remaining", reset: str = "x-ratelimit-reset"
) -> float | None:
    """
    Seconds from now, or None where the headers ask for nothing usable.

    A 429 is read with `Retry-After` before the reset; any other answer counts only when it says that none are left.

    Args:
        remaining, reset: The provider's names of these headers, lower-case.
    """
    headers = response.headers
    if response.status == _TOO_MANY_REQUESTS:
        told = _retry_after_s(headers.get("retry-after", ""), _sent_at(response))
        return told if told is not None else wait_until_s(headers.get(reset, ""), response)
    if headers.get(remaining, "").strip() == "0":
        return wait_until_s(headers.get(reset, ""), response)
    return None


def wait_until_s(reset: str, response: HttpResponse) -> float | None:
    """Seconds until the *reset* of which an answer tells, as an epoch or in seconds from now; None where unusable."""
    if not _NUMBER.fullmatch(reset.strip()):
        return None
    value = float(reset)
    if value < _EPOCH_S_MIN:
        return _credible(value)
    epoch_s = value / 1000 if value >= _EPOCH_MS_MIN else value
    return _credible(epoch_s - _sent_at(response).timestamp())


def told_limit(response: HttpResponse, *, limit: str = "x-ratelimit-limit") -> int | None:
    """
    Requests per minute that the key has, or None where no credible number is told.

    Args:
        limit: The provider's name of this header, lower-case.
    """
    text = response.headers.get(limit, "").strip()
    return int(text) if _LIMIT.fullmatch(text) else None


def _sent_at(response: HttpResponse) -> datetime:
    return _http_date(response.headers.get("date", "")) or response.received_at


def _retry_after_s(text: str, sent_at: datetime) -> float | None:
    if _NUMBER.fullmatch(text.strip()):
        return _credible(float(text))
    until = _http_date(text)
    return _credible((until - sent_at).total_seconds()) if until is not None else None


def _http_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def _credible(wait_s: float) -> float | None:
    return wait_s if 0 < wait_s <= CREDIBLE_WAIT_S_MAX else None

"""What people read about work that failed: what happened, where, and what can be done."""

from __future__ import annotations

from barfill.core.page import BarsQuery
from barfill.errors import BadResponse, BarfillError, ProviderTimeout, ProviderUnavailable, StalePageToken

_MAY_PASS = (ProviderUnavailable, ProviderTimeout, BadResponse, StalePageToken)
"""The texts of all other errors say themselves what to set or to spell otherwise."""
_LATER = "What is missing stays listed; run barfill backfill again later."


def advised(error: BarfillError) -> str:
    """What happened and what can be done: the same for all series that fail alike."""
    return f"{error} {_LATER}" if isinstance(error, _MAY_PASS) else str(error)


def located(error: BarfillError, provider: str, query: BarsQuery) -> str:
    """The same, with what was asked of whom."""
    request_id = getattr(error, "request_id", "")
    request = f", request {request_id}" if request_id else ""
    return f"{advised(error)} Asked for: {provider} {query}{request}."

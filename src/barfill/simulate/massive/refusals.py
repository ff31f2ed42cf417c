"""
Errors in the vendor's words (providers.md 4.4): the key is ``error``, but ``message`` in those of 403 and 404.
"""

from typing import Any
from uuid import uuid4

from barfill.simulate.queries import Refusal

UNKNOWN_KEY = "Unknown API Key"
TOO_MANY = "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."
PLAN_LACKS_TIME = (
    "Your plan doesn't include this data timeframe. Please upgrade your plan at https://massive.com/pricing"
)
PLAN_LACKS_DATA = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"


def request_id() -> str:
    """A new one: 32 hexadecimal digits."""
    return uuid4().hex


def error(text: str) -> dict[str, Any]:
    return {"status": "ERROR", "request_id": request_id(), "error": text}


def not_authorized(text: str) -> dict[str, Any]:
    return {"status": "NOT_AUTHORIZED", "request_id": request_id(), "message": text}


def not_found(text: str = "Data not found.") -> dict[str, Any]:
    return {"status": "NOT_FOUND", "request_id": request_id(), "message": text}


def bad(text: str) -> Refusal:
    return Refusal(400, error(text))


def beyond_plan(text: str = PLAN_LACKS_TIME) -> Refusal:
    return Refusal(403, not_authorized(text))


def nothing_there(text: str = "Data not found.") -> Refusal:
    return Refusal(404, not_found(text))

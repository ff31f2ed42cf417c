"""
Errors in the vendor's words (providers.md 6.4): the key is always ``error``.
"""

from typing import Any

from barfill.simulate.queries import Refusal

NO_KEY = "Please use an API key."
INVALID_KEY = "Invalid API key."
TOO_MANY = "API limit reached. Please try again later. Remaining Limit: 0"
EMPTY_KEY = "API limit reached. Please sign up for a free account to continue using the API"
NO_ACCESS = "You don't have access to this resource."


def error(text: str) -> dict[str, Any]:
    return {"error": text}


def no_access() -> Refusal:
    return Refusal(403, error(NO_ACCESS))


def invalid(name: str) -> Refusal:
    """A parameter cannot be: status and words are a guess."""
    return Refusal(422, error(f"Invalid parameter: {name}"))

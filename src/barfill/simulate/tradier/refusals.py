"""
Errors in the vendor's words (providers.md 5.5): faults in JSON, refused parameters and the quota in plain text.
"""

from typing import Any

from barfill.simulate.queries import Refusal

#: "unverified" is what the recorded bodies say where nobody has seen the code.
INVALID_TOKEN = ("Invalid Access Token", "unverified")
DATASTORE_ERROR = ("Datastore Error", "unverified")
TOO_BIG = ("Body buffer overflow", "protocol.http.TooBigBody")
NOT_FOUND = ("Unable to identify proxy for host", "unverified")


def fault(said: tuple[str, str]) -> dict[str, Any]:
    """A fault of the gateway: its text and its code."""
    text, code = said
    return {"fault": {"faultstring": text, "detail": {"errorcode": code}}}


def invalid(name: str, why: str) -> Refusal:
    """400: a parameter cannot be."""
    return Refusal(400, f"Invalid parameter, {name}: {why}.")


def quota_violation(until_s: float) -> str:
    """The last word is when the window ends, in milliseconds; the words between are not known."""
    return f"Quota Violation: the limit of this token is exhausted until {round(until_s * 1000)}"

"""
Errors in the vendor's form.
"""

from barfill.simulate.queries import Refusal


def refusal(status: int, message: str, code: int | None = None) -> Refusal:
    """A refusal in the vendor's form; the trading host adds a code."""
    return Refusal(status, {"message": message} if code is None else {"code": code, "message": message})

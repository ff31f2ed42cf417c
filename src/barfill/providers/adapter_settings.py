"""What every adapter asks of its settings."""

from __future__ import annotations

import re
from collections.abc import Collection

from barfill.errors import SettingsError, excerpt

_KEY = re.compile(r"[!-~]+")


def check_key(vendor: str, variable: str, value: str) -> None:
    """
    Refuses a key that no header can carry; the text names the variable, never the value.

    Raises:
        SettingsError: It is missing, or holds what no key does.
    """
    if not _KEY.fullmatch(value):
        state = "holds spaces, line breaks or other odd characters" if value else "is not set"
        raise SettingsError(f"{variable} {state}. Copy it anew from {vendor}'s page of API keys.")


def check_plan(vendor: str, plan: str, plans: Collection[str]) -> None:
    """
    Refuses a plan that the vendor does not have.

    Raises:
        SettingsError: It is none of *plans*.
    """
    if plan not in plans:
        raise SettingsError(f"{vendor}'s plan '{excerpt(plan)}' is unknown. Use {', '.join(plans)}.")


def check_page_size(vendor: str, page_size: int, page_size_max: int) -> None:
    """
    Refuses a page size that the vendor does not take.

    Raises:
        SettingsError: It is below 1 or too large.
    """
    if not 1 <= page_size <= page_size_max:
        raise SettingsError(f"{vendor}'s page size {page_size} cannot be used. Give 1 to {page_size_max:,}.")

"""barfill: your own complete, verified history of market bars."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barfill.api import connect as connect

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> object:
    # Loaded when it is asked for, so that `barfill --help` answers at once.
    if name == "connect":
        from barfill.api import connect  # noqa: PLC0415

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

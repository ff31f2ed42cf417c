"""How a bar differs from the one whose place it took, field by field."""

from __future__ import annotations

from dataclasses import dataclass

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "trade_count")


@dataclass(frozen=True, slots=True)
class BarValues:
    """The values of a bar: raw prices, volume in units; None where the provider gave none."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float | None
    trade_count: int | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """
    One field that differs.

    Attributes:
        distance: (new - old) / |old|: 0.01 is one percent up. None where the old value is 0, or one is missing.
    """

    field: str
    old: float | None
    new: float | None
    distance: float | None


def field_changes(old: BarValues, new: BarValues) -> tuple[FieldChange, ...]:
    """The fields in which the two differ, in the order of `FIELDS`."""
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in FIELDS)
    return tuple(FieldChange(name, had, has, _distance(had, has)) for name, had, has in pairs if had != has)


def _distance(old: float | None, new: float | None) -> float | None:
    return None if not old or new is None else (new - old) / abs(old)

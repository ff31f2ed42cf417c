"""How a bar differs from its predecessor."""

from __future__ import annotations

from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st

from barfill.core.revisions import FIELDS, BarValues, FieldChange, field_changes

BAR = BarValues(10.0, 11.0, 9.0, 10.5, 100.0, 10.2, 7)
numbers = st.floats(0, 1e9)
bars = st.builds(
    BarValues, numbers, numbers, numbers, numbers, numbers, st.none() | numbers, st.none() | st.integers(0)
)


def test_each_field_tells_how_far_it_moved() -> None:
    """Relative to the old value, with its sign; nothing is told of fields that stayed."""
    changed = replace(BAR, close=10.29, volume=150.0)

    assert field_changes(BAR, changed) == (
        FieldChange("close", 10.5, 10.29, (10.29 - 10.5) / 10.5),
        FieldChange("volume", 100.0, 150.0, 0.5),
    )


def test_what_comes_goes_or_was_zero_has_no_distance() -> None:
    """There is nothing that it could be measured by."""
    old = replace(BAR, volume=0.0, vwap=None)
    new = replace(BAR, trade_count=None)

    assert field_changes(old, new) == (
        FieldChange("volume", 0.0, 100.0, None),
        FieldChange("vwap", None, 10.2, None),
        FieldChange("trade_count", 7, None, None),
    )


@given(old=bars, new=bars)
def test_fields_are_told_exactly_where_they_differ(old: BarValues, new: BarValues) -> None:
    """Put in the place of the old ones, the new values make the new bar."""
    changes = field_changes(old, new)

    assert [change.field for change in changes] == [name for name in FIELDS if getattr(old, name) != getattr(new, name)]
    values = asdict(old) | {change.field: change.new for change in changes}
    assert values == asdict(new)

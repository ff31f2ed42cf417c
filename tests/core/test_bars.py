"""Bars as columns: rows stay together whatever is done with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barfill.core.bars import COLUMN_NAMES, BarColumns
from tests.core.samples import bars

keys = st.lists(st.tuples(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1)), max_size=30)


def numbered(chosen: list[tuple[int, int]]) -> BarColumns:
    """Rows with these keys, each with its number in every value."""
    number = np.arange(len(chosen), dtype=np.float64)
    values = dict.fromkeys(COLUMN_NAMES[2:], number)
    return bars([ts for _, ts in chosen], symbol=[symbol for symbol, _ in chosen], **values)


@given(keys)
def test_sorting_keeps_rows_together_and_is_stable(chosen: list[tuple[int, int]]) -> None:
    """
    Sorted by symbol, then instant; equal keys stay in the order sent; all values move with their key.
    """
    rows = numbered(chosen).sorted_by_key()
    expected = sorted(enumerate(chosen), key=lambda entry: entry[1])

    assert list(zip(rows.symbol.tolist(), rows.ts.tolist(), strict=True)) == [key for _, key in expected]
    assert all(getattr(rows, name).tolist() == [number for number, _ in expected] for name in COLUMN_NAMES[2:])


def test_nonsense_stamps_are_sorted_too() -> None:
    """
    Instants so far apart that their difference overflows are still in order.
    """
    rows = numbered([(0, 2**62 + 1), (0, -(2**62))])

    assert rows.sorted_by_key().ts.tolist() == [-(2**62), 2**62 + 1]


def test_sorted_rows_are_not_copied() -> None:
    """
    Rows in order are returned as they are: pages usually come sorted.
    """
    rows = numbered([(0, 5), (0, 5), (1, 2)])

    assert rows.sorted_by_key() is rows


def test_columns_of_unequal_length_do_not_exist() -> None:
    """
    A column that is too short is refused when the bars are made.
    """
    rows = numbered([(0, 1), (0, 2)])
    columns = {name: getattr(rows, name) for name in COLUMN_NAMES}

    with pytest.raises(ValueError, match=r"unequal length: \[1, 2\]"):
        BarColumns(**columns | {"trade_count": rows.trade_count[:1]})


def test_take_by_mask_positions_and_slice() -> None:
    """
    The three ways to choose rows give the same rows.
    """
    rows = numbered([(0, 1), (0, 2), (1, 3)])
    taken = [rows.take(np.array([False, True, True])), rows.take(np.array([1, 2])), rows.take(slice(1, None))]

    assert [part.open.tolist() for part in taken] == [[1, 2]] * 3
    assert [len(part) for part in taken] == [2, 2, 2]


@given(keys, st.integers(0, 30))
def test_concat_undoes_a_cut(chosen: list[tuple[int, int]], cut: int) -> None:
    """
    Two parts put together again are the rows they were cut from.
    """
    rows = numbered(chosen)
    again = BarColumns.concat([rows.take(slice(None, cut)), rows.take(slice(cut, None))])

    assert all(getattr(again, name).tolist() == getattr(rows, name).tolist() for name in COLUMN_NAMES)


def test_nothing_has_all_columns_of_the_right_type() -> None:
    """
    No rows at all still have nine columns, of the types that the table takes.
    """
    nothing = BarColumns.concat([])

    assert len(nothing) == 0
    assert [getattr(nothing, name).dtype for name in COLUMN_NAMES] == [
        *(np.int32, np.int64),
        *([np.float64] * 6),
        np.int64,
    ]


def test_symbols_are_renumbered() -> None:
    """
    Reading symbols through another numbering changes only them.
    """
    rows = numbered([(0, 1), (1, 2), (1, 3)]).with_symbols(np.array([7, 4], np.int32))

    assert rows.symbol.tolist() == [7, 4, 4]
    assert rows.ts.tolist() == [1, 2, 3]

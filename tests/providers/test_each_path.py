"""Two paths read a page of bars, whoever sends it; they must never differ."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from barfill.core.bars import COLUMN_NAMES
from barfill.core.ranges import to_us
from barfill.errors import BadResponse
from barfill.providers.bar_pages import Contents
from tests.providers.conftest import bars_query
from tests.providers.dialects import NOW, Dialect, each

pytestmark = each(lambda dialect: dialect.typed is not None)

LATEST_US = to_us(NOW)

numbers = st.one_of(
    st.integers(0, 10**6),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(0, 10**6, places=4, allow_nan=False).map(float),
)
when = st.integers(0, 10**5).map(lambda minute: f"2024-03-{1 + minute % 30:02d}T{minute % 24:02d}:{minute % 60:02d}")
good_changes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"when": when, "o": numbers, "h": numbers, "l": numbers, "c": numbers, "v": numbers},
    optional={"n": st.one_of(st.just(...), st.integers(0, 2**53)), "vw": st.one_of(st.just(...), numbers)},
)
odd_values = st.one_of(
    st.none(), st.booleans(), st.text(max_size=4), numbers, st.just([]), st.just({"a": "b"}), st.just(...)
)
odd_changes: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["t", "o", "h", "l", "c", "v", "n", "vw", "x"]), odd_values
)
envelopes = st.sampled_from([{}, {"x": 1}, {"count": "2"}, {"status": "é"}, {"ticker": None}, {"currency": "EUR"}])
unhurried = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.differing_executors])


def assert_equal(one: Contents, other: Contents) -> None:
    """All that was read is the same, to the bit."""
    assert (one.tickers, one.next_token, one.rejected) == (other.tickers, other.next_token, other.rejected)
    assert one.echo == other.echo
    for name in COLUMN_NAMES:
        left, right = getattr(one.rows, name), getattr(other.rows, name)
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes(), name


@unhurried
@given(
    changes=st.lists(good_changes, max_size=4),
    has_token=st.booleans(),
    is_escaped=st.booleans(),
    is_indented=st.booleans(),
)
def test_both_paths_read_a_good_page_alike(
    dialect: Dialect, changes: list[dict[str, Any]], has_token: bool, is_escaped: bool, is_indented: bool
) -> None:
    """The typed path takes every page that keeps the contract, and reads what the general one reads."""
    rows = [dialect.row(**one) for one in changes]
    page = dialect.with_token(*rows) if has_token else dialect.page(*rows)
    body = json.dumps(page, ensure_ascii=is_escaped, indent=1 if is_indented else None).encode()

    assert dialect.typed is not None
    typed = dialect.typed(body, latest_us=LATEST_US)

    assert typed is not None
    assert_equal(typed, dialect.general(body, bars_query(), latest_us=LATEST_US))


@unhurried
@given(changes=st.lists(st.one_of(good_changes, odd_changes), max_size=4), envelope=envelopes)
def test_the_typed_path_never_sees_more_than_the_general_one(
    dialect: Dialect, changes: list[dict[str, Any]], envelope: dict[str, Any]
) -> None:
    """Whatever is wrong with a page, the typed path declines it or reads just what the general one reads."""
    body = json.dumps(dialect.page(*[dialect.row(**one) for one in changes], **envelope)).encode()

    assert dialect.typed is not None
    typed = dialect.typed(body, latest_us=LATEST_US)

    try:
        general = dialect.general(body, bars_query(), latest_us=LATEST_US)
    except BadResponse:
        assert typed is None
        return
    if typed is not None:
        assert_equal(typed, general)

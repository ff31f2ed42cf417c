"""Pages of many symbols: the two paths read them alike, too."""

from __future__ import annotations

import json
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.providers.alpaca_decode import decode_general, decode_typed
from tests.providers.conftest import bars_query
from tests.providers.test_each_path import LATEST_US, assert_equal, numbers

Row = dict[str, object]

stamps = st.datetimes(datetime(1990, 1, 1), datetime(2024, 5, 31)).map(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"))
good_rows: st.SearchStrategy[Row] = st.fixed_dictionaries(
    {"t": stamps, "o": numbers, "h": numbers, "l": numbers, "c": numbers, "v": numbers},
    optional={"n": st.integers(0, 2**53), "vw": numbers},
)
odd_values = st.one_of(st.none(), st.booleans(), st.text(max_size=4), numbers, st.just([]), st.just({"a": "b"}))
odd_rows: st.SearchStrategy[Row] = st.dictionaries(
    st.sampled_from(["t", "o", "h", "l", "c", "v", "n", "vw", "x"]), odd_values
)


def pages(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[dict[str, object]]:
    """Pages of some symbols."""
    return st.fixed_dictionaries(
        {"bars": st.dictionaries(st.sampled_from(["AAPL", "MSFT", "BRK.B", "É"]), st.lists(rows, max_size=4))},
        optional={
            "next_page_token": st.one_of(st.none(), st.text("QUFx=|é", max_size=5)),
            "currency": st.sampled_from(["USD", "EUR"]),
        },
    )


@settings(deadline=None, max_examples=300)
@given(page=pages(good_rows), is_escaped=st.booleans(), is_indented=st.booleans())
def test_both_paths_read_a_good_page_alike(page: dict[str, object], is_escaped: bool, is_indented: bool) -> None:
    """The typed path takes every page that keeps the contract, and reads what the general one reads."""
    body = json.dumps(page, ensure_ascii=is_escaped, indent=1 if is_indented else None).encode()

    typed = decode_typed(body, latest_us=LATEST_US)

    assert typed is not None
    assert_equal(typed, decode_general(body, bars_query("AAPL", "MSFT"), latest_us=LATEST_US))


@settings(deadline=None, max_examples=300)
@given(page=pages(st.one_of(good_rows, odd_rows)))
def test_the_typed_path_never_sees_more_than_the_general_one(page: dict[str, object]) -> None:
    """Whatever is wrong with a page, the typed path declines it or reads just what the general one reads."""
    body = json.dumps(page).encode()

    typed = decode_typed(body, latest_us=LATEST_US)

    if typed is not None:
        assert_equal(typed, decode_general(body, bars_query("AAPL", "MSFT"), latest_us=LATEST_US))

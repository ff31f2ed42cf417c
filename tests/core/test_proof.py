"""What pages prove: never more than the bars they have shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barfill.core.bars import BarColumns
from barfill.core.page import BarsQuery, Page, RejectedRow
from barfill.core.proof import ChainState, Proof, pages_cap, prove
from barfill.core.ranges import Range, Ranges, to_us
from barfill.core.timeframe import Timeframe
from barfill.errors import BadResponse

START = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = 10
ASKED = Range(START, START + timedelta(days=DAYS))


def query_for(*symbols: str) -> BarsQuery:
    return BarsQuery(tuple(sorted(symbols)), Timeframe.D1, ASKED, "sip")


def page_of(rows: list[tuple[str, int]], token: str | None) -> Page:
    """A page of d1 rows, each given as (symbol, day number)."""
    symbols = tuple(dict.fromkeys(symbol for symbol, _ in rows))
    ones = np.ones(len(rows))
    index = np.array([symbols.index(symbol) for symbol, _ in rows], dtype=np.int32)
    ts = np.array([to_us(START + timedelta(days=day)) for _, day in rows], dtype=np.int64)
    columns = BarColumns(index, ts, ones, ones, ones, ones, ones, ones, ts)
    return Page(symbols, columns, (), token, "sip", "raw", START)


def run_chain(
    query: BarsQuery,
    rows: list[tuple[str, int]],
    page_size: int,
    *,
    page_limit: int = 10**6,
    looked_from: datetime | None = None,
) -> list[Proof]:
    """The proofs of a vendor's pages: full pages with tokens, and a full last page with a token to an empty one."""
    state, proofs = ChainState(), []
    for number, first in enumerate(range(0, len(rows) + 1, page_size)):
        if number == page_limit:
            break
        part = rows[first : first + page_size]
        token = f"t{first}" if len(part) == page_size else None
        page = replace(page_of(part, token), looked_from=looked_from)
        proofs.append(prove(query, page, state, page_size=page_size))
        state = proofs[-1].state
    return proofs


@settings(deadline=None)
@given(
    present=st.dictionaries(
        st.sampled_from(["A", "AB", "B", "C", "D.X"]), st.sets(st.integers(0, DAYS - 1), min_size=1), min_size=1
    ),
    absent=st.sets(st.sampled_from(["AA", "CC", "Z"])),
    page_size=st.integers(1, 12),
    page_limit=st.integers(1, 60),
)
def test_nothing_is_proved_before_its_rows_were_sent(
    present: dict[str, set[int]], absent: set[str], page_size: int, page_limit: int
) -> None:
    """After any number of pages, every row inside what is proved has been on one of these pages."""
    query = query_for(*present, *absent)
    rows = sorted((symbol, day) for symbol, days in present.items() for day in days)
    sent = set(rows[: page_size * page_limit])

    proofs = run_chain(query, rows, page_size, page_limit=page_limit)

    for symbol, days in present.items():
        proved = Ranges(one for proof in proofs for name, one in proof.proved if name == symbol)
        assert all((symbol, day) in sent for day in days if START + timedelta(days=day) in proved)
    is_complete = page_limit * page_size > len(rows)
    assert proofs[-1].is_complete == is_complete
    for symbol in query.symbols:
        proved = Ranges(one for proof in proofs for name, one in proof.proved if name == symbol)
        assert not (symbol in absent and not is_complete and proved)
        assert not is_complete or proved.covers(ASKED)


@pytest.mark.parametrize("page_size", range(1, 12))
def test_nothing_is_proved_twice(page_size: int) -> None:
    """What a page proves is new, also at a symbol's end: what is proved anew would be judged without its rows."""
    rows = [(symbol, day) for symbol in ("A", "B", "C") for day in range(0, DAYS, 2)]

    proofs = run_chain(query_for("A", "AA", "B", "C"), rows, page_size)

    for symbol in ("A", "AA", "B", "C"):
        parts = [one for proof in proofs for name, one in proof.proved if name == symbol]
        assert sum((one.length for one in parts), timedelta()) == ASKED.length


def test_the_symbol_at_the_pages_end_is_proved_to_its_last_row() -> None:
    """A page that ends within a symbol proves that symbol up to the end of its last bar."""
    proof = prove(query_for("A", "B"), page_of([("A", 0), ("B", 0), ("B", 3)], "t"), ChainState(), page_size=3)

    assert dict(proof.proved) == {"A": ASKED, "B": Range(START, START + timedelta(days=4))}
    assert proof.state.open_symbol == "B"


def test_an_empty_page_with_a_token_proves_nothing() -> None:
    """Empty pages in the middle of a chain leave everything as it was."""
    state = ChainState("A", START, frozenset({"A"}))

    assert prove(query_for("A", "B"), page_of([], "t"), state, page_size=3) == Proof((), state, is_complete=False)


def test_a_full_page_without_a_token_is_not_the_end() -> None:
    """Rule S2: a page as full as can be that claims to be the last proves only its own rows."""
    proof = prove(query_for("A", "B"), page_of([("A", 0), ("A", 1)], None), ChainState(), page_size=2)

    assert dict(proof.proved) == {"A": Range(START, START + timedelta(days=2))}
    assert not proof.is_complete


def test_a_full_last_page_of_old_rows_takes_nothing_back() -> None:
    """A page that goes back, and is not believed to be the end, leaves the chain where it was."""
    state = ChainState("A", START + timedelta(days=3), frozenset({"A"}))

    proof = prove(query_for("A", "B"), page_of([("A", 0), ("A", 1)], None), state, page_size=2)

    assert proof == Proof((), state, is_complete=False)


def test_a_symbol_of_which_no_row_can_be_read_is_not_absent() -> None:
    """Its rows came: the symbol before it is complete, and it is the one with which the page ends."""
    page = page_of([("A", 0)], "t")
    unreadable = RejectedRow("B", None, "Q04", "no number", "{}")

    proof = prove(
        query_for("A", "B"), replace(page, symbols=("A", "B"), rejected=(unreadable,)), ChainState(), page_size=2
    )

    assert dict(proof.proved) == {"A": ASKED}
    assert (proof.state.open_symbol, proof.state.seen) == ("B", frozenset({"A", "B"}))


def test_unsorted_rows_of_the_open_symbol_prove_nothing_about_it() -> None:
    """Where rows do not ascend, the last one says nothing about what came before it."""
    proof = prove(query_for("A"), page_of([("A", 5), ("A", 2)], "t"), ChainState(), page_size=2)

    assert proof.proved == ()
    assert proof.state.open_until == START


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ([("B", 0), ("A", 0)], ChainState()),
        ([("A", 0)], ChainState("B", START, frozenset({"B"}))),
    ],
)
def test_a_symbol_out_of_order_stops_the_chain(rows: list[tuple[str, int]], state: ChainState) -> None:
    """A symbol that comes after a later one would make earlier proofs wrong, so it is refused."""
    with pytest.raises(BadResponse) as caught:
        prove(query_for("A", "B"), page_of(rows, "t"), state, page_size=10)

    assert caught.value.reason == "page_order"


def test_a_row_off_the_grid_proves_nothing_beyond_its_bar() -> None:
    """A last row stamped 14.789 s late proves its own bar, not the beginning of the next one."""
    late = page_of([("A", 0), ("A", 1)], "t")
    page = replace(late, rows=replace(late.rows, ts=late.rows.ts + 14_789_000))

    proof = prove(query_for("A"), page, ChainState(), page_size=2)

    assert proof.proved == (("A", Range(START, START + timedelta(days=2))),)


def test_a_page_that_does_not_move_on_stops_the_chain() -> None:
    """A page with nothing newer than the one before it would go on for ever."""
    state = ChainState("A", START + timedelta(days=3), frozenset({"A"}))

    with pytest.raises(BadResponse) as caught:
        prove(query_for("A"), page_of([("A", 1), ("A", 2)], "t"), state, page_size=2)

    assert caught.value.reason == "no_progress"


def test_a_last_page_may_repeat_the_row_before_it() -> None:
    """Where the chain ends at a null token, a page with nothing new is an end like an empty one."""
    state = ChainState("A", START + timedelta(days=3), frozenset({"A"}))

    proof = prove(query_for("A"), page_of([("A", 2)], None), state, page_size=2)

    assert proof.is_complete
    assert proof.proved == (("A", Range(START + timedelta(days=3), ASKED.end)),)


def test_a_symbol_that_was_not_asked_for_is_not_proved() -> None:
    """A malformed ticker on a page (its rows are quarantined) proves nothing and stops nothing."""
    proof = prove(query_for("A", "B"), page_of([("A", 0), ("a\x00", 1), ("B", 0)], None), ChainState(), page_size=9)

    assert dict(proof.proved) == {"A": ASKED, "B": ASKED}


def test_the_cap_of_pages_leaves_room_for_short_pages() -> None:
    """A chain may have ten pages more than its rows need."""
    assert pages_cap(25_000, 10_000) == 13


@settings(deadline=None)
@given(
    days=st.dictionaries(st.sampled_from(["A", "B", "C"]), st.sets(st.integers(0, DAYS - 1), min_size=1)),
    absent=st.sets(st.sampled_from(["AA", "Z"]), min_size=1),
    page_size=st.integers(1, 12),
    looked_from=st.integers(-2, DAYS + 2),
)
def test_what_was_not_looked_at_is_never_proved(
    days: dict[str, set[int]], absent: set[str], page_size: int, looked_from: int
) -> None:
    """Each symbol is in the end proved from where the provider looked, and told as not looked at before: no overlap."""
    query = query_for(*days, *absent)
    wall = START + timedelta(days=looked_from)
    rows = sorted((symbol, day) for symbol, of_symbol in days.items() for day in of_symbol if day >= looked_from)

    proofs = run_chain(query, rows, page_size, looked_from=wall)

    assert proofs[-1].is_complete
    for symbol in query.symbols:
        proved = Ranges(one for proof in proofs for name, one in proof.proved if name == symbol)
        skipped = Ranges(one for proof in proofs for name, one in proof.not_looked_at if name == symbol)
        assert not proved & skipped
        assert proved | skipped == Ranges([ASKED])
        assert skipped == (Ranges([Range(START, min(wall, ASKED.end))]) if looked_from > 0 else Ranges())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, DAYS - 1)), unique=True).map(sorted),
    st.integers(1, 5),
    st.dictionaries(
        st.sampled_from("AB"),
        st.tuples(st.integers(0, DAYS - 1), st.integers(1, DAYS)).map(
            lambda bounds: Range(START + timedelta(days=bounds[0]), START + timedelta(days=bounds[0] + bounds[1]))
        ),
    ),
)
def test_nothing_is_proved_outside_of_what_the_pages_claim(
    rows: list[tuple[str, int]], page_size: int, claims: dict[str, Range]
) -> None:
    """And within it exactly what would be proved without a claim."""
    query, state = query_for("A", "B"), ChainState()
    for first in range(0, len(rows) + 1, page_size):
        part = rows[first : first + page_size]
        page = page_of(part, f"t{first}" if len(part) == page_size else None)
        free = prove(query, page, state, page_size=page_size)
        bound = prove(query, replace(page, claims=claims), state, page_size=page_size)
        within = [(symbol, one & claims[symbol]) for symbol, one in free.proved if symbol in claims]
        assert list(bound.proved) == [(symbol, one) for symbol, one in within if one is not None]
        assert bound.state == free.state
        state = free.state


def test_a_later_page_says_nothing_about_the_beginning() -> None:
    """Where a symbol's rows began on an earlier page, a page that begins later leaves no hole between the two."""
    state = ChainState("A", START + timedelta(days=3), frozenset({"A"}))
    page = replace(page_of([("A", 5)], None), looked_from=START + timedelta(days=5))

    proof = prove(query_for("A"), page, state, page_size=9)

    assert proof.proved == (("A", Range(START + timedelta(days=3), ASKED.end)),)
    assert proof.not_looked_at == ()


def test_a_last_page_is_full_by_what_the_provider_counts() -> None:
    """Rule S2 where a page counts what lies behind its rows: one row made of as much as a page holds is a full page."""
    full = replace(page_of([("A", 0)], None), counted=50)

    assert not prove(query_for("A"), full, ChainState(), page_size=50).is_complete
    assert prove(query_for("A"), full, ChainState(), page_size=51).is_complete

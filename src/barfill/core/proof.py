"""
What the pages of a token chain prove about which symbol.

Pages come sorted by symbol, then by time, and one page may hold the tail of one symbol and the head of the next.
A symbol is proved to the end of the range only when rows of a later symbol were seen, or when the chain ended at a
null token; the symbol at a page's end only to the end of its last row; a symbol without any row only when the chain
ended, and then `core.gaps` has the last word (rule S1). Nothing is proved of a time at which the provider did not look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np

from barfill.core.page import BarsQuery, Page
from barfill.core.ranges import Range, from_us, to_us
from barfill.errors import BadResponse


@dataclass(frozen=True, slots=True)
class ChainState:
    """
    How far a chain has come; kept with the run, so that another process can go on.

    Attributes:
        open_symbol: The symbol at the end of the last page with rows; None before the first such page.
        open_until: Up to where that symbol is proved; None while nothing of it is. Without an open symbol: up to where
            all are, as each page answers for all of them.
        seen: All symbols that had rows.
    """

    open_symbol: str | None = None
    open_until: datetime | None = None
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Proof:
    """
    What one page adds.

    Attributes:
        proved: Newly proved (symbol, range) pairs, each symbol at most once; absent symbols at the chain's end too.
        state: How far the chain has come with this page.
        is_complete: Whether the chain has ended and everything asked for is proved or not looked at.
        not_looked_at: (symbol, range) pairs that were asked for and at which the provider did not look.
    """

    proved: tuple[tuple[str, Range], ...]
    state: ChainState
    is_complete: bool
    not_looked_at: tuple[tuple[str, Range], ...] = ()


def prove(query: BarsQuery, page: Page, state: ChainState, *, page_size: int) -> Proof:
    """
    What *page* proves, as the next page of a chain that has come to *state*.

    A full page that ends the chain is not believed (rule S2): it proves only what its rows prove.

    Raises:
        BadResponse: `page_order`, symbols do not come in ascending order, so nothing can be proved from pages;
            `no_progress`, the page holds nothing that lies behind the page before, and leads on to another.
    """
    if page.answers_for is not None:
        return _prove_part(query, page, page.answers_for, state)
    present = _present(query, page)
    _check_order(query, present, state)
    _check_progress(query, page, present, state)
    proof = _prove(query, page, state, present, page_size)
    return proof if page.claims is None else _within(page.claims, proof)


def _prove(query: BarsQuery, page: Page, state: ChainState, present: Sequence[str], page_size: int) -> Proof:
    is_end = page.next_token is None
    looked_from = _looked_from(query, page)
    if not present:
        return _chain_end(query, state, [], looked_from) if is_end else Proof((), state, is_complete=False)

    proved: list[tuple[str, Range]] = []
    if state.open_symbol is not None and present[0] != state.open_symbol:
        _add(proved, state.open_symbol, state.open_until or query.range.start, query.range.end)
    for symbol in present[:-1]:
        _add(proved, symbol, _proved_until(symbol, state, looked_from), query.range.end)

    last = present[-1]
    start = _proved_until(last, state, looked_from)
    until = _last_row_end(query, page, last, start)
    after = ChainState(open_symbol=last, open_until=max(start, until), seen=state.seen | set(present))
    skipped = _before(query, looked_from, [symbol for symbol in present if symbol not in state.seen])
    if is_end and page.taken < page_size:
        end = _chain_end(query, replace(after, open_until=start), proved, looked_from)
        return replace(end, not_looked_at=skipped + end.not_looked_at)
    _add(proved, last, start, min(until, query.range.end))
    return Proof(tuple(proved), after, is_complete=False, not_looked_at=skipped)


def _prove_part(query: BarsQuery, page: Page, part: Range, state: ChainState) -> Proof:
    """A page that answers for a part of the range of all symbols proves that part of each."""
    inside = part & query.range
    proved = tuple((symbol, inside) for symbol in query.symbols) if inside is not None else ()
    after = ChainState(open_until=part.end, seen=state.seen | set(_present(query, page)))
    return Proof(proved, after, is_complete=page.next_token is None)


def _within(claims: Mapping[str, Range], proof: Proof) -> Proof:
    """*proof* as far as the pages claim to hold everything."""
    parts = ((symbol, claims[symbol] & one) for symbol, one in proof.proved if symbol in claims)
    return replace(proof, proved=tuple((symbol, part) for symbol, part in parts if part is not None))


def pages_cap(expected_rows: float, page_size: int) -> int:
    """How many pages a chain may have before it counts as endless (rule H21)."""
    return int(-(-expected_rows // page_size)) + 10


def _present(query: BarsQuery, page: Page) -> list[str]:
    """The symbols asked for that have rows, readable or not, in the order sent."""
    with_rows = {page.symbols[index] for index in np.unique(page.rows.symbol)}
    with_rows |= {row.symbol for row in page.rejected}
    asked = set(query.symbols)
    return [symbol for symbol in page.symbols if symbol in with_rows and symbol in asked]


def _check_order(query: BarsQuery, present: list[str], state: ChainState) -> None:
    keys = [symbol.encode() for symbol in present]
    floor = state.open_symbol.encode() if state.open_symbol is not None else b""
    is_ascending = all(first < second for first, second in pairwise(keys))
    if not is_ascending or (keys and keys[0] < floor):
        raise BadResponse(
            f"The pages for {query} do not come in the order of their symbols, so they prove nothing about what "
            "is complete. The run stops; nothing is taken as covered.",
            reason="page_order",
        )


def _check_progress(query: BarsQuery, page: Page, present: list[str], state: ChainState) -> None:
    if page.next_token is None or present != [state.open_symbol] or state.open_until is None or len(page.rows) == 0:
        return
    if from_us(int(np.max(page.rows.ts))) + query.timeframe.length <= state.open_until:
        raise BadResponse(
            f"A page for {query} holds nothing newer than the page before it ({state.open_symbol} until "
            f"{state.open_until.isoformat()}). The run stops here.",
            reason="no_progress",
        )


def _looked_from(query: BarsQuery, page: Page) -> datetime:
    """Where what the provider looked at begins, for a symbol of which no earlier page had rows."""
    if page.looked_from is None:
        return query.range.start
    return min(max(query.range.start, page.looked_from), query.range.end)


def _before(query: BarsQuery, looked_from: datetime, symbols: Sequence[str]) -> tuple[tuple[str, Range], ...]:
    if looked_from == query.range.start:
        return ()
    return tuple((symbol, Range(query.range.start, looked_from)) for symbol in symbols)


def _proved_until(symbol: str, state: ChainState, looked_from: datetime) -> datetime:
    """Where the proof of a symbol with rows begins: behind what earlier pages proved of it."""
    if symbol == state.open_symbol and state.open_until is not None:
        return state.open_until
    return looked_from


def _last_row_end(query: BarsQuery, page: Page, symbol: str, proved_until: datetime) -> datetime:
    """
    The end of the last row of *symbol*; *proved_until* where its rows prove nothing because they are not sorted.

    A row off the grid proves nothing beyond the bar it falls into: that bar's neighbour may be on the next page.
    """
    stamps = page.rows.ts[page.rows.symbol == page.symbols.index(symbol)]
    if len(stamps) == 0 or np.any(np.diff(stamps) < 0) or stamps[-1] < to_us(query.range.start):
        return proved_until
    end = from_us(int(stamps[-1])) + query.timeframe.length
    return min(end - (end - query.range.start) % query.timeframe.length, query.range.end)


def _chain_end(query: BarsQuery, state: ChainState, proved: list[tuple[str, Range]], looked_from: datetime) -> Proof:
    if state.open_symbol is not None:
        _add(proved, state.open_symbol, state.open_until or query.range.start, query.range.end)
    absent = [symbol for symbol in query.symbols if symbol not in state.seen]
    for symbol in absent:
        _add(proved, symbol, looked_from, query.range.end)
    return Proof(tuple(proved), state, is_complete=True, not_looked_at=_before(query, looked_from, absent))


def _add(proved: list[tuple[str, Range]], symbol: str, start: datetime, end: datetime) -> None:
    if start < end:
        proved.append((symbol, Range(start, end)))
